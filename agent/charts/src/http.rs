//! Requests to chart repositories and registries over the transport's client, and what a failed one
//! means for a chart. Where credentials may go and which redirects are followed is the transport's
//! rule.
//!
//! Never retries and never reads an answer's meaning beyond its status, headers and length.

use std::sync::Arc;

use gitops_transport::http::{HeaderMap, HeaderValue, StatusCode};
use gitops_transport::redact::host_and_port;
use gitops_transport::{
    ClientPool, ClientSettings, FailureKind, HostSlots, Limits, LocalAddresses, RedirectRules,
    SettingsError, TransportError, Trust, authorization, is_temporary_status,
};
use url::{Origin, Url};

use crate::blocking::blocking;
use crate::error::ChartError;
use crate::repository::Endpoint;
use crate::store::Validators;

const USER_AGENT: &str = concat!("gitops-agent/", env!("CARGO_PKG_VERSION"));
const MAX_REDIRECTS: usize = 10;
/// Clients, shared by all repositories with the same TLS and proxy settings.
pub(crate) struct Http {
    clients: Arc<ClientPool>,
    limits: Limits,
    local_addresses: LocalAddresses,
    slots: Arc<HostSlots>,
}

/// One request, before anything about its target is known.
pub(crate) struct Request<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Sent only to URLs the endpoint trusts, and to `authorized_origin`.
    pub(crate) authorization: Option<HeaderValue>,
    /// Where a registry said its access tokens come from.
    pub(crate) authorized_origin: Option<Origin>,
    /// Largest answer that is read, in bytes.
    pub(crate) limit: u64,
    /// What is asked for, for messages.
    pub(crate) what: &'a str,
}

/// An answer that was read to its end.
pub(crate) struct Response {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Host that answered in the end.
    pub(crate) host: String,
    /// Whether the authorization went to that host.
    pub(crate) credentials_sent: bool,
}

enum Failure {
    Settings(SettingsError),
    Transport(TransportError),
}

impl Http {
    pub(crate) fn new(
        limits: Limits,
        local_addresses: LocalAddresses,
        slots: Arc<HostSlots>,
    ) -> Self {
        Self {
            clients: Arc::default(),
            limits,
            local_addresses,
            slots,
        }
    }

    /// Sends a GET request and follows redirects.
    pub(crate) async fn get(&self, request: Request<'_>) -> Result<Response, ChartError> {
        let Request {
            endpoint,
            url,
            headers,
            authorization,
            authorized_origin,
            limit,
            what,
        } = request;
        let mut scope = endpoint.scope();
        if let Some(origin) = authorized_origin {
            scope = scope.and(origin);
        }
        let rules = RedirectRules {
            max: MAX_REDIRECTS,
            tail: None,
            allow_plain_http: endpoint.settings.insecure,
        };
        let (clients, settings) = (Arc::clone(&self.clients), self.client_settings(endpoint));
        // Waiting for a slow host costs no thread.
        let slot = self.slots.take(&host_and_port(&url)).await;
        let exchange = move || {
            let _slot = slot;
            let client = clients.get(&settings).map_err(Failure::Settings)?;
            let request = gitops_transport::Request {
                url,
                headers,
                authorization,
                scope,
                body: None,
                deadline: client.deadline(),
            };
            let answer = client
                .follow(&request, &rules)
                .map_err(Failure::Transport)?;
            Ok(Response {
                status: answer.status(),
                headers: answer.headers().clone(),
                host: host_and_port(&answer.url),
                credentials_sent: answer.credentials_sent,
                body: answer.read(limit).map_err(Failure::Transport)?,
            })
        };
        match blocking(exchange).await {
            Some(Ok(response)) => Ok(response),
            Some(Err(Failure::Settings(error))) => Err(ChartError::InvalidRepository {
                repository: endpoint.shown.clone(),
                reason: error.to_string(),
            }),
            Some(Err(Failure::Transport(error))) => Err(meaning(endpoint, what, limit, error)),
            None => Err(ChartError::Unreachable {
                repository: endpoint.shown.clone(),
                what: what.to_owned(),
                host: host_and_port(&endpoint.base),
                reason: "the request was cut off".to_owned(),
            }),
        }
    }

