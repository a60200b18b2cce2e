//! Why a transport failed, told apart where it is known: in the HTTP client and in ssh's messages.
//! Becomes a [`crate::GitError`] in `server`, which also takes secrets out of the texts.

use std::cell::RefCell;
use std::io;
use std::rc::Rc;

/// Why a transport failed, in terms the protocol layer above cannot know. Texts may still hold
/// secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    Unreachable(String),
    Certificate(String),
    Authentication(String),
    HostKey(String),
    NotFound(String),
    Timeout(String),
    Protocol(String),
}

/// Where a transport leaves the reason of its last failure.
pub(crate) type FailureSlot = Rc<RefCell<Option<Failure>>>;

/// What an error of the HTTP client means.
pub(crate) fn of_client(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::Timeout(what) => Failure::Timeout(format!("limit for `{what}` reached")),
        ureq::Error::Rustls(error) => of_tls(error),
        ureq::Error::HostNotFound => {
            Failure::Unreachable("the host name cannot be resolved".to_owned())
        }
        ureq::Error::Io(error) => of_io(error),
        ureq::Error::Protocol(error) => Failure::Protocol(format!("not HTTP: {error}")),
        other => Failure::Unreachable(other.to_string()),
    }
}

pub(crate) fn of_io(error: &io::Error) -> Failure {
    let inner = error.get_ref();
    if let Some(tls) = inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    if let Some(client) = inner.and_then(|inner| inner.downcast_ref::<ureq::Error>()) {
        return of_client(client);
    }
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Failure::Timeout(error.to_string()),
        io::ErrorKind::UnexpectedEof => {
            Failure::Unreachable("the connection was closed in the middle".to_owned())
        }
        _ => Failure::Unreachable(error.to_string()),
    }
}

fn of_tls(error: &rustls::Error) -> Failure {
    match error {
        rustls::Error::InvalidCertificate(_) | rustls::Error::NoCertificatesPresented => {
            Failure::Certificate(error.to_string())
        }
        // What servers send when they want a (better) client certificate.
        rustls::Error::AlertReceived(alert) if format!("{alert:?}").contains("Certificate") => {
            Failure::Authentication(format!(
                "the server refuses the TLS client certificate ({alert:?})"
            ))
        }
        _ => Failure::Unreachable(error.to_string()),
    }
}
