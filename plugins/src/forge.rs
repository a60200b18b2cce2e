//! Forges as commands use them: a failed request becomes a command's error here.

use gitops_forge::ForgeError;

use crate::exit::{CommandError, ExitStatus};

pub use gitops_forge::{Choice, DeployKey, Forge, Proposal, Proposed, Registered};

impl From<ForgeError> for CommandError {
    fn from(error: ForgeError) -> Self {
        let status = match &error {
            ForgeError::InvalidChoice { .. } => ExitStatus::Usage,
            _ => ExitStatus::Unreachable,
        };
        let mut failure = Self::new(status, error.to_string());
        for advice in error.advice() {
            failure = failure.hint(advice);
        }
        match error {
            ForgeError::NotUnderstood { .. } => {
                failure.hint("say which forge it is with --forge KIND or --forge KIND=URL")
            }
            _ => failure,
        }
    }
}

#[cfg(test)]
mod tests {
    use gitops_forge::Kind;

    use super::*;

    #[test]
    fn errors_lead_on() {
        let error = CommandError::from(ForgeError::Refused {
            what: "open a pull request".into(),
            path: "acme/fleet".into(),
            web: "https://git.example".into(),
            status: 403,
            reason: "token has no scope (403)".into(),
            login: "set GITEA_TOKEN".into(),
            by_hand: Some("open it by hand: https://git.example/compare".into()),
        });
        assert_eq!(error.status, ExitStatus::Unreachable);
        assert_eq!(error.hints.len(), 2, "{error:?}");
        let error = CommandError::from(ForgeError::InvalidChoice {
            variable: "GITOPS_FORGE",
            value: "bitbucket".into(),
            reason: "allowed are".into(),
        });
        assert_eq!(error.status, ExitStatus::Usage);
        let error = CommandError::from(ForgeError::NotUnderstood {
            what: "list".into(),
            web: "https://git.example".into(),
            kind: Kind::Gitea,
        });
        assert!(error.hints[0].contains("--forge"), "{error:?}");
    }
}
