//! Git repositories for tests: a bare one behind the real servers, and a clone to work in.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::environment::{Environment, Servers};
use crate::{http, must};

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

    /// Address over ssh under which the forge knows the repository.
    pub fn forge_ssh_url(&self) -> String {
        format!("{}/git/{}.git", self.servers.git_ssh, self.name)
    }

    /// What the forge was asked about the repository and what it has: `requests` (method, path,
    /// status, body), `pulls` and `keys`, as Gitea's API describes them.
    pub fn forge(&self) -> Value {
        let url = format!("{}/forge/{}", self.servers.control, self.name);
        must(
            serde_json::from_str(&http::request("GET", &url)),
            "read the forge's state",
        )
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

    /// The commit a branch of the bare repository is at; `None` when there is no such branch.
    pub fn branch(&self, name: &str) -> Option<String> {
        let name = format!("refs/heads/{name}");
        let found = self.bare(&["for-each-ref", "--format=%(objectname)", &name]);
        (!found.is_empty()).then_some(found)
    }

    /// A file as it is at a revision of the bare repository.
    pub fn file(&self, revision: &str, path: &str) -> String {
        self.bare(&["show", &format!("{revision}:{path}")])
    }

    /// Takes what others pushed to `main` into the work clone.
    pub fn pull(&self) -> String {
        self.git(&["fetch", "-q", "origin", "main"]);
        self.git(&["reset", "-q", "--hard", "FETCH_HEAD"]);
        self.head()
    }

    /// Refuses every push to a branch but those of [`Self::push`], as a protected branch does.
    pub fn protect(&self, branch: &str) {
        self.hook(&format!(
            "while read -r old new ref; do
                if [ \"$ref\" = refs/heads/{branch} ]; then
                    echo \"GL-HOOK-ERR: You are not allowed to push code to protected branches on this project.\" >&2
                    exit 1
                fi
            done"
        ));
    }

    /// Lets another person push to `main` just before each of the next `times` pushes arrives, so
    /// that these are too late.
    pub fn race(&self, times: u32) {
        self.hook(&format!(
            "count=$(cat \"$GIT_DIR/races\" 2>/dev/null || echo 0)
            [ \"$count\" -lt {times} ] || exit 0
            echo $((count + 1)) >\"$GIT_DIR/races\"
            unset GIT_QUARANTINE_PATH GIT_OBJECT_DIRECTORY GIT_ALTERNATE_OBJECT_DIRECTORIES
            export GIT_AUTHOR_NAME=Eve GIT_AUTHOR_EMAIL=eve@example.com
            export GIT_COMMITTER_NAME=Eve GIT_COMMITTER_EMAIL=eve@example.com
            export GIT_INDEX_FILE=\"$GIT_DIR/race-index\"
            git read-tree main || exit 1
            blob=$(echo \"race $count\" | git hash-object -w --stdin) || exit 1
            git update-index --add --cacheinfo \"100644,$blob,races/$count\" || exit 1
            commit=$(git commit-tree -p main -m \"Race $count\" \"$(git write-tree)\") || exit 1
            git update-ref refs/heads/main \"$commit\""
        ));
    }

    /// Runs a script before each push is taken, except for [`Self::push`].
    pub fn hook(&self, script: &str) {
        let text = format!("#!/bin/sh\n[ -z \"$GITOPS_E2E_OWNER\" ] || exit 0\n{script}\n");
        let path = self.bare_path().join("hooks/pre-receive");
        must(std::fs::write(&path, text), "write a hook");
        let executable = std::fs::Permissions::from_mode(0o755);
        must(
            std::fs::set_permissions(&path, executable),
            "make a hook executable",
        );
    }

    /// Takes all pushes again.
    pub fn no_hook(&self) {
        let path = self.bare_path().join("hooks/pre-receive");
        must(std::fs::remove_file(path), "remove a hook");
    }

    /// Folder of the bare repository.
    pub fn bare_path(&self) -> PathBuf {
        self.servers.git_root.join(format!("{}.git", self.name))
    }

    /// Runs git in the bare repository; returns what it printed.
    pub fn bare(&self, arguments: &[&str]) -> String {
        git(&self.bare_path(), arguments)
    }

    /// Runs git in the work clone; returns what it printed.
    pub fn git(&self, arguments: &[&str]) -> String {
        git(self.work.path(), arguments)
    }
}

/// Runs git, free of the configuration of whoever runs the tests.
pub(crate) fn git(folder: &Path, arguments: &[&str]) -> String {
    let output = must(command(folder, arguments).output(), "run git");
    assert!(
        output.status.success(),
        "git {}: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// Git as the owner of the repositories runs it.
pub(crate) fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new("git");
    command
        .args(arguments)
        .current_dir(folder)
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GITOPS_E2E_OWNER", "yes")
        .envs([
            ("GIT_AUTHOR_NAME", "Tester"),
            ("GIT_AUTHOR_EMAIL", "tester@example.com"),
        ])
        .envs([
            ("GIT_COMMITTER_NAME", "Tester"),
            ("GIT_COMMITTER_EMAIL", "tester@example.com"),
        ]);
    command
}
