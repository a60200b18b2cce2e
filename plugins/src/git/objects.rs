//! Reads commits, trees and files from a repository's objects.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::git::error::GitError;
use crate::git::is_object_id;
use crate::git::program::LOCAL;
use crate::git::repository::Repository;

/// Largest file that is read whole.
const MAX_FILE_BYTES: usize = 64 << 20;

/// A file of a tree.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    /// Mode: `100644`, `100755`, `120000` or `160000`.
    pub mode: String,
    /// Id of the content; of a submodule: its commit.
    pub id: String,
}

/// A path that differs between two commits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Path from the top of the repository.
    pub path: String,
    /// What it was; `None`: it did not exist.
    pub before: Option<Entry>,
    /// What it is; `None`: it does not exist any more.
    pub after: Option<Entry>,
}

/// What is shown of a commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// Full id.
    pub id: String,
    /// Parents, first the one it was made upon.
    pub parents: Vec<String>,
    /// Name of the author.
    pub author: String,
    /// When it was committed.
    pub time: Timestamp,
    /// Whole message.
    pub message: String,
}

impl CommitInfo {
    /// First line of the message.
    pub fn subject(&self) -> &str {
        self.message.lines().next().unwrap_or_default()
    }

    /// Value of a trailer: of the last line of the message that begins with the name.
    pub fn trailer(&self, name: &str) -> Option<&str> {
        self.message.lines().rev().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}

impl Repository {
    /// Whether a commit is here.
    pub async fn has_commit(&self, id: &str) -> Result<bool, GitError> {
        let output = self
            .git
            .run(&["cat-file", "-e", &format!("{id}^{{commit}}")], &[], LOCAL)
            .await?;
        Ok(output.status.success())
    }

