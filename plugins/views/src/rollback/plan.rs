//! What a rollback would do, before anything is done.

use gitops_api::preview::{PreviewCounts, PreviewObject, PreviewRestore};
use jiff::Timestamp;
use serde_json::json;

use crate::rollback::gates::Caution;

/// What kind of commit it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Files are as they were at a commit.
    Restore,
    /// Only these commits are taken back.
    Revert(Vec<String>),
    /// An earlier rollback, this commit, is taken back.
    Undo(String),
}

/// A commit on the screen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Full id.
    pub commit: String,
    /// First line of its message.
    pub subject: String,
    /// Name of its author.
    pub author: String,
    /// When it was made.
    pub time: Option<Timestamp>,
    /// What is said of it: `Degraded`, `last Synced and Healthy`.
    pub note: String,
}

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileChange {
    /// Path from the top of the repository.
    pub path: String,
    /// It goes away.
    pub delete: bool,
    /// Other Applications that read it.
    pub shared_with: Vec<String>,
    /// It stays as it is because others read it.
    pub left: bool,
}

/// What happens in Git.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitChange {
    /// Repository.
    pub repo_url: String,
    /// Branch.
    pub branch: String,
    /// Commit the new one follows.
    pub from: String,
    /// Commit the files come from.
    pub to: String,
    /// Files.
    pub files: Vec<FileChange>,
    /// Commits since that touched the files, newest first: id and subject.
    pub undoes: Vec<(String, String)>,
    /// Commits since that did not.
    pub others: usize,
}

impl GitChange {
    /// Files that change.
    pub fn changed(&self) -> impl Iterator<Item = &FileChange> {
        self.files.iter().filter(|file| !file.left)
    }

    /// Files that others read and that stay as they are.
    pub fn left(&self) -> impl Iterator<Item = &FileChange> {
        self.files.iter().filter(|file| file.left)
    }

    /// Applications that a changed file concerns besides this one, in order.
    pub fn concerned(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .changed()
            .flat_map(|file| file.shared_with.iter().map(String::as_str))
            .collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// How the commit gets to the branch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// Pushed to it.
    Push,
    /// Pushed to another branch, with a pull request.
    PullRequest(String),
}

/// The plan.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Namespace of the Application.
    pub namespace: String,
    /// Name of the Application.
    pub application: String,
    /// Name of the cluster.
    pub cluster: String,
    /// What kind of rollback.
    pub kind: Kind,
    /// What is tracked.
    pub now: Point,
    /// What it goes back to.
    pub target: Point,
    /// What happens in Git.
    pub git: GitChange,
    /// Objects that change in the cluster; for a dry run of a sync.
    pub objects: Vec<PreviewObject>,
    /// Objects left out because there are too many.
    pub truncated: i64,
    /// How many of each.
    pub counts: PreviewCounts,
    /// Digest of the result.
    pub digest: String,
    /// The result renders exactly as the target did; `None`: that is not the aim.
    pub exact: Option<bool>,
    /// Why it does not.
    pub inexact_because: String,
    /// What Git cannot undo.
    pub cautions: Vec<Caution>,
    /// Notes.
    pub notes: Vec<String>,
    /// How it gets there.
    pub delivery: Delivery,
    /// The agent is to deliver the target at once, until Git says so.
    pub hold: bool,
    /// The agent syncs by itself.
    pub auto_sync: bool,
}

impl Plan {
    /// What a user agreed to: when it is the same, there is no need to ask again. Who else
    /// pushed in between does not matter.
    pub fn fingerprint(&self) -> serde_json::Value {
        let objects: Vec<_> = self
            .objects
            .iter()
            .map(|object| {
                let fields: Vec<_> = object
                    .fields
                    .iter()
                    .map(|field| json!([field.path, field.desired, field.live]))
                    .collect();
                json!([
                    object.group,
                    object.kind,
                    object.namespace,
                    object.name,
                    object.action,
                    fields
                ])
            })
            .collect();
        let files: Vec<_> = self
            .git
            .files
            .iter()
            .map(|file| json!([file.path, file.delete, file.shared_with, file.left]))
            .collect();
        let cautions: Vec<_> = self
            .cautions
            .iter()
            .map(|caution| json!([caution.code, caution.object]))
            .collect();
        json!({
            "objects": objects, "truncated": self.truncated, "files": files, "cautions": cautions,
            "exact": self.exact,
        })
    }
}

/// The files of a repository as the agent sorted them.
pub fn files(restore: &PreviewRestore) -> Vec<FileChange> {
    restore
        .files
        .iter()
        .map(|file| FileChange {
            path: file.path.clone(),
            delete: file.delete,
            shared_with: file.shared_with.clone(),
            left: file.left,
        })
        .collect()
}

/// Whether a path can be written into a commit. The agent names them; an agent that is not to be
/// trusted must not reach beyond the tree.
pub fn is_clean(path: &str) -> bool {
    !path.contains('\0')
        && path
            .split('/')
            .all(|part| !matches!(part, "" | "." | "..") && !part.eq_ignore_ascii_case(".git"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_tree() {
        for path in ["a", "a/b.yaml", ".github/x", "ü n/ï"] {
            assert!(is_clean(path), "{path}");
        }
        for path in [
            "",
            "/a",
            "a/",
            "a//b",
            "../a",
            "a/../b",
            "./a",
            ".git/config",
            "a/.GIT/x",
            "a\0b",
        ] {
            assert!(!is_clean(path), "{path}");
        }
    }
}