    fn client_settings(&self, endpoint: &Endpoint) -> ClientSettings {
        let settings = &endpoint.settings;
        let trust = match &settings.ca_pem {
            _ if settings.insecure => Trust::Anything,
            Some(pem) => Trust::SystemAnd(pem.clone()),
            None => Trust::System,
        };
        ClientSettings {
            user_agent: USER_AGENT,
            trust,
            client_certificate: settings.client_certificate.clone(),
            proxy: settings.proxy.clone(),
            limits: self.limits,
            local_addresses: self.local_addresses,
        }
    }
}

impl Response {
    /// The error for an answer that is not a success. `404` is the caller's to interpret.
    pub(crate) fn refusal(&self, endpoint: &Endpoint, what: &str) -> ChartError {
        if matches!(
            self.status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
        ) {
            return ChartError::Unauthorized {
                repository: endpoint.shown.clone(),
                what: what.to_owned(),
                host: self.host.clone(),
                status: self.status.as_u16(),
                credentials_sent: self.credentials_sent,
            };
        }
        let temporary = is_temporary_status(self.status.as_u16());
        let advice = if temporary {
            "try again later"
        } else {
            "check the repository's URL"
        };
        ChartError::UnexpectedAnswer {
            repository: endpoint.shown.clone(),
            what: what.to_owned(),
            host: self.host.clone(),
            reason: format!("answered {}; {advice}", self.status),
            temporary,
        }
    }

    /// What the server calls this version, to ask later whether there is another one. A time says nothing when the answer was given
    /// within that very second: what is written in the rest of it has the same time (RFC 9110, 8.8.2.2).
    pub(crate) fn validators(&self) -> Validators {
        let text = |name: &str| self.header(name).map(str::to_owned);
        let modified = text("last-modified");
        Validators {
            etag: text("etag"),
            last_modified: modified.filter(|time| self.header("date") != Some(time)),
        }
    }

    /// The value of a header, when it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// An answer that was understood but makes no sense.
pub(crate) fn unexpected(endpoint: &Endpoint, what: &str, url: &Url, reason: String) -> ChartError {
    ChartError::UnexpectedAnswer {
        repository: endpoint.shown.clone(),
        what: what.to_owned(),
        host: host_and_port(url),
        reason,
        temporary: false,
    }
}

/// The `Authorization` value of a name and a password.
pub(crate) fn basic_authorization(endpoint: &Endpoint) -> Option<HeaderValue> {
    let credentials = endpoint.credentials.as_ref()?;
    authorization::basic(&credentials.username, &credentials.password)
}

/// What a failed request means for a chart.
fn meaning(endpoint: &Endpoint, what: &str, limit: u64, error: TransportError) -> ChartError {
    let (repository, what) = (endpoint.shown.clone(), what.to_owned());
    let TransportError { kind, reason, host } = error;
    let reason = match kind {
        FailureKind::Unreachable => {
            return ChartError::Unreachable {
                repository,
                what,
                host,
                reason,
            };
        }
        FailureKind::Timeout => {
            return ChartError::Unreachable {
                repository,
                what,
                host,
                reason: format!("no answer in time ({reason})"),
            };
        }
        FailureKind::Certificate => {
            return ChartError::Certificate {
                repository,
                what,
                host,
                reason,
            };
        }
        FailureKind::TooLarge => {
            return ChartError::TooLarge {
                repository,
                what,
                limit: format!("{limit} bytes"),
            };
        }
        FailureKind::ClientCertificate => format!(
            "does not answer: {reason}; check tlsClientCertData and tlsClientCertKey in the \
             repository's Secret"
        ),
        FailureKind::Address => format!("is not asked: {reason}"),
        FailureKind::Redirect if reason.contains("from https to http") => {
            format!("{reason}; fix the server, or set insecure on the repository")
        }
        FailureKind::Redirect => format!("{reason}; check the repository's URL"),
        FailureKind::NotHttp => {
            format!("does not answer as a web server ({reason}); check the repository's URL")
        }
    };
    ChartError::UnexpectedAnswer {
        repository,
        what,
        host,
        reason,
        temporary: false,
    }
}
