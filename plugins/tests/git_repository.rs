//! Reading, committing and pushing with the user's own git, against real repositories.

#![allow(clippy::unwrap_used)]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use kubectl_gitops::git::{Edit, Entry, GitError, NewCommit, Pushed, Repository, Target};

use crate::scratch::{Scratch, git};

mod scratch;

async fn new_file(repository: &Repository, path: &str, content: &[u8]) -> Edit {
    Edit {
        path: path.to_owned(),
        entry: Some(Entry {
            mode: "100644".into(),
            id: repository.store(content).await.unwrap(),
        }),
    }
}

async fn commit(repository: &Repository, parent: &str, edits: &[Edit]) -> String {
    let new = NewCommit {
        parents: &[parent.to_owned()],
        base: None,
        edits,
        message: "Subject\n\nGitops-Test: yes\n",
    };
    repository.commit(&new).await.unwrap()
}

fn to<'a>(branch: &'a str, expected: &'a str) -> Target<'a> {
    Target {
        branch,
        expected: Some(expected),
    }
}

/// Everything of a clone that a user works on.
fn state_of(clone: &Path) -> String {
    let ask = |arguments: &[&str]| {
        let output = Command::new("git")
            .args(arguments)
            .current_dir(clone)
            .output()
            .unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    [
        ask(&["status", "--porcelain=v2", "--branch"]),
        ask(&["symbolic-ref", "-q", "HEAD"]),
        ask(&["rev-parse", "HEAD"]),
        ask(&[
            "for-each-ref",
            "refs/heads",
            "refs/tags",
            "refs/stash",
            "refs/remotes",
        ]),
        ask(&["ls-files", "-s"]),
        ask(&["diff"]),
        ask(&["config", "--local", "--list"]),
        ask(&["rev-parse", "-q", "--verify", "FETCH_HEAD"]),
    ]
    .join("\n--\n")
}

#[tokio::test]
async fn files_are_edited_and_nothing_else() {
    let scratch = Scratch::new();
    scratch.commit(
        "clone",
        &[
            ("a/x", Some("1")),
            ("a/y", Some("2")),
            ("b", Some("3")),
            ("ü n\tï", Some("4")),
        ],
    );
    let repository = scratch.repository().await;
    let tip = repository.fetch_branch("main").await.unwrap();
    assert_eq!(repository.tip("main").await.unwrap().as_ref(), Some(&tip));
    assert_eq!(repository.tip("other").await.unwrap(), None);
    assert_eq!(
        repository.default_branch().await.unwrap().as_deref(),
        Some("main")
    );

    // A directory becomes a file, a file becomes a directory, another is deleted.
    let delete = |path: &str| Edit {
        path: path.into(),
        entry: None,
    };
    let edits = [
        new_file(&repository, "a", b"file").await,
        delete("a/x"),
        delete("a/y"),
        delete("b"),
        new_file(&repository, "b/c", b"deep").await,
    ];
    let made = commit(&repository, &tip, &edits).await;
    let files = repository.files(&made, &[]).await.unwrap();
    let paths: Vec<&str> = files.keys().map(String::as_str).collect();
    assert_eq!(paths, ["a", "b/c", "ü n\tï"]);
    assert_eq!(repository.content(&files["a"].id).await.unwrap(), b"file");
    let changes = repository.changes(&tip, &made).await.unwrap();
    assert_eq!(changes.len(), 5, "{changes:?}");

    let info = repository.commit_info(&made).await.unwrap();
    assert_eq!(
        (info.author.as_str(), info.subject()),
        ("Ana Diaz", "Subject")
    );
    assert_eq!(info.trailer("gitops-test"), Some("yes"));
    assert_eq!(info.parents, std::slice::from_ref(&tip));
    assert!(repository.is_ancestor(&tip, &made).await.unwrap());
    assert!(!repository.is_ancestor(&made, &tip).await.unwrap());
    assert_eq!(
        repository.try_push(&made, to("main", &tip)).await.unwrap(),
        Pushed::Done
    );
    assert_eq!(
        repository.tip("main").await.unwrap(),
        Some(tip.clone()),
        "a trial pushes nothing"
    );
    assert_eq!(
        repository.push(&made, to("main", &tip)).await.unwrap(),
        Pushed::Done
    );
    assert_eq!(
        repository.push(&made, to("main", &tip)).await.unwrap(),
        Pushed::Done,
        "again"
    );
    assert_eq!(repository.tip("main").await.unwrap(), Some(made.clone()));
    let found = repository
        .log_with_line(None, &made, "Gitops-Test: yes", 5)
        .await
        .unwrap();
    assert_eq!(found.len(), 1);
}

#[tokio::test]
async fn a_clone_is_left_as_it_is() {
    let scratch = Scratch::new();
    let base = scratch.commit("clone", &[("x", Some("1")), ("y", Some("1"))]);
    let other = scratch.clone_as("other", &[]);
    for (state, prepare) in STATES {
        let name = format!("work-{state}");
        let clone = scratch.clone_as(&name, &[]);
        git(&clone, &["checkout", "-q", "-b", "topic", &base]);
        std::fs::write(clone.join("x"), "topic").unwrap();
        git(&clone, &["commit", "-q", "-am", "Topic"]);
        prepare(&clone);
        scratch.commit("other", &[("y", Some(state))]);
        let before = state_of(&clone);

        let repository = Repository::find(&scratch.work_dir(&name), &scratch.url(), None)
            .await
            .unwrap()
            .unwrap();
        assert!(repository.is_clone());
        let tip = repository.fetch_branch("main").await.unwrap();
        let edit = new_file(&repository, "z", state.as_bytes()).await;
        let made = commit(&repository, &tip, &[edit]).await;
        assert_eq!(before, state_of(&clone), "{state}: before the push");
        assert_eq!(
            repository.push(&made, to("main", &tip)).await.unwrap(),
            Pushed::Done
        );
        git(&other, &["pull", "-q", "--rebase", "origin", "main"]);
        assert_eq!(std::fs::read_to_string(other.join("z")).unwrap(), state);
        // As after any push, git has noted where the server's branch is.
        git(&clone, &["update-ref", "refs/remotes/origin/main", &base]);
        let reset = |text: &str| {
            text.lines()
                .filter(|line| {
                    !line.contains("refs/remotes/origin/") && !line.starts_with("# branch.ab")
                })
                .collect::<Vec<_>>()
                .join("\n")
        };
        assert_eq!(
            reset(&before),
            reset(&state_of(&clone)),
            "{state}: after the push"
        );
    }
}

type Prepare = fn(&Path);
const STATES: [(&str, Prepare); 6] = [
    ("dirty", |clone| {
        std::fs::write(clone.join("x"), "edited").unwrap();
        std::fs::write(clone.join("new"), "untracked").unwrap();
        std::fs::write(clone.join("y"), "staged").unwrap();
        git(clone, &["add", "y"]);
    }),
    ("detached", |clone| {
        git(clone, &["checkout", "-q", "--detach"]);
    }),
    ("merging", |clone| {
        conflict(clone, &["merge", "rival"]);
    }),
    ("rebasing", |clone| {
        conflict(clone, &["rebase", "rival"]);
    }),
    ("picking", |clone| {
        conflict(clone, &["cherry-pick", "rival"]);
    }),
    ("stashed", |clone| {
        std::fs::write(clone.join("x"), "stashed").unwrap();
        git(clone, &["stash", "-q"]);
    }),
];

/// Leaves the clone in the middle of something that has a conflict.
fn conflict(clone: &Path, arguments: &[&str]) {
    git(clone, &["checkout", "-q", "-b", "rival", "topic~1"]);
    std::fs::write(clone.join("x"), "rival").unwrap();
    git(clone, &["commit", "-q", "-am", "Rival"]);
    git(clone, &["checkout", "-q", "topic"]);
    let status = Command::new("git")
        .args(arguments)
        .current_dir(clone)
        .output()
        .unwrap()
        .status;
    assert!(!status.success());
}

#[tokio::test]
async fn bare_clones_and_linked_worktrees_are_used() {
    let scratch = Scratch::new();
    let tip = scratch.commit("clone", &[("x", Some("1"))]);
    let bare = scratch.clone_as("bare", &["--bare"]);
    git(&bare, &["config", "user.name", "Ana Diaz"]);
    git(
        &scratch.path("clone"),
        &["worktree", "add", "-q", "../linked", "-b", "linked"],
    );
    std::fs::create_dir_all(scratch.path("clone/deep/er")).unwrap();
    for directory in ["bare", "linked", "clone/deep/er"] {
        let work_dir = scratch.work_dir(directory);
        let repository = Repository::find(&work_dir, &scratch.url(), None)
            .await
            .unwrap()
            .unwrap();
        let edit = new_file(&repository, "x", directory.as_bytes()).await;
        assert_eq!(repository.fetch_branch("main").await.unwrap(), tip);
        commit(&repository, &tip, &[edit]).await;
    }
}

#[tokio::test]
async fn other_repositories_are_not_mistaken() {
    let scratch = Scratch::new();
    let work_dir = scratch.work_dir("clone");
    let elsewhere = "https://git.invalid/acme/fleet";
    assert!(
        Repository::find(&work_dir, elsewhere, None)
            .await
            .unwrap()
            .is_none()
    );
    let nowhere = scratch.work_dir(".");
    assert!(
        Repository::find(&nowhere, elsewhere, None)
            .await
            .unwrap()
            .is_none()
    );
    git(
        &scratch.path("clone"),
        &["remote", "add", "up", "git@git.invalid:acme/fleet.git"],
    );
    let found = Repository::find(&work_dir, elsewhere, None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(found.remote(), "up");
    let named = Repository::find(&work_dir, elsewhere, Some("origin"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(named.remote(), "origin");
    let error = Repository::find(&work_dir, elsewhere, Some("none"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("origin, up"), "{error}");
    let error = Repository::cached(&work_dir, "ext::sh -c true")
        .await
        .unwrap_err();
    assert!(matches!(error, GitError::Address(_)));
}

#[tokio::test]
async fn shallow_and_partial_clones_get_a_private_copy() {
    let scratch = Scratch::new();
    let first = scratch.commit("clone", &[("x", Some("1"))]);
    let second = scratch.commit("clone", &[("x", Some("2"))]);
    for (name, option) in [("shallow", "--depth=1"), ("partial", "--filter=blob:none")] {
        let clone = scratch.clone_as(name, &[option]);
        let before = state_of(&clone);
        let work_dir = scratch.work_dir(name);
        let repository = Repository::find(&work_dir, &scratch.url(), None)
            .await
            .unwrap()
            .unwrap();
        assert!(!repository.is_clone());
        assert!(repository.note().unwrap().contains(name));
        assert_eq!(repository.fetch_branch("main").await.unwrap(), second);
        let old = repository.file(&first, "x").await.unwrap().unwrap();
        let edits = [Edit {
            path: "x".into(),
            entry: Some(old),
        }];
        let made = commit(&repository, &second, &edits).await;
        // The identity is the one set in the clone.
        assert_eq!(
            repository.commit_info(&made).await.unwrap().author,
            "Ana Diaz"
        );
        assert_eq!(
            repository
                .try_push(&made, to("main", &second))
                .await
                .unwrap(),
            Pushed::Done
        );
        assert_eq!(before, state_of(&clone), "{name}");
        let rights = std::fs::metadata(repository.place().parent().unwrap())
            .unwrap()
            .permissions();
        assert_eq!(rights.mode() & 0o777, 0o700);
    }
}

#[tokio::test]
async fn the_slower_of_two_pushers_is_told_the_new_tip() {
    let scratch = Scratch::new();
    let tip = scratch.commit("clone", &[("x", Some("1"))]);
    scratch.clone_as("other", &[]);
    let repository = scratch.repository().await;
    assert_eq!(repository.fetch_branch("main").await.unwrap(), tip);
    let edit = new_file(&repository, "y", b"mine").await;
    let made = commit(&repository, &tip, &[edit]).await;
    let newer = scratch.commit("other", &[("x", Some("2"))]);
    let raced = Pushed::Raced(Some(newer.clone()));
    assert_eq!(
        repository.try_push(&made, to("main", &tip)).await.unwrap(),
        raced
    );
    assert_eq!(
        repository.push(&made, to("main", &tip)).await.unwrap(),
        raced
    );
    assert_eq!(repository.tip("main").await.unwrap().as_ref(), Some(&newer));

    // What does not follow the tip is not even tried.
    let fetched = repository.fetch_branch("main").await.unwrap();
    let error = repository
        .push(&made, to("main", &fetched))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("would replace"), "{error}");

    // A branch that must not exist, but does.
    let target = Target {
        branch: "main",
        expected: None,
    };
    assert_eq!(repository.push(&made, target).await.unwrap(), raced);
    let target = Target {
        branch: "gitops/new",
        expected: None,
    };
    assert_eq!(repository.push(&made, target).await.unwrap(), Pushed::Done);
}

#[tokio::test]
async fn a_protected_branch_says_why() {
    let scratch = Scratch::new();
    let tip = scratch.commit("clone", &[("x", Some("1"))]);
    let hook = scratch.server().join("hooks/pre-receive");
    std::fs::create_dir_all(hook.parent().unwrap()).unwrap();
    std::fs::write(&hook, "#!/bin/sh\necho 'main needs a review' >&2\nexit 1\n").unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let repository = scratch.repository().await;
    let edit = new_file(&repository, "y", b"mine").await;
    let made = commit(&repository, &tip, &[edit]).await;
    let Pushed::Protected(reason) = repository.push(&made, to("main", &tip)).await.unwrap() else {
        panic!("the hook was not heard");
    };
    assert!(reason.contains("main needs a review"), "{reason}");
    assert_eq!(repository.tip("main").await.unwrap(), Some(tip));
}

#[tokio::test]
async fn a_server_that_is_gone_is_unreachable() {
    let scratch = Scratch::new();
    scratch.commit("clone", &[("x", Some("1"))]);
    let repository = scratch.repository().await;
    let missing = repository.fetch_branch("nope").await.unwrap_err();
    assert!(
        matches!(&missing, GitError::Missing(what) if what.contains("nope")),
        "{missing}"
    );
    let unknown = "1234567890123456789012345678901234567890";
    let missing = repository.fetch_commit(unknown).await.unwrap_err();
    assert!(matches!(missing, GitError::Missing(_)), "{missing}");
    std::fs::rename(scratch.server(), scratch.path("gone")).unwrap();
    let error = repository.fetch_branch("main").await.unwrap_err();
    assert!(
        matches!(
            error,
            GitError::Unreachable { .. } | GitError::Denied { .. }
        ),
        "{error:?}"
    );
}

#[tokio::test]
async fn commits_are_signed_when_the_person_signs() {
    let scratch = Scratch::new();
    let tip = scratch.commit("clone", &[("x", Some("1"))]);
    let signer = scratch.path("signer");
    let script = "#!/bin/sh\ncat >/dev/null\nprintf '\\n[GNUPG:] SIG_CREATED \\n' >&2\nprintf -- '-----BEGIN PGP SIGNATURE-----\\n\\nfake\\n-----END PGP SIGNATURE-----\\n'\n";
    std::fs::write(&signer, script).unwrap();
    std::fs::set_permissions(&signer, std::fs::Permissions::from_mode(0o755)).unwrap();
    let clone = scratch.path("clone");
    git(
        &clone,
        &["config", "gpg.program", &signer.to_string_lossy()],
    );
    git(&clone, &["config", "commit.gpgSign", "true"]);
    git(&clone, &["config", "user.signingKey", "ABCD"]);
    let repository = scratch.repository().await;
    let made = commit(&repository, &tip, &[]).await;
    let raw = git(&clone, &["cat-file", "commit", &made]);
    assert!(
        raw.contains("gpgsig -----BEGIN PGP SIGNATURE-----"),
        "{raw}"
    );

    git(&clone, &["config", "gpg.program", "/bin/false"]);
    let new = NewCommit {
        parents: &[tip],
        base: None,
        edits: &[],
        message: "x",
    };
    let error = repository.commit(&new).await.unwrap_err();
    assert!(error.to_string().contains("make the commit"), "{error}");
}
