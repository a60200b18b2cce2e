//! Clones of a person, in the states people leave them in.

use std::path::{Path, PathBuf};

use crate::must;
use crate::person::Person;
use crate::repository::{Repo, command, git};

/// What a clone is in the middle of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Nothing: as `git clone` made it.
    Clean,
    /// A changed file, a staged one and one Git does not know.
    Dirty,
    /// Only the last commit was fetched.
    Shallow,
    /// No branch is checked out.
    Detached,
    /// A merge stopped at a conflict.
    Merging,
    /// A rebase stopped at a conflict.
    Rebasing,
    /// The remote has commits the clone has not.
    Behind,
    /// The branch has a commit that was not pushed.
    Ahead,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Clean,
        Self::Dirty,
        Self::Shallow,
        Self::Detached,
        Self::Merging,
        Self::Rebasing,
        Self::Behind,
        Self::Ahead,
    ];
}

/// A clone in the person's `work` folder.
pub struct Checkout {
    path: PathBuf,
    before: Vec<String>,
}

impl Checkout {
    /// Clones `main` and brings the clone into a state. The repository has `file` and at least two
    /// commits.
    pub fn of(person: &Person, repo: &Repo, state: State, file: &str) -> Self {
        let path = person
            .path("work")
            .join(format!("{state:?}").to_lowercase());
        let url = repo.url();
        let to = path.to_string_lossy().into_owned();
        let mut clone = vec!["clone", "-q", "-b", "main"];
        if state == State::Shallow {
            clone.extend(["--depth", "1"]);
        }
        clone.extend([url.as_str(), to.as_str()]);
        git(Path::new("/"), &clone);
        let write = |name: &str, text: &str| {
            must(std::fs::write(path.join(name), text), "write a file");
        };
        let run = |arguments: &[&str]| git(&path, arguments);
        let conflict = || {
            run(&["checkout", "-q", "-b", "other", "HEAD~1"]);
            write(file, "theirs: true\n");
            run(&["commit", "-q", "-a", "-m", "Theirs"]);
            run(&["checkout", "-q", "main"]);
            write(file, "ours: true\n");
            run(&["commit", "-q", "-a", "-m", "Ours"]);
        };
        match state {
            State::Clean | State::Shallow => {}
            State::Dirty => {
                write(file, "changed: true\n");
                write("staged.yaml", "staged: true\n");
                run(&["add", "staged.yaml"]);
                write("unknown.yaml", "unknown: true\n");
            }
            State::Detached => drop(run(&["checkout", "-q", "--detach", "HEAD~1"])),
            State::Merging => {
                conflict();
                stops(&path, &["merge", "-q", "other"]);
            }
            State::Rebasing => {
                conflict();
                stops(&path, &["rebase", "-q", "other"]);
            }
            State::Behind => drop(run(&["reset", "-q", "--hard", "HEAD~1"])),
            State::Ahead => {
                write("ahead.yaml", "ahead: true\n");
                run(&["add", "ahead.yaml"]);
                run(&["commit", "-q", "-m", "Not pushed"]);
            }
        }
        let before = picture(&path);
        Self { path, before }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Nothing a person sees has changed: branch, index, working tree, what is under way.
    ///
    /// # Panics
    /// With what has changed.
    #[track_caller]
    pub fn is_untouched(&self) {
        let now = picture(&self.path);
        assert_eq!(self.before, now, "{} was touched", self.path.display());
    }
}

/// What a person sees of a clone.
fn picture(path: &Path) -> Vec<String> {
    let staged = git(path, &["ls-files", "--stage"]);
    let head = must(std::fs::read_to_string(path.join(".git/HEAD")), "read HEAD");
    let branches = [
        "for-each-ref",
        "--format=%(refname) %(objectname)",
        "refs/heads",
    ];
    let all = [
        "status",
        "--porcelain=v2",
        "--branch",
        "--untracked-files=all",
    ];
    let status = git(path, &all);
    // How far the remote is may be known better afterwards.
    let status = status
        .lines()
        .filter(|line| !line.starts_with("# branch.ab"));
    let mut picture = vec![head, staged, git(path, &branches), git(path, &["diff"])];
    picture.extend(status.map(str::to_owned));
    picture.push(git(path, &["stash", "list"]));
    picture
}

/// Runs what has to stop half way.
fn stops(path: &Path, arguments: &[&str]) {
    let output = must(command(path, arguments).output(), "run git");
    assert!(
        !output.status.success(),
        "git {} did not stop",
        arguments.join(" ")
    );
}
