//! Where the user's git works: the clone in the current directory, or a private copy.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::git::address::{is_remote, same_repository};
use crate::git::error::GitError;
use crate::git::program::{ASK, Git, LOCAL, TRANSFER, said};
use crate::git::{is_object_id, redact, valid_branch};

/// Settings of a clone that a private copy of its repository needs too.
const BORROWED: [&str; 8] = [
    "user.",
    "author.",
    "committer.",
    "commit.gpgsign",
    "gpg.",
    "credential.",
    "http.",
    "core.sshcommand",
];
/// Attempts at a fetch that another git of the same user is in the way of.
const FETCHES: usize = 5;

/// Where the user is, and where private copies may be kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorkDir {
    /// Current directory.
    pub directory: PathBuf,
    /// Directory for private copies.
    pub cache: PathBuf,
}

impl WorkDir {
    /// The work_dir of this process: `$GITOPS_CACHE_DIR`, or the user's directory for caches.
    pub fn current() -> Result<Self, GitError> {
        let failed = |what: &str, reason: String| GitError::Failed {
            what: what.to_owned(),
            reason,
        };
        let directory = std::env::current_dir()
            .map_err(|error| failed("find the current directory", error.to_string()))?;
        let cache = std::env::var_os("GITOPS_CACHE_DIR")
            .filter(|value| !value.is_empty())
            .map(|value| directory.join(value))
            .or_else(|| dirs::cache_dir().map(|caches| caches.join("kubectl-gitops")))
            .ok_or_else(|| {
                failed(
                    "find a directory for caches",
                    "neither $GITOPS_CACHE_DIR nor $HOME says where it could be".to_owned(),
                )
            })?;
        Ok(Self { directory, cache })
    }
}

/// Where objects are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The clone the user is in.
    Clone(PathBuf),
    /// A bare copy among the user's cached files.
    Cache(PathBuf),
}

/// A repository that can be read, committed to and pushed from.
#[derive(Clone, Debug)]
pub struct Repository {
    pub(super) git: Git,
    pub(super) remote: String,
    url: String,
    place: Place,
    note: Option<String>,
}

impl Repository {
    /// The clone in the current directory if it is one of the repository, otherwise a private
    /// copy. `remote` names the remote to use whatever its address is.
    pub async fn open(
        work_dir: &WorkDir,
        repo_url: &str,
        remote: Option<&str>,
    ) -> Result<Self, GitError> {
        match Self::find(work_dir, repo_url, remote).await? {
            Some(found) => Ok(found),
            None => Self::cached(work_dir, repo_url).await,
        }
    }

    /// The clone that a directory is in, if one of its remotes is the repository. A shallow or partial
    /// clone lends its address and settings to a private copy, because it lacks history.
    pub async fn find(
        work_dir: &WorkDir,
        repo_url: &str,
        remote: Option<&str>,
    ) -> Result<Option<Self>, GitError> {
        let directory = work_dir.directory.as_path();
        let git = Git::in_directory(directory);
        let found = git
            .run(
                &["rev-parse", "--is-shallow-repository", "--absolute-git-dir"],
                &[],
                LOCAL,
            )
            .await?;
        if !found.status.success() {
            return match remote {
                None => Ok(None),
                Some(name) => Err(GitError::Missing(format!(
                    "{} is in no clone of a Git repository that could have a remote {name:?}: {}",
                    directory.display(),
                    said(&found)
                ))),
            };
        }
        let told = String::from_utf8_lossy(&found.stdout).into_owned();
        let (shallow, git_dir) = told.trim_end().split_once('\n').unwrap_or(("", ""));
        let Some((name, url)) = matching_remote(&git, repo_url, remote).await? else {
            return Ok(None);
        };
        let kind = if shallow == "true" {
            Some("shallow")
        } else if is_partial(&git).await? {
            Some("partial")
        } else {
            None
        };
        if let Some(kind) = kind {
            let mut copy = Self::copy_in(&work_dir.cache, &url, &settings_of(&git).await?).await?;
            let place = copy.place().display().to_string();
            copy.note = Some(format!(
                "the clone in this directory is {kind} and lacks history: a private copy is used ({place})"
            ));
            return Ok(Some(copy));
        }
        Ok(Some(Self {
            git: git.unattended().await?,
            remote: name,
            url: redact(&url),
            place: Place::Clone(PathBuf::from(git_dir)),
            note: None,
        }))
    }

    /// A private copy below the directory for caches.
    pub async fn cached(work_dir: &WorkDir, repo_url: &str) -> Result<Self, GitError> {
        if !is_remote(repo_url) {
            return Err(GitError::Address(redact(repo_url)));
        }
        Self::copy_in(&work_dir.cache, repo_url, &[]).await
    }

