//! Command lines as a person types them, run without a terminal: what they print, on which stream,
//! and how they end.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::must;
use crate::terminal::Terminal;

/// Longest time for a command: more than the five minutes after which commands give up waiting, so that
/// one that waits says itself for what.
const LIMIT: Duration = Duration::from_mins(6);

/// A command line, its environment, its folder and what it reads.
#[derive(Clone, Debug)]
#[must_use]
pub struct Invocation {
    pub(crate) words: Vec<String>,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) folder: PathBuf,
    input: Option<String>,
}

impl Invocation {
    pub(crate) fn new(
        words: &[&str],
        variables: BTreeMap<String, String>,
        folder: PathBuf,
    ) -> Self {
        Self {
            words: words.iter().map(|&word| word.to_owned()).collect(),
            variables,
            folder,
            input: None,
        }
    }

    /// With a variable.
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.into(), value.into());
        self
    }

    /// Without a variable.
    pub fn without(mut self, name: &str) -> Self {
        self.variables.remove(name);
        self
    }

    /// In a folder.
    pub fn from(mut self, folder: &Path) -> Self {
        self.folder = folder.into();
        self
    }

    /// With a text on standard input; otherwise there is nothing to read.
    pub fn input(mut self, text: &str) -> Self {
        self.input = Some(text.into());
        self
    }

    /// As `"$@"` in a script of bash, for closed streams and pipes.
    pub fn in_script(mut self, script: &str) -> Self {
        let mut words: Vec<String> = ["bash", "-c", script, "bash"].map(String::from).into();
        words.append(&mut self.words);
        self.words = words;
        self
    }

    /// Runs it without a terminal, anywhere: also not where the tests were started.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn run(self) -> Outcome {
        let line = self.words.join(" ");
        // A session of its own has no controlling terminal, so nobody can be asked behind our back.
        let mut command = Command::new("setsid");
        command
            .args(&self.words)
            .env_clear()
            .envs(&self.variables)
            .current_dir(&self.folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let mut child = must(command.spawn(), &line);
        if let Some(mut stdin) = child.stdin.take()
            && let Some(input) = &self.input
        {
            // A program that does not read its input is none of our business.
            let _ = stdin.write_all(input.as_bytes()).await;
        }
        let group = child.id();
        let Ok(output) = tokio::time::timeout(LIMIT, child.wait_with_output()).await else {
            if let Some(group) = group {
                let _ = Command::new("kill")
                    .args(["-KILL", "--", &format!("-{group}")])
                    .status()
                    .await;
            }
            panic!("{line}: did not end within {LIMIT:?}");
        };
        let output = must(output, &line);
        let what = format!("{line}: read its output");
        let text = |bytes| must(String::from_utf8(bytes), &what);
        Outcome {
            line,
            code: output.status.code(),
            stdout: text(output.stdout),
            stderr: text(output.stderr),
        }
    }

    /// Puts it on a terminal of this size.
    pub fn on_terminal(self, columns: u16, rows: u16) -> Terminal {
        Terminal::start(&self.words, &self.variables, &self.folder, columns, rows)
    }
}

/// How a command line ended. The assertions show everything when they fail.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was typed.
    pub line: String,
    /// Exit code; `None` when a signal ended it.
    pub code: Option<i32>,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Outcome {
    /// It ended with this code.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        self.check(self.code == Some(code), &format!("exits with {code}"))
    }

    /// Standard output contains a text.
    #[track_caller]
    pub fn prints(&self, text: &str) -> &Self {
        self.check(self.stdout.contains(text), &format!("prints {text:?}"))
    }

    /// Standard output is empty.
    #[track_caller]
    pub fn prints_nothing(&self) -> &Self {
        self.check(self.stdout.is_empty(), "prints nothing")
    }

    /// Standard error contains a text.
    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        self.check(self.stderr.contains(text), &format!("says {text:?}"))
    }

    /// Standard error is empty.
    #[track_caller]
    pub fn is_quiet(&self) -> &Self {
        self.check(self.stderr.is_empty(), "says nothing")
    }

    /// Neither stream contains a text.
    #[track_caller]
    pub fn never_shows(&self, text: &str) -> &Self {
        let shown = self.stdout.contains(text) || self.stderr.contains(text);
        self.check(!shown, &format!("never shows {text:?}"))
    }

    /// Neither stream has escape codes or other control characters, nor does a program tell of its
    /// own failure.
    #[track_caller]
    pub fn is_plain(&self) -> &Self {
        let plain = |text: &str| {
            text.chars()
                .all(|letter| !letter.is_control() || letter == '\n' || letter == '\t')
        };
        self.check(plain(&self.stdout), "standard output is plain text");
        self.check(plain(&self.stderr), "standard error is plain text");
        for text in ["panicked", "RUST_BACKTRACE", "Some(", "Err("] {
            self.never_shows(text);
        }
        self
    }

    /// It failed with this code and one error: `error: …` and `hint: …` lines on standard error,
    /// nothing on standard output.
    #[track_caller]
    pub fn fails(&self, code: i32) -> &Self {
        self.exits(code).prints_nothing().is_plain();
        let errors = self.errors();
        self.check(errors.len() == 1, "says one error")
    }

    /// The lines that begin with `error: `, without it.
    pub fn errors(&self) -> Vec<&str> {
        self.stderr
            .lines()
            .filter_map(|line| line.strip_prefix("error: "))
            .collect()
    }

    /// Standard output as one JSON document.
    #[track_caller]
    pub fn json(&self) -> Value {
        match serde_json::from_str(&self.stdout) {
            Ok(value) => value,
            Err(error) => panic!("{self}\nstandard output is not one JSON document: {error}"),
        }
    }

    /// Fails with everything that is known unless a condition holds.
    #[track_caller]
    pub fn check(&self, holds: bool, what: &str) -> &Self {
        assert!(holds, "{self}\nexpected that it {what}");
        self
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            line,
            code,
            stdout,
            stderr,
        } = self;
        write!(
            f,
            "$ {line}\n--- standard output\n{stdout}\n--- standard error\n{stderr}\n--- ended with {code:?}"
        )
    }
}
