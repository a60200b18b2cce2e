//! One repository as one set of credentials sees it: its mirror, the refs it had last, and what
//! could not be had.
//!
//! Lists refs and fetches commits, one exchange at a time. Never decides whom a change concerns,
//! and never asks again before its time what failed without anything having changed since.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gitops_core::source::revision::{self, Resolution};
use gitops_core::source::{self, FailedAttempts, FailureKind};
use gitops_git::{GitError, Mirror, Refs, RepositoryAccess, Snapshot, Want, host_of};
use gitops_render::SourceTree;
use gitops_transport::HostSlots;
use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::RepositoryError;
use super::followers::{Change, Target, resolve};
use super::known::{Known, Told};
use super::trees::CommitTree;
use crate::metrics::Metrics;
use crate::metrics::argo_cd::GitRequestKind;

/// How often refs are listed anew because credentials were replaced meanwhile.
const MAX_LISTINGS: usize = 3;

/// A revision in a form that can be rendered.
#[derive(Clone)]
pub(crate) struct Checkout {
    /// Full commit id.
    pub(crate) revision: String,
    /// The commit's files.
    pub(crate) snapshot: Snapshot,
    /// The repository's history.
    pub(crate) mirror: Arc<Mirror>,
    /// Name of the branch or tag that was followed; `None` for a commit named by its id.
    pub(crate) reference: Option<String>,
    /// The branch that was passed over for a tag of the same name.
    pub(crate) overshadowed: Option<String>,
    /// Set when the server could not be asked and this is the commit known last.
    pub(crate) stale: Option<RepositoryError>,
}

impl Checkout {
    /// The commit's files, for reading and listing.
    pub(crate) fn tree(&self) -> Arc<dyn SourceTree> {
        Arc::new(CommitTree(self.snapshot.clone()))
    }
}

/// A repository in use.
pub(super) struct Repository {
    url: String,
    host: String,
    directory: PathBuf,
    metrics: Arc<Metrics>,
    slots: Arc<HostSlots>,
    known: Mutex<Known>,
    /// Held while the server is asked. What is known is told meanwhile.
    conversation: tokio::sync::Mutex<()>,
    /// Told when somebody but the poll could not list the refs: the next poll may be due earlier.
    pub(super) list_failed: Arc<Notify>,
    /// Told when there was no room for a pack.
    pub(super) no_room: Arc<Notify>,
}

/// What a repository shares with all others.
#[derive(Clone)]
pub(super) struct Shared {
    /// Counters.
    pub(super) metrics: Arc<Metrics>,
    /// Turns to talk to servers.
    pub(super) slots: Arc<HostSlots>,
    /// Told when there was no room for a pack.
    pub(super) no_room: Arc<Notify>,
}

impl Repository {
    /// Contacts nobody yet; the mirror is kept in `directory`.
    pub(super) fn new(access: RepositoryAccess, directory: PathBuf, shared: Shared) -> Self {
        Self {
            url: gitops_core::mask::mask_text::<&str>(&access.url, &[]),
            host: host_of(&access.url),
            directory,
            metrics: shared.metrics,
            slots: shared.slots,
            no_room: shared.no_room,
            known: Mutex::new(Known::new(access)),
            conversation: tokio::sync::Mutex::default(),
            list_failed: Arc::default(),
        }
    }

    /// The URL without credentials.
    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How the server is reached from now on. What was fetched stays, but is not handed out before the
    /// server has shown its refs to whoever asks now.
    pub(super) fn set_access(&self, access: &RepositoryAccess) {
        self.known.lock().set_access(access);
    }

    /// The commit a target means by the refs listed last, when it is in the mirror, or why it could not
    /// be had and is not due to be tried again. Asks no server and waits for none; `None` when it would
    /// have to.
    pub(super) async fn known_checkout(
        &self,
        target: &Target,
        poll_interval: Option<Duration>,
    ) -> Option<Result<Checkout, RepositoryError>> {
        let (refs, mirror, stale) = {
            let known = self.known.lock();
            known.asked?;
            let failure = known.failure.as_ref().map(|(error, _)| error.clone());
            let Some(refs) = known.refs.clone() else {
                return failure.map(Err);
            };
            if let Some(error) = known.not_due(target, &refs, poll_interval) {
                return Some(Err(error));
            }
            if known.mirror_access != known.accesses {
                return None;
            }
            (refs, known.mirror.clone()?, failure)
        };
        let (revision, reference) = match resolve(&refs, target) {
            Resolution::Ref { name, sha } => (sha, Some(name)),
            Resolution::Sha(sha) => (sha, None),
            Resolution::NeedsShortShaLookup(prefix) => {
                let found = find_abbreviated(&mirror, &prefix).await;
                (found.ok().flatten()?, None)
            }
            Resolution::NotFound { .. } => return None,
        };
        if !contains(&mirror, &revision).await.ok()? {
            return None;
        }
        let overshadowed = overshadowed(&refs, target, reference.as_deref());
        let checkout = snapshot(mirror, revision, reference).await.ok()?;
        Some(Ok(Checkout {
            overshadowed,
            stale,
            ..checkout
        }))
    }

