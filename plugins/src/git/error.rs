//! Why git could not do something, in words, with what to do next.

use std::time::Duration;

use gitops_kit::exit::{CommandError, CommandErrorKind};

/// Why git could not do something. Texts of git are redacted and on one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GitError {
    /// There is no `git`, or it cannot be started.
    NoProgram(String),
    /// The repository's address is nothing git may be given.
    Address(String),
    /// Nobody is configured as author.
    NoIdentity(String),
    /// The server does not accept the user's credentials, or hides the repository from them.
    Denied {
        /// Repository.
        url: String,
        /// What git said.
        reason: String,
    },
    /// The server cannot be reached.
    Unreachable {
        /// Repository.
        url: String,
        /// What git said.
        reason: String,
    },
    /// A branch or commit is not there.
    Missing(String),
    /// It took too long.
    TimedOut {
        /// What was tried; completes "cannot …".
        what: String,
        /// Longest wait.
        limit: Duration,
    },
    /// Anything else.
    Failed {
        /// What was tried; completes "cannot …".
        what: String,
        /// What git said.
        reason: String,
    },
}

impl GitError {
    /// Sorts a failed conversation with a server by what git said.
    pub(super) fn of_server(url: &str, reason: String) -> Self {
        let url = crate::git::redact(url);
        if is_denied(&reason) {
            Self::Denied { url, reason }
        } else {
            Self::Unreachable { url, reason }
        }
    }
}

/// Whether a text of git says that the server refused the user.
fn is_denied(reason: &str) -> bool {
    let reason = reason.to_lowercase();
    [
        "authentication failed",
        "could not read username",
        "could not read password",
        "terminal prompts disabled",
        "permission denied",
        "permission to",
        "access denied",
        "access rights",
        "not allowed to push",
        "not authorized",
        "unauthorized",
        "returned error: 401",
        "returned error: 403",
        "repository not found",
        "http basic: access denied",
        "invalid credentials",
        "host key verification failed",
        "user cancelled",
    ]
    .iter()
    .any(|sign| reason.contains(sign))
}

impl From<GitError> for CommandError {
    fn from(error: GitError) -> Self {
        use CommandErrorKind::{Connection, Forbidden, Io, NotFound, Refused, Server, Usage};
        let source = error.clone();
        let failed = match error {
            GitError::NoProgram(reason) => Self::new(
                Io,
                format!("git cannot be started: {reason}"),
            )
            .hint("install git 2.31 or newer and put it on PATH"),
            GitError::Address(url) => Self::new(
                Refused,
                format!("the address {url:?} is not one of a Git server"),
            )
            .hint("https://HOST/PATH, ssh://git@HOST/PATH and git@HOST:PATH are"),
            GitError::NoIdentity(reason) => Self::new(
                Usage,
                format!("git does not know who you are: {reason}"),
            )
            .hint("tell it: git config --global user.name NAME; git config --global user.email EMAIL"),
            GitError::Denied { url, reason } if reason.to_lowercase().contains("host key") => {
                Self::new(Forbidden, format!("ssh does not know the server of {url}: {reason}"))
                    .hint(format!("connect once by hand and compare its key: git ls-remote {url}"))
            }
            GitError::Denied { url, reason } => {
                Self::new(Forbidden, format!("git may not access {url}: {reason}"))
                    .hint(format!("try it by hand: git ls-remote {url}"))
                    .hint("or run the command inside your own clone: its remote and credentials are used then")
            }
            GitError::Unreachable { url, reason } => {
                Self::new(Connection, format!("git cannot reach {url}: {reason}"))
                    .hint(format!("try it by hand: git ls-remote {url}"))
                    .hint("if you reach it under another address, run the command inside your own clone")
            }
            GitError::Missing(what) => Self::new(NotFound, what),
            GitError::TimedOut { what, limit } => Self::new(Connection, format!(
                "cannot {what}: git did not end within {}s",
                limit.as_secs()
            )),
            GitError::Failed { what, reason } => Self::new(Server, format!("cannot {what}: {reason}")),
        };
        failed.caused_by(source)
    }
}

impl std::fmt::Display for GitError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&CommandError::from(self.clone()).message)
    }
}

impl std::error::Error for GitError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_and_outages_are_told_apart() {
        let denied = [
            "Authentication failed for 'https://host/x/'",
            "could not read Username for 'https://host': terminal prompts disabled",
            "git@host: Permission denied (publickey).",
            "unable to access 'https://host/x/': The requested URL returned error: 403",
            "Repository not found.",
        ];
        for reason in denied {
            let error = GitError::of_server("https://a:b@host/x", reason.to_owned());
            assert!(
                matches!(&error, GitError::Denied { url, .. } if url == "https://host/x"),
                "{reason}"
            );
        }
        for reason in [
            "unable to access 'https://host/x/': Could not resolve host: host",
            "unable to access 'http://host/': Failed to connect to host port 80: Connection refused",
            "The requested URL returned error: 502",
        ] {
            let error = GitError::of_server("https://host/x", reason.to_owned());
            assert!(matches!(error, GitError::Unreachable { .. }), "{reason}");
        }
    }
}
