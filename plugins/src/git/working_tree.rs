//! A directory somebody works in: where the top of its working tree is, which repositories it is a
//! clone of, and which commit it stands on. Only ever reads.

use std::path::{Path, PathBuf};

use crate::git::error::GitError;
use crate::git::program::{Git, LOCAL, said};
use crate::git::same_repository;

/// The working tree a directory belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkingTree {
    /// Its top.
    pub top: PathBuf,
    /// Addresses of the remotes, as configured and as git rewrites them.
    pub remotes: Vec<String>,
    /// Branch that is checked out; `None` when HEAD is detached.
    pub branch: Option<String>,
    /// Commit that is checked out; `None` before the first.
    pub commit: Option<String>,
    /// Files that are not as committed, unknown ones included.
    pub changed: usize,
}

impl WorkingTree {
    /// Looks at the directory's working tree.
    pub async fn of(directory: &Path) -> Result<Self, GitError> {
        if !directory.is_dir() {
            return Err(GitError::Missing(format!(
                "{} is not a directory",
                directory.display()
            )));
        }
        let git = Git::in_directory(directory);
        let found = git
            .run(&["rev-parse", "--show-toplevel"], &[], LOCAL)
            .await?;
        let top = String::from_utf8_lossy(&found.stdout)
            .trim_end_matches(['\n', '\r'])
            .to_owned();
        if !found.status.success() || top.is_empty() {
            return Err(GitError::Missing(format!(
                "{} is not in a working tree of a Git repository: {}",
                directory.display(),
                said(&found)
            )));
        }
        let git = Git::in_directory(Path::new(&top));
        let configured = git
            .run(
                &["config", "--get-regexp", r"^remote\..*\.(push)?url$"],
                &[],
                LOCAL,
            )
            .await?;
        let rewritten = git.done(&["remote", "-v"], &[], "list the remotes").await?;
        let branch = git
            .run(&["symbolic-ref", "--short", "-q", "HEAD"], &[], LOCAL)
            .await?;
        let commit = git
            .run(
                &["rev-parse", "--verify", "-q", "HEAD^{commit}"],
                &[],
                LOCAL,
            )
            .await?;
        let status = git
            .done(
                &["status", "--porcelain=v1", "--untracked-files=all"],
                &[],
                "see what has changed",
            )
            .await?;
        let line = |bytes: &[u8]| {
            let text = String::from_utf8_lossy(bytes).trim().to_owned();
            (!text.is_empty()).then_some(text)
        };
        Ok(Self {
            remotes: remotes(
                &String::from_utf8_lossy(&configured.stdout),
                &String::from_utf8_lossy(&rewritten),
            ),
            branch: line(&branch.stdout),
            commit: line(&commit.stdout),
            changed: String::from_utf8_lossy(&status).lines().count(),
            top: PathBuf::from(top),
        })
    }

    /// Every file that is or would be committed, by its path from the top; what is ignored is none.
    pub async fn files(&self) -> Result<Vec<String>, GitError> {
        let arguments = [
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
        ];
        let git = Git::in_directory(&self.top);
        let listed = git.done(&arguments, &[], "list the files").await?;
        let text = String::from_utf8_lossy(&listed);
        let mut files: Vec<String> = text
            .split('\0')
            .filter(|path| !path.is_empty() && self.top.join(path).symlink_metadata().is_ok())
            .map(str::to_owned)
            .collect();
        files.sort();
        files.dedup();
        Ok(files)
    }

    /// Whether it is a clone of a repository.
    pub fn is_of(&self, repo_url: &str) -> bool {
        self.remotes
            .iter()
            .any(|remote| same_repository(remote, repo_url))
    }
}

/// From `remote.NAME.url ADDRESS` and from `NAME⇥ADDRESS (fetch)`.
fn remotes(configured: &str, rewritten: &str) -> Vec<String> {
    let configured = configured
        .lines()
        .filter_map(|line| Some(line.split_once(' ')?.1));
    let rewritten = rewritten.lines().filter_map(|line| {
        let (_, rest) = line.split_once('\t')?;
        Some(rest.rsplit_once(" (")?.0)
    });
    let mut all: Vec<String> = configured.chain(rewritten).map(str::to_owned).collect();
    all.sort_unstable();
    all.dedup();
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn remotes_are_read_as_configured_and_as_rewritten() {
        let found = remotes(
            "remote.origin.url short:shop\nremote.fork.url git@host:me/shop.git\n",
            "fork\tgit@host:me/shop.git (fetch)\nfork\tgit@host:me/shop.git (push)\n\
             origin\thttps://host/acme/shop (fetch)\norigin\thttps://host/acme/shop (push)\n",
        );
        assert_eq!(
            found,
            [
                "git@host:me/shop.git",
                "https://host/acme/shop",
                "short:shop"
            ]
        );
        assert!(remotes("", "").is_empty());
    }
}
