//! Repositories followed over `file://`, made with the `git` command. Followers are numbers: nothing
//! here knows of Applications.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use gitops_git::{Credentials, RepositoryAccess};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Target;
use super::error::RepositoryError;
use super::followers::Change;
use super::manager::{Followed, RepositoryManager, id};
use super::repository::Repository;
use crate::metrics::Metrics;

/// Longest wait for anything.
const TEST_TIMEOUT: Duration = Duration::from_secs(30);

/// A bare repository with a work tree, and a place for mirrors.
struct Origin(tempfile::TempDir);

impl Origin {
    fn new() -> Self {
        let origin = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir(origin.path("repo.git")).unwrap();
        std::fs::create_dir(origin.path("work")).unwrap();
        origin.git(&["init", "--quiet", "--bare", "--initial-branch=main"]);
        origin
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_DIR", self.path("repo.git"))
            .current_dir(self.path("work"));
        if arguments[0] != "init" {
            command.env("GIT_WORK_TREE", self.path("work"));
        }
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ada Lovelace");
            command.env(format!("GIT_{role}_EMAIL"), "ada@example.com");
        }
        let output = command.args(arguments).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "git {arguments:?}: {errors}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits a file to the branch that is checked out, and says the commit's id.
    fn commit(&self, path: &str, text: &str) -> String {
        let file = self.path("work").join(path);
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, text).unwrap();
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "-m", "change"]);
        self.git(&["rev-parse", "HEAD"])
    }

    fn access(&self) -> RepositoryAccess {
        RepositoryAccess {
            url: format!("file://{}", self.path("repo.git").display()),
            allow_file: true,
            ..RepositoryAccess::default()
        }
    }

    fn repository(&self) -> (Repository, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let repository = Repository::new(self.access(), self.path("mirror"), metrics.clone());
        (repository, metrics)
    }
}

fn target(revision: &str) -> Target {
    Target {
        revision: revision.into(),
        tag_prefix: String::new(),
    }
}

