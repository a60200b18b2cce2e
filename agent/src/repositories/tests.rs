//! Repositories followed over `file://`, made with the `git` command. Followers are numbers: nothing
//! here knows of Applications.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use gitops_git::{Credentials, DiskLimits, RepositoryAccess};
use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::Target;
use super::error::RepositoryError;
use super::followers::Change;
use super::identity::{Scope, ScopedAccess};
use super::manager::{Followed, ManagerConfig, RepositoryManager};
use super::repository::{Checkout, Repository, Shared};
use crate::metrics::Metrics;

mod background;

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

    fn scoped(&self) -> ScopedAccess {
        ScopedAccess::new(Scope::Anonymous, self.access())
    }

    fn repository(&self) -> (Repository, Arc<Metrics>) {
        let metrics = Arc::new(Metrics::new());
        let shared = Shared {
            metrics: metrics.clone(),
            slots: Arc::default(),
            no_room: Arc::default(),
        };
        let repository = Repository::new(self.access(), self.path("mirror"), shared);
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

fn config(directory: PathBuf) -> ManagerConfig {
    ManagerConfig {
        directory,
        interval: Duration::from_millis(20),
        metrics: Arc::new(Metrics::new()),
        slots: Arc::default(),
        cache: None,
    }
}

fn manager(origin: &Origin) -> (RepositoryManager<u32>, UnboundedReceiver<BTreeSet<u32>>) {
    manager_of(config(origin.path("mirrors")))
}

/// A manager, and whom it wakes.
fn manager_of(config: ManagerConfig) -> (RepositoryManager<u32>, UnboundedReceiver<BTreeSet<u32>>) {
    let (sender, receiver) = unbounded_channel();
    let manager = RepositoryManager::new(config, Arc::new(move |keys| drop(sender.send(keys))));
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
            access: origin.scoped(),
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
    let access = origin.scoped();
    let release = target("release");
    let checkout = manager
        .checkout(&access, &release, false, TEST_TIMEOUT)
        .await;
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
        let access = origin.scoped();
        let target = target(revision);
        let checkout = manager
            .checkout(&access, &target, false, TEST_TIMEOUT)
            .await;
        let items = checkout.unwrap().tree().list("clusters").unwrap();
        items.into_iter().map(|item| item.name).collect()
    };
    assert_eq!(names("main").await, ["east", "west"]);
    assert_eq!(names(&first).await, ["east"]);
}

#[tokio::test]
async fn another_reader_is_shown_nothing_before_the_server_has_shown_it() {
    let origin = Origin::new();
    let first = origin.commit("a.yaml", "a: 1\n");
    let (repository, metrics) = origin.repository();
    let main = target("main");
    repository.checkout(&main, false, None).await.unwrap();
    let known = async || repository.known_checkout(&main, None).await;
    assert_eq!(known().await.unwrap().unwrap().revision, first);
    let asked = requests(&metrics);
    // The way to the server: what is known stays known, and the server is asked before it is used.
    let trusting = RepositoryAccess {
        ca_pem: Some("ca".into()),
        ..origin.access()
    };
    repository.set_access(&trusting);
    assert!(known().await.is_none());
    std::fs::rename(origin.path("repo.git"), origin.path("away.git")).unwrap();
    let stale = repository.checkout(&main, false, None).await.unwrap();
    assert_eq!(stale.revision, first);
    assert!(stale.stale.is_some());
    // Who asks: nothing is shown to somebody the server has not seen.
    let rotated = RepositoryAccess {
        credentials: Credentials::Bearer("other".into()),
        ..trusting
    };
    repository.set_access(&rotated);
    assert!(repository.checkout(&main, false, None).await.is_err());
    std::fs::rename(origin.path("away.git"), origin.path("repo.git")).unwrap();
    let again = repository.checkout(&main, true, None).await.unwrap();
    assert_eq!(again.revision, first);
    let fetched = |text: &str| {
        text.lines()
            .any(|line| line.contains("fetched") && line.ends_with(" 1"))
    };
    assert!(fetched(&metrics.text().unwrap()), "fetched once");
    assert!(requests(&metrics) > asked);
}