    /// The commit a revision of this repository means: an id, also shortened, a tag, or a branch
    /// of the server that was fetched. `None`: none, or not exactly one.
    pub async fn resolve(&self, revision: &str) -> Result<Option<String>, GitError> {
        if revision.is_empty() || revision.starts_with('-') || revision.contains([':', '\0', '\n'])
        {
            return Ok(None);
        }
        let output = self
            .git
            .run(
                &[
                    "rev-parse",
                    "--verify",
                    "--quiet",
                    "--end-of-options",
                    &format!("{revision}^{{commit}}"),
                ],
                &[],
                LOCAL,
            )
            .await?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.status.success() && is_object_id(&id)).then_some(id))
    }

    /// Whether a commit is the other or came before it.
    pub async fn is_ancestor(&self, ancestor: &str, of: &str) -> Result<bool, GitError> {
        let output = self
            .git
            .run(&["merge-base", "--is-ancestor", ancestor, of], &[], LOCAL)
            .await?;
        match output.status.code() {
            Some(0) => Ok(true),
            Some(1) => Ok(false),
            _ => Err(GitError::Failed {
                what: format!("compare the commits {ancestor} and {of}"),
                reason: crate::git::program::said(&output),
            }),
        }
    }

    /// The newest commit both have in their history.
    pub async fn merge_base(&self, one: &str, other: &str) -> Result<Option<String>, GitError> {
        let output = self
            .git
            .run(&["merge-base", one, other], &[], LOCAL)
            .await?;
        let id = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        Ok((output.status.success() && is_object_id(&id)).then_some(id))
    }

    /// The tree of a commit.
    pub async fn tree(&self, commit: &str) -> Result<String, GitError> {
        let what = format!("read commit {commit}");
        self.git
            .text(
                &[
                    "rev-parse",
                    "--verify",
                    "--end-of-options",
                    &format!("{commit}^{{tree}}"),
                ],
                &what,
            )
            .await
    }

    /// All files of a commit, or those at or beneath some paths.
    pub async fn files(
        &self,
        commit: &str,
        paths: &[&str],
    ) -> Result<BTreeMap<String, Entry>, GitError> {
        let mut arguments = vec!["ls-tree", "-r", "-z", "--full-tree", commit, "--"];
        arguments.extend(paths);
        let what = format!("read the files of commit {commit}");
        let listed = self.git.done(&arguments, &[], &what).await?;
        Ok(listed
            .split(|byte| *byte == 0)
            .filter_map(|line| {
                let line = std::str::from_utf8(line).ok()?;
                let (meta, path) = line.split_once('\t')?;
                let mut meta = meta.split(' ');
                let mode = meta.next()?.to_owned();
                let id = meta.nth(1)?.to_owned();
                Some((path.to_owned(), Entry { mode, id }))
            })
            .collect())
    }

    /// One file of a commit.
    pub async fn file(&self, commit: &str, path: &str) -> Result<Option<Entry>, GitError> {
        Ok(self.files(commit, &[path]).await?.remove(path))
    }

    /// Content of a file.
    pub async fn content(&self, id: &str) -> Result<Vec<u8>, GitError> {
        let what = format!("read the file {id}");
        let size = self.git.text(&["cat-file", "-s", id], &what).await?;
        if size
            .parse()
            .map_or(true, |size: usize| size > MAX_FILE_BYTES)
        {
            return Err(GitError::Failed {
                what,
                reason: format!("it is larger than {} MiB", MAX_FILE_BYTES >> 20),
            });
        }
        self.git.done(&["cat-file", "blob", id], &[], &what).await
    }

    /// Stores a file's content and returns its id.
    pub async fn store(&self, content: &[u8]) -> Result<String, GitError> {
        let written = self
            .git
            .done(
                &["hash-object", "-w", "-t", "blob", "--stdin"],
                content,
                "store a file",
            )
            .await?;
        Ok(String::from_utf8_lossy(&written).trim().to_owned())
    }

    /// Paths that differ between two commits or trees. Nothing is guessed about renames.
    pub async fn changes(&self, before: &str, after: &str) -> Result<Vec<Change>, GitError> {
        let what = format!("compare the commits {before} and {after}");
        let arguments = [
            "diff-tree",
            "-r",
            "-z",
            "--raw",
            "--no-renames",
            "--no-abbrev",
            before,
            after,
        ];
        let listed = self.git.done(&arguments, &[], &what).await?;
        let mut fields = listed.split(|byte| *byte == 0);
        let mut changes = Vec::new();
        while let (Some(meta), Some(path)) = (fields.next(), fields.next()) {
            let meta = String::from_utf8_lossy(meta);
            let meta: Vec<&str> = meta.trim_start_matches(':').split(' ').collect();
            let (Ok(path), [mode_before, mode_after, before, after, ..]) =
                (std::str::from_utf8(path), meta.as_slice())
            else {
                continue;
            };
            changes.push(Change {
                path: path.to_owned(),
                before: entry(mode_before, before),
                after: entry(mode_after, after),
            });
        }
        Ok(changes)
    }

    /// One commit.
    pub async fn commit_info(&self, id: &str) -> Result<CommitInfo, GitError> {
        let what = format!("read commit {id}");
        let listed = self
            .git
            .done(
                &[
                    "log",
                    "-1",
                    "-z",
                    FORMAT,
                    "--no-show-signature",
                    "--end-of-options",
                    id,
                ],
                &[],
                &what,
            )
            .await?;
        infos(&listed).pop().ok_or_else(|| GitError::Failed {
            what,
            reason: "git did not show it".to_owned(),
        })
    }

    /// Commits that are in the history of `to` and not of `from`, newest first; only those that
    /// touch one of the paths, unless there are none given.
    pub async fn log(
        &self,
        from: Option<&str>,
        to: &str,
        paths: &[&str],
        most: usize,
    ) -> Result<Vec<CommitInfo>, GitError> {
        let most = format!("--max-count={most}");
        let excluded = from.map(|from| format!("^{from}"));
        let mut arguments = vec!["log", "-z", FORMAT, "--no-show-signature", &most, to];
        arguments.extend(excluded.as_deref());
        arguments.push("--");
        arguments.extend(paths);
        let what = format!("read the history of commit {to}");
        Ok(infos(&self.git.done(&arguments, &[], &what).await?))
    }

    /// Commits in the history of `to` and not of `from` whose message has a line, newest first.
    pub async fn log_with_line(
        &self,
        from: Option<&str>,
        to: &str,
        line: &str,
        most: usize,
    ) -> Result<Vec<CommitInfo>, GitError> {
        let most = format!("--max-count={most}");
        let pattern = format!("--grep=^{}$", escaped(line));
        let excluded = from.map(|from| format!("^{from}"));
        let mut arguments = vec![
            "log",
            "-z",
            FORMAT,
            "--no-show-signature",
            "--extended-regexp",
            &most,
            &pattern,
            to,
        ];
        arguments.extend(excluded.as_deref());
        arguments.push("--");
        let what = format!("search the history of commit {to}");
        let mut found = infos(&self.git.done(&arguments, &[], &what).await?);
        found.retain(|commit| commit.message.lines().any(|own| own == line));
        Ok(found)
    }
}

/// A line as a regular expression that matches it.
fn escaped(line: &str) -> String {
    let mut pattern = String::new();
    for character in line.chars() {
        if r"\.[]{}()*+?^$|".contains(character) {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

const FORMAT: &str = "--format=%H%x01%P%x01%aN%x01%ct%x01%B";

fn infos(listed: &[u8]) -> Vec<CommitInfo> {
    String::from_utf8_lossy(listed)
        .split('\0')
        .filter_map(|record| {
            let mut fields = record.splitn(5, '\u{1}');
            let id = fields.next()?.trim().to_owned();
            let parents = fields
                .next()?
                .split_whitespace()
                .map(str::to_owned)
                .collect();
            let author = fields.next()?.to_owned();
            let time = fields.next()?.parse().ok()?;
            let message = fields.next()?.trim_end().to_owned();
            Some(CommitInfo {
                id,
                parents,
                author,
                time: Timestamp::from_second(time).ok()?,
                message,
            })
        })
        .collect()
}

fn entry(mode: &str, id: &str) -> Option<Entry> {
    (mode != "000000").then(|| Entry {
        mode: mode.to_owned(),
        id: id.to_owned(),
    })
}
