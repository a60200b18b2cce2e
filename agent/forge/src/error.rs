//! Every way asking a forge can fail. Texts are on one line and hold no token; what to do is in
//! [`ForgeError::advice`].

use gitops_transport::{SettingsError, is_temporary_status};

use crate::kind::Kind;

/// Why a forge did not do what it was asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ForgeError {
    /// The variable that says which forge it is says something else.
    #[error("{variable} is {value:?}: {reason}")]
    InvalidChoice {
        /// Name of the variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// What is allowed.
        reason: String,
    },
    /// No request can be made on this machine.
    #[error("cannot ask a forge: {0}")]
    Settings(#[from] SettingsError),
    /// No answer came.
    #[error("cannot {what} at {web}: {reason}")]
    Unreachable {
        /// What was asked, as a verb: `open a pull request`.
        what: String,
        /// Address of the forge.
        web: String,
        /// What happened.
        reason: String,
        /// Whether it may work later without any change.
        temporary: bool,
    },
    /// The forge says no.
    #[error("cannot {what} for {path} at {web}: {reason}")]
    Refused {
        /// What was asked, as a verb.
        what: String,
        /// The repository.
        path: String,
        /// Address of the forge.
        web: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        reason: String,
        /// What would log in as a user who may.
        login: String,
        /// What a user can do by hand, and where.
        by_hand: Option<String>,
    },
    /// The answer is not one of this kind of forge.
    #[error("cannot {what}: {web} does not answer as {kind} does")]
    NotUnderstood {
        /// What was asked, as a verb.
        what: String,
        /// Address of the forge.
        web: String,
        /// Which forge it was taken for.
        kind: Kind,
    },
}

impl ForgeError {
    /// Whether asking again later may succeed without any change.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { temporary, .. } => *temporary,
            Self::Refused { status, .. } => is_temporary_status(*status),
            Self::InvalidChoice { .. } | Self::Settings(_) | Self::NotUnderstood { .. } => false,
        }
    }

    /// What to do about it, one sentence each.
    pub fn advice(&self) -> Vec<String> {
        let Self::Refused {
            status,
            login,
            by_hand,
            ..
        } = self
        else {
            return Vec::new();
        };
        let login = matches!(status, 401 | 403 | 404)
            .then(|| format!("the token may not do this, or may not see the repository; {login}"));
        login.into_iter().chain(by_hand.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        let unreachable = |temporary| ForgeError::Unreachable {
            what: "list".into(),
            web: "https://x".into(),
            reason: "no".into(),
            temporary,
        };
        let refused = |status| ForgeError::Refused {
            what: "list".into(),
            path: "a/b".into(),
            web: "https://x".into(),
            status,
            reason: "no".into(),
            login: "log in".into(),
            by_hand: None,
        };
        let cases = [
            (unreachable(true), true),
            (unreachable(false), false),
            (refused(500), true),
            (refused(503), true),
            (refused(429), true),
            (refused(401), false),
            (refused(404), false),
            (refused(422), false),
            (
                ForgeError::Settings(SettingsError::Proxy("x".into())),
                false,
            ),
        ];
        for (error, temporary) in cases {
            assert_eq!(error.is_temporary(), temporary, "{error:?}");
        }
        assert_eq!(refused(403).advice().len(), 1);
        assert_eq!(refused(500).advice().len(), 0);
    }
}
