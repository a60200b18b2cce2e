//! Sends the requests of one exchange and says what a status or a broken connection means for a
//! repository. Knows nothing of gix's ends of an answer.

use std::io::{self, Read as _};
use std::sync::LazyLock;
use std::time::Instant;

use gitops_transport::authorization::{basic, bearer};
use gitops_transport::http::{HeaderMap, HeaderValue};
use gitops_transport::{
    Answer, Client, ClientPool, ClientSettings, CredentialScope, RedirectRules, Request,
    SettingsError, Trust, is_temporary_status,
};
use gix::error::{ErrorExt as _, message};
use url::Url;

use crate::access::{Credentials, RepositoryAccess};
use crate::allowance::Allowance;
use crate::error::GitError;
use crate::failure::{Failure, FailureSlot};

/// Sent with each request and in the Git protocol. Forges look for `git/` at its beginning to tell
/// Git from browsers.
const USER_AGENT: &str = concat!("git/2.0 (gitops-agent/", env!("CARGO_PKG_VERSION"), ")");
/// Redirects followed for one request.
const MAX_REDIRECTS: usize = 5;
/// How much of an error page is read for its message, in bytes.
const MAX_ERROR_PAGE: u64 = 4096;

/// The client for `access`; `url` is for messages. Repositories with equal settings share one, and
/// so its connections and CA certificates.
pub(crate) fn client(access: &RepositoryAccess, url: &str) -> Result<Client, GitError> {
    static CLIENTS: LazyLock<ClientPool> = LazyLock::new(ClientPool::default);
    let trust = match &access.ca_pem {
        _ if access.insecure_skip_tls => Trust::Anything,
        // As `http.sslCAInfo`: the given certificates replace the system's.
        Some(pem) => Trust::Only(pem.clone()),
        None => Trust::System,
    };
    let settings = ClientSettings {
        user_agent: USER_AGENT,
        trust,
        client_certificate: access.client_certificate.clone(),
        proxy: access.proxy.clone(),
        limits: access.limits,
        local_addresses: access.local_addresses,
    };
    CLIENTS.get(&settings).map_err(|error| {
        let (url, reason) = (url.to_owned(), error.to_string());
        match error {
            SettingsError::Proxy(_) => GitError::InvalidUrl { url, reason },
            SettingsError::Authority(_) | SettingsError::ClientCertificate(_) => {
                GitError::Certificate { url, reason }
            }
        }
    })
}

/// The HTTP side of one exchange.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client,
    scope: CredentialScope,
    authorization: Option<HeaderValue>,
    /// Where the repository is found after redirects.
    pub(super) redirected: Option<String>,
    deadline: Instant,
    pub(super) failure: FailureSlot,
    /// How much of answers is taken.
    pub(super) allowance: Allowance,
}

impl HttpClient {
    /// `own` is the repository's URL as configured: the only host that gets credentials.
    pub(crate) fn new(
        client: Client,
        own: Url,
        credentials: &Credentials,
        user_information: Option<&(String, String)>,
        failure: FailureSlot,
        allowance: Allowance,
    ) -> Result<Self, Failure> {
        let authorization = match credentials {
            Credentials::Basic { username, password } => basic(username, password),
            Credentials::Bearer(token) => Some(bearer(token).ok_or_else(|| {
                Failure::Authentication("the token holds characters no header can carry".into())
            })?),
            Credentials::None | Credentials::SshKey(_) => {
                user_information.and_then(|(user, password)| basic(user, password))
            }
        };
        Ok(Self {
            deadline: client.deadline(),
            client,
            scope: CredentialScope::of(own),
            authorization,
            redirected: None,
            failure,
            allowance,
        })
    }