    /// A private copy below a directory. The address stays out of its files: it may hold a password.
    async fn copy_in(
        cache: &Path,
        url: &str,
        settings: &[(String, String)],
    ) -> Result<Self, GitError> {
        let directory = cache.join("repositories").join(directory_name(url));
        let unusable = |error: std::io::Error| GitError::Failed {
            what: format!("use the directory {}", directory.display()),
            reason: error.to_string(),
        };
        std::fs::create_dir_all(&directory).map_err(unusable)?;
        only_for_owner(&directory).map_err(unusable)?;
        let lock = lock(&directory).map_err(unusable)?;
        let plain = Git::in_directory(&directory);
        let copy = directory.join("repository");
        if !copy.join("HEAD").is_file() || !copy.join("objects").is_dir() {
            let path = copy.to_string_lossy();
            plain
                .done(
                    &[
                        "-c",
                        "init.defaultBranch=main",
                        "init",
                        "--bare",
                        "--quiet",
                        "--template=",
                        "--",
                        &path,
                    ],
                    &[],
                    "make a private copy of the repository",
                )
                .await?;
        }
        drop(lock);
        let mut git = Git::in_directory(&copy)
            .variable("GIT_DIR", copy.as_os_str())
            .setting("remote.origin.url", url);
        for (key, value) in settings {
            git = git.setting(key, value);
        }
        Ok(Self {
            git: git.unattended().await?,
            remote: "origin".to_owned(),
            url: redact(url),
            place: Place::Cache(copy),
            note: None,
        })
    }

    /// Directory of the clone's or copy's objects.
    pub fn place(&self) -> &Path {
        match &self.place {
            Place::Clone(path) | Place::Cache(path) => path,
        }
    }

    /// Whether it is the clone the user is in.
    pub fn is_clone(&self) -> bool {
        matches!(self.place, Place::Clone(_))
    }

    /// Address of the server, without credentials.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Name of the remote: `origin`.
    pub fn remote(&self) -> &str {
        &self.remote
    }

    /// What the user should know about the choice of place.
    pub fn note(&self) -> Option<&str> {
        self.note.as_deref()
    }

    /// The commit a branch is at on the server right now; `None`: there is no such branch.
    pub async fn tip(&self, branch: &str) -> Result<Option<String>, GitError> {
        let reference = reference(branch)?;
        let listed = self
            .ask(&["ls-remote", "--quiet", "--", &self.remote, &reference])
            .await?;
        Ok(listed.lines().find_map(|line| {
            let (id, name) = line.split_once('\t')?;
            (name == reference && is_object_id(id)).then(|| id.to_owned())
        }))
    }

    /// Name of the branch the server shows first; `None`: it does not say, or has no branch.
    pub async fn default_branch(&self) -> Result<Option<String>, GitError> {
        let listed = self
            .ask(&[
                "ls-remote",
                "--quiet",
                "--symref",
                "--",
                &self.remote,
                "HEAD",
            ])
            .await?;
        Ok(listed.lines().find_map(|line| {
            let (name, _) = line.strip_prefix("ref: refs/heads/")?.split_once('\t')?;
            valid_branch(name).then(|| name.to_owned())
        }))
    }

    /// Fetches a branch with its history and returns the commit it is at.
    pub async fn fetch_branch(&self, branch: &str) -> Result<String, GitError> {
        let reference = reference(branch)?;
        let kept = format!("refs/gitops/heads/{branch}");
        self.fetch(
            &format!("+{reference}:{kept}"),
            &format!("branch {branch:?}"),
        )
        .await?;
        let what = format!("read branch {branch:?}");
        self.git
            .text(
                &[
                    "rev-parse",
                    "--verify",
                    "--quiet",
                    &format!("{kept}^{{commit}}"),
                ],
                &what,
            )
            .await
    }

    /// Makes sure that a commit is here, fetching it if it is not.
    pub async fn fetch_commit(&self, id: &str) -> Result<(), GitError> {
        if !is_object_id(id) {
            return Err(GitError::Missing(format!("{id:?} is not a commit's id")));
        }
        if self.has_commit(id).await? {
            return Ok(());
        }
        // A reference keeps it from being cleaned away while it is in use.
        self.fetch(
            &format!("+{id}:refs/gitops/commits/{id}"),
            &format!("commit {id}"),
        )
        .await
    }

