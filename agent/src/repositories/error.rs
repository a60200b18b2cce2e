//! Why a revision of a repository cannot be had, and of which kind that failure is. Messages name
//! the repository and hold no secret; when to ask again is decided in core.

use std::sync::Arc;

use gitops_core::source::FailureKind;
use gitops_git::GitError;
use jiff::Timestamp;

/// A server that is still being asked. Not a failure: whoever wanted the answer comes back for it.
#[derive(Clone, Debug, thiserror::Error)]
#[error("fetching {url} since {since:.0}; it goes on by itself")]
pub(crate) struct Fetching {
    /// Without credentials.
    pub(crate) url: String,
    /// Since when.
    pub(crate) since: Timestamp,
}

/// Why a revision cannot be had. One failure is told to everybody who asks the same.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum RepositoryError {
    /// The server, the mirror or its objects.
    #[error(transparent)]
    Git(#[from] Arc<GitError>),
    /// The server lists no such branch or tag.
    #[error("revision {revision:?} is not in {url}{}", advice(.nearest))]
    RevisionNotFound {
        /// Without credentials.
        url: String,
        /// `targetRevision` as written.
        revision: String,
        /// Branches and tags with similar names.
        nearest: Vec<String>,
    },
    /// The server is still being asked.
    #[error(transparent)]
    Fetching(Fetching),
    /// A task of the agent itself ended early.
    #[error("reading the repository was interrupted: {0}")]
    Interrupted(String),
}

impl From<GitError> for RepositoryError {
    fn from(error: GitError) -> Self {
        Self::Git(Arc::new(error))
    }
}

impl RepositoryError {
    /// Whether the next attempt should wait, whatever asks for it.
    pub(super) fn was_costly(&self) -> bool {
        matches!(self, Self::Git(error) if error.was_costly())
    }

    /// Whether there was no room.
    pub(super) fn is_of_size(&self) -> bool {
        matches!(self, Self::Git(error) if matches!(**error, GitError::TooLarge { .. }))
    }

    /// Whether the cache directory could not be used.
    pub(super) fn is_of_the_cache(&self) -> bool {
        matches!(self, Self::Git(error) if matches!(**error, GitError::Storage { .. }))
    }

    /// What could make the next attempt succeed.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Git(error) => git_kind(error),
            // A ref of that name may be pushed; one that is listed wakes its followers at once.
            Self::RevisionNotFound { .. } => FailureKind::Remote,
            Self::Interrupted(_) | Self::Fetching(_) => FailureKind::Transient,
        }
    }
}

fn git_kind(error: &GitError) -> FailureKind {
    match error {
        error if error.is_temporary() => FailureKind::Transient,
        // A full disk is made room on without anybody telling the agent.
        GitError::Storage { .. } => FailureKind::Transient,
        GitError::InvalidUrl { .. }
        | GitError::InvalidPath { .. }
        | GitError::PathNotFound { .. }
        | GitError::UnexpectedKind { .. }
        | GitError::AmbiguousRevision { .. }
        | GitError::HistoryTooShallow { .. } => FailureKind::Input,
        _ => FailureKind::Remote,
    }
}

fn advice(nearest: &[String]) -> String {
    if nearest.is_empty() {
        "; push it, or correct targetRevision".to_owned()
    } else {
        format!("; did you mean {}?", nearest.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_time_does_not_mend_is_not_transient() {
        let (url, reason) = (|| "https://host/x".to_owned(), || "because".to_owned());
        let cases = [
            (
                GitError::Unreachable {
                    url: url(),
                    reason: reason(),
                },
                FailureKind::Transient,
            ),
            (
                GitError::Timeout {
                    url: url(),
                    reason: reason(),
                },
                FailureKind::Transient,
            ),
            (
                GitError::Storage {
                    path: "/cache".into(),
                    reason: reason(),
                },
                FailureKind::Transient,
            ),
            (
                GitError::Authentication {
                    url: url(),
                    reason: reason(),
                },
                FailureKind::Remote,
            ),
            (
                GitError::Certificate {
                    url: url(),
                    reason: reason(),
                },
                FailureKind::Remote,
            ),
            (
                GitError::HostKey {
                    url: url(),
                    reason: reason(),
                },
                FailureKind::Remote,
            ),
            (
                GitError::RepositoryNotFound {
                    url: url(),
                    reason: reason(),
                },
                FailureKind::Remote,
            ),
            (
                GitError::RevisionNotFound {
                    url: url(),
                    revision: "main".into(),
                },
                FailureKind::Remote,
            ),
            (
                GitError::InvalidUrl {
                    url: url(),
                    reason: reason(),
                },
                FailureKind::Input,
            ),
        ];
        for (error, kind) in cases {
            let error = RepositoryError::from(error);
            assert_eq!(error.kind(), kind, "{error}");
        }
    }

    #[test]
    fn a_revision_that_is_missing_is_answered_with_advice() {
        let missing = |nearest: &[&str]| {
            RepositoryError::RevisionNotFound {
                url: "https://host/x".into(),
                revision: "mian".into(),
                nearest: nearest.iter().map(|name| (*name).to_owned()).collect(),
            }
            .to_string()
        };
        assert_eq!(
            missing(&["main"]),
            "revision \"mian\" is not in https://host/x; did you mean main?"
        );
        assert_eq!(
            missing(&[]),
            "revision \"mian\" is not in https://host/x; push it, or correct targetRevision"
        );
    }
}
