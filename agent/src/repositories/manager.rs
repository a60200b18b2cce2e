//! One mirror and one poll per repository, however many follow it.
//!
//! A repository is listed at its interval (and when a refresh is asked for); commits are fetched
//! only when a ref somebody follows has moved. While a server is away, the commits seen last stay in
//! use, so that drift is still repaired. Never knows what its followers are: they are keys, and are
//! handed back when there is something to look at.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use gitops_git::{CacheLimit, size_below};
use gitops_transport::HostSlots;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::errands::{Answer, Errands, NoAnswer};
use super::error::{Fetching, RepositoryError};
use super::followers::{Change, Followers, Target, resolve};
use super::identity::{Id, ScopedAccess};
use super::repository::{Checkout, Repository, Shared};
use super::sweep::{Usage, is_removable};
use crate::metrics::Metrics;

/// Called with the followers whose repository changed, failed or came back.
pub(crate) type OnChange<K> = Arc<dyn Fn(BTreeSet<K>) + Send + Sync>;

/// What a follower needs of one repository.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// The repository.
    pub(crate) access: ScopedAccess,
    /// What of it.
    pub(crate) target: Target,
}

/// All repositories in use, and who follows them. `K` names a follower.
pub(crate) struct RepositoryManager<K>(Arc<Inner<K>>);

impl<K> Clone for RepositoryManager<K> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

struct Inner<K> {
    directory: PathBuf,
    /// `None`: never.
    interval: watch::Sender<Option<Duration>>,
    on_change: OnChange<K>,
    shared: Shared,
    registry: Mutex<Registry<K>>,
    /// What servers are being asked for.
    errands: Errands<Question, Result<Checkout, RepositoryError>>,
    started: Timestamp,
    cache: Option<CacheLimit>,
}

/// What somebody wants of a repository.
#[derive(Clone, PartialEq, Eq)]
struct Question {
    id: Id,
    target: Target,
    refresh: bool,
}

/// Where mirrors are kept and what they share.
pub(crate) struct ManagerConfig {
    /// Mirrors are kept below.
    pub(crate) directory: PathBuf,
    /// How often repositories are listed.
    pub(crate) interval: Duration,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// Turns to talk to servers.
    pub(crate) slots: Arc<HostSlots>,
    /// How much room everything may take.
    pub(crate) cache: Option<CacheLimit>,
}

/// Time between two looks for mirrors nobody follows.
const SWEEP_INTERVAL: Duration = Duration::from_hours(1);
/// Least time between two looks that a full cache asks for.
const SWEEP_PAUSE: Duration = Duration::from_mins(1);

struct Registry<K> {
    entries: HashMap<Id, Entry<K>>,
    /// When repositories were left that are not in use.
    left: HashMap<Id, Timestamp>,
    /// The repositories each follower follows.
    followed: HashMap<K, BTreeSet<Id>>,
}

struct Entry<K> {
    repository: Arc<Repository>,
    followers: Followers<K>,
    poll: Option<Poll>,
}

/// The task that polls a repository; ends with its entry.
struct Poll(AbortHandle);

