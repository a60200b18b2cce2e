//! One repository as one set of credentials sees it: its mirror, the refs it had last, and what
//! could not be had.
//!
//! Lists refs and fetches commits, one exchange at a time. Never decides whom a change concerns,
//! and never asks again before its time what failed without anything having changed since.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gitops_core::source::revision::Resolution;
use gitops_core::source::{self, FailedAttempts};
use gitops_git::{GitError, Mirror, Refs, RepositoryAccess, Snapshot, Want};
use gitops_render::SourceTree;
use jiff::Timestamp;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::error::RepositoryError;
use super::followers::{Change, Target, resolve};
use super::trees::CommitTree;
use crate::metrics::Metrics;

/// Most targets remembered as failed. Previews may name any number; more are simply asked again.
const MAX_FAILED_TARGETS: usize = 1000;

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
    access: RepositoryAccess,
    directory: PathBuf,
    metrics: Arc<Metrics>,
    state: tokio::sync::Mutex<State>,
    /// Told when somebody but the poll could not list the refs: the next poll may be due earlier.
    pub(super) list_failed: Arc<Notify>,
}

#[derive(Default)]
struct State {
    mirror: Option<Arc<Mirror>>,
    /// As they were listed last; the same `Arc` as long as they are equal.
    refs: Option<Arc<Refs>>,
    /// What followers were told of last. Who asks for a refresh or a preview learns of newer refs
    /// alone; the others hear of them at the next poll.
    told: Option<Told>,
    /// When the server was last asked, successfully or not.
    asked: Option<Instant>,
    /// Why the last listing failed, and how often in a row.
    failure: Option<(RepositoryError, FailedAttempts)>,
    /// Targets whose commit could not be had.
    failed_targets: HashMap<Target, FailedTarget>,
}

#[derive(Clone)]
struct Told {
    refs: Option<Arc<Refs>>,
    failed: bool,
}

struct FailedTarget {
    error: RepositoryError,
    attempts: FailedAttempts,
    /// The refs at that time: with others, the target may be there.
    refs: Arc<Refs>,
}

impl Repository {
    /// Contacts nobody yet; the mirror is kept in `directory`.
    pub(super) fn new(access: RepositoryAccess, directory: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self {
            access,
            directory,
            metrics,
            state: tokio::sync::Mutex::default(),
            list_failed: Arc::default(),
        }
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
        let mut state = self.state.lock().await;
        // Others may have asked while this one waited for its turn.
        let fresh = state.asked.is_some_and(|asked| asked >= asked_at);
        if (state.asked.is_none() || refresh) && !fresh {
            // A failure is remembered, and told below when there are no refs to go on with.
            if self.list(&mut state).await.is_err() {
                self.list_failed.notify_one();
            }
        }
        let last_failure = state.failure.as_ref().map(|(error, _)| error.clone());
        let Some(refs) = state.refs.clone() else {
            return Err(last_failure.unwrap_or_else(|| {
                RepositoryError::Interrupted("its refs were not listed yet".into())
            }));
        };
        if !refresh
            && let Some(failed) = state.failed_targets.get(target)
            && Arc::ptr_eq(&failed.refs, &refs)
            && failed
                .attempts
                .wait(poll_interval, Timestamp::now())
                .is_some()
        {
            return Err(failed.error.clone());
        }
        match self.fetch_target(&mut state, &refs, target).await {
            Ok(checkout) => {
                state.failed_targets.remove(target);
                Ok(Checkout {
                    stale: last_failure,
                    ..checkout
                })
            }
            Err(error) => {
                let earlier = state.failed_targets.get(target);
                let failed = FailedTarget {
                    attempts: FailedAttempts::after(
                        earlier.map(|earlier| earlier.attempts),
                        error.kind(),
                        Timestamp::now(),
                    ),
                    error: error.clone(),
                    refs,
                };
                let known = &mut state.failed_targets;
                known.retain(|_, earlier| Arc::ptr_eq(&earlier.refs, &failed.refs));
                if known.len() < MAX_FAILED_TARGETS {
                    known.insert(target.clone(), failed);
                }
                Err(error)
            }
        }
    }

