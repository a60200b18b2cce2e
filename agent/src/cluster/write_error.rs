//! Why an object could not be changed or read, in words that say what to do.

use gitops_core::compare::exclusive::Cause;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::mask;
use gitops_core::mask::Mask;
use gitops_core::project::NoPermit;
use gitops_core::reason::Code;
use gitops_core::report::refusal;
use gitops_core::report::refusal::Refusal;
use gitops_transport::chain;
use kube::Error;
use kube::core::response::StatusDetails;
use serde_json::Value;

/// Why an object could not be changed or read.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The cluster does not serve the kind.
    #[error("{}", refusal::unknown_kind(.0))]
    UnknownKind(GroupVersionKind),
    /// The API server refused; the text says why.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// Masked message with advice.
        message: String,
        /// Which kind of refusal.
        kind: Code,
        /// All it says is that fields cannot be changed any more.
        immutable: bool,
        /// The fields it names, as the API server does; never shown.
        causes: Vec<Cause>,
    },
    /// There is no permit for it.
    #[error(transparent)]
    NotPermitted(#[from] NoPermit),
    /// The API server could not be reached or did not answer properly.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
}

impl WriteError {
    /// The code of the reason it gives.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::UnknownKind(_) => Code::ObjectKindUnknown,
            Self::NotPermitted(NoPermit::Denied(_)) => Code::ProjectDenies,
            Self::NotPermitted(NoPermit::NotOwn(_) | NoPermit::Wanted(_)) => Code::ObjectNotOwn,
            Self::Refused { kind, .. } => *kind,
            Self::Unreachable(_) => Code::ApiServerUnreachable,
        }
    }

    /// The same without values of the manifest that are hidden: whoever refuses it may quote them.
    pub(super) fn about(mut self, manifest: &Value) -> Self {
        if let Self::Refused { message, .. } = &mut self {
            *message = Mask::default().message(message, manifest);
        }
        self
    }

    /// Whether the object is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether fields that exclude each other may be the reason: the object is invalid as a whole,
    /// and not because it cannot be changed.
    pub(super) fn may_exclude(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                code: 422,
                immutable: false,
                causes,
                ..
            } if !causes.is_empty()
        )
    }

    /// Whether only deleting the object and creating it again could help.
    pub(crate) fn is_immutable(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                immutable: true,
                ..
            }
        )
    }

    /// Whether trying again later, without a change in Git, may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { code, message, .. } => refusal::is_transient(*code, message),
            Self::UnknownKind(_) | Self::NotPermitted(_) => false,
        }
    }
}

/// An API server that could not be asked, without secrets.
pub(super) fn unreachable(error: &Error) -> WriteError {
    WriteError::Unreachable(mask::mask_text::<&str>(&chain(error), &[]))
}

/// The causes of a refusal, with the fields they name.
fn causes_of(details: Option<&StatusDetails>) -> Vec<Cause> {
    let causes = details.into_iter().flat_map(|details| &details.causes);
    let causes = causes.map(|cause| Cause {
        field: cause.field.clone(),
        message: cause.message.clone(),
    });
    causes.collect()
}

/// An API server's refusal in words that say what to do.
pub(super) fn explain(error: &Error, key: &ObjectKey) -> WriteError {
    let Error::Api(status) = error else {
        return unreachable(error);
    };
    let fields: Vec<&str> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| cause.field.as_str())
        .collect();
    // Where something else is wrong too, creating the object again would be refused as well.
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let immutable = status.code == 422
        && refusal::is_immutable(&status.message)
        && causes
            .into_iter()
            .all(|cause| refusal::is_immutable(&cause.message));
    let refusal = Refusal {
        code: status.code,
        reason: &status.reason,
        message: &status.message,
        fields: &fields,
    };
    let grant = if status.code == 403
        && status.reason == "Forbidden"
        && status.message.contains("cannot patch")
    {
        "; grant this to the agent's service account"
    } else {
        ""
    };
    WriteError::Refused {
        code: status.code,
        kind: refusal.kind(),
        message: refusal.text(key) + grant,
        immutable,
        causes: causes_of(status.details.as_ref()),
    }
}