    fn request<'a>(&self, url: Url, headers: HeaderMap, body: Option<&'a [u8]>) -> Request<'a> {
        Request {
            url,
            headers,
            authorization: self.authorization.clone(),
            scope: self.scope.clone(),
            body,
            deadline: self.deadline,
        }
    }

    /// Sends a POST; a redirect is no answer to it.
    pub(super) fn post(
        &self,
        url: Url,
        headers: HeaderMap,
        body: &[u8],
    ) -> Result<Answer, Failure> {
        let request = self.request(url, headers, Some(body));
        accept(self.client.send(&request)?)
    }

    /// Sends a GET whose URL ends in `tail`, following redirects that keep this tail.
    pub(super) fn get_following(
        &mut self,
        url: &str,
        tail: &str,
        headers: HeaderMap,
    ) -> Result<Answer, Failure> {
        let url = Url::parse(url).map_err(|error| Failure::Protocol(error.to_string()))?;
        let rules = RedirectRules {
            max: MAX_REDIRECTS,
            tail: Some(tail),
            allow_plain_http: false,
        };
        let request = self.request(url, headers, None);
        let answer = self.client.follow(&request, &rules)?;
        if answer.url != request.url {
            self.redirected = answer.url.as_str().strip_suffix(tail).map(str::to_owned);
        }
        accept(answer)
    }

    pub(super) fn fail(&self, failure: Failure) -> gix::Error {
        // The reason is in the slot; this text goes nowhere.
        let error = io::Error::other("the transport failed");
        *self.failure.borrow_mut() = Some(failure);
        error.and_raise(message("HTTP request failed"))
    }
}

/// Turns a status other than 200 into what it means for a repository.
fn accept(answer: Answer) -> Result<Answer, Failure> {
    let status = answer.status();
    if status.as_u16() == 200 {
        return Ok(answer);
    }
    // What a server says to somebody it does not know is not repeated: the URL may lead to any server
    // near the agent, and whoever wrote it would read there with the agent's eyes.
    let may_be_shown = answer.credentials_sent;
    let plain_text = answer
        .headers()
        .get("content-type")
        .is_some_and(|kind| kind.as_bytes().starts_with(b"text/plain"));
    let mut page = String::new();
    if plain_text && may_be_shown {
        // Only to explain the status better: an unreadable page changes nothing.
        let _ = answer
            .into_reader()
            .take(MAX_ERROR_PAGE)
            .read_to_string(&mut page);
    }
    let said = if page.trim().is_empty() {
        String::new()
    } else {
        format!(": {}", page.trim())
    };
    let text = format!("the server answers {status}{said}");
    Err(match status.as_u16() {
        401 | 403 => Failure::Authentication(text),
        404 | 410 => Failure::NotFound(text),
        407 => Failure::Unreachable(format!(
            "the proxy wants a user name and password ({status})"
        )),
        status if is_temporary_status(status) => Failure::Unreachable(text),
        _ => Failure::Protocol(text),
    })
}

#[cfg(test)]
mod tests {
    use gitops_transport::{ClientCertificate, ProxySettings};

    use super::*;

    #[test]
    fn what_cannot_be_used_is_said() {
        let access = |change: fn(&mut RepositoryAccess)| {
            let mut access = RepositoryAccess::default();
            change(&mut access);
            client(&access, "https://example.com/r")
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        let no_ca = access(|a| a.ca_pem = Some("hello".into()));
        assert!(no_ca.contains("configured CA is not valid PEM"), "{no_ca}");
        let no_certificate = access(|a| {
            a.client_certificate = Some(ClientCertificate {
                certificate_pem: "x".into(),
                key_pem: "s3cret".into(),
            });
        });
        assert!(
            no_certificate.contains("client certificate is not valid PEM"),
            "{no_certificate}"
        );
        assert!(!no_certificate.contains("s3cret"));
        let no_proxy = access(|a| {
            a.proxy = Some(ProxySettings {
                url: "::::".into(),
                no_proxy: String::new(),
            });
        });
        assert!(no_proxy.contains("its proxy"), "{no_proxy}");
        assert_eq!(access(|_| {}), "");
    }
}
