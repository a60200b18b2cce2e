//! Turns back files: to what they were at a commit, or without what a commit did to them.

use std::collections::{BTreeMap, BTreeSet};

use crate::git::commit::Edit;
use crate::git::error::GitError;
use crate::git::objects::Entry;
use crate::git::program::{LOCAL, said};
use crate::git::repository::Repository;

/// Paths looked up one by one; more are picked out of a list of all.
const FEW: usize = 200;

impl Repository {
    /// Some files of a commit, by path; those that are not there are missing.
    pub async fn entries(
        &self,
        commit: &str,
        paths: &[&str],
    ) -> Result<BTreeMap<String, Entry>, GitError> {
        let wanted: BTreeSet<&str> = paths.iter().copied().collect();
        let mut files = if wanted.is_empty() {
            BTreeMap::new()
        } else if wanted.len() <= FEW {
            self.files(commit, paths).await?
        } else {
            self.files(commit, &[]).await?
        };
        // A path that is a directory there lists what is in it.
        files.retain(|path, _| wanted.contains(path.as_str()));
        Ok(files)
    }

    /// Edits that make files what they were at a commit.
    pub async fn restoring(&self, to: &str, paths: &[&str]) -> Result<Vec<Edit>, GitError> {
        let mut there = self.entries(to, paths).await?;
        Ok(paths
            .iter()
            .map(|path| Edit {
                path: (*path).to_owned(),
                entry: there.remove(*path),
            })
            .collect())
    }

    /// The tree of a commit with the edits, made sure to differ in them and in nothing else: a file
    /// that comes back where there is a directory now would take the directory away.
    pub async fn checked_tree(&self, tip: &str, edits: &[Edit]) -> Result<String, GitError> {
        let tree = self.edited_tree(Some(tip), edits).await?;
        let wanted: BTreeMap<&str, Option<&Entry>> = edits
            .iter()
            .map(|edit| (edit.path.as_str(), edit.entry.as_ref()))
            .collect();
        for change in self.changes(tip, &tree).await? {
            if wanted.get(change.path.as_str()) != Some(&change.after.as_ref()) {
                return Err(GitError::Missing(format!(
                    "{} is in the way: a file that has to come back is a directory now, or the other \
                     way round",
                    change.path
                )));
            }
        }
        Ok(tree)
    }

    /// Three texts merged line by line; `None` when they cannot be.
    pub async fn merge_texts(
        &self,
        base: &[u8],
        ours: &[u8],
        theirs: &[u8],
    ) -> Result<Option<Vec<u8>>, GitError> {
        let failed = |error: std::io::Error| GitError::Failed {
            what: "merge a file".to_owned(),
            reason: error.to_string(),
        };
        let directory = tempfile::Builder::new()
            .prefix("kubectl-gitops-")
            .tempdir()
            .map_err(failed)?;
        let mut paths = Vec::new();
        for (name, content) in [("ours", ours), ("base", base), ("theirs", theirs)] {
            let path = directory.path().join(name);
            std::fs::write(&path, content).map_err(failed)?;
            paths.push(path.to_string_lossy().into_owned());
        }
        let arguments = ["merge-file", "-p", "-q", &paths[0], &paths[1], &paths[2]];
        let output = self.git.run(&arguments, &[], LOCAL).await?;
        match output.status.code() {
            Some(0) => Ok(Some(output.stdout)),
            // The number of conflicts, or a file that is no text.
            Some(_) => Ok(None),
            None => Err(GitError::Failed {
                what: "merge a file".to_owned(),
                reason: said(&output),
            }),
        }
    }

    /// Commits, the newest first: none comes after one it follows.
    pub async fn newest_first(&self, commits: &[String]) -> Result<Vec<String>, GitError> {
        let mut arguments = vec!["rev-list", "--topo-order", "--no-walk=sorted"];
        arguments.extend(commits.iter().map(String::as_str));
        let listed = self
            .git
            .text(&arguments, "put the commits in order")
            .await?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// Number of commits that are in the history of `to` and not of `from`.
    pub async fn count(&self, from: &str, to: &str) -> Result<usize, GitError> {
        let excluded = format!("^{from}");
        let arguments = ["rev-list", "--count", to, &excluded];
        let number = self.git.text(&arguments, "count commits").await?;
        Ok(number.parse().unwrap_or(0))
    }

    /// The newest commits of a history, at most so many.
    pub async fn history(&self, to: &str, most: usize) -> Result<Vec<String>, GitError> {
        let most = format!("--max-count={most}");
        let listed = self
            .git
            .text(&["rev-list", &most, to], "read the history")
            .await?;
        Ok(listed.lines().map(str::to_owned).collect())
    }

    /// What differs between two commits or trees in these files, as a patch.
    pub async fn patch(
        &self,
        before: &str,
        after: &str,
        paths: &[&str],
    ) -> Result<String, GitError> {
        if paths.is_empty() {
            return Ok(String::new());
        }
        let mut arguments = vec![
            "diff",
            "--no-color",
            "--no-ext-diff",
            "--no-textconv",
            "--no-renames",
            "--src-prefix=a/",
            "--dst-prefix=b/",
            before,
            after,
            "--",
        ];
        arguments.extend(paths);
        let patch = self.git.done(&arguments, &[], "show the changes").await?;
        Ok(String::from_utf8_lossy(&patch).into_owned())
    }

    /// Name of the user, as commits will have it.
    pub async fn user_name(&self) -> Option<String> {
        let ident = self
            .git
            .text(&["var", "GIT_AUTHOR_IDENT"], "read the identity")
            .await
            .ok()?;
        let (name, _) = ident.split_once(" <")?;
        Some(name.to_owned())
    }
}
