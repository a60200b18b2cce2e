//! Makes a commit in a repository's objects, through an index of its own.

use crate::git::error::GitError;
use crate::git::objects::Entry;
use crate::git::program::{Git, LOCAL, said};
use crate::git::repository::Repository;

/// A file to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Path from the top of the repository.
    pub path: String,
    /// What it becomes; `None`: it is deleted.
    pub entry: Option<Entry>,
}

/// A commit to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewCommit<'a> {
    /// Commits it follows. The first one's files are the ones that are edited; none: it is the
    /// first commit.
    pub parents: &'a [String],
    /// Commit whose files are edited instead of the first parent's.
    pub base: Option<&'a str>,
    /// Files that differ.
    pub edits: &'a [Edit],
    /// Message.
    pub message: &'a str,
}

impl Repository {
    /// Makes sure that git knows who commits.
    pub async fn check_identity(&self) -> Result<(), GitError> {
        let git = self.git.clone().setting("user.useConfigOnly", "true");
        for who in ["GIT_AUTHOR_IDENT", "GIT_COMMITTER_IDENT"] {
            let output = git.run(&["var", who], &[], LOCAL).await?;
            if !output.status.success() {
                return Err(GitError::NoIdentity(identity_reason(&said(&output))));
            }
        }
        Ok(())
    }

    /// Makes a commit as the user, signed when they sign their commits, and returns its id.
    /// Nothing refers to it: it disappears by itself unless it is pushed.
    pub async fn commit(&self, new: &NewCommit<'_>) -> Result<String, GitError> {
        self.check_identity().await?;
        let tree = self
            .edited_tree(
                new.base.or(new.parents.first().map(String::as_str)),
                new.edits,
            )
            .await?;
        let mut arguments = vec!["commit-tree", &tree];
        for parent in new.parents {
            arguments.extend(["-p", parent]);
        }
        // `git commit` signs by this setting, `git commit-tree` only when told.
        if self.git.enabled("commit.gpgSign").await? {
            arguments.push("-S");
        }
        arguments.extend(["-F", "-"]);
        let made = self
            .git
            .done(&arguments, new.message.as_bytes(), "make the commit")
            .await?;
        Ok(String::from_utf8_lossy(&made).trim().to_owned())
    }

    /// The tree of a commit with some files changed.
    pub async fn edited_tree(
        &self,
        base: Option<&str>,
        edits: &[Edit],
    ) -> Result<String, GitError> {
        let directory = tempfile::Builder::new()
            .prefix("kubectl-gitops-")
            .tempdir()
            .map_err(|error| GitError::Failed {
                what: "make a temporary directory".to_owned(),
                reason: error.to_string(),
            })?;
        let git: Git = self
            .git
            .clone()
            .variable("GIT_INDEX_FILE", directory.path().join("index"));
        if let Some(base) = base {
            let what = format!("read the files of commit {base}");
            git.done(&["read-tree", base], &[], &what).await?;
        }
        let input = index_info(edits, base.map_or(40, str::len));
        git.done(
            &["update-index", "-z", "--index-info"],
            &input,
            "put the files into the commit",
        )
        .await?;
        // Contents that are not here are on the server: they were in an earlier commit.
        let tree = git
            .done(
                &["write-tree", "--missing-ok"],
                &[],
                "put the files into the commit",
            )
            .await?;
        Ok(String::from_utf8_lossy(&tree).trim().to_owned())
    }
}

/// What `update-index --index-info` reads: deletions first, because a file may become a directory.
fn index_info(edits: &[Edit], id_length: usize) -> Vec<u8> {
    let mut input = Vec::new();
    let nothing = "0".repeat(if id_length == 64 { 64 } else { 40 });
    for edit in edits.iter().filter(|edit| edit.entry.is_none()) {
        input.extend(format!("0 {nothing}\t{}\0", edit.path).bytes());
    }
    for edit in edits {
        if let Some(entry) = &edit.entry {
            input.extend(format!("{} {}\t{}\0", entry.mode, entry.id, edit.path).bytes());
        }
    }
    input
}

/// The one sentence of git's long explanation.
fn identity_reason(said: &str) -> String {
    said.split(';')
        .map(str::trim)
        .find(|part| {
            part.contains("no email") || part.contains("no name") || part.contains("empty ident")
        })
        .unwrap_or(said)
        .to_owned()
}
