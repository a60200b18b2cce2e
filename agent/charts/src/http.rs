//! Requests to chart repositories and registries: one client per TLS set-up, redirects followed by
//! hand, credentials only where they belong, answers cut off at a limit.
//!
//! Never retries and never reads an answer's meaning beyond its status, headers and length.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Certificate, Client, Identity, NoProxy, Proxy, StatusCode, Url, redirect};
use sha2::{Digest as _, Sha256};

use crate::error::ChartError;
use crate::repository::Endpoint;

const MAX_REDIRECTS: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// Longest pause between two pieces of an answer.
const READ_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest whole answer: 64 MiB over a slow line.
const TOTAL_TIMEOUT: Duration = Duration::from_mins(5);
/// Clients kept; each holds its TLS set-up. Rotated certificates make old ones useless.
const MAX_CLIENTS: usize = 64;

/// Clients, shared by all repositories with the same TLS and proxy settings.
#[derive(Default)]
pub(crate) struct Http {
    clients: Mutex<HashMap<[u8; 32], Client>>,
}

/// One request, before anything about its target is known.
pub(crate) struct Request<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    /// Sent only to URLs the endpoint trusts, and to `authorized_origin`.
    pub(crate) authorization: Option<HeaderValue>,
    /// Where a registry said its access tokens come from.
    pub(crate) authorized_origin: Option<url::Origin>,
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

impl Http {
    /// Sends a GET request and follows redirects.
    pub(crate) async fn get(&self, request: Request<'_>) -> Result<Response, ChartError> {
        let Request {
            endpoint,
            mut url,
            headers,
            authorization,
            authorized_origin,
            limit,
            what,
        } = request;
        let failure = |url: &Url, reason: String| ChartError::Unreachable {
            repository: endpoint.shown.clone(),
            what: what.to_owned(),
            host: host_of(url),
            reason,
        };
        for _ in 0..=MAX_REDIRECTS {
            let trusted = endpoint.trusts(&url) || authorized_origin == Some(url.origin());
            let client = self.client(endpoint, &url, trusted)?;
            let mut sent = client.get(url.clone()).headers(headers.clone());
            let authorization = authorization.as_ref().filter(|_| trusted);
            if let Some(value) = authorization {
                sent = sent.header(AUTHORIZATION, value.clone());
            }
            let mut answer = sent
                .send()
                .await
                .map_err(|error| failure(&url, reason_of(error)))?;
            let status = answer.status();
            if let Some(target) = redirect_target(&url, status, answer.headers()) {
                let target = target.map_err(|reason| unexpected(endpoint, what, &url, reason))?;
                if url.scheme() == "https"
                    && target.scheme() == "http"
                    && !endpoint.settings.insecure
                {
                    return Err(unexpected(
                        endpoint,
                        what,
                        &url,
                        format!(
                            "redirects from https to http on {}, where the answer could be forged; \
                             fix the server, or set insecure on the repository",
                            host_of(&target)
                        ),
                    ));
                }
                url = target;
                continue;
            }
            let too_large = || ChartError::TooLarge {
                repository: endpoint.shown.clone(),
                what: what.to_owned(),
                limit: format!("{limit} bytes"),
            };
            if answer.content_length().is_some_and(|length| length > limit) {
                return Err(too_large());
            }
            let mut body = Vec::new();
            while let Some(piece) = answer
                .chunk()
                .await
                .map_err(|error| failure(&url, reason_of(error)))?
            {
                if (body.len() + piece.len()) as u64 > limit {
                    return Err(too_large());
                }
                body.extend_from_slice(&piece);
            }
            return Ok(Response {
                status,
                headers: answer.headers().clone(),
                body,
                host: host_of(&url),
                credentials_sent: authorization.is_some(),
            });
        }
        Err(unexpected(
            endpoint,
            what,
            &url,
            format!("redirects more than {MAX_REDIRECTS} times"),
        ))
    }

    fn client(&self, endpoint: &Endpoint, url: &Url, trusted: bool) -> Result<Client, ChartError> {
        let tls = url.scheme() == "https" || endpoint.settings.proxy.is_some();
        let key = client_key(endpoint, tls, trusted);
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(&key) {
            return Ok(client.clone());
        }
        let client = build_client(endpoint, tls, trusted).map_err(|reason| {
            ChartError::InvalidRepository {
                repository: endpoint.shown.clone(),
                reason,
            }
        })?;
        if clients.len() >= MAX_CLIENTS {
            clients.clear();
        }
        clients.insert(key, client.clone());
        Ok(client)
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
        let transient =
            self.status.is_server_error() || self.status == StatusCode::TOO_MANY_REQUESTS;
        let advice = if transient {
            "try again later"
        } else {
            "check the repository's URL"
        };
        ChartError::UnexpectedAnswer {
            repository: endpoint.shown.clone(),
            what: what.to_owned(),
            host: self.host.clone(),
            reason: format!("answered {}; {advice}", self.status),
            transient,
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
        host: host_of(url),
        reason,
        transient: false,
    }
}

/// The `Authorization` value of a name and a password.
pub(crate) fn basic_authorization(endpoint: &Endpoint) -> Option<HeaderValue> {
    use base64::Engine as _;
    let credentials = endpoint.credentials.as_ref()?;
    let pair = format!("{}:{}", credentials.username, credentials.password);
    sensitive(&format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    ))
}

