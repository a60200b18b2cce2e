//! Runs `git`: where, with which settings, for how long at most, and what of its environment it
//! gets to see.

use std::ffi::OsString;
use std::io::{ErrorKind, IsTerminal};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::git::error::GitError;
use crate::git::redact;

/// Longest wait for what happens on this machine.
pub(super) const LOCAL: Duration = Duration::from_mins(2);
/// Longest wait for a question to a server.
pub(super) const ASK: Duration = Duration::from_mins(2);
/// Longest wait for a transfer; slow networks and hooks of the user's count too.
pub(super) const TRANSFER: Duration = Duration::from_mins(20);

/// Variables that would make git work on another repository than the one meant, set for instance
/// when this runs inside a hook.
const FOREIGN: [&str; 11] = [
    "GIT_DIR",
    "GIT_WORK_TREE",
    "GIT_COMMON_DIR",
    "GIT_INDEX_FILE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_NAMESPACE",
    "GIT_PREFIX",
    "GIT_SHALLOW_FILE",
    "GIT_GRAFT_FILE",
    "GIT_REPLACE_REF_BASE",
];

/// Settings of a user that would write elsewhere, or run more than was asked for.
const QUIET: [(&str, &str); 8] = [
    ("core.splitIndex", "false"),
    ("core.fsmonitor", "false"),
    ("core.untrackedCache", "false"),
    ("index.sparse", "false"),
    ("gc.auto", "0"),
    ("maintenance.auto", "false"),
    ("push.followTags", "false"),
    ("advice.detachedHead", "false"),
];

/// How git is run.
#[derive(Clone, Debug)]
pub(super) struct Git {
    /// Directory it runs in.
    directory: PathBuf,
    /// Settings that are not in a configuration file.
    settings: Vec<(String, String)>,
    /// A user can answer questions.
    interactive: bool,
    /// Variables besides those of this process.
    variables: Vec<(OsString, OsString)>,
}

impl Git {
    /// Git in a directory.
    pub(super) fn in_directory(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            settings: QUIET
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect(),
            interactive: std::io::stdin().is_terminal() && std::io::stderr().is_terminal(),
            variables: Vec::new(),
        }
    }

    /// With a setting, as `-c` gives it but not visible to other users of the machine.
    #[must_use]
    pub(super) fn setting(mut self, key: &str, value: &str) -> Self {
        self.settings.push((key.to_owned(), value.to_owned()));
        self
    }

    /// With a variable.
    #[must_use]
    pub(super) fn variable(mut self, key: &str, value: impl Into<OsString>) -> Self {
        self.variables.push((key.into(), value.into()));
        self
    }

    /// Without anybody to answer, ssh must not ask either; unless the user chose another ssh.
    pub(super) async fn unattended(self) -> Result<Self, GitError> {
        let chosen = ["GIT_SSH", "GIT_SSH_COMMAND"]
            .iter()
            .any(|name| std::env::var_os(name).is_some());
        if self.interactive || chosen || self.configured("core.sshCommand").await?.is_some() {
            return Ok(self);
        }
        Ok(self.variable("GIT_SSH_COMMAND", "ssh -oBatchMode=yes"))
    }

    /// Runs git and returns how it ended, whatever that is.
    pub(super) async fn run(
        &self,
        arguments: &[&str],
        input: &[u8],
        limit: Duration,
    ) -> Result<Output, GitError> {
        let mut command = self.command(arguments);
        let mut child = command.spawn().map_err(|error| {
            GitError::NoProgram(if error.kind() == ErrorKind::NotFound {
                "there is no git on PATH".to_owned()
            } else {
                error.to_string()
            })
        })?;
        let what = || format!("run git {}", arguments.first().unwrap_or(&""));
        let stdin = child.stdin.take();
        let feed = async {
            if let Some(mut stdin) = stdin {
                // A git that ends without reading says why itself.
                let _ = stdin.write_all(input).await;
            }
        };
        let ended = async {
            let ((), output) = tokio::join!(feed, child.wait_with_output());
            output
        };
        match tokio::time::timeout(limit, ended).await {
            Err(_) => Err(GitError::TimedOut {
                what: what(),
                limit,
            }),
            Ok(Err(error)) => Err(GitError::Failed {
                what: what(),
                reason: error.to_string(),
            }),
            Ok(Ok(output)) => Ok(output),
        }
    }

    /// Runs git and returns what it printed, trimmed. `what` completes "cannot …".
    pub(super) async fn text(&self, arguments: &[&str], what: &str) -> Result<String, GitError> {
        let output = self.done(arguments, &[], what).await?;
        Ok(String::from_utf8_lossy(&output).trim().to_owned())
    }

    /// Runs git and returns what it printed. `what` completes "cannot …".
    pub(super) async fn done(
        &self,
        arguments: &[&str],
        input: &[u8],
        what: &str,
    ) -> Result<Vec<u8>, GitError> {
        let output = self.run(arguments, input, LOCAL).await?;
        if output.status.success() {
            Ok(output.stdout)
        } else {
            Err(GitError::Failed {
                what: what.to_owned(),
                reason: said(&output),
            })
        }
    }

    /// A setting's value; `None` when it is not set.
    pub(super) async fn configured(&self, key: &str) -> Result<Option<String>, GitError> {
        let output = self.run(&["config", "--get", key], &[], LOCAL).await?;
        Ok(output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }

    /// Whether a setting is on.
    pub(super) async fn enabled(&self, key: &str) -> Result<bool, GitError> {
        let output = self
            .run(&["config", "--type=bool", "--get", key], &[], LOCAL)
            .await?;
        Ok(output.status.success() && output.stdout.trim_ascii() == b"true")
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(arguments)
            .current_dir(&self.directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        for name in FOREIGN {
            command.env_remove(name);
        }
        // Messages in English, because they are read here; the encoding stays the user's.
        if let Some(locale) = std::env::var_os("LC_ALL") {
            command.env("LC_CTYPE", &locale).env_remove("LC_ALL");
        }
        command
            .env("LC_MESSAGES", "C")
            .env_remove("LANGUAGE")
            .env("GIT_NO_REPLACE_OBJECTS", "1")
            .env("GIT_LITERAL_PATHSPECS", "1")
            .env("GIT_OPTIONAL_LOCKS", "0");
        if !self.interactive {
            command.env("GIT_TERMINAL_PROMPT", "0");
        }
        let before: usize = std::env::var("GIT_CONFIG_COUNT")
            .ok()
            .and_then(|count| count.parse().ok())
            .unwrap_or(0);
        for (number, (key, value)) in self.settings.iter().enumerate() {
            let number = before + number;
            command
                .env(format!("GIT_CONFIG_KEY_{number}"), key)
                .env(format!("GIT_CONFIG_VALUE_{number}"), value);
        }
        command.env(
            "GIT_CONFIG_COUNT",
            (before + self.settings.len()).to_string(),
        );
        command.envs(self.variables.iter().map(|(key, value)| (key, value)));
        command
    }
}

/// What git said about how it ended.
pub(super) fn said(output: &Output) -> String {
    let reason = redact::reason(&String::from_utf8_lossy(&output.stderr));
    if reason.is_empty() {
        format!("git ended with {}", output.status)
    } else {
        reason
    }
}