    /// Lists the refs, and says what followers have to be told of.
    pub(super) async fn poll(&self) -> Change {
        let mut state = self.state.lock().await;
        let before = state.told.clone();
        let listed = self.list(&mut state).await;
        let Some(before) = before else {
            return Change::Everything;
        };
        let failed = listed.is_err();
        let refs = listed.unwrap_or_else(|_| before.refs.clone());
        if before.failed && !failed {
            // Whatever could not be fetched meanwhile is worth another attempt.
            state.failed_targets.clear();
        }
        state.told = Some(Told {
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
                let failed = std::mem::take(&mut state.failed_targets);
                Change::Refs {
                    before,
                    after,
                    failed: failed.into_keys().collect::<BTreeSet<_>>(),
                }
            }
            (None, _) | (_, None) => Change::Everything,
        }
    }

    /// How long to wait before the next poll; `None` for never.
    pub(super) async fn poll_pause(&self, poll_interval: Option<Duration>) -> Option<Duration> {
        let state = self.state.lock().await;
        let failed = state.failure.as_ref().map(|(_, attempts)| attempts);
        source::poll_pause(failed, poll_interval)
    }

    /// The refs, kept as they were when they are equal.
    async fn list(&self, state: &mut State) -> Result<Option<Arc<Refs>>, RepositoryError> {
        let result = async {
            let mirror = self.mirror(state).await?;
            blocking(move || mirror.list_refs()).await
        }
        .await;
        state.asked = Some(Instant::now());
        let failed = result.is_err();
        let result = match result {
            Ok(refs) => {
                self.metrics.git("listed");
                state.failure = None;
                if state.refs.as_deref() != Some(&refs) {
                    state.refs = Some(Arc::new(refs));
                }
                Ok(state.refs.clone())
            }
            Err(error) => {
                self.metrics.git("failed");
                let earlier = state.failure.take();
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
                state.failure = Some((error.clone(), attempts));
                Err(error)
            }
        };
        let refs = &state.refs;
        state.told.get_or_insert_with(|| Told {
            refs: refs.clone(),
            failed,
        });
        result
    }

    async fn mirror(&self, state: &mut State) -> Result<Arc<Mirror>, RepositoryError> {
        if let Some(mirror) = &state.mirror {
            return Ok(Arc::clone(mirror));
        }
        let (directory, access) = (self.directory.clone(), self.access.clone());
        let mirror = Arc::new(blocking(move || Mirror::open(&directory, access)).await?);
        state.mirror = Some(Arc::clone(&mirror));
        Ok(mirror)
    }

    async fn fetch_target(
        &self,
        state: &mut State,
        refs: &Refs,
        target: &Target,
    ) -> Result<Checkout, RepositoryError> {
        let mirror = self.mirror(state).await?;
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
        let (commit, storage) = (revision.clone(), Arc::clone(&mirror));
        let snapshot = blocking(move || storage.snapshot(&commit)).await?;
        Ok(Checkout {
            revision,
            snapshot,
            mirror,
            reference,
            stale: None,
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
            Ok(()) => Ok(()),
            Err(_) => self.fetch(mirror, otherwise).await,
        }
    }

    async fn fetch(&self, mirror: &Arc<Mirror>, want: Want) -> Result<(), RepositoryError> {
        let mirror = Arc::clone(mirror);
        match blocking(move || mirror.fetch(&[want])).await {
            Ok(_) => {
                self.metrics.git("fetched");
                Ok(())
            }
            Err(error) => {
                self.metrics.git("failed");
                Err(error)
            }
        }
    }

    fn not_found(&self, target: &Target, nearest: Vec<String>) -> RepositoryError {
        RepositoryError::RevisionNotFound {
            url: gitops_core::mask::mask_text::<&str>(&self.access.url, &[]),
            revision: target.revision.clone(),
            nearest,
        }
    }
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
