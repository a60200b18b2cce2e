//! Sends the forge's requests. Trusts the system's certificate authorities, sends credentials to no
//! other host, reads no more of an answer than it should be long.

use std::time::{Duration, Instant};

use gitops_transport::http::header::{ACCEPT, CONTENT_TYPE};
use gitops_transport::http::{HeaderMap, HeaderValue};
use gitops_transport::{
    Client, ClientSettings, CredentialScope, Limits, LocalAddresses, RedirectRules, SettingsError,
    Trust,
};
use serde_json::Value;
use url::{Host, Url};

use crate::request::Request;

const USER_AGENT: &str = concat!("kubectl-gitops/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 3;
/// Longest wait for one answer.
const LIMITS: Limits = Limits {
    connect: Duration::from_secs(10),
    idle: Duration::from_secs(30),
    total: Duration::from_secs(30),
    pace: Limits::DEFAULT.pace,
};
/// Longest wait for an answer that only tells which forge it is.
const PROBE_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest answer read, in bytes.
const MAX_ANSWER: u64 = 8 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// HTTP status.
    pub(crate) status: u16,
    /// Document; null when it is none.
    pub(crate) document: Value,
}

/// Why there is no answer.
pub(crate) struct NoAnswer {
    pub(crate) reason: String,
    pub(crate) temporary: bool,
}

/// Asks one forge.
#[derive(Clone)]
pub(crate) struct ApiClient {
    client: Client,
}

impl ApiClient {
    pub(crate) fn new() -> Result<Self, SettingsError> {
        let client = Client::new(ClientSettings {
            user_agent: USER_AGENT,
            trust: Trust::System,
            client_certificate: None,
            proxy: None,
            limits: LIMITS,
            // A forge is asked by a user, from the user's own machine.
            local_addresses: LocalAddresses::Allowed,
        })?;
        Ok(Self { client })
    }

    /// Sends a request; the authorization goes to the host of its URL only.
    pub(crate) async fn send(
        &self,
        request: Request,
        authorization: Option<HeaderValue>,
    ) -> Result<Answer, NoAnswer> {
        self.exchange(request, authorization, self.client.deadline())
            .await
    }

    /// Whether an address answers with a JSON document that names a version.
    pub(crate) async fn has_version(&self, url: String) -> bool {
        let request = Request { url, body: None };
        let deadline = Instant::now() + PROBE_TIMEOUT;
        let answer = self.exchange(request, None, deadline).await;
        // GitLab answers 401 in JSON to those who are not logged in.
        answer.is_ok_and(|answer| {
            answer.document["version"].is_string()
                || (answer.status == 401 && answer.document.is_object())
        })
    }

    async fn exchange(
        &self,
        request: Request,
        authorization: Option<HeaderValue>,
        deadline: Instant,
    ) -> Result<Answer, NoAnswer> {
        let client = self.client.clone();
        // The client blocks; elsewhere it keeps no task waiting.
        let exchange = move || exchange(&client, &request, authorization, deadline);
        let finished = tokio::task::spawn_blocking(exchange).await;
        finished.unwrap_or_else(|error| {
            Err(NoAnswer {
                reason: error.to_string(),
                temporary: true,
            })
        })
    }
}

/// Whether a token may go to the forge at this address: over TLS, or without leaving this machine.
pub(crate) fn is_confidential(web: &str) -> bool {
    let Ok(url) = Url::parse(web) else {
        return false;
    };
    let loopback = match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    };
    url.scheme() == "https" || (url.scheme() == "http" && loopback)
}

fn exchange(
    client: &Client,
    request: &Request,
    authorization: Option<HeaderValue>,
    deadline: Instant,
) -> Result<Answer, NoAnswer> {
    let url = Url::parse(&request.url).map_err(|error| NoAnswer {
        reason: error.to_string(),
        temporary: false,
    })?;
    let json = HeaderValue::from_static("application/json");
    let mut headers = HeaderMap::from_iter([(ACCEPT, json.clone())]);
    let body = request.body.as_ref().map(ToString::to_string);
    if body.is_some() {
        headers.insert(CONTENT_TYPE, json);
    }
    let rules = RedirectRules {
        max: MAX_REDIRECTS,
        tail: None,
        allow_plain_http: false,
    };
    let request = gitops_transport::Request {
        headers,
        authorization: authorization.filter(|_| is_confidential(url.as_str())),
        scope: CredentialScope::of(url.clone()),
        url,
        body: body.as_deref().map(str::as_bytes),
        deadline,
    };
    let answer = client.follow(&request, &rules).and_then(|answer| {
        let status = answer.status().as_u16();
        Ok((status, answer.read(MAX_ANSWER)?))
    });
    let (status, body) = answer.map_err(|error| NoAnswer {
        temporary: error.is_temporary(),
        reason: error.reason,
    })?;
    Ok(Answer {
        status,
        document: serde_json::from_slice(&body).unwrap_or(Value::Null),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_travel_over_tls_or_stay_here() {
        let table = [
            ("https://git.example.org", true),
            ("https://git.example.org:3000", true),
            ("http://git.example.org", false),
            ("http://localhost.example.org", false),
            ("http://127.0.0.1:3000", true),
            ("http://[::1]:3000", true),
            ("http://localhost:3000", true),
            ("http://10.0.0.1", false),
            ("git.example.org", false),
        ];
        for (web, expected) in table {
            assert_eq!(is_confidential(web), expected, "{web}");
        }
    }
}
