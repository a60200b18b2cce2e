//! Runs `cargo build`, and tells how far it is.

use std::io::{BufReader, IsTerminal as _, Read};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::progress::{Progress, say};
use crate::tools;

/// Builds what the arguments name. Everything cargo prints but its progress is shown when it fails.
pub(crate) fn build(arguments: &[&str], progress: &Progress) -> Result<()> {
    let mut child = Command::new(env!("CARGO"))
        .arg("build")
        .args(arguments)
        .current_dir(tools::repository())
        .env("CARGO_TERM_PROGRESS_WHEN", "always")
        .env("CARGO_TERM_PROGRESS_WIDTH", "120")
        .env(
            "CARGO_TERM_COLOR",
            if std::io::stderr().is_terminal() {
                "always"
            } else {
                "never"
            },
        )
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .context("cannot run cargo")?;
    let output = child.stderr.take().context("cargo has no output")?;
    let mut said = Vec::new();
    each_line(output, |line| match Line::read(line) {
        Line::Progress { done, total, doing } => {
            progress.count(done, total);
            progress.doing(&doing);
        }
        Line::Step(step) => progress.doing(&step),
        Line::Other if line.trim().is_empty() && said.last().is_none_or(String::is_empty) => {}
        Line::Other => said.push(line.trim_end().to_owned()),
    })?;
    let status = child.wait().context("cannot wait for cargo")?;
    if !status.success() {
        for line in &said {
            say(line);
        }
    }
    ensure!(
        status.success(),
        "cargo build {} failed",
        arguments.join(" ")
    );
    Ok(())
}

/// Folder of the programs of a profile (`debug` or `release`).
pub(crate) fn programs(profile: &str) -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| tools::repository().join("target"), PathBuf::from);
    target.join(profile)
}

/// What cargo says, by line.
#[derive(Debug, PartialEq)]
enum Line {
    /// `Building [====>    ] 210/455: syn, kube-client`
    Progress {
        done: usize,
        total: usize,
        doing: String,
    },
    /// `Compiling syn v2.0.1`, `Downloading crates ...`, `Blocking waiting for file lock …`
    Step(String),
    /// Warnings, errors.
    Other,
}

impl Line {
    fn read(line: &str) -> Self {
        let plain = without_escapes(line);
        let plain = plain.trim();
        let Some((word, rest)) = plain.split_once(' ') else {
            return Self::Other;
        };
        if word == "Building"
            && let Some((_, after)) = rest.split_once("] ")
            && let Some((done, after)) = after.split_once('/')
        {
            let (total, doing) = after.split_once(": ").unwrap_or((after, ""));
            if let (Ok(done), Ok(total)) = (done.parse(), total.trim_end_matches(':').parse()) {
                return Self::Progress {
                    done,
                    total,
                    doing: doing
                        .trim_end_matches("...")
                        .trim_end_matches(", ")
                        .to_owned(),
                };
            }
        }
        match word {
            "Blocking" | "Updating" | "Locking" | "Downloading" | "Downloaded" | "Adding" => {
                Self::Step(plain.to_owned())
            }
            "Compiling" | "Building" | "Finished" | "Fresh" => Self::Step(rest.to_owned()),
            _ => Self::Other,
        }
    }
}

/// The text without what only a terminal is told.
fn without_escapes(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text.chars();
    while let Some(letter) = rest.next() {
        if letter == '\u{1b}' {
            // A sequence ends with its first letter.
            rest.by_ref().find(char::is_ascii_alphabetic);
        } else {
            plain.push(letter);
        }
    }
    plain
}

/// Calls for each line, of which a progress bar writes many over one another.
fn each_line(output: impl Read, mut line: impl FnMut(&str)) -> Result<()> {
    let mut bytes = Vec::new();
    for byte in BufReader::new(output).bytes() {
        let byte = byte.context("cannot read what cargo says")?;
        if matches!(byte, b'\n' | b'\r') {
            line(&String::from_utf8_lossy(&bytes));
            bytes.clear();
        } else {
            bytes.push(byte);
        }
    }
    line(&String::from_utf8_lossy(&bytes));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_told_from_what_cargo_has_to_say() {
        let bar = "\u{1b}[1m\u{1b}[92m    Building\u{1b}[0m [=======>      ] 210/455: syn, kube-client...\u{1b}[K";
        assert_eq!(
            Line::read(bar),
            Line::Progress {
                done: 210,
                total: 455,
                doing: "syn, kube-client".to_owned()
            }
        );
        assert_eq!(
            Line::read("    Building [>   ] 0/455"),
            Line::Progress {
                done: 0,
                total: 455,
                doing: String::new()
            }
        );
        assert_eq!(
            Line::read("   Compiling syn v2.0.1"),
            Line::Step("syn v2.0.1".to_owned())
        );
        let blocked = "Blocking waiting for file lock on build directory";
        assert_eq!(
            Line::read(&format!("    {blocked}")),
            Line::Step(blocked.to_owned())
        );
        for line in [
            "error[E0308]: mismatched types",
            "warning: unused",
            "  --> src/lib.rs:1:2",
        ] {
            assert_eq!(Line::read(line), Line::Other, "{line}");
        }
    }

    #[test]
    fn lines_end_with_either_mark() {
        let mut lines = Vec::new();
        each_line("one\rtwo\nthree".as_bytes(), |line| {
            lines.push(line.to_owned());
        })
        .unwrap();
        assert_eq!(lines, ["one", "two", "three"]);
    }
}
