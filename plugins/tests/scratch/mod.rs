//! A server's bare repository and clones of it, in a temporary directory.

#![allow(dead_code)] // each test program uses some of it

use std::path::{Path, PathBuf};
use std::process::Command;

use kubectl_gitops::git::{Repository, WorkDir};
use tempfile::TempDir;

/// A bare repository and a clone that pushes to it.
pub(crate) struct Scratch {
    directory: TempDir,
}

impl Scratch {
    /// An empty repository with its clone.
    pub(crate) fn new() -> Self {
        let scratch = Self {
            directory: TempDir::with_prefix("kubectl-gitops-test-").unwrap(),
        };
        let server = scratch.server();
        git(
            scratch.directory.path(),
            &["init", "-q", "--bare", "-b", "main", "server.git"],
        );
        for (key, value) in [
            ("uploadpack.allowAnySHA1InWant", "true"),
            ("uploadpack.allowFilter", "true"),
            ("gc.auto", "0"),
        ] {
            git(&server, &["config", key, value]);
        }
        scratch.clone_as("clone", &[]);
        scratch
    }

    /// The server's repository.
    pub(crate) fn server(&self) -> PathBuf {
        self.directory.path().join("server.git")
    }

    /// Its address.
    pub(crate) fn url(&self) -> String {
        format!("file://{}", self.server().display())
    }

    /// A directory of the scratch: `clone` is the first clone.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// Makes a clone.
    pub(crate) fn clone_as(&self, name: &str, options: &[&str]) -> PathBuf {
        let url = self.url();
        let mut arguments = vec!["clone", "-q"];
        arguments.extend(options);
        arguments.extend([url.as_str(), name]);
        git(self.directory.path(), &arguments);
        let clone = self.path(name);
        for (key, value) in [
            ("user.name", "Ana Diaz"),
            ("user.email", "ana@example.com"),
            ("commit.gpgSign", "false"),
            ("gc.auto", "0"),
        ] {
            git(&clone, &["config", key, value]);
        }
        clone
    }

    /// The work_dir in a directory of the scratch.
    pub(crate) fn work_dir(&self, directory: &str) -> WorkDir {
        WorkDir {
            directory: self.path(directory),
            cache: self.path("cache"),
        }
    }

    /// The repository as the user in the first clone has it.
    pub(crate) async fn repository(&self) -> Repository {
        Repository::find(&self.work_dir("clone"), &self.url(), None)
            .await
            .unwrap()
            .unwrap()
    }

    /// Writes files into a clone (`None` removes one), commits, and pushes `main`.
    pub(crate) fn commit(&self, clone: &str, files: &[(&str, Option<&str>)]) -> String {
        let clone = self.path(clone);
        for (path, text) in files {
            let file = clone.join(path);
            match text {
                Some(text) => {
                    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
                    std::fs::write(&file, text).unwrap();
                }
                None => std::fs::remove_file(&file).unwrap(),
            }
        }
        git(&clone, &["add", "-A"]);
        git(&clone, &["commit", "-q", "--allow-empty", "-m", "Change"]);
        git(&clone, &["push", "-q", "origin", "HEAD:main"]);
        git(&clone, &["rev-parse", "HEAD"])
    }
}

/// Runs git, which has to succeed; returns what it printed.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(directory)
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_EDITOR", "true")
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout)
        .trim_end()
        .to_owned()
}
