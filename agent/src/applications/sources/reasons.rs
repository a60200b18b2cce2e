//! The reason behind each error of a source: the error knows what happened, the reason is what is
//! said of the application.

use gitops_charts::ChartError;
use gitops_core::reason::Reason;
use gitops_git::GitError;
use gitops_render::RenderError;

use crate::applications::source_error::SourceError;
use crate::repositories::error::RepositoryError;

impl SourceError {
    /// As it is said of the application.
    pub(crate) fn reason(&self) -> Reason {
        let detail = self.to_string();
        match self {
            Self::Git(error) => of_repository(error, None),
            Self::Chart(error) => of_chart(error, detail),
            Self::Fetching(_) => Reason::RepositoryFetching { detail },
            Self::Dependency { .. } => Reason::ChartInvalid { detail },
            Self::Spec(_) => Reason::SpecInvalid { detail },
            Self::Render(error) => of_render(error, detail),
            Self::Manifests(_) => Reason::ManifestInvalid { detail },
        }
    }
}

/// Of a repository; `last_known` is the commit that is compared with instead.
pub(super) fn of_repository(error: &RepositoryError, last_known: Option<String>) -> Reason {
    let detail = error.to_string();
    match error {
        RepositoryError::Git(error) => of_git(error, detail, last_known),
        RepositoryError::RevisionNotFound { .. } => Reason::RevisionUnknown { detail, last_known },
        RepositoryError::Fetching(_) => Reason::RepositoryFetching { detail },
        RepositoryError::Interrupted(_) => Reason::RepositoryFailed { detail, last_known },
    }
}

fn of_git(error: &GitError, detail: String, last_known: Option<String>) -> Reason {
    match error {
        GitError::Unreachable { .. } | GitError::Timeout { .. } => {
            Reason::RepositoryUnreachable { detail, last_known }
        }
        GitError::Certificate { .. } => Reason::CertificateUntrusted { detail, last_known },
        GitError::HostKey { .. } => Reason::HostKeyUntrusted { detail, last_known },
        GitError::Authentication { .. } => Reason::RepositoryAccessDenied { detail, last_known },
        GitError::RepositoryNotFound { .. } => Reason::RepositoryNotFound { detail, last_known },
        GitError::RevisionNotFound { .. } | GitError::AmbiguousRevision { .. } => {
            Reason::RevisionUnknown { detail, last_known }
        }
        GitError::PathNotFound { .. }
        | GitError::InvalidPath { .. }
        | GitError::UnexpectedKind { .. } => Reason::PathMissing { detail },
        _ => Reason::RepositoryFailed { detail, last_known },
    }
}

fn of_chart(error: &ChartError, detail: String) -> Reason {
    let last_known = None;
    match error {
        ChartError::ChartNotFound { .. } | ChartError::VersionNotFound { .. } => {
            Reason::ChartNotFound { detail }
        }
        ChartError::Unauthorized { .. } | ChartError::CredentialsWithheld { .. } => {
            Reason::RepositoryAccessDenied { detail, last_known }
        }
        ChartError::Unreachable { .. } => Reason::RepositoryUnreachable { detail, last_known },
        _ => Reason::ChartInvalid { detail },
    }
}

fn of_render(error: &RenderError, detail: String) -> Reason {
    match error {
        RenderError::PathMissing { .. } | RenderError::PathIsFile { .. } => {
            Reason::PathMissing { detail }
        }
        RenderError::BadRequest { .. } => Reason::SpecInvalid { detail },
        RenderError::Invalid { path, line, .. } => Reason::RenderFailed {
            detail,
            file: Some(match line {
                Some(line) => format!("{path}:{line}"),
                None => path.clone(),
            }),
        },
        RenderError::FileMissing { path, .. } => Reason::RenderFailed {
            detail,
            file: Some(path.clone()),
        },
        RenderError::Timeout(_)
        | RenderError::OutOfMemory(_)
        | RenderError::OutputTooLarge(_)
        | RenderError::ObjectTooLarge { .. }
        | RenderError::TooManyValues { .. }
        | RenderError::TooManyLookups { .. }
        | RenderError::InputTooLarge { .. } => Reason::RenderLimit { detail },
        RenderError::Busy { .. }
        | RenderError::Crashed { .. }
        | RenderError::Unavailable { .. } => Reason::RendererFailed { detail },
        _ => Reason::RenderFailed { detail, file: None },
    }
}

#[cfg(test)]
mod tests {
    use gitops_core::reason::Code;

    use super::*;

    #[test]
    fn what_failed_is_told_apart() {
        let git = |error: GitError| of_repository(&error.into(), Some("c".into()));
        let unreachable = git(GitError::Unreachable {
            url: "https://host/x".into(),
            reason: "refused".into(),
        });
        assert_eq!(unreachable.code(), Some(Code::RepositoryUnreachable));
        let text = unreachable.to_string();
        assert!(
            text.ends_with("; comparing with the last known commit c"),
            "{text}"
        );
        let revision = RepositoryError::RevisionNotFound {
            url: "https://host/x".into(),
            revision: "mian".into(),
            nearest: vec!["main".into()],
        };
        let revision = of_repository(&revision, None);
        assert_eq!(revision.code(), Some(Code::RevisionUnknown));
        let broken = RenderError::Invalid {
            path: "b.yaml".into(),
            line: Some(4),
            message: "b.yaml:4: not YAML".into(),
        };
        assert_eq!(
            SourceError::from(broken).reason(),
            Reason::RenderFailed {
                detail: "b.yaml:4: not YAML".into(),
                file: Some("b.yaml:4".into()),
            }
        );
        for limit in [
            RenderError::OutOfMemory(1 << 20),
            RenderError::ObjectTooLarge {
                path: "b.yaml".into(),
                line: None,
                bytes: 4 << 20,
                limit: 3 << 20,
            },
            RenderError::TooManyValues {
                path: "b.yaml".into(),
                limit: 1,
            },
            RenderError::TooManyLookups {
                limit: 1,
                what: "at last x".into(),
            },
        ] {
            let reason = SourceError::from(limit).reason();
            assert_eq!(reason.code(), Some(Code::RenderLimit));
        }
    }
}