    /// The commit a target means now, fetched.
    ///
    /// Lists the refs only when they never were, or when `refresh` says so. A target that failed
    /// before fails with the same error until its next attempt is due, refs change, or `refresh`
    /// asks for one; `poll_interval` says when attempts are due.
    pub(super) async fn checkout(
        &self,
        target: &Target,
        refresh: bool,
        poll_interval: Option<Duration>,
    ) -> Result<Checkout, RepositoryError> {
        let asked_at = Instant::now();
        let _conversation = self.conversation.lock().await;
        // Others may have asked while this one waited for its turn.
        let asked = self.known.lock().asked;
        let fresh = asked.is_some_and(|asked| asked >= asked_at);
        if (asked.is_none() || refresh) && !fresh {
            // A failure is remembered, and told below when there are no refs to go on with.
            if self.list().await.is_err() {
                self.list_failed.notify_one();
            }
        }
        let (refs, last_failure) = {
            let known = self.known.lock();
            let last_failure = known.failure.as_ref().map(|(error, _)| error.clone());
            let Some(refs) = known.refs.clone() else {
                return Err(last_failure.unwrap_or_else(|| {
                    RepositoryError::Interrupted("its refs were not listed yet".into())
                }));
            };
            if !refresh && let Some(error) = known.not_due(target, &refs, poll_interval) {
                return Err(error);
            }
            (refs, last_failure)
        };
        match self.fetch_target(&refs, target).await {
            Ok(checkout) => {
                self.known.lock().failed_targets.remove(target);
                Ok(Checkout {
                    stale: last_failure,
                    ..checkout
                })
            }
            Err(error) => {
                self.known.lock().note_failed(target, &error, refs);
                Err(error)
            }
        }
    }

    /// Lists the refs, and says what followers have to be told of.
    pub(super) async fn poll(&self) -> Change {
        let _conversation = self.conversation.lock().await;
        let before = self.known.lock().told.clone();
        let listed = self.list().await;
        let Some(before) = before else {
            return Change::Everything;
        };
        let failed = listed.is_err();
        let refs = listed.unwrap_or_else(|_| before.refs.clone());
        self.tell(before, refs, failed)
    }

    /// What a listing that somebody asked for brought, and followers have not been told of: one who
    /// looks lets all look. A failure is left to the next poll.
    pub(super) fn news(&self) -> Change {
        let (before, refs) = {
            let known = self.known.lock();
            let Some(before) = known.told.clone() else {
                return Change::None;
            };
            if known.failure.is_some() {
                return Change::None;
            }
            (before, known.refs.clone())
        };
        self.tell(before, refs, false)
    }

    fn tell(&self, before: Told, refs: Option<Arc<Refs>>, failed: bool) -> Change {
        let mut known = self.known.lock();
        if before.failed && !failed {
            // Whatever could not be fetched meanwhile is worth another attempt.
            known.failed_targets.clear();
        }
        known.told = Some(Told {
            refs: refs.clone(),
            failed,
        });
        match (before.refs, refs) {
            _ if before.failed != failed => Change::Everything,
            _ if failed => Change::None,
            (Some(before), Some(after)) if Arc::ptr_eq(&before, &after) || before == after => {
                Change::None
            }
            (Some(before), Some(after)) => {
                let failed = std::mem::take(&mut known.failed_targets);
                Change::Refs {
                    before,
                    after,
                    failed: failed.into_keys().collect::<BTreeSet<_>>(),
                }
            }
            (None, _) | (_, None) => Change::Everything,
        }
    }

    /// Holds the server, as a conversation does.
    #[cfg(test)]
    pub(super) async fn converse(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.conversation.lock().await
    }