/// A header value that is kept out of debug output; `None` when it is not a valid one.
pub(crate) fn sensitive(text: &str) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

pub(crate) fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port()
        .map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn redirect_target(
    url: &Url,
    status: StatusCode,
    headers: &HeaderMap,
) -> Option<Result<Url, String>> {
    if !matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308) {
        return None;
    }
    let location = headers.get(LOCATION)?;
    let target = location
        .to_str()
        .ok()
        .and_then(|text| url.join(text).ok())
        .filter(|target| matches!(target.scheme(), "http" | "https") && target.has_host())
        .map(|mut target| {
            // A name and password in a redirect are the server's, not the repository's.
            let _ = target.set_username("");
            let _ = target.set_password(None);
            target
        });
    Some(target.ok_or_else(|| "redirects to something that is not an http(s) URL".to_owned()))
}

/// The innermost cause says what happened; URLs, which may hold secrets, are left out.
fn reason_of(error: reqwest::Error) -> String {
    let timeout = error.is_timeout();
    let error = error.without_url();
    let mut cause: &dyn std::error::Error = &error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    let text = cause.to_string();
    if text.contains("UnknownIssuer") {
        format!("{text}: its certificate's authority is not trusted; add it to argocd-tls-certs-cm")
    } else if timeout {
        format!("no answer in time ({text})")
    } else {
        text
    }
}

fn client_key(endpoint: &Endpoint, tls: bool, trusted: bool) -> [u8; 32] {
    let settings = &endpoint.settings;
    let mut hasher = Sha256::new();
    hasher.update([u8::from(tls), u8::from(settings.insecure)]);
    let certificate = settings.client_certificate.as_ref().filter(|_| trusted);
    let parts = [
        settings.ca_pem.as_deref(),
        certificate.map(|c| c.certificate_pem.as_slice()),
        certificate.map(|c| c.key_pem.as_slice()),
        settings.proxy.as_ref().map(|p| p.url.as_bytes()),
        settings.proxy.as_ref().map(|p| p.no_proxy.as_bytes()),
    ];
    for part in parts {
        hasher.update(part.map_or(0, |p| p.len() as u64 + 1).to_le_bytes());
        hasher.update(part.unwrap_or_default());
    }
    hasher.finalize().into()
}

fn build_client(endpoint: &Endpoint, tls: bool, trusted: bool) -> Result<Client, String> {
    let settings = &endpoint.settings;
    let mut builder = Client::builder()
        .user_agent(concat!("gitops-agent/", env!("CARGO_PKG_VERSION")))
        .redirect(redirect::Policy::none())
        .referer(false)
        .connect_timeout(CONNECT_TIMEOUT)
        .read_timeout(READ_TIMEOUT)
        .timeout(TOTAL_TIMEOUT)
        .pool_idle_timeout(Duration::from_secs(30));
    if let Some(proxy) = &settings.proxy {
        let no_proxy = NoProxy::from_string(&proxy.no_proxy);
        let proxy = Proxy::all(&proxy.url)
            .map_err(|_| "its proxy is not a URL; write http://HOST:PORT".to_owned())?;
        builder = builder.proxy(proxy.no_proxy(no_proxy));
    }
    if !tls {
        // No TLS will be spoken; an image without system certificates must not matter here.
        builder = builder.tls_certs_only([]);
    } else if settings.insecure {
        builder = builder.tls_danger_accept_invalid_certs(true);
    } else if let Some(pem) = &settings.ca_pem {
        let certificates = Certificate::from_pem_bundle(pem)
            .ok()
            .filter(|certificates| !certificates.is_empty())
            .ok_or(
                "its certificate authority is not PEM; paste -----BEGIN CERTIFICATE----- blocks",
            )?;
        builder = builder.tls_certs_merge(certificates);
    }
    if let Some(certificate) = settings
        .client_certificate
        .as_ref()
        .filter(|_| tls && trusted)
    {
        let pem = [
            certificate.certificate_pem.as_slice(),
            b"\n",
            &certificate.key_pem,
        ]
        .concat();
        let identity = Identity::from_pem(&pem).map_err(|_| {
            "its client certificate is not usable: tlsClientCertData and tlsClientCertKey must be \
             a PEM certificate and its key"
        })?;
        builder = builder.identity(identity);
    }
    builder
        .build()
        .map_err(|error| format!("TLS cannot be set up: {}", reason_of(error)))
}