/// Requests to Git servers so far.
fn requests(metrics: &Metrics) -> u64 {
    let text = metrics.text().unwrap();
    let counts = text
        .lines()
        .filter(|line| line.contains("git_requests_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok());
    counts.sum()
}

#[tokio::test]
async fn a_poll_that_finds_the_same_refs_brings_nothing() {
    let origin = Origin::new();
    let first = origin.commit("apps/a.yaml", "a: 1\n");
    let (repository, metrics) = origin.repository();
    let checkout = repository.checkout(&target("main"), false, None).await;
    assert_eq!(checkout.unwrap().revision, first);
    assert_eq!(requests(&metrics), 2, "listed and fetched");
    for _ in 0..3 {
        assert!(matches!(repository.poll().await, Change::None));
    }
    let second = origin.commit("apps/a.yaml", "a: 2\n");
    let Change::Refs { before, after, .. } = repository.poll().await else {
        panic!("main moved");
    };
    assert_eq!(before.by_name["refs/heads/main"].sha, first);
    assert_eq!(after.by_name["refs/heads/main"].sha, second);
    assert!(matches!(repository.poll().await, Change::None));
}

#[tokio::test]
async fn who_refreshes_learns_alone_and_the_others_at_the_next_poll() {
    let origin = Origin::new();
    origin.commit("a.yaml", "a: 1\n");
    let (repository, _) = origin.repository();
    let main = target("main");
    repository.checkout(&main, false, None).await.unwrap();
    let second = origin.commit("a.yaml", "a: 2\n");
    let refreshed = repository.checkout(&main, true, None).await.unwrap();
    assert_eq!(refreshed.revision, second);
    assert!(matches!(repository.poll().await, Change::Refs { .. }));
    assert!(matches!(repository.poll().await, Change::None));
}

#[tokio::test]
async fn a_server_that_goes_away_and_comes_back_concerns_everybody_once() {
    let origin = Origin::new();
    let first = origin.commit("a.yaml", "a: 1\n");
    let (repository, _) = origin.repository();
    let main = target("main");
    repository.checkout(&main, false, None).await.unwrap();
    std::fs::rename(origin.path("repo.git"), origin.path("away.git")).unwrap();
    assert!(matches!(repository.poll().await, Change::Everything));
    assert!(matches!(repository.poll().await, Change::None));
    let stale = repository.checkout(&main, false, None).await.unwrap();
    assert_eq!(stale.revision, first);
    assert!(stale.stale.is_some());
    // Who asked for a refresh sees that it is back; the others still have to be told.
    std::fs::rename(origin.path("away.git"), origin.path("repo.git")).unwrap();
    let fresh = repository.checkout(&main, true, None).await.unwrap();
    assert!(fresh.stale.is_none());
    assert!(matches!(repository.poll().await, Change::Everything));
    assert!(matches!(repository.poll().await, Change::None));
}

#[tokio::test]
async fn what_is_not_there_is_not_asked_for_again_until_something_changed() {
    let origin = Origin::new();
    origin.commit("a.yaml", "a: 1\n");
    let (repository, metrics) = origin.repository();
    let absent = target("0123456789abcdef0123456789abcdef01234567");
    let interval = Some(Duration::from_mins(3));
    let error = repository.checkout(&absent, false, interval).await.err();
    let asked = requests(&metrics);
    for _ in 0..3 {
        let again = repository.checkout(&absent, false, interval).await.err();
        assert_eq!(
            again.as_ref().map(RepositoryError::to_string),
            error.as_ref().map(RepositoryError::to_string)
        );
    }
    assert_eq!(requests(&metrics), asked);
    repository.checkout(&absent, true, interval).await.err();
    assert!(requests(&metrics) > asked, "a refresh asks");
    // Any push may have brought it.
    origin.commit("a.yaml", "a: 2\n");
    let Change::Refs { failed, .. } = repository.poll().await else {
        panic!("main moved");
    };
    assert_eq!(failed, BTreeSet::from([absent.clone()]));
    let asked = requests(&metrics);
    repository.checkout(&absent, false, interval).await.err();
    assert!(requests(&metrics) > asked, "other refs: asked again");
}

fn manager(origin: &Origin) -> (RepositoryManager<u32>, UnboundedReceiver<BTreeSet<u32>>) {
    let (sender, receiver) = unbounded_channel();
    let manager = RepositoryManager::new(
        origin.path("mirrors"),
        Duration::from_millis(20),
        Arc::new(move |keys| drop(sender.send(keys))),
        Arc::new(Metrics::new()),
    );
    (manager, receiver)
}

async fn next(woken: &mut UnboundedReceiver<BTreeSet<u32>>) -> BTreeSet<u32> {
    let next = tokio::time::timeout(TEST_TIMEOUT, woken.recv());
    next.await.expect("nobody was woken").unwrap()
}

#[tokio::test]
async fn followers_of_what_moved_are_woken_and_no_others() {
    let origin = Origin::new();
    let first = origin.commit("a.yaml", "a: 1\n");
    origin.git(&["branch", "release"]);
    let (manager, mut woken) = manager(&origin);
    let follow = |key: u32, revision: &str| {
        let followed = Followed {
            access: origin.access(),
            target: target(revision),
        };
        manager.follow(&key, [followed]);
    };
    follow(1, "main");
    follow(2, "release");
    // Nobody asked before the first poll: it is news to everybody.
    assert_eq!(next(&mut woken).await, BTreeSet::from([1, 2]));
    origin.commit("a.yaml", "a: 2\n");
    assert_eq!(next(&mut woken).await, BTreeSet::from([1]));
    follow(1, "release");
    let third = origin.commit("a.yaml", "a: 3\n");
    origin.git(&["branch", "--force", "release"]);
    let mut keys = BTreeSet::new();
    while keys.len() < 2 {
        keys.extend(next(&mut woken).await);
    }
    assert_eq!(keys, BTreeSet::from([1, 2]));
    let access = origin.access();
    let checkout = manager.checkout(&access, &target("release"), false).await;
    assert_eq!(checkout.unwrap().revision, third);
    assert_ne!(first, third);
    assert_eq!(manager.polled(), 1);
    manager.follow(&1, []);
    assert_eq!(manager.polled(), 1);
    manager.follow(&2, []);
    assert_eq!(manager.polled(), 0);
}

#[tokio::test]
async fn a_tree_is_listed_at_a_revision_without_following_anything() {
    let origin = Origin::new();
    let first = origin.commit("clusters/east/app.yaml", "a: 1\n");
    origin.commit("clusters/west/app.yaml", "a: 1\n");
    let (manager, _woken) = manager(&origin);
    let names = async |revision: &str| -> Vec<String> {
        let access = origin.access();
        let checkout = manager.checkout(&access, &target(revision), false).await;
        let items = checkout.unwrap().tree().list("clusters").unwrap();
        items.into_iter().map(|item| item.name).collect()
    };
    assert_eq!(names("main").await, ["east", "west"]);
    assert_eq!(names(&first).await, ["east"]);
}

#[test]
fn who_asks_with_something_else_sees_another_repository() {
    let plain = RepositoryAccess {
        url: "https://host/x".into(),
        ..RepositoryAccess::default()
    };
    let certificate = |key: &str| gitops_git::ClientCertificate {
        certificate_pem: "certificate".into(),
        key_pem: key.into(),
    };
    let proxy = |no_proxy: &str| gitops_git::ProxySettings {
        url: "http://proxy:3128".into(),
        no_proxy: no_proxy.into(),
    };
    let others = [
        RepositoryAccess {
            credentials: Credentials::Bearer("token".into()),
            ..plain.clone()
        },
        RepositoryAccess {
            client_certificate: Some(certificate("one")),
            ..plain.clone()
        },
        RepositoryAccess {
            client_certificate: Some(certificate("two")),
            ..plain.clone()
        },
        RepositoryAccess {
            proxy: Some(proxy("")),
            ..plain.clone()
        },
        RepositoryAccess {
            proxy: Some(proxy("host")),
            ..plain.clone()
        },
        RepositoryAccess {
            depth: Some(1),
            ..plain.clone()
        },
    ];
    let ids: BTreeSet<_> = others.iter().chain([&plain]).map(id).collect();
    assert_eq!(ids.len(), others.len() + 1);
}
