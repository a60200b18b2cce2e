//! A repository to fetch from, made with the `git` command: the reference everything is compared
//! with.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use gitops_git::{Mirror, RepositoryAccess};

/// A bare repository `repo.git` with a work tree beside it, and a place for mirrors; gone when
/// dropped.
pub(crate) struct Origin {
    directory: tempfile::TempDir,
}

impl Origin {
    pub(crate) fn new() -> Self {
        let origin = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        fs::create_dir(origin.work()).unwrap();
        origin.git(&["init", "--quiet", "--bare", "--initial-branch=main", "."]);
        origin
    }

    /// With one commit on main: `app/a.yaml`, `app/b.yaml`, `README`.
    pub(crate) fn with_one_commit() -> (Self, String) {
        let origin = Self::new();
        origin.write("app/a.yaml", "a: 1\n");
        origin.write("app/b.yaml", "b: 1\n");
        origin.write("README", "hello\n");
        let sha = origin.commit("first");
        (origin, sha)
    }

    /// The directory the HTTP server publishes.
    pub(crate) fn root(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn bare(&self) -> PathBuf {
        self.directory.path().join("repo.git")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.directory.path().join("work")
    }

    pub(crate) fn mirror_directory(&self) -> PathBuf {
        self.directory.path().join("mirror")
    }

    pub(crate) fn write(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.work().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    /// Commits the work tree to the current branch, and says the commit's id.
    pub(crate) fn commit(&self, message: &str) -> String {
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", message]);
        self.sha("HEAD")
    }

    pub(crate) fn sha(&self, revision: &str) -> String {
        self.git(&["rev-parse", "--verify", revision])
            .trim()
            .to_owned()
    }

    /// Runs git in the repository and returns what it prints.
    pub(crate) fn git(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.git_bytes(arguments)).unwrap()
    }

    pub(crate) fn git_bytes(&self, arguments: &[&str]) -> Vec<u8> {
        let bare = self.bare();
        fs::create_dir_all(&bare).unwrap();
        let mut command = Command::new("git");
        isolate(&mut command);
        let directory = if arguments[0] == "init" {
            bare.clone()
        } else {
            self.work()
        };
        command.current_dir(directory);
        if arguments[0] != "init" {
            command
                .env("GIT_DIR", &bare)
                .env("GIT_WORK_TREE", self.work());
        }
        let output = command.args(arguments).output().unwrap();
        assert!(
            output.status.success(),
            "git {arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }

    /// Access through `file://`.
    pub(crate) fn file_access(&self) -> RepositoryAccess {
        RepositoryAccess {
            url: format!("file://{}", self.bare().display()),
            allow_file: true,
            ..RepositoryAccess::default()
        }
    }

    pub(crate) fn open(&self, access: RepositoryAccess) -> Mirror {
        Mirror::open(&self.mirror_directory(), access).unwrap()
    }
}

/// Leaves out the machine's configuration and fixes who commits.
pub(crate) fn isolate(command: &mut Command) {
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap());
    command
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("LC_ALL", "C");
    for role in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{role}_NAME"), "Ada Lovelace");
        command.env(format!("GIT_{role}_EMAIL"), "ada@example.com");
    }
}