impl Drop for Poll {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<K> Entry<K>
where
    K: Clone + Eq + Hash + Ord,
{
    /// Whether anybody follows it or reads from it now: two mirrors of one directory must not be.
    fn is_in_use(&self) -> bool {
        !self.followers.is_empty() || Arc::strong_count(&self.repository) > 1
    }
}

/// So often who came when a server was being asked already asks it once more.
const MAX_ROUNDS: u32 = 4;

/// Begins the names of directories that are being removed.
const REMOVED: &str = "removed-";

impl<K> Registry<K>
where
    K: Clone + Eq + Hash + Ord,
{
    /// Forgets the repositories nobody uses, and remembers since when.
    fn let_go(&mut self) {
        let now = Timestamp::now();
        let left = &mut self.left;
        self.entries.retain(|id, entry| {
            let is_in_use = entry.is_in_use();
            if !is_in_use {
                left.insert(id.clone(), now);
            }
            is_in_use
        });
    }
}

impl<K> RepositoryManager<K>
where
    K: Clone + Eq + Hash + Ord + Send + Sync + 'static,
{
    /// Knows no repository yet.
    pub(crate) fn new(config: ManagerConfig, on_change: OnChange<K>) -> Self {
        Self(Arc::new(Inner {
            directory: config.directory,
            interval: watch::Sender::new(Some(config.interval)),
            on_change,
            shared: Shared {
                metrics: config.metrics,
                slots: config.slots,
                no_room: Arc::default(),
            },
            registry: Mutex::new(Registry {
                entries: HashMap::new(),
                left: HashMap::new(),
                followed: HashMap::new(),
            }),
            errands: Errands::default(),
            started: Timestamp::now(),
            cache: config.cache,
        }))
    }

    /// Lists repositories at another interval from now on; `None` for never.
    pub(crate) fn set_interval(&self, interval: Option<Duration>) {
        self.0
            .interval
            .send_if_modified(|current| std::mem::replace(current, interval) != interval);
    }

    /// How many repositories are polled.
    #[cfg(test)]
    pub(super) fn polled(&self) -> usize {
        let registry = self.0.registry.lock();
        let polled = |entry: &&Entry<K>| entry.poll.is_some();
        registry.entries.values().filter(polled).count()
    }

    /// How many repositories are in use.
    #[cfg(test)]
    pub(super) fn in_use(&self) -> usize {
        let registry = self.0.registry.lock();
        let in_use = |entry: &&Entry<K>| entry.is_in_use();
        registry.entries.values().filter(in_use).count()
    }

    /// How often repositories are listed now; `None` for never.
    pub(crate) fn interval(&self) -> Option<Duration> {
        *self.0.interval.borrow()
    }

    /// Sets which repositories and targets `key` follows from now on, nothing for none. Repositories
    /// nobody follows are not polled.
    pub(crate) fn follow(&self, key: &K, followed: impl IntoIterator<Item = Followed>) {
        let mut wanted: BTreeMap<Id, (ScopedAccess, BTreeSet<Target>)> = BTreeMap::new();
        for Followed { access, target } in followed {
            wanted
                .entry(access.id())
                .or_insert_with(|| (access, BTreeSet::new()))
                .1
                .insert(target);
        }
        let ids: BTreeSet<Id> = wanted.keys().cloned().collect();
        let mut registry = self.0.registry.lock();
        let before = if ids.is_empty() {
            registry.followed.remove(key)
        } else {
            registry.followed.insert(key.clone(), ids.clone())
        };
        for (id, (access, targets)) in wanted {
            let entry = self.entry(&mut registry, id.clone(), &access);
            entry.followers.set(key, targets);
            if entry.poll.is_none() {
                let repository = Arc::downgrade(&entry.repository);
                let list_failed = Arc::clone(&entry.repository.list_failed);
                let task = poll(self.clone(), id, repository, list_failed);
                entry.poll = Some(Poll(tokio::spawn(task).abort_handle()));
            }
        }
        let before = before.unwrap_or_default();
        let mut left = before.difference(&ids).peekable();
        if left.peek().is_none() {
            return;
        }
        for id in left {
            if let Some(entry) = registry.entries.get_mut(id) {
                entry.followers.remove(key);
                if entry.followers.is_empty() {
                    entry.poll = None;
                }
            }
        }
        registry.let_go();
    }

    /// The commit a target means now, fetched; for anybody, whether or not it is followed.
    ///
    /// Asks the server only when it was never asked, when `refresh` says so, or for a commit that is
    /// not there yet. What failed is asked for again when its next attempt is due
    /// ([`gitops_core::source::FailedAttempts`]), and fails with the same error until then.
    ///
    /// What is known is told at once. Else the server is asked in the background, and waited for until
    /// `patience` after it was first asked; who is told [`RepositoryError::Fetching`] asks again
    /// later. Followers of the target are woken when it ends.
    pub(crate) async fn checkout(
        &self,
        access: &ScopedAccess,
        target: &Target,
        refresh: bool,
        patience: Duration,
    ) -> Result<Checkout, RepositoryError> {
        let id = access.id();
        let repository = {
            let mut registry = self.0.registry.lock();
            let entry = self.entry(&mut registry, id.clone(), access);
            Arc::clone(&entry.repository)
        };
        let interval = self.interval();
        let (mut refresh, mut round) = (refresh, 1);
        loop {
            if !refresh && let Some(known) = repository.known_checkout(target, interval).await {
                return known;
            }
            let work = {
                let (manager, id) = (self.clone(), id.clone());
                let (repository, target) = (Arc::clone(&repository), target.clone());
                Box::pin(async move {
                    let found = repository.checkout(&target, refresh, interval).await;
                    if refresh {
                        manager.tell(&id, &repository.news());
                    }
                    found
                })
            };
            let woken = {
                let (manager, id, target) = (self.clone(), id.clone(), target.clone());
                move || manager.wake(&id, &target)
            };
            let question = Question {
                id: id.clone(),
                target: target.clone(),
                refresh,
            };
            let asked = self.0.errands.ask(question, patience, work, woken);
            return match Box::pin(asked).await {
                // The server was asked. What it said then is known; the refs may be others by now.
                Ok(Answer::Kept(_)) => {
                    refresh = false;
                    continue;
                }
                // So it may have been before whoever asks now pushed a commit.
                Ok(Answer::Joined(_)) if round < MAX_ROUNDS => {
                    refresh &= round == 1;
                    round += 1;
                    continue;
                }
                Ok(Answer::Now(found) | Answer::Joined(found)) => found,
                Err(NoAnswer::Yet(since)) => {
                    let url = repository.url().to_owned();
                    Err(RepositoryError::Fetching(Fetching { url, since }))
                }
                Err(NoAnswer::Interrupted(reason)) => Err(RepositoryError::Interrupted(reason)),
            };
        }
    }

    /// Wakes the followers of a target.
    fn wake(&self, id: &str, target: &Target) {
        let followers = {
            let registry = self.0.registry.lock();
            let entry = registry.entries.get(id);
            entry.map(|entry| entry.followers.of(target))
        };
        if let Some(followers) = followers.filter(|followers| !followers.is_empty()) {
            (self.0.on_change)(followers);
        }
    }

    /// The entry of a repository, with this access to it.
    fn entry<'a>(
        &self,
        registry: &'a mut Registry<K>,
        id: Id,
        access: &ScopedAccess,
    ) -> &'a mut Entry<K> {
        if !registry.entries.contains_key(&id) {
            registry.let_go();
        }
        registry.left.remove(&id);
        let entry = registry.entries.entry(id).or_insert_with_key(|id| Entry {
            repository: Arc::new(Repository::new(
                access.access.clone(),
                self.0.directory.join(id),
                self.0.shared.clone(),
            )),
            followers: Followers::default(),
            poll: None,
        });
        entry.repository.set_access(&access.access);
        entry
    }

    /// Removes mirrors nobody follows: at once what no agent of this version made, else after an hour,
    /// and earlier when there is no room.
    pub(crate) async fn sweep(self) {
        loop {
            let manager = self.clone();
            let swept = tokio::task::spawn_blocking(move || manager.sweep_once(Timestamp::now()));
            if let Err(error) = swept.await {
                tracing::warn!(%error, "cannot look for mirrors nobody follows");
            }
            tokio::time::sleep(SWEEP_PAUSE).await;
            tokio::select! {
                () = tokio::time::sleep(SWEEP_INTERVAL) => {}
                () = self.0.shared.no_room.notified() => {}
            }
        }
    }

    /// Removes what is due at `now`. Blocks.
    pub(super) fn sweep_once(&self, now: Timestamp) {
        let is_full = self.0.cache.as_ref().is_some_and(|cache| {
            // Before the last tenth is used up.
            size_below(&cache.directory) > cache.bytes / 10 * 9
        });
        let names: BTreeSet<String> = std::fs::read_dir(&self.0.directory)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        // Of those that never came to a directory nothing has to be remembered.
        let left = |id: &Id, _: &mut Timestamp| names.contains(id);
        self.0.registry.lock().left.retain(left);
        for name in names {
            let Some(path) = self.take_away(&name, is_full, now) else {
                continue;
            };
            match std::fs::remove_dir_all(&path) {
                Ok(()) => tracing::info!(mirror = name, "removed a mirror nobody follows"),
                Err(error) => {
                    tracing::warn!(mirror = name, %error, "cannot remove a mirror nobody follows");
                }
            }
        }
    }

    /// Gives a directory that goes another name, under which nobody finds it. Under the lock, so that
    /// nobody begins to use it meanwhile.
    fn take_away(&self, name: &str, is_full: bool, now: Timestamp) -> Option<PathBuf> {
        let mut registry = self.0.registry.lock();
        registry.let_go();
        if registry.entries.contains_key(name) {
            return None;
        }
        let usage = Usage {
            started: self.0.started,
            left: std::mem::take(&mut registry.left),
            is_full,
        };
        let removable = is_removable(name, &usage, now);
        registry.left = usage.left;
        if !removable {
            return None;
        }
        registry.left.remove(name);
        let path = self.0.directory.join(name);
        let aside = self.0.directory.join(format!("{REMOVED}{name}"));
        if name.starts_with(REMOVED) {
            return Some(path);
        }
        std::fs::rename(&path, &aside).is_ok().then_some(aside)
    }

    /// Lists a repository once and wakes whom its news concern.
    async fn poll_once(&self, id: &str, repository: &Repository) {
        let change = repository.poll().await;
        self.tell(id, &change);
    }

    /// Wakes the followers whom a change concerns.
    fn tell(&self, id: &str, change: &Change) {
        let affected = {
            let registry = self.0.registry.lock();
            let Some(entry) = registry.entries.get(id) else {
                return;
            };
            entry.followers.affected(change, resolve)
        };
        if !affected.is_empty() {
            (self.0.on_change)(affected);
        }
    }
}