#[tokio::test]
async fn a_token_rotated_twenty_times_leaves_one_directory() {
    let origin = Origin::new();
    let first = origin.commit("a.yaml", "a: 1\n");
    let (manager, _woken) = manager(&origin);
    for number in 0..20 {
        let scope = Scope::Secret {
            name: "repo".into(),
            credentials: None,
            project: String::new(),
        };
        let access = RepositoryAccess {
            credentials: Credentials::Bearer(format!("token-{number}")),
            ..origin.access()
        };
        let access = ScopedAccess::new(scope, access);
        let main = target("main");
        let checkout = manager.checkout(&access, &main, false, TEST_TIMEOUT).await;
        assert_eq!(checkout.unwrap().revision, first);
    }
    let directories = std::fs::read_dir(origin.path("mirrors")).unwrap().count();
    assert_eq!(directories, 1);
}

#[tokio::test]
async fn mirrors_nobody_follows_are_removed_and_others_stay() {
    let origin = Origin::new();
    let first = origin.commit("a.yaml", "a: 1\n");
    let (manager, _woken) = manager(&origin);
    let (main, access) = (target("main"), origin.scoped());
    let followed = Followed {
        access: access.clone(),
        target: main.clone(),
    };
    manager.follow(&1, [followed]);
    let checkout = manager.checkout(&access, &main, false, TEST_TIMEOUT).await;
    assert_eq!(checkout.unwrap().revision, first);
    let mirrors = origin.path("mirrors");
    std::fs::create_dir_all(mirrors.join("0123456789abcdef/g1")).unwrap();
    std::fs::create_dir_all(mirrors.join("removed-earlier")).unwrap();
    let names = || std::fs::read_dir(&mirrors).unwrap().count();
    let now = Timestamp::now();
    manager.sweep_once(now);
    assert_eq!(names(), 1, "what this version did not make");
    manager.sweep_once(now + Duration::from_hours(100));
    assert_eq!(names(), 1, "followed");
    manager.follow(&1, []);
    // The poll may still be at work with it.
    while manager.polled() > 0 || manager.in_use() > 0 {
        tokio::task::yield_now().await;
    }
    manager.sweep_once(Timestamp::now());
    assert_eq!(names(), 1, "left just now");
    manager.sweep_once(Timestamp::now() + Duration::from_hours(2));
    assert_eq!(names(), 0);
    let again = manager.checkout(&access, &main, false, TEST_TIMEOUT).await;
    assert_eq!(again.unwrap().revision, first);
}

#[tokio::test]
async fn a_repository_that_lacks_objects_is_not_cloned_at_each_look() {
    let origin = Origin::new();
    let first = origin.commit("apps/a.yaml", "a: 1\n");
    let (repository, metrics) = origin.repository();
    let main = target("main");
    let checkout = repository.checkout(&main, false, None).await.unwrap();
    let fetches = || {
        let text = metrics.text().unwrap();
        let line = text
            .lines()
            .find(|line| line.contains("\"fetched\""))
            .map(str::to_owned);
        line.and_then(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .unwrap_or(0)
    };
    assert_eq!(fetches(), 1);
    let damage = |checkout: &Checkout| checkout.mirror.report_missing("apps/a.yaml is missing");
    damage(&checkout);
    let again = repository.checkout(&main, false, None).await.unwrap();
    assert_eq!((again.revision.as_str(), fetches()), (first.as_str(), 2));
    damage(&again);
    for _ in 0..3 {
        let error = repository.checkout(&main, true, None).await.err().unwrap();
        assert!(error.to_string().contains("is missing"), "{error}");
    }
    assert_eq!(fetches(), 2, "the clone did not help; the next one waits");
}

#[tokio::test]
async fn a_pack_that_was_too_large_is_not_fetched_by_another_way_or_at_each_look() {
    let origin = Origin::new();
    origin.commit("a.yaml", "a: 1\n");
    let (repository, metrics) = origin.repository();
    repository.set_access(&RepositoryAccess {
        disk: DiskLimits {
            repository: 10,
            cache: None,
        },
        ..origin.access()
    });
    let main = target("main");
    for _ in 0..3 {
        let error = repository.checkout(&main, true, None).await.err().unwrap();
        assert!(
            error.to_string().contains("--max-repository-size"),
            "{error}"
        );
    }
    let text = metrics.text().unwrap();
    let failed = text.lines().find(|line| line.contains("\"failed\""));
    assert!(failed.unwrap().ends_with(" 1"), "{text}");
    // Another limit is another question.
    repository.set_access(&origin.access());
    repository.checkout(&main, false, None).await.unwrap();
}
