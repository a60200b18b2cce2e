//! What is known of a repository between two conversations with its server: refs, failures, and when
//! to try again. Asks nobody and waits for nothing: it is behind a lock that everybody takes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gitops_core::source::{FailedAttempts, FailureKind};
use gitops_git::{GitError, Mirror, Refs, RepositoryAccess};
use jiff::Timestamp;
use tokio::time::Instant;

use super::error::RepositoryError;
use super::followers::Target;
use super::identity::is_same_reader;

/// A mirror that was cloned anew this long ago or longer lost objects for another reason.
const FORGET_RECREATED_AFTER: Duration = Duration::from_hours(2);

/// Most targets remembered as failed. Previews may name any number; more are simply asked again.
const MAX_FAILED_TARGETS: usize = 1000;

/// What is known of a repository.
pub(super) struct Known {
    /// How the server is reached.
    pub(super) access: RepositoryAccess,
    /// Counts the accesses there were: an answer to an earlier one proves nothing about this one.
    pub(super) accesses: u64,
    pub(super) mirror: Option<Arc<Mirror>>,
    /// The access the mirror has.
    pub(super) mirror_access: u64,
    /// As they were listed last; the same `Arc` as long as they are equal.
    pub(super) refs: Option<Arc<Refs>>,
    /// What followers were told of last. Who asks for a refresh or a preview learns of newer refs
    /// alone; the others hear of them at the next poll.
    pub(super) told: Option<Told>,
    /// When the server was last asked, successfully or not: before the request was sent, so that what
    /// was pushed while it was answered counts as later.
    pub(super) asked: Option<Instant>,
    /// Why the last listing failed, and how often in a row.
    pub(super) failure: Option<(RepositoryError, FailedAttempts)>,
    /// Targets whose commit could not be had.
    pub(super) failed_targets: HashMap<Target, FailedTarget>,
    /// The last fetch that failed and took much time, traffic or room.
    pub(super) costly: Option<(RepositoryError, FailedAttempts)>,
    /// When the mirror was cloned anew because objects were missing, and how often in a row.
    pub(super) recreated: Option<FailedAttempts>,
}

/// What followers were told of last.
#[derive(Clone)]
pub(super) struct Told {
    pub(super) refs: Option<Arc<Refs>>,
    pub(super) failed: bool,
}

/// A target whose commit could not be had.
pub(super) struct FailedTarget {
    pub(super) error: RepositoryError,
    pub(super) attempts: FailedAttempts,
    /// The refs at that time: with others, the target may be there.
    pub(super) refs: Arc<Refs>,
}

impl Known {
    /// Nothing.
    pub(super) fn new(access: RepositoryAccess) -> Self {
        Self {
            access,
            accesses: 0,
            mirror: None,
            mirror_access: 0,
            refs: None,
            told: None,
            asked: None,
            failure: None,
            failed_targets: HashMap::new(),
            costly: None,
            recreated: None,
        }
    }

    /// Takes over another access. What was listed stays only for who is the same to the server.
    pub(super) fn set_access(&mut self, access: &RepositoryAccess) {
        if self.access == *access {
            return;
        }
        if !is_same_reader(&self.access, access) {
            self.refs = None;
        }
        self.access = access.clone();
        self.accesses += 1;
        (self.asked, self.failure, self.costly) = (None, None, None);
        self.failed_targets.clear();
    }

    /// The error of the last attempt at `target`, if the next one has to wait.
    pub(super) fn not_due(
        &self,
        target: &Target,
        refs: &Arc<Refs>,
        poll_interval: Option<Duration>,
    ) -> Option<RepositoryError> {
        let failed = self.failed_targets.get(target)?;
        let waits = failed.attempts.wait(poll_interval, Timestamp::now());
        (Arc::ptr_eq(&failed.refs, refs) && waits.is_some()).then(|| failed.error.clone())
    }

    pub(super) fn note_failed(
        &mut self,
        target: &Target,
        error: &RepositoryError,
        refs: Arc<Refs>,
    ) {
        let earlier = self.failed_targets.get(target);
        let failed = FailedTarget {
            attempts: FailedAttempts::after(
                earlier.map(|earlier| earlier.attempts),
                error.kind(),
                Timestamp::now(),
            ),
            error: error.clone(),
            refs,
        };
        let known = &mut self.failed_targets;
        known.retain(|_, earlier| Arc::ptr_eq(&earlier.refs, &failed.refs));
        if known.len() < MAX_FAILED_TARGETS {
            known.insert(target.clone(), failed);
        }
    }

    /// Why no fetch is due, whatever asks for one: the last one was costly for nothing, or the mirror
    /// lacks objects that cloning it did not bring.
    pub(super) fn waits(&self, mirror: &Mirror, now: Timestamp) -> Option<RepositoryError> {
        let is_waiting = |attempts: &FailedAttempts| attempts.wait(None, now).is_some();
        if let Some((error, attempts)) = &self.costly
            && is_waiting(attempts)
        {
            return Some(error.clone());
        }
        let recreated = self.recreated.as_ref()?;
        let reason = mirror.damage()?;
        is_waiting(recreated).then(|| {
            let url = mirror.url().to_owned();
            RepositoryError::from(GitError::Corrupt { url, reason })
        })
    }

    pub(super) fn note_recreated(&mut self, now: Timestamp) {
        let recently = |earlier: &FailedAttempts| {
            Duration::try_from(now.duration_since(earlier.last))
                .is_ok_and(|age| age < FORGET_RECREATED_AFTER)
        };
        let earlier = self.recreated.filter(recently);
        let attempts = FailedAttempts::after(earlier, FailureKind::Transient, now);
        self.recreated = Some(attempts);
    }
}
