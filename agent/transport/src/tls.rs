//! TLS as the settings say: which certificates are trusted and which one is presented. The system's
//! CA certificates (`SSL_CERT_FILE` is honored) are read once per process. Never connects.

use std::sync::{Arc, OnceLock};

use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use ureq::tls::{Certificate, ClientCert, PrivateKey, RootCerts, TlsConfig, TlsProvider};

use crate::error::SettingsError;
use crate::settings::{ClientCertificate, Trust};

/// The TLS half of a client's settings, read and checked.
pub(crate) struct Tls {
    roots: RootCerts,
    any_certificate: bool,
    client_certificate: Option<ClientCert>,
}

impl Tls {
    /// Reads the settings; what cannot be used is said before anything is sent.
    pub(crate) fn read(
        trust: &Trust,
        client_certificate: Option<&ClientCertificate>,
    ) -> Result<Self, SettingsError> {
        let given = |pem: &str| read_certificates(pem).map_err(SettingsError::Authority);
        let roots = match trust {
            Trust::System => system_roots(),
            Trust::SystemAnd(pem) => roots_of(system_certificates().iter().chain(&given(pem)?)),
            Trust::Only(pem) => roots_of(&given(pem)?),
            Trust::Anything => RootCerts::new_with_certs(&[]),
        };
        let client_certificate = client_certificate.map(read_client_certificate).transpose();
        Ok(Self {
            roots,
            any_certificate: *trust == Trust::Anything,
            client_certificate: client_certificate.map_err(SettingsError::ClientCertificate)?,
        })
    }

    /// The configuration of connections that do or do not present the client certificate.
    pub(crate) fn config(&self, with_client_certificate: bool) -> TlsConfig {
        let certificate = self.client_certificate.clone();
        TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(provider())
            .root_certs(self.roots.clone())
            .client_cert(certificate.filter(|_| with_client_certificate))
            .disable_verification(self.any_certificate)
            .build()
    }

    pub(crate) const fn has_client_certificate(&self) -> bool {
        self.client_certificate.is_some()
    }
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

fn roots_of<'a>(certificates: impl IntoIterator<Item = &'a CertificateDer<'static>>) -> RootCerts {
    RootCerts::from(
        certificates
            .into_iter()
            .map(|der| Certificate::from_der(der).to_owned()),
    )
}

fn system_certificates() -> &'static [CertificateDer<'static>] {
    static CERTIFICATES: OnceLock<Vec<CertificateDer<'static>>> = OnceLock::new();
    CERTIFICATES.get_or_init(|| {
        let found = rustls_native_certs::load_native_certs();
        if found.certs.is_empty() {
            tracing::warn!(errors = ?found.errors, "no CA certificates found on this system; https servers need one of their own");
        }
        found.certs
    })
}

fn system_roots() -> RootCerts {
    static ROOTS: OnceLock<RootCerts> = OnceLock::new();
    ROOTS
        .get_or_init(|| roots_of(system_certificates()))
        .clone()
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
    let chain = read_certificates(&pair.certificate_pem)
        .map_err(|error| format!("the client certificate is not valid PEM: {error}"))?;
    let not_a_key = || "the client certificate's key is not a PEM private key".to_owned();
    let key = PrivateKeyDer::from_pem_slice(pair.key_pem.as_bytes()).map_err(|_| not_a_key())?;
    let private_key = PrivateKey::from_pem(pair.key_pem.as_bytes()).map_err(|_| not_a_key())?;
    let certificates: Vec<_> = chain
        .iter()
        .map(|der| Certificate::from_der(der).to_owned())
        .collect();
    rustls::ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_client_auth_cert(chain, key)
        .map_err(|error| format!("the client certificate and its key do not fit: {error}"))?;
    Ok(ClientCert::new_with_certs(&certificates, private_key))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> ClientCertificate {
        let made = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap();
        ClientCertificate {
            certificate_pem: made.cert.pem(),
            key_pem: made.signing_key.serialize_pem(),
        }
    }

    fn error(trust: &Trust, certificate: Option<&ClientCertificate>) -> String {
        Tls::read(trust, certificate)
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        for trust in [Trust::Only("hello".into()), Trust::SystemAnd(String::new())] {
            let reason = error(&trust, None);
            assert!(
                reason.contains("configured CA is not valid PEM"),
                "{reason}"
            );
        }
        let (one, other) = (pair(), pair());
        let cases = [
            ("x", "s3cret", "client certificate is not valid PEM"),
            (&one.certificate_pem, "s3cret", "not a PEM private key"),
            (&one.certificate_pem, &other.key_pem, "do not fit"),
            (&one.certificate_pem, &one.key_pem, ""),
        ];
        for (certificate_pem, key_pem, expected) in cases {
            let pair = ClientCertificate {
                certificate_pem: certificate_pem.to_owned(),
                key_pem: key_pem.to_owned(),
            };
            let reason = error(&Trust::Anything, Some(&pair));
            assert!(reason.contains(expected), "{reason}");
            assert_eq!(reason.is_empty(), expected.is_empty(), "{reason}");
            assert!(!reason.contains("s3cret"));
        }
    }

    #[test]
    fn the_client_certificate_is_presented_only_where_it_may_be() {
        let tls = Tls::read(&Trust::Anything, Some(&pair())).unwrap();
        assert!(tls.config(true).client_cert().is_some());
        assert!(tls.config(false).client_cert().is_none());
        assert!(tls.has_client_certificate());
    }
}
