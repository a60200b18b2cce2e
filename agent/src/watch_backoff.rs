//! Pauses before a broken watch is taken up again.

use std::time::Duration;

use kube::runtime::utils::Backoff;
use kube::runtime::watcher;

/// Longest pause: what happens meanwhile goes unseen.
const MAX_PAUSE: Duration = Duration::from_secs(5);

/// client-go's back-off with its jitter, capped, so that an agent sees again soon after an API
/// server is back.
#[derive(Default)]
pub(crate) struct CappedBackoff(watcher::DefaultBackoff);

impl Iterator for CappedBackoff {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        self.0.next().map(|pause| pause.min(MAX_PAUSE))
    }
}

impl Backoff for CappedBackoff {
    fn reset(&mut self) {
        self.0.reset();
    }
}
