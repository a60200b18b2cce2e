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

use gitops_core::manifest::digest;
use gitops_git::{Credentials, RepositoryAccess};
use parking_lot::Mutex;
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::error::RepositoryError;
use super::followers::{Followers, Target, resolve};
use super::repository::{Checkout, Repository};
use crate::metrics::Metrics;

/// Called with the followers whose repository changed, failed or came back.
pub(crate) type OnChange<K> = Arc<dyn Fn(BTreeSet<K>) + Send + Sync>;

/// What a follower needs of one repository.
#[derive(Clone, Debug)]
pub(crate) struct Followed {
    /// The repository.
    pub(crate) access: RepositoryAccess,
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
    metrics: Arc<Metrics>,
    registry: Mutex<Registry<K>>,
}

/// Identity of a repository: its address together with who asks, so that nobody reads through
/// somebody else's credentials.
pub(super) type Id = String;

struct Registry<K> {
    entries: HashMap<Id, Entry<K>>,
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

impl<K> RepositoryManager<K>
where
    K: Clone + Eq + Hash + Ord + Send + Sync + 'static,
{
    /// Mirrors are kept below `directory`; repositories are listed every `interval`.
    pub(crate) fn new(
        directory: PathBuf,
        interval: Duration,
        on_change: OnChange<K>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self(Arc::new(Inner {
            directory,
            interval: watch::Sender::new(Some(interval)),
            on_change,
            metrics,
            registry: Mutex::new(Registry {
                entries: HashMap::new(),
                followed: HashMap::new(),
            }),
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

    /// How often repositories are listed now; `None` for never.
    pub(crate) fn interval(&self) -> Option<Duration> {
        *self.0.interval.borrow()
    }

    /// Sets which repositories and targets `key` follows from now on, nothing for none. Repositories
    /// nobody follows are not polled.
    pub(crate) fn follow(&self, key: &K, followed: impl IntoIterator<Item = Followed>) {
        let mut wanted: BTreeMap<Id, (RepositoryAccess, BTreeSet<Target>)> = BTreeMap::new();
        for Followed { access, target } in followed {
            wanted
                .entry(id(&access))
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
        registry.entries.retain(|_, entry| entry.is_in_use());
    }

    /// The commit a target means now, fetched; for anybody, whether or not it is followed.
    ///
    /// Asks the server only when it was never asked, when `refresh` says so, or for a commit that is
    /// not there yet. What failed is asked for again when its next attempt is due
    /// ([`gitops_core::source::FailedAttempts`]), and fails with the same error until then.
    pub(crate) async fn checkout(
        &self,
        access: &RepositoryAccess,
        target: &Target,
        refresh: bool,
    ) -> Result<Checkout, RepositoryError> {
        let repository = {
            let mut registry = self.0.registry.lock();
            let entry = self.entry(&mut registry, id(access), access);
            Arc::clone(&entry.repository)
        };
        repository.checkout(target, refresh, self.interval()).await
    }

    fn entry<'a>(
        &self,
        registry: &'a mut Registry<K>,
        id: Id,
        access: &RepositoryAccess,
    ) -> &'a mut Entry<K> {
        if !registry.entries.contains_key(&id) {
            registry.entries.retain(|_, entry| entry.is_in_use());
        }
        registry.entries.entry(id).or_insert_with_key(|id| Entry {
            repository: Arc::new(Repository::new(
                access.clone(),
                self.0.directory.join(id),
                Arc::clone(&self.0.metrics),
            )),
            followers: Followers::default(),
            poll: None,
        })
    }

    /// Lists a repository once and wakes whom its news concern.
    async fn poll_once(&self, id: &str, repository: &Repository) {
        let change = repository.poll().await;
        let affected = {
            let registry = self.0.registry.lock();
            let Some(entry) = registry.entries.get(id) else {
                return;
            };
            entry.followers.affected(&change, resolve)
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
            _ => repository.poll_pause(current).await,
        };
    }
}

/// Everything that decides what a server lets this client see.
pub(super) fn id(access: &RepositoryAccess) -> Id {
    let credentials = match &access.credentials {
        Credentials::None => vec![],
        Credentials::Basic { username, password } => vec![username.as_str(), password],
        Credentials::Bearer(token) => vec!["bearer", token],
        Credentials::SshKey(key) => vec!["ssh", key],
    };
    let mut parts = vec![access.url.as_bytes()];
    parts.extend(credentials.iter().map(|part| part.as_bytes()));
    for text in [&access.ca_pem, &access.known_hosts] {
        parts.push(text.as_deref().unwrap_or_default().as_bytes());
    }
    let proxy = access.proxy.as_ref();
    parts.push(proxy.map_or(&[], |proxy| proxy.url.as_bytes()));
    let flags = [
        u8::from(access.insecure_skip_tls),
        u8::from(access.insecure_ignore_host_key),
    ];
    parts.push(&flags);
    let depth = access.depth.unwrap_or(0).to_le_bytes();
    parts.push(&depth);
    // Only where they are set, so that other mirrors keep the directory they have.
    if let Some(certificate) = &access.client_certificate {
        parts.extend([
            b"client certificate".as_slice(),
            certificate.certificate_pem.as_bytes(),
            certificate.key_pem.as_bytes(),
        ]);
    }
    if let Some(proxy) = proxy.filter(|proxy| !proxy.no_proxy.is_empty()) {
        parts.extend([b"no proxy".as_slice(), proxy.no_proxy.as_bytes()]);
    }
    digest::of_parts(parts)
}
