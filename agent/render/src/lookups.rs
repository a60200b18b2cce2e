//! How much one render may look up: a count of look-ups and listed names that all its trees share, and whether it was
//! given up meanwhile. Every loop over a repository's names spends from it, so that none runs longer than its render
//! may, whatever the repository holds.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::RenderError;

/// Longest path that is looked up, in bytes, as on Linux.
pub(crate) const MAX_PATH_BYTES: usize = 4096;
/// A look-up goes through the directories above: so many bytes of a path count as one look-up more.
const BYTES_PER_LOOKUP: usize = 64;

/// Whether a render was given up: its time is over, or nobody waits for it any more. Clones are one flag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    pub(crate) fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// What is left of one render's look-ups.
#[derive(Debug)]
pub(crate) struct Lookups {
    limit: u64,
    left: Cell<u64>,
    timeout: Duration,
    cancellation: Cancellation,
}

impl Lookups {
    /// `timeout` is only told, when the render was given up.
    pub(crate) fn new(limit: u64, timeout: Duration, cancellation: Cancellation) -> Self {
        Self {
            limit,
            left: Cell::new(limit),
            timeout,
            cancellation,
        }
    }

    /// One look-up of a path.
    pub(crate) fn look_up(&self, path: &str) -> Result<(), RenderError> {
        if path.len() > MAX_PATH_BYTES {
            return Err(RenderError::BadRequest {
                message: format!(
                    "a path of {} bytes cannot be looked up, at most {MAX_PATH_BYTES} are allowed; shorten the path that begins with {}",
                    path.len(),
                    path.chars().take(80).collect::<String>()
                ),
            });
        }
        self.spend(1 + (path.len() / BYTES_PER_LOOKUP) as u64, path)
    }

    /// Names that a directory turned out to have.
    pub(crate) fn listed(&self, names: usize, path: &str) -> Result<(), RenderError> {
        self.spend(names as u64, path)
    }

    fn spend(&self, lookups: u64, path: &str) -> Result<(), RenderError> {
        if self.cancellation.is_cancelled() {
            return Err(RenderError::Timeout(self.timeout));
        }
        let left = self.left.get().checked_sub(lookups);
        self.left.set(left.unwrap_or(0));
        left.map(drop).ok_or_else(|| RenderError::TooManyLookups {
            limit: self.limit,
            what: format!("at last {path}"),
        })
    }
}
