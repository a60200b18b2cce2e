//! What users want to know about one commit. Never changes anything.

use crate::error::GitError;
use crate::mirror::Mirror;

/// One commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitInfo {
    /// Its id.
    pub sha: String,
    /// Who wrote the change.
    pub author_name: String,
    /// Their address.
    pub author_email: String,
    /// When it was committed, in seconds since 1970 (UTC).
    pub time: i64,
    /// The first paragraph of the message, on one line.
    pub subject: String,
    /// The whole message.
    pub message: String,
    /// The commits it follows, first parent first.
    pub parents: Vec<String>,
}

impl Mirror {
    /// Reads one commit, which must have been fetched.
    pub fn commit(&self, sha: &str) -> Result<CommitInfo, GitError> {
        let generation = self.generation();
        let id = self.existing_commit(&generation, sha)?;
        let commit = generation.read(|repository| {
            let commit = repository.find_commit(id)?;
            let author = commit.author()?;
            let message = commit.message()?;
            Ok(Some(CommitInfo {
                sha: id.to_string(),
                author_name: author.name.to_string(),
                author_email: author.email.to_string(),
                time: commit.time()?.seconds,
                subject: message.summary().to_string(),
                message: commit.message_raw()?.to_string(),
                parents: commit
                    .parent_ids()
                    .map(|parent| parent.to_string())
                    .collect(),
            }))
        });
        match commit {
            Ok(Some(commit)) => Ok(commit),
            Ok(None) => Err(self.revision_not_found(sha)),
            Err(error) => Err(generation.read_error(self.url(), &format!("commit {id}"), &error)),
        }
    }
}
