//! Git repositories for tests: a bare one behind the real servers, and a clone to work in.

use std::{path::Path, process::Command};

use tempfile::TempDir;

use crate::{
    environment::{Environment, Servers},
    must,
};

/// How a repository is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Without a password.
    Http,
    /// With a password or a token.
    Private,
    /// Over TLS with a private authority.
    Tls,
    /// Over TLS with a private authority, with a password or a token.
    TlsPrivate,
    /// Over ssh.
    Ssh,
}

/// One repository.
pub struct Repo {
    name: String,
    servers: Servers,
    work: TempDir,
}

impl Repo {
    /// Makes an empty repository of a name that no other test uses.
    pub fn create(name: &str) -> Self {
        Self::create_on(&Environment::get().servers, name)
    }

    /// The same on servers of the test's own.
    pub fn create_on(servers: &Servers, name: &str) -> Self {
        let bare = servers.git_root.join(format!("{name}.git"));
        let work = must(TempDir::with_prefix("gitops-e2e-"), "make a folder");
        let folder = bare.to_string_lossy().into_owned();
        git(
            Path::new("/"),
            &["init", "-q", "--bare", "-b", "main", &folder],
        );
        git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
        git(&bare, &["config", "gc.auto", "0"]);
        git(work.path(), &["init", "-q", "-b", "main"]);
        git(work.path(), &["remote", "add", "origin", &folder]);
        Self {
            name: name.into(),
            servers: servers.clone(),
            work,
        }
    }

    /// Address of the repository without a password.
    pub fn url(&self) -> String {
        self.url_over(Transport::Http)
    }

    /// Address of the repository over a transport.
    pub fn url_over(&self, transport: Transport) -> String {
        let servers = &self.servers;
        let base = match transport {
            Transport::Http => &servers.git,
            Transport::Private => &servers.git_private,
            Transport::Tls => &servers.git_tls,
            Transport::TlsPrivate => &servers.git_tls_private,
            Transport::Ssh => &servers.git_ssh,
        };
        format!("{base}/{}.git", self.name)
    }

    /// Name on the servers, without `.git`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Folder of the work clone.
    pub fn path(&self) -> &Path {
        self.work.path()
    }

    /// Writes files, an absent text removing one, commits everything and pushes `main`; returns the
    /// commit.
    pub fn commit(&self, files: &[(&str, Option<&str>)]) -> String {
        for (path, text) in files {
            let file = self.work.path().join(path);
            match text {
                Some(text) => {
                    if let Some(folder) = file.parent() {
                        must(std::fs::create_dir_all(folder), "make a folder");
                    }
                    must(std::fs::write(&file, text), "write a file");
                }
                None => must(std::fs::remove_file(&file), "remove a file"),
            }
        }
        let subject = files.first().map_or("Change", |(path, _)| path);
        self.commit_all(subject)
    }

    /// Writes one file, commits and pushes.
    pub fn write(&self, path: &str, text: &str) -> String {
        self.commit(&[(path, Some(text))])
    }

    /// Removes one file, commits and pushes.
    pub fn remove(&self, path: &str) -> String {
        self.commit(&[(path, None)])
    }

    /// Commits what is in the work clone and pushes it.
    pub fn commit_all(&self, subject: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", subject]);
        self.push(&["HEAD"]);
        self.head()
    }

    /// Pushes with further arguments.
    pub fn push(&self, arguments: &[&str]) {
        let all: Vec<_> = ["push", "-q", "origin"]
            .iter()
            .chain(arguments)
            .copied()
            .collect();
        self.git(&all);
    }

    /// The commit the work clone is at.
    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// Runs git in the work clone; returns what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(self.work.path(), arguments)
    }
}

/// Runs git, free of the configuration of whoever runs the tests.
fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = Command::new("git")
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .envs([
            ("GIT_AUTHOR_NAME", "Tester"),
            ("GIT_AUTHOR_EMAIL", "tester@example.com"),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "Tester"),
            ("GIT_COMMITTER_EMAIL", "tester@example.com"),
        ])
        .output();
    let output = must(output, "run git");
    assert!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}