/// What ends a pause between two polls.
enum Wake {
    /// Its end.
    Due,
    /// Somebody else could not list the refs.
    ListFailed,
    /// Another interval.
    Interval,
}

/// Polls a repository as long as it is in use.
async fn poll<K>(
    manager: RepositoryManager<K>,
    id: Id,
    repository: Weak<Repository>,
    list_failed: Arc<Notify>,
) where
    K: Clone + Eq + Hash + Ord + Send + Sync + 'static,
{
    // Repositories are spread over the interval by their identity, so that they do not all ask at
    // the same moment.
    let spread = u32::from_str_radix(id.get(..4).unwrap_or("0"), 16).unwrap_or(0);
    let spread = f64::from(spread) / 65536.0;
    let mut interval = manager.0.interval.subscribe();
    let mut pause = (*interval.borrow_and_update()).map(|pause| pause.mul_f64(1.0 + spread / 4.0));
    loop {
        let due = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        let wake = tokio::select! {
            () = due => Wake::Due,
            () = list_failed.notified() => Wake::ListFailed,
            changed = interval.changed() => match changed {
                Ok(()) => Wake::Interval,
                Err(_) => return,
            },
        };
        let Some(repository) = repository.upgrade() else {
            return;
        };
        if matches!(wake, Wake::Due) {
            manager.poll_once(&id, &repository).await;
        }
        let current = *interval.borrow_and_update();
        pause = match (wake, current) {
            (Wake::Interval, Some(pause)) => Some(pause.mul_f64(spread)),
            _ => repository.poll_pause(current),
        };
    }
}
