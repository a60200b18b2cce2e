//! Forges as commands use them: a failed request becomes a command's error here.

use gitops_forge::ForgeError;
pub use gitops_forge::{Choice, DeployKey, Forge, Proposal, Proposed, Registered};
use gitops_kit::exit::{CommandError, CommandErrorKind};

/// A forge did not do what it was asked for.
pub fn failed(error: ForgeError) -> CommandError {
    let kind = match &error {
        ForgeError::InvalidChoice { .. } => CommandErrorKind::Usage,
        ForgeError::Refused {
            status: 401 | 403, ..
        } => CommandErrorKind::Forbidden,
        ForgeError::Unreachable { .. } => CommandErrorKind::Connection,
        _ => CommandErrorKind::Server,
    };
    let mut failure = CommandError::new(kind, error.to_string());
    for advice in error.advice() {
        failure = failure.hint(advice);
    }
    if matches!(error, ForgeError::NotUnderstood { .. }) {
        failure = failure.hint("say which forge it is with --forge KIND or --forge KIND=URL");
    }
    failure.caused_by(error)
}

#[cfg(test)]
mod tests {
    use gitops_forge::Kind;
    use gitops_kit::exit::ExitStatus;

    use super::*;

    #[test]
    fn errors_lead_on() {
        let error = failed(ForgeError::Refused {
            what: "open a pull request".into(),
            path: "acme/fleet".into(),
            web: "https://git.example".into(),
            status: 403,
            reason: "token has no scope (403)".into(),
            login: "set GITEA_TOKEN".into(),
            by_hand: Some("open it by hand: https://git.example/compare".into()),
        });
        assert_eq!(error.kind, CommandErrorKind::Forbidden);
        assert_eq!(error.status(), ExitStatus::Unreachable);
        assert_eq!(error.hints.len(), 2, "{error:?}");
        let error = failed(ForgeError::InvalidChoice {
            variable: "GITOPS_FORGE",
            value: "bitbucket".into(),
            reason: "allowed are".into(),
        });
        assert_eq!(error.status(), ExitStatus::Usage);
        let error = failed(ForgeError::NotUnderstood {
            what: "list".into(),
            web: "https://git.example".into(),
            kind: Kind::Gitea,
        });
        assert!(error.hints[0].contains("--forge"), "{error:?}");
    }
}