    async fn fetch(&self, refspec: &str, what: &str) -> Result<(), GitError> {
        let _lock = match &self.place {
            Place::Cache(path) => path.parent().and_then(|directory| lock(directory).ok()),
            Place::Clone(_) => None,
        };
        let mut last = String::new();
        for _ in 0..FETCHES {
            let output = self
                .git
                .run(
                    &[
                        "fetch",
                        "--quiet",
                        "--no-tags",
                        "--no-write-fetch-head",
                        "--no-auto-maintenance",
                        "--no-recurse-submodules",
                        "--refmap=",
                        "--",
                        &self.remote,
                        refspec,
                    ],
                    &[],
                    TRANSFER,
                )
                .await?;
            if output.status.success() {
                return Ok(());
            }
            last = said(&output);
            let lower = last.to_lowercase();
            if lower.contains("couldn't find remote ref")
                || lower.contains("not our ref")
                || lower.contains("unadvertised object")
            {
                return Err(GitError::Missing(format!("{} has no {what}", self.url)));
            }
            // Another git of the same user was faster with the same reference.
            if !lower.contains("cannot lock ref") && !lower.contains("unable to update local ref") {
                break;
            }
        }
        Err(GitError::of_server(&self.url, last))
    }

    async fn ask(&self, arguments: &[&str]) -> Result<String, GitError> {
        let limit: Duration = ASK;
        let output = self.git.run(arguments, &[], limit).await?;
        if output.status.success() {
            Ok(String::from_utf8_lossy(&output.stdout).into_owned())
        } else {
            Err(GitError::of_server(&self.url, said(&output)))
        }
    }
}

/// The full name of a branch.
pub(super) fn reference(branch: &str) -> Result<String, GitError> {
    if valid_branch(branch) {
        Ok(format!("refs/heads/{branch}"))
    } else {
        Err(GitError::Missing(format!(
            "{branch:?} is not a branch's name"
        )))
    }
}

/// Name and address of the remote that is the repository: an exact match before one over another
/// way, `origin` before others.
async fn matching_remote(
    git: &Git,
    repo_url: &str,
    wanted: Option<&str>,
) -> Result<Option<(String, String)>, GitError> {
    let listed = git.run(&["remote"], &[], LOCAL).await?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    let mut names: Vec<&str> = listed.lines().filter(|name| !name.is_empty()).collect();
    names.sort_by_key(|name| *name != "origin");
    if let Some(wanted) = wanted {
        if !names.contains(&wanted) {
            return Err(GitError::Missing(format!(
                "the clone in this directory has no remote {wanted:?}, only: {}",
                names.join(", ")
            )));
        }
        names = vec![wanted];
    }
    let mut near = None;
    for name in names {
        // As configured, and as `insteadOf` rewrites it.
        let configured = git.configured(&format!("remote.{name}.url")).await?;
        let used = git
            .run(&["remote", "get-url", "--", name], &[], LOCAL)
            .await?;
        let used = String::from_utf8_lossy(&used.stdout).trim().to_owned();
        let addresses = [configured.as_deref().unwrap_or_default(), &used];
        if wanted.is_some()
            || addresses.iter().any(|address| {
                gitops_core::source::normalize(address) == gitops_core::source::normalize(repo_url)
            })
        {
            return Ok(Some((name.to_owned(), used)));
        }
        if near.is_none()
            && addresses
                .iter()
                .any(|address| same_repository(address, repo_url))
        {
            near = Some((name.to_owned(), used));
        }
    }
    Ok(near)
}

/// Whether some of a clone's objects are only on a server.
async fn is_partial(git: &Git) -> Result<bool, GitError> {
    let pattern = r"^(extensions\.partialclone|remote\..*\.promisor)$";
    let output = git
        .run(&["config", "--get-regexp", pattern], &[], LOCAL)
        .await?;
    Ok(output.status.success())
}

/// Settings of a clone that decide who commits, how it is signed and how servers are reached.
async fn settings_of(git: &Git) -> Result<Vec<(String, String)>, GitError> {
    let listed = git
        .run(&["config", "--local", "--list", "-z"], &[], LOCAL)
        .await?;
    let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
    Ok(listed
        .split('\0')
        .filter_map(|entry| entry.split_once('\n'))
        .filter(|(key, _)| BORROWED.iter().any(|prefix| key.starts_with(prefix)))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect())
}

/// Name of a copy's directory: readable, and different for different repositories.
fn directory_name(url: &str) -> String {
    let clean = redact(url);
    let last = clean
        .trim_end_matches('/')
        .trim_end_matches(".git")
        .rsplit(['/', ':'])
        .next()
        .unwrap_or_default();
    let last: String = last
        .chars()
        .filter(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        .take(40)
        .collect();
    let digest = Sha256::digest(gitops_core::source::normalize(&clean).as_bytes());
    let short = hex::encode(&digest[..8]);
    format!("{last}-{short}")
}

/// Waits until no other process changes a copy; ends when the file is dropped.
fn lock(directory: &Path) -> std::io::Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(directory.join("lock"))?;
    file.lock()?;
    Ok(file)
}

#[cfg(unix)]
fn only_for_owner(directory: &Path) -> std::io::Result<()> {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(directory, Permissions::from_mode(0o700))
}

#[cfg(not(unix))]
fn only_for_owner(_: &Path) -> std::io::Result<()> {
    Ok(())
}
