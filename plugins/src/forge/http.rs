//! Sends the forge's requests. Trusts the system's certificate authorities, sends credentials to no
//! other host, reads no more of an answer than it should be long.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use ureq::config::RedirectAuthHeaders;
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsProvider};

use crate::forge::request::Request;
use crate::text;

/// Longest wait for one answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Longest wait for an answer that only tells which forge it is.
const PROBE_TIMEOUT: Duration = Duration::from_secs(8);
/// Longest answer read.
const LIMIT: u64 = 8 * 1024 * 1024;

/// An answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Document; null when it is none.
    pub document: Value,
}

/// A client.
#[derive(Clone, Debug)]
pub struct Http {
    agent: ureq::Agent,
}

impl Http {
    /// Reads the system's certificates.
    pub fn new() -> Self {
        let found = rustls_native_certs::load_native_certs();
        let roots = found
            .certs
            .iter()
            .map(|der| Certificate::from_der(der).to_owned());
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(provider)
            .root_certs(RootCerts::from(roots))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .user_agent(concat!("kubectl-gitops/", env!("CARGO_PKG_VERSION")))
            .http_status_as_error(false)
            .max_redirects(3)
            .redirect_auth_headers(RedirectAuthHeaders::SameHost)
            .timeout_global(Some(TIMEOUT))
            .build()
            .new_agent();
        Self { agent }
    }

    /// Sends a request.
    pub async fn send(
        &self,
        request: Request,
        authorization: Option<String>,
    ) -> Result<Answer, String> {
        let agent = self.agent.clone();
        // The client blocks; elsewhere it does not keep anybody waiting.
        tokio::task::spawn_blocking(move || exchange(&agent, &request, authorization.as_deref()))
            .await
            .map_err(|error| error.to_string())?
    }

    /// Whether an address answers with a JSON document that names a version.
    pub async fn has_version(&self, url: String) -> bool {
        let request = Request { url, body: None };
        let answer = tokio::time::timeout(PROBE_TIMEOUT, self.send(request, None)).await;
        // GitLab answers 401 in JSON to those who are not logged in.
        matches!(answer, Ok(Ok(answer)) if answer.document["version"].is_string()
            || (answer.status == 401 && answer.document.is_object()))
    }
}

impl Default for Http {
    fn default() -> Self {
        Self::new()
    }
}

fn exchange(
    agent: &ureq::Agent,
    request: &Request,
    authorization: Option<&str>,
) -> Result<Answer, String> {
    let unreachable = |error: ureq::Error| text::one_line(&error.to_string());
    let answer = match &request.body {
        None => {
            let mut sent = agent.get(&request.url).header("Accept", "application/json");
            if let Some(value) = authorization {
                sent = sent.header("Authorization", value);
            }
            sent.call()
        }
        Some(body) => {
            let mut sent = agent
                .post(&request.url)
                .header("Accept", "application/json")
                .header("Content-Type", "application/json");
            if let Some(value) = authorization {
                sent = sent.header("Authorization", value);
            }
            sent.send(body.to_string())
        }
    };
    let mut answer = answer.map_err(unreachable)?;
    let status = answer.status().as_u16();
    let text = answer
        .body_mut()
        .with_config()
        .limit(LIMIT)
        .read_to_string()
        .map_err(unreachable)?;
    Ok(Answer {
        status,
        document: serde_json::from_str(&text).unwrap_or(Value::Null),
    })
}