    /// How long to wait before the next poll; `None` for never.
    pub(super) fn poll_pause(&self, poll_interval: Option<Duration>) -> Option<Duration> {
        let known = self.known.lock();
        let failed = known.failure.as_ref().map(|(_, attempts)| attempts);
        source::poll_pause(failed, poll_interval)
    }

    /// The refs, kept as they were when they are equal.
    async fn list(&self) -> Result<Option<Arc<Refs>>, RepositoryError> {
        // An answer to credentials that were replaced meanwhile proves nothing about those there are.
        for _ in 0..MAX_LISTINGS {
            let accesses = self.known.lock().accesses;
            let sent = Instant::now();
            let result = self.list_once().await;
            let mut known = self.known.lock();
            if known.accesses == accesses {
                return self.note_listed(&mut known, result, sent);
            }
        }
        let reason = "its credentials keep changing".to_owned();
        Err(RepositoryError::Interrupted(reason))
    }

    async fn list_once(&self) -> Result<Refs, RepositoryError> {
        let mirror = self.mirror().await?;
        let slot = self.slots.take(&self.host).await;
        blocking(move || {
            let _slot = slot;
            mirror.list_refs()
        })
        .await
    }

    fn note_listed(
        &self,
        known: &mut Known,
        result: Result<Refs, RepositoryError>,
        sent: Instant,
    ) -> Result<Option<Arc<Refs>>, RepositoryError> {
        known.asked = Some(sent);
        self.metrics
            .argo_cd
            .asked(&self.url, GitRequestKind::List, sent.elapsed());
        let failed = result.is_err();
        let result = match result {
            Ok(refs) => {
                self.metrics.git("listed");
                known.failure = None;
                if known.refs.as_deref() != Some(&refs) {
                    known.refs = Some(Arc::new(refs));
                }
                Ok(known.refs.clone())
            }
            Err(error) => {
                self.metrics.git("failed");
                let earlier = known.failure.take();
                let text = error.to_string();
                if earlier
                    .as_ref()
                    .is_none_or(|(earlier, _)| earlier.to_string() != text)
                {
                    tracing::warn!(error = text, "cannot list refs");
                } else {
                    tracing::debug!(error = text, "still cannot list refs");
                }
                let attempts = FailedAttempts::after(
                    earlier.map(|(_, attempts)| attempts),
                    error.kind(),
                    Timestamp::now(),
                );
                known.failure = Some((error.clone(), attempts));
                Err(error)
            }
        };
        let refs = known.refs.clone();
        known.told.get_or_insert(Told { refs, failed });
        result
    }

    /// The mirror, with the access there is now.
    async fn mirror(&self) -> Result<Arc<Mirror>, RepositoryError> {
        let (mirror, access, accesses, is_current) = {
            let known = self.known.lock();
            let is_current = known.mirror_access == known.accesses;
            let (mirror, access) = (known.mirror.clone(), known.access.clone());
            (mirror, access, known.accesses, is_current)
        };
        let mirror = match mirror {
            Some(mirror) if is_current => return Ok(mirror),
            Some(mirror) => blocking(move || mirror.set_access(access).map(|()| mirror)).await?,
            None => {
                let directory = self.directory.clone();
                let opened = blocking(move || Mirror::open(&directory, access)).await;
                if opened.as_ref().is_err_and(RepositoryError::is_of_the_cache) {
                    self.metrics.cache_fault("unusable");
                }
                Arc::new(opened?)
            }
        };
        let mut known = self.known.lock();
        known.mirror = Some(Arc::clone(&mirror));
        known.mirror_access = accesses;
        Ok(mirror)
    }

    async fn fetch_target(
        &self,
        refs: &Refs,
        target: &Target,
    ) -> Result<Checkout, RepositoryError> {
        let mirror = self.mirror().await?;
        let mut reference = None;
        let revision = match resolve(refs, target) {
            Resolution::Ref { name, sha } => {
                // By id, because the ref may have moved since it was listed; by name where a server
                // does not hand out commits by id.
                self.fetch_commit(&mirror, &sha, Want::Ref(name.clone()))
                    .await?;
                reference = Some(name);
                sha
            }
            Resolution::Sha(sha) => {
                // Some servers do not hand out commits by id; they come with their branch.
                self.fetch_commit(&mirror, &sha, Want::AllHeadsAndTags)
                    .await?;
                sha
            }
            Resolution::NeedsShortShaLookup(prefix) => {
                let mut found = find_abbreviated(&mirror, &prefix).await?;
                if found.is_none() {
                    self.fetch(&mirror, Want::AllHeadsAndTags).await?;
                    found = find_abbreviated(&mirror, &prefix).await?;
                }
                found.ok_or_else(|| self.not_found(target, Vec::new()))?
            }
            Resolution::NotFound { nearest } => return Err(self.not_found(target, nearest)),
        };
        let overshadowed = overshadowed(refs, target, reference.as_deref());
        let checkout = snapshot(mirror, revision, reference).await?;
        Ok(Checkout {
            overshadowed,
            ..checkout
        })
    }

