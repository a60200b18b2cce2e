//! Forges as commands use them: a failed request becomes a command's error here.

use gitops_forge::ForgeError;
use gitops_kit::exit::{CommandError, CommandErrorKind};

/// A failed request as a command reports it.
pub fn failure(error: ForgeError) -> CommandError {
    let kind = match &error {
        ForgeError::InvalidChoice { .. } | ForgeError::Settings(_) => CommandErrorKind::Usage,
        ForgeError::Unreachable { .. } => CommandErrorKind::Connection,
        ForgeError::Refused {
            status: 401 | 403 | 404,
            ..
        } => CommandErrorKind::Forbidden,
        _ => CommandErrorKind::Server,
    };
    let mut failure = CommandError::new(kind, error.to_string());
    for advice in error.advice() {
        failure = failure.hint(advice);
    }
    if let ForgeError::NotUnderstood { .. } = error {
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
        let error = failure(ForgeError::Refused {
            what: "open a pull request".into(),
            path: "acme/fleet".into(),
            web: "https://git.example".into(),
            status: 403,
            reason: "token has no scope (403)".into(),
            login: "set GITEA_TOKEN".into(),
            by_hand: Some("open it by hand: https://git.example/compare".into()),
        });
        assert_eq!(error.status(), ExitStatus::Unreachable);
        assert_eq!(error.hints.len(), 2, "{error:?}");
        let error = failure(ForgeError::InvalidChoice {
            variable: "GITOPS_FORGE",
            value: "bitbucket".into(),
            reason: "allowed are".into(),
        });
        assert_eq!(error.status(), ExitStatus::Usage);
        let error = failure(ForgeError::NotUnderstood {
            what: "list".into(),
            web: "https://git.example".into(),
            kind: Kind::Gitea,
        });
        assert!(error.hints[0].contains("--forge"), "{error:?}");
    }
}
