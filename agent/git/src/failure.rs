//! Why a transport failed, told apart where it is known: in the HTTP client and in ssh's messages.
//! Becomes a [`crate::GitError`] in `server`, which also takes secrets out of the texts.

use std::cell::RefCell;
use std::rc::Rc;

use gitops_transport::{FailureKind, TransportError};

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
    /// More than is accepted; what to do is part of the text.
    TooLarge(String),
    /// Its address is not connected to.
    Address(String),
    Protocol(String),
}

/// Where a transport leaves the reason of its last failure.
pub(crate) type FailureSlot = Rc<RefCell<Option<Failure>>>;

impl From<TransportError> for Failure {
    fn from(error: TransportError) -> Self {
        let reason = error.reason;
        match error.kind {
            FailureKind::Unreachable => Self::Unreachable(reason),
            FailureKind::Timeout => Self::Timeout(reason),
            FailureKind::Certificate => Self::Certificate(reason),
            FailureKind::ClientCertificate => Self::Authentication(reason),
            FailureKind::Redirect => Self::Protocol(format!("it {reason}")),
            FailureKind::NotHttp => Self::Protocol(reason),
            FailureKind::TooLarge => Self::TooLarge(reason),
            FailureKind::Address => Self::Address(reason),
        }
    }
}
