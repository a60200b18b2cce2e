//! How many conversations go on at the same time, with one host and altogether. Waiting for a turn
//! holds no thread; a host that never answers holds its own turns only.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Hosts remembered before those nobody talks to are forgotten.
const MAX_HOSTS: usize = 256;

/// Turns to talk to hosts.
pub struct HostSlots {
    total: Arc<Semaphore>,
    per_host: usize,
    hosts: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// One conversation's turn; ends when dropped.
pub struct Slot {
    _host: OwnedSemaphorePermit,
    _total: OwnedSemaphorePermit,
}

impl std::fmt::Debug for HostSlots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostSlots")
            .field("available", &self.total.available_permits())
            .field("per_host", &self.per_host)
            .finish_non_exhaustive()
    }
}

impl Default for HostSlots {
    /// 24 conversations, 4 of them with one host: a forge takes that many, and six hosts have to be
    /// slow at the same time to use up all.
    fn default() -> Self {
        Self::new(24, 4)
    }
}

impl HostSlots {
    /// `total` conversations, `per_host` of them with one host.
    pub fn new(total: usize, per_host: usize) -> Self {
        Self {
            total: Arc::new(Semaphore::new(total.max(1))),
            per_host: per_host.max(1),
            hosts: Mutex::default(),
        }
    }

    /// Waits for a turn with `host` (host and port as [`crate::redact::host_and_port`] writes them).
    /// `None` never happens while the slots exist; a caller treats it as having no turn to wait for.
    pub async fn take(&self, host: &str) -> Option<Slot> {
        let of_host = {
            let mut hosts = self.hosts.lock();
            if hosts.len() >= MAX_HOSTS && !hosts.contains_key(host) {
                // Held by the map alone: nobody talks to it or waits to.
                hosts.retain(|_, slots| Arc::strong_count(slots) > 1);
            }
            let new = || Arc::new(Semaphore::new(self.per_host));
            Arc::clone(hosts.entry(host.to_owned()).or_insert_with(new))
        };
        // The host's turn first: who waits for a slow host must not hold a turn of everybody's.
        Some(Slot {
            _host: of_host.acquire_owned().await.ok()?,
            _total: Arc::clone(&self.total).acquire_owned().await.ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// The turn, when it is there at once.
    fn at_once<T>(future: impl Future<Output = T>) -> Option<T> {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(slot) => Some(slot),
            Poll::Pending => None,
        }
    }

    #[test]
    fn a_host_that_holds_all_its_turns_leaves_the_others_theirs() {
        let slots = HostSlots::new(3, 2);
        let take = |host| at_once(slots.take(host)).flatten();
        let (first, second) = (take("slow"), take("slow"));
        assert!(first.is_some() && second.is_some());
        assert!(take("slow").is_none());
        let other = take("other");
        assert!(other.is_some());
        assert!(take("third").is_none(), "three altogether");
        drop(first);
        assert!(take("slow").is_some());
    }

    #[test]
    fn hosts_nobody_talks_to_are_forgotten() {
        let slots = HostSlots::new(8, 2);
        let kept = at_once(slots.take("kept"));
        for number in 0..1_000 {
            at_once(slots.take(&format!("host-{number}")));
        }
        let hosts = slots.hosts.lock();
        assert!(hosts.len() <= MAX_HOSTS + 1);
        assert!(hosts.contains_key("kept") && kept.is_some());
    }
}
