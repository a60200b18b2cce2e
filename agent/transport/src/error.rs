//! Why a request failed, told apart by what can be done about it. Texts hold no credentials of
//! ours; what a server said may still have to be cleaned by the caller.

use std::io;

use url::Url;

use crate::address::AddressRefused;
use crate::redact::host_and_port;

/// Why no answer came, or not all of it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct TransportError {
    /// What kind of failure.
    pub kind: FailureKind,
    /// What happened, without the URL.
    pub reason: String,
    /// The host that was asked (and its port): after redirects another one than the first.
    pub host: String,
}

/// Kinds of failures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// DNS, connection refused or reset, proxy.
    Unreachable,
    /// A time limit was reached.
    Timeout,
    /// The server's TLS certificate is not trusted.
    Certificate,
    /// The server wants a client certificate, or another one.
    ClientCertificate,
    /// The server redirects to where it is not followed.
    Redirect,
    /// What answers does not speak HTTP.
    NotHttp,
    /// The answer is longer than allowed.
    TooLarge,
    /// The host has an address that is not connected to.
    Address,
}

impl FailureKind {
    /// Whether the same request may succeed later without any change: servers come
    /// back and DNS recovers, but a certificate, a redirect or a size stays as it is.
    pub const fn is_temporary(self) -> bool {
        match self {
            Self::Unreachable | Self::Timeout => true,
            Self::Certificate
            | Self::ClientCertificate
            | Self::Redirect
            | Self::NotHttp
            | Self::TooLarge
            | Self::Address => false,
        }
    }
}

/// Whether a status says that the same request may succeed later: timeouts (408, 425), rate limits
/// (429) and failures of the server itself (5xx).
pub const fn is_temporary_status(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500..=599)
}

impl TransportError {
    pub(crate) fn new(kind: FailureKind, reason: impl Into<String>) -> Self {
        Self {
            kind,
            reason: reason.into(),
            host: String::new(),
        }
    }

    pub(crate) fn at(mut self, url: &Url) -> Self {
        self.host = host_and_port(url);
        self
    }

    /// Whether the same request may succeed later without any change.
    pub const fn is_temporary(&self) -> bool {
        self.kind.is_temporary()
    }

    /// What an error met while reading a body means.
    pub fn of_io(error: &io::Error) -> Self {
        let inner = error.get_ref();
        if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::of_tls(tls);
        }
        if let Some(client) = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
            return Self::of_client(client);
        }
        match error.kind() {
            io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
                Self::new(FailureKind::Timeout, error.to_string())
            }
            io::ErrorKind::UnexpectedEof => Self::new(
                FailureKind::Unreachable,
                "the connection was closed in the middle",
            ),
            _ => Self::new(FailureKind::Unreachable, error.to_string()),
        }
    }

    /// What an error of the HTTP client means.
    pub(crate) fn of_client(error: &ureq::Error) -> Self {
        match error {
            ureq::Error::Timeout(what) => {
                Self::new(FailureKind::Timeout, format!("limit for `{what}` reached"))
            }
            ureq::Error::Rustls(error) => Self::of_tls(error),
            ureq::Error::HostNotFound => {
                Self::new(FailureKind::Unreachable, "the host name cannot be resolved")
            }
            ureq::Error::Io(error) => Self::of_io(error),
            ureq::Error::Protocol(error) => {
                Self::new(FailureKind::NotHttp, format!("not HTTP: {error}"))
            }
            ureq::Error::Other(other) if other.is::<AddressRefused>() => {
                Self::new(FailureKind::Address, other.to_string())
            }
            ureq::Error::BadUri(_) => Self::new(FailureKind::NotHttp, "not a URL to ask"),
            ureq::Error::Http(_) | ureq::Error::LargeResponseHeader(..) => {
                Self::new(FailureKind::NotHttp, error.to_string())
            }
            other => Self::new(FailureKind::Unreachable, other.to_string()),
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
                Self::new(FailureKind::Certificate, error.to_string())
            }
            // What servers send when they want a (better) client certificate.
            rustls::Error::AlertReceived(alert) if format!("{alert:?}").contains("Certificate") => {
                Self::new(
                    FailureKind::ClientCertificate,
                    format!("the server refuses the TLS client certificate ({alert:?})"),
                )
            }
            _ => Self::new(FailureKind::Unreachable, error.to_string()),
        }
    }
}

impl From<AddressRefused> for TransportError {
    fn from(refused: AddressRefused) -> Self {
        Self::new(FailureKind::Address, refused.to_string())
    }
}

/// Settings no client can be made of. Only a change of the settings helps.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The certificate authorities cannot be read.
    #[error(
        "the configured CA is not valid PEM: {0}; paste its -----BEGIN CERTIFICATE----- blocks"
    )]
    Authority(String),
    /// The client certificate cannot be used.
    #[error("{0}")]
    ClientCertificate(String),
    /// The proxy cannot be used; holds its URL without user information.
    #[error("its proxy `{0}` is not a URL such as http://HOST:PORT")]
    Proxy(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        use rustls::{AlertDescription, CertificateError};
        let io = |kind: io::ErrorKind| ureq::Error::Io(io::Error::from(kind));
        let cases = [
            (ureq::Error::HostNotFound, FailureKind::Unreachable, true),
            (
                io(io::ErrorKind::ConnectionRefused),
                FailureKind::Unreachable,
                true,
            ),
            (
                io(io::ErrorKind::ConnectionReset),
                FailureKind::Unreachable,
                true,
            ),
            (
                io(io::ErrorKind::UnexpectedEof),
                FailureKind::Unreachable,
                true,
            ),
            (io(io::ErrorKind::TimedOut), FailureKind::Timeout, true),
            (
                ureq::Error::Timeout(ureq::Timeout::Global),
                FailureKind::Timeout,
                true,
            ),
            (
                ureq::Error::ConnectProxyFailed("407".into()),
                FailureKind::Unreachable,
                true,
            ),
            (
                ureq::Error::Rustls(rustls::Error::InvalidCertificate(
                    CertificateError::UnknownIssuer,
                )),
                FailureKind::Certificate,
                false,
            ),
            (
                ureq::Error::Io(io::Error::other(rustls::Error::InvalidCertificate(
                    CertificateError::Expired,
                ))),
                FailureKind::Certificate,
                false,
            ),
            (
                ureq::Error::Rustls(rustls::Error::AlertReceived(
                    AlertDescription::CertificateRequired,
                )),
                FailureKind::ClientCertificate,
                false,
            ),
            (
                ureq::Error::LargeResponseHeader(2, 1),
                FailureKind::NotHttp,
                false,
            ),
        ];
        for (error, kind, temporary) in cases {
            let failure = TransportError::of_client(&error);
            assert_eq!(
                (failure.kind, failure.is_temporary()),
                (kind, temporary),
                "{error}"
            );
        }
    }

    #[test]
    fn statuses_that_may_pass() {
        let temporary: Vec<u16> = [
            200, 301, 400, 401, 403, 404, 407, 408, 410, 425, 429, 500, 503,
        ]
        .into_iter()
        .filter(|status| is_temporary_status(*status))
        .collect();
        assert_eq!(temporary, [408, 425, 429, 500, 503]);
    }
}
