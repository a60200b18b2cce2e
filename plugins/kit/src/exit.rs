//! How a command ends: exit codes, one table for all commands, and the error whose kind decides
//! which. An exit code is never asked what went wrong; the kind is.

use std::error::Error;
use std::fmt;
use std::process::ExitCode;
use std::sync::Arc;

/// How a command ended. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: yes, done, no difference.
    Success,
    /// 1: the answer is no: differences, drift, not live, degraded.
    No,
    /// 2: asked in a way that cannot be answered: flags, names that do not exist, and files and
    /// programs of this machine that cannot be used.
    Usage,
    /// 3: the cluster cannot be reached, or refuses.
    Unreachable,
    /// 4: refused for safety.
    Refused,
    /// 130: interrupted, by Ctrl-C.
    Interrupted,
}

impl ExitStatus {
    /// The number.
    pub const fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::No => 1,
            Self::Usage => 2,
            Self::Unreachable => 3,
            Self::Refused => 4,
            Self::Interrupted => 130,
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(status: ExitStatus) -> Self {
        Self::from(status.code())
    }
}

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommandErrorKind {
    /// Flags or arguments that say nothing that could be done.
    Usage,
    /// What was named does not exist.
    NotFound,
    /// A file, a program or a stream of this machine cannot be used.
    Io,
    /// A server cannot be reached, or does not answer in time.
    Connection,
    /// A server does not know who asks, or does not let them.
    Forbidden,
    /// Somebody else was faster.
    Conflict,
    /// A server answered something that is of no use.
    Server,
    /// What was begun did not get as far as was asked for.
    Incomplete,
    /// It could be done, and is not: for safety, or because it was not confirmed.
    Refused,
    /// A fault of this program.
    Internal,
}

impl CommandErrorKind {
    /// How the command ends.
    pub const fn status(self) -> ExitStatus {
        match self {
            Self::Usage | Self::NotFound | Self::Io | Self::Internal => ExitStatus::Usage,
            Self::Connection | Self::Forbidden | Self::Conflict | Self::Server => {
                ExitStatus::Unreachable
            }
            Self::Incomplete => ExitStatus::No,
            Self::Refused => ExitStatus::Refused,
        }
    }
}

/// Why a command could not do what was asked, and what to do next.
#[derive(Clone, Debug)]
pub struct CommandError {
    /// What kind of failure it is.
    pub kind: CommandErrorKind,
    /// What failed, where, why; one line.
    pub message: String,
    /// What to do next, one line each.
    pub hints: Vec<String>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl CommandError {
    /// An error without hints.
    pub fn new(kind: CommandErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            hints: Vec::new(),
            source: None,
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Keeps what it comes from. The message says it already.
    #[must_use]
    pub fn caused_by(mut self, source: impl Error + Send + Sync + 'static) -> Self {
        self.source = Some(Arc::new(source));
        self
    }

    /// How the command ends.
    pub const fn status(&self) -> ExitStatus {
        self.kind.status()
    }
}

/// Equal when they say the same; what they come from cannot be compared.
impl PartialEq for CommandError {
    fn eq(&self, other: &Self) -> bool {
        (self.kind, &self.message, &self.hints) == (other.kind, &other.message, &other.hints)
    }
}

impl Eq for CommandError {}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for CommandError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_keeps_what_it_comes_from() {
        let cause = std::io::Error::other("disk full");
        let error = CommandError::new(CommandErrorKind::Io, "cannot write x: disk full")
            .caused_by(cause)
            .hint("make room");
        assert_eq!(error.status(), ExitStatus::Usage);
        let source = error.source().unwrap();
        assert!(source.downcast_ref::<std::io::Error>().is_some());
        assert_eq!(source.to_string(), "disk full");
    }
}
