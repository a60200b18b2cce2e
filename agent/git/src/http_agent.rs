//! Builds the HTTP client of one repository: what it trusts, how it proves who it is, which proxy
//! it goes through and how long it waits. Reads the system's CA certificates (once a process) and
//! the usual proxy variables; no other configuration of the machine. Sends nothing by itself.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

use crate::access::{ClientCertificate, RepositoryAccess};
use crate::error::GitError;
use crate::redact::without_user_information;

/// Sent with each request and in the Git protocol. Forges look for `git/` at its beginning to tell
/// Git from browsers.
pub(crate) const USER_AGENT: &str =
    concat!("git/2.0 (gitops-agent/", env!("CARGO_PKG_VERSION"), ")");
/// How long an unused connection is kept: long enough for the next poll, short enough for a
/// server's own limit.
const KEEP_IDLE: Duration = Duration::from_secs(50);

/// The client for `access`; `url` is for messages. Repositories without settings of their own share
/// one, and so its connections and CA certificates.
pub(crate) fn agent(access: &RepositoryAccess, url: &str) -> Result<ureq::Agent, GitError> {
    static SHARED: OnceLock<ureq::Agent> = OnceLock::new();
    let special = access.ca_pem.is_some()
        || access.client_certificate.is_some()
        || access.insecure_skip_tls
        || access.proxy.is_some()
        || access.limits != crate::access::Limits::default();
    if special {
        return build(access, url);
    }
    if let Some(agent) = SHARED.get() {
        return Ok(agent.clone());
    }
    let agent = build(access, url)?;
    Ok(SHARED.get_or_init(|| agent).clone())
}

fn build(access: &RepositoryAccess, url: &str) -> Result<ureq::Agent, GitError> {
    let certificate_error = |reason: String| GitError::Certificate {
        url: url.to_owned(),
        reason,
    };
    let roots = match &access.ca_pem {
        _ if access.insecure_skip_tls => RootCerts::new_with_certs(&[]),
        Some(pem) => given_roots(pem).map_err(certificate_error)?,
        None => system_roots(),
    };
    let client_certificate = access.client_certificate.as_ref();
    let client_certificate = client_certificate.map(read_client_certificate).transpose();
    let tls = TlsConfig::builder()
        .provider(TlsProvider::Rustls)
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
        .root_certs(roots)
        .client_cert(client_certificate.map_err(certificate_error)?)
        .disable_verification(access.insecure_skip_tls)
        .build();
    let mut config = ureq::Agent::config_builder()
        .tls_config(tls)
        .user_agent(USER_AGENT)
        .http_status_as_error(false)
        // Redirects are followed in `http`, which knows where credentials may go.
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_resolve(Some(access.limits.connect))
        .timeout_connect(Some(access.limits.connect))
        .timeout_per_read(Some(access.limits.idle))
        .timeout_per_write(Some(access.limits.idle))
        .max_idle_connections_per_host(2)
        .max_idle_age(KEEP_IDLE);
    if let Some(proxy) = &access.proxy {
        config = config.proxy(Some(read_proxy(proxy, access.no_proxy.as_deref(), url)?));
    }
    Ok(config.build().new_agent())
}

/// As `http.sslCAInfo`: the given certificates replace the system's.
fn given_roots(pem: &str) -> Result<RootCerts, String> {
    let certificates =
        read_certificates(pem).map_err(|e| format!("the configured CA is not valid PEM: {e}"))?;
    Ok(RootCerts::from(
        certificates
            .iter()
            .map(|der| Certificate::from_der(der).to_owned()),
    ))
}

/// The system's CA certificates (`SSL_CERT_FILE` is honoured), read once and shared.
fn system_roots() -> RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    let load = || {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            tracing::warn!(errors = ?found.errors, "no CA certificates found on this system; https repositories need one of their own");
        }
        RootCerts::from(
            found
                .certs
                .iter()
                .map(|der| Certificate::from_der(der).to_owned()),
        )
    };
    ROOTS.get_or_init(load).clone()
}

fn read_certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    let certificates = certificates.map_err(|error| error.to_string())?;
    if certificates.is_empty() {
        return Err("it has no CERTIFICATE section".to_owned());
    }
    Ok(certificates)
}

/// Reads the pair and checks that it belongs together, which the HTTP client takes for granted.
fn read_client_certificate(pair: &ClientCertificate) -> Result<ClientCert, String> {
    let chain = read_certificates(&pair.cert_pem)
        .map_err(|e| format!("the client certificate is not valid PEM: {e}"))?;
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes())
        .map_err(|_| "the client certificate's key is not a PEM private key".to_owned())?;
    let private_key = PrivateKey::from_pem(pair.key_pem.as_bytes())
        .map_err(|_| "the client certificate's key is not a PEM private key".to_owned())?;
    let certificates: Vec<_> = chain
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("the client certificate and its key do not fit: {error}"))?;
    Ok(ClientCert::new_with_certs(&certificates, private_key))
}

fn read_proxy(proxy: &str, no_proxy: Option<&str>, url: &str) -> Result<ureq::Proxy, GitError> {
    let invalid = || GitError::InvalidUrl {
        url: url.to_owned(),
        reason: format!(
            "its proxy `{}` is not a URL such as http://HOST:PORT",
            without_user_information(proxy)
        ),
    };
    let parsed = ureq::Proxy::new(proxy).map_err(|_| invalid())?;
    let Some(no_proxy) = no_proxy else {
        return Ok(parsed);
    };
    let mut builder = ureq::Proxy::builder(parsed.protocol())
        .host(parsed.host())
        .port(parsed.port());
    if let Some(username) = parsed.username() {
        builder = builder.username(username);
    }
    if let Some(password) = parsed.password() {
        builder = builder.password(password);
    }
    for host in no_proxy
        .split(',')
        .map(str::trim)
        .filter(|host| !host.is_empty())
    {
        builder = builder.no_proxy(host);
    }
    builder.build().map_err(|_| invalid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_used_is_said() {
        let access = |change: fn(&mut RepositoryAccess)| {
            let mut access = RepositoryAccess::default();
            change(&mut access);
            agent(&access, "https://example.com/r")
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default()
        };
        let no_ca = access(|a| a.ca_pem = Some("hello".into()));
        assert!(no_ca.contains("configured CA is not valid PEM"), "{no_ca}");
        let pair = ClientCertificate {
            cert_pem: "x".into(),
            key_pem: "s3cret".into(),
        };
        let no_certificate = read_client_certificate(&pair).unwrap_err();
        assert!(
            no_certificate.contains("client certificate is not valid PEM"),
            "{no_certificate}"
        );
        assert!(!no_certificate.contains("s3cret"));
        let no_proxy = access(|a| a.proxy = Some("::::".into()));
        assert!(no_proxy.contains("its proxy"), "{no_proxy}");
        assert_eq!(access(|_| {}), "");
    }
}
