//! The one error type of the crate. Each message names the repository (without credentials) or the
//! path, why it failed, and what to do. Texts of servers and programs have been through `redact`
//! before they get here.

use std::path::PathBuf;

/// Why a Git operation failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GitError {
    /// The URL is malformed or of a kind that is not allowed.
    #[error("repository URL `{url}` cannot be used: {reason}")]
    InvalidUrl {
        /// Without user information.
        url: String,
        /// What is wrong and what would be right.
        reason: String,
    },
    /// DNS, connection, proxy, or a server that says it cannot answer now.
    #[error(
        "cannot reach {url}: {reason}; check the URL, DNS, network policies and the proxy, the next poll tries again"
    )]
    Unreachable {
        /// Without user information.
        url: String,
        /// What happened.
        reason: String,
    },
    /// The server's TLS certificate is not trusted.
    #[error(
        "cannot trust the TLS certificate of {url}: {reason}; add its CA to the ConfigMap argocd-tls-certs-cm (key: the host name), or set `insecure: \"true\"` in the repository Secret"
    )]
    Certificate {
        /// Without user information.
        url: String,
        /// What the verification said.
        reason: String,
    },
    /// The server knows us and says no, or wants credentials it did not get.
    #[error(
        "access to {url} denied: {reason}; check the credentials in its repository Secret and what they may read"
    )]
    Authentication {
        /// Without user information.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The ssh host key is unknown or has changed.
    #[error(
        "the ssh host key of {url} is not trusted: {reason}; add the right key to the ConfigMap argocd-ssh-known-hosts-cm (`ssh-keyscan` prints it; compare it with what the host publishes)"
    )]
    HostKey {
        /// Without user information.
        url: String,
        /// What ssh said.
        reason: String,
    },
    /// There is no repository here, or none these credentials may see.
    #[error(
        "no repository at {url}: {reason}; check the URL, and that the credentials may read it (servers answer the same when they may not)"
    )]
    RepositoryNotFound {
        /// Without user information.
        url: String,
        /// What the server said.
        reason: String,
    },
    /// The repository has no such branch, tag or commit.
    #[error(
        "{url} has no revision `{revision}`; check targetRevision against the repository's branches and tags"
    )]
    RevisionNotFound {
        /// Without user information.
        url: String,
        /// What was asked for.
        revision: String,
    },
    /// A shortened commit id matches more than one commit.
    #[error("`{revision}` matches several commits of {url} ({}); give more digits", .candidates.join(", "))]
    AmbiguousRevision {
        /// Without user information.
        url: String,
        /// What was asked for.
        revision: String,
        /// The commits that match.
        candidates: Vec<String>,
    },
    /// The server did not answer in time.
    #[error("{url} did not answer in time: {reason}; the next poll tries again")]
    Timeout {
        /// Without user information.
        url: String,
        /// What was waited for, and how long.
        reason: String,
    },
    /// It has more refs, larger objects or more of them than is accepted, or there is no room.
    #[error("{url} is larger than allowed: {reason}")]
    TooLarge {
        /// Without user information.
        url: String,
        /// Which limit, and what to do.
        reason: String,
    },
    /// The host has an address that is not connected to.
    #[error("{url} is not asked: {reason}")]
    AddressRefused {
        /// Without user information.
        url: String,
        /// Which kind of address, and what to do.
        reason: String,
    },
    /// What answers is not a Git server, or speaks a dialect that is not supported.
    #[error(
        "{url} does not answer like a Git server: {reason}; check that the URL is the one `git clone` takes"
    )]
    Protocol {
        /// Without user information.
        url: String,
        /// What was unexpected.
        reason: String,
    },
    /// Objects of the mirror cannot be read; the next fetch replaces it.
    #[error("the mirror of {url} is damaged: {reason}; the next fetch replaces it")]
    Corrupt {
        /// Without user information.
        url: String,
        /// Which object, and what is wrong with it.
        reason: String,
    },
    /// The answer needs history that a shallow mirror does not have.
    #[error(
        "the mirror of {url} holds only part of the history, and `{revision}` needs more; raise or remove `depth` in the repository Secret"
    )]
    HistoryTooShallow {
        /// Without user information.
        url: String,
        /// The revision that was asked about.
        revision: String,
    },
    /// The path cannot name anything inside a repository.
    #[error("path `{path}` cannot be used: {reason}")]
    InvalidPath {
        /// As given.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Nothing at this path.
    #[error("`{path}` does not exist at {revision} of {url}")]
    PathNotFound {
        /// Without user information.
        url: String,
        /// The commit.
        revision: String,
        /// As given.
        path: String,
    },
    /// Something else than expected at this path.
    #[error("`{path}` is {found} at {revision} of {url}, not {expected}")]
    UnexpectedKind {
        /// Without user information.
        url: String,
        /// The commit.
        revision: String,
        /// As given.
        path: String,
        /// What the caller wants.
        expected: &'static str,
        /// What is there.
        found: &'static str,
    },
    /// The directory of the mirror cannot be read or written.
    #[error("cannot use {}: {reason}; check free space and permissions of the cache volume", .path.display())]
    Storage {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
}

impl GitError {
    /// Whether the same call may succeed later without any change: servers come back,
    /// DNS recovers, time and rate limits pass, a damaged mirror is replaced. Wrong credentials,
    /// untrusted certificates and host keys, and what does not exist stay as they are until they
    /// are changed.
    pub const fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Timeout { .. } | Self::Corrupt { .. } => true,
            Self::InvalidUrl { .. }
            | Self::Certificate { .. }
            | Self::Authentication { .. }
            | Self::HostKey { .. }
            | Self::RepositoryNotFound { .. }
            | Self::RevisionNotFound { .. }
            | Self::AmbiguousRevision { .. }
            | Self::TooLarge { .. }
            | Self::AddressRefused { .. }
            | Self::Protocol { .. }
            | Self::HistoryTooShallow { .. }
            | Self::InvalidPath { .. }
            | Self::PathNotFound { .. }
            | Self::UnexpectedKind { .. }
            | Self::Storage { .. } => false,
        }
    }

    /// Whether a failed fetch of a commit by its id may succeed by the name of its branch: the server
    /// does not hand out commits by id, in whatever words it says so. What took all the time, filled
    /// the disk or was refused would only do so again.
    pub const fn may_differ_by_name(&self) -> bool {
        matches!(
            self,
            Self::RevisionNotFound { .. } | Self::Protocol { .. } | Self::Unreachable { .. }
        )
    }

    /// Whether an attempt that ends so has cost time, traffic or disk, so that the next one should
    /// wait, whatever asks for it.
    pub const fn was_costly(&self) -> bool {
        matches!(
            self,
            Self::Timeout { .. } | Self::TooLarge { .. } | Self::Corrupt { .. }
        )
    }

    pub(crate) fn storage(path: impl Into<PathBuf>, error: &dyn std::fmt::Display) -> Self {
        Self::Storage {
            path: path.into(),
            reason: error.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_pass_is_told_from_what_stays() {
        let url = || "https://git.example/r".to_owned();
        let reason = || "x".to_owned();
        let cases = [
            (
                GitError::Unreachable {
                    url: url(),
                    reason: reason(),
                },
                true,
            ),
            (
                GitError::Timeout {
                    url: url(),
                    reason: reason(),
                },
                true,
            ),
            (
                GitError::Corrupt {
                    url: url(),
                    reason: reason(),
                },
                true,
            ),
            (
                GitError::Certificate {
                    url: url(),
                    reason: reason(),
                },
                false,
            ),
            (
                GitError::Authentication {
                    url: url(),
                    reason: reason(),
                },
                false,
            ),
            (
                GitError::HostKey {
                    url: url(),
                    reason: reason(),
                },
                false,
            ),
            (
                GitError::RepositoryNotFound {
                    url: url(),
                    reason: reason(),
                },
                false,
            ),
            (
                GitError::RevisionNotFound {
                    url: url(),
                    revision: "main".into(),
                },
                false,
            ),
            (
                GitError::Protocol {
                    url: url(),
                    reason: reason(),
                },
                false,
            ),
            (
                GitError::InvalidUrl {
                    url: url(),
                    reason: reason(),
                },
                false,
            ),
            (
                GitError::TooLarge {
                    url: url(),
                    reason: reason(),
                },
                false,
            ),
            (
                GitError::AddressRefused {
                    url: url(),
                    reason: reason(),
                },
                false,
            ),
            (GitError::storage("/cache", &"full"), false),
        ];
        for (error, temporary) in cases {
            assert_eq!(error.is_temporary(), temporary, "{error}");
        }
    }
    #[test]
    fn what_took_its_time_is_not_tried_another_way_at_once() {
        let (url, reason) = (String::new, String::new);
        // Error, worth asking by name, worth a pause.
        let cases = [
            (
                GitError::RevisionNotFound {
                    url: url(),
                    revision: reason(),
                },
                true,
                false,
            ),
            (
                GitError::Protocol {
                    url: url(),
                    reason: reason(),
                },
                true,
                false,
            ),
            (
                GitError::Unreachable {
                    url: url(),
                    reason: reason(),
                },
                true,
                false,
            ),
            (
                GitError::Timeout {
                    url: url(),
                    reason: reason(),
                },
                false,
                true,
            ),
            (
                GitError::TooLarge {
                    url: url(),
                    reason: reason(),
                },
                false,
                true,
            ),
            (
                GitError::Corrupt {
                    url: url(),
                    reason: reason(),
                },
                false,
                true,
            ),
            (
                GitError::Authentication {
                    url: url(),
                    reason: reason(),
                },
                false,
                false,
            ),
            (GitError::storage("/cache", &"full"), false, false),
        ];
        for (error, by_name, costly) in cases {
            let found = (error.may_differ_by_name(), error.was_costly());
            assert_eq!(found, (by_name, costly), "{error}");
        }
    }
}
