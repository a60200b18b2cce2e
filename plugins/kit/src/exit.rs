//! Exit codes, one table for all commands, and the error that carries one.

use std::fmt;
use std::process::ExitCode;

/// How a command ended. Scripts rely on these numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitStatus {
    /// 0: yes, done, no difference.
    Success,
    /// 1: the answer is no: differences, drift, not live, degraded.
    No,
    /// 2: asked in a way that cannot be answered: flags, names that do not exist.
    Usage,
    /// 3: the cluster cannot be reached, or refuses.
    Unreachable,
    /// 4: refused for safety.
    Refused,
    /// 130: told to stop, by Ctrl-C.
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

/// Why a command could not do what was asked, and what to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandError {
    /// Exit code.
    pub status: ExitStatus,
    /// What failed, where, why; one line.
    pub message: String,
    /// What to do next, one line each.
    pub hints: Vec<String>,
}

impl CommandError {
    /// An error without hints.
    pub fn new(status: ExitStatus, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
            hints: Vec::new(),
        }
    }

    /// Adds a hint.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for CommandError {}