    /// Makes sure that a commit is in the mirror: asked for by its id, then by `otherwise`.
    async fn fetch_commit(
        &self,
        mirror: &Arc<Mirror>,
        sha: &str,
        otherwise: Want,
    ) -> Result<(), RepositoryError> {
        if contains(mirror, sha).await? {
            return Ok(());
        }
        match self.fetch(mirror, Want::Sha(sha.to_owned())).await {
            Err(RepositoryError::Git(error)) if error.may_differ_by_name() => {
                self.fetch(mirror, otherwise).await
            }
            result => result,
        }
    }

    async fn fetch(&self, mirror: &Arc<Mirror>, want: Want) -> Result<(), RepositoryError> {
        let now = Timestamp::now();
        let waits = self.known.lock().waits(mirror, now);
        if let Some(error) = waits {
            return Err(error);
        }
        let mirror = Arc::clone(mirror);
        let slot = self.slots.take(&self.host).await;
        let fetched = blocking(move || {
            let _slot = slot;
            mirror.fetch(&[want])
        });
        let began = Instant::now();
        let result = fetched.await;
        self.metrics
            .argo_cd
            .asked(&self.url, GitRequestKind::Fetch, began.elapsed());
        let mut known = self.known.lock();
        match result {
            Ok(report) => {
                self.metrics.git("fetched");
                known.costly = None;
                if report.recreated.is_some() {
                    self.metrics.cache_fault("damaged");
                    known.note_recreated(Timestamp::now());
                }
                Ok(())
            }
            Err(error) => {
                self.metrics.git("failed");
                if error.was_costly() {
                    let earlier = known.costly.take().map(|(_, attempts)| attempts);
                    let kind = FailureKind::Transient;
                    let attempts = FailedAttempts::after(earlier, kind, Timestamp::now());
                    known.costly = Some((error.clone(), attempts));
                }
                if error.is_of_size() {
                    self.no_room.notify_one();
                }
                if error.is_of_the_cache() {
                    self.metrics.cache_fault("unusable");
                }
                Err(error)
            }
        }
    }

    fn not_found(&self, target: &Target, nearest: Vec<String>) -> RepositoryError {
        RepositoryError::RevisionNotFound {
            url: self.url.clone(),
            revision: target.revision.clone(),
            nearest,
        }
    }
}

/// The branch that a target passes over for a tag.
fn overshadowed(refs: &Refs, target: &Target, taken: Option<&str>) -> Option<String> {
    revision::overshadowed(&refs.by_name, &target.revision, taken?)
}

/// A commit of the mirror that is in it.
async fn snapshot(
    mirror: Arc<Mirror>,
    revision: String,
    reference: Option<String>,
) -> Result<Checkout, RepositoryError> {
    let (commit, storage) = (revision.clone(), Arc::clone(&mirror));
    let snapshot = blocking(move || storage.snapshot(&commit)).await?;
    Ok(Checkout {
        revision,
        snapshot,
        mirror,
        reference,
        overshadowed: None,
        stale: None,
    })
}

async fn contains(mirror: &Arc<Mirror>, sha: &str) -> Result<bool, RepositoryError> {
    let (mirror, sha) = (Arc::clone(mirror), sha.to_owned());
    blocking(move || mirror.contains(&sha)).await
}

async fn find_abbreviated(
    mirror: &Arc<Mirror>,
    prefix: &str,
) -> Result<Option<String>, RepositoryError> {
    let (mirror, prefix) = (Arc::clone(mirror), prefix.to_owned());
    blocking(move || mirror.find_short_sha(&prefix)).await
}

/// Runs work on a repository where it may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, GitError> + Send + 'static,
) -> Result<T, RepositoryError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => Ok(result?),
        Err(error) => Err(RepositoryError::Interrupted(error.to_string())),
    }
}
