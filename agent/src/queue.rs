//! Which application to look at next.
//!
//! An application that is asked for many times while it waits is looked at once; one that is asked
//! for while somebody works on it is looked at once more afterwards. Never works on one
//! application twice at the same time.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// A queue of keys with coalescing and delays.
#[derive(Debug)]
pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    wake: Notify,
}

#[derive(Debug)]
struct State<K> {
    ready: VecDeque<K>,
    waiting: HashSet<K>,
    working: HashSet<K>,
    /// Asked for again while being worked on.
    again: HashSet<K>,
    delayed: BinaryHeap<Reverse<(Instant, K)>>,
    /// Earliest delay of each key; later ones in the heap are void.
    due: HashMap<K, Instant>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            state: Mutex::new(State {
                ready: VecDeque::new(),
                waiting: HashSet::new(),
                working: HashSet::new(),
                again: HashSet::new(),
                delayed: BinaryHeap::new(),
                due: HashMap::new(),
            }),
            wake: Notify::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// Asks for `key` now.
    pub(crate) fn add(&self, key: K) {
        self.with(|state| state.add(key));
        self.wake.notify_one();
    }

    /// Asks for `key` after `delay`, unless it is due earlier already.
    pub(crate) fn add_after(&self, key: K, delay: Duration) {
        if delay.is_zero() {
            return self.add(key);
        }
        let at = Instant::now() + delay;
        self.with(|state| {
            if state.due.get(&key).is_none_or(|due| at < *due) {
                state.due.insert(key.clone(), at);
                state.delayed.push(Reverse((at, key)));
            }
        });
        self.wake.notify_one();
    }

    /// Waits for a key; the caller must say [`Queue::done`] afterwards.
    pub(crate) async fn next(&self) -> K {
        loop {
            let notified = self.wake.notified();
            let due = match self.with(State::take) {
                Ok(key) => {
                    // One notification may stand for several keys: pass it on.
                    self.wake.notify_one();
                    return key;
                }
                Err(due) => due,
            };
            match due {
                Some(at) => tokio::select! { () = notified => {}, () = sleep_until(at) => {} },
                None => notified.await,
            }
        }
    }

    /// Says that the work on `key` has ended.
    pub(crate) fn done(&self, key: &K) {
        let again = self.with(|state| {
            state.working.remove(key);
            state.again.remove(key) && {
                state.add(key.clone());
                true
            }
        });
        if again {
            self.wake.notify_one();
        }
    }

    /// How many keys wait to be looked at now.
    pub(crate) fn depth(&self) -> usize {
        self.with(|state| state.ready.len())
    }

    fn with<T>(&self, f: impl FnOnce(&mut State<K>) -> T) -> T {
        f(&mut self.state.lock())
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn add(&mut self, key: K) {
        if self.working.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            self.ready.push_back(key);
        }
    }

    /// The next key, or when the next delayed one is due.
    fn take(&mut self) -> Result<K, Option<Instant>> {
        let now = Instant::now();
        while let Some(Reverse((at, key))) = self.delayed.peek().cloned() {
            if at > now {
                break;
            }
            self.delayed.pop();
            if self.due.get(&key) == Some(&at) {
                self.due.remove(&key);
                self.add(key);
            }
        }
        match self.ready.pop_front() {
            Some(key) => {
                self.waiting.remove(&key);
                self.working.insert(key.clone());
                Ok(key)
            }
            None => Err(self.delayed.peek().map(|Reverse((at, _))| *at)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn requests_coalesce_and_work_on_one_key_never_overlaps() {
        let queue = Queue::default();
        queue.add("a");
        queue.add("a");
        queue.add("b");
        assert_eq!(queue.depth(), 2);
        assert_eq!(queue.next().await, "a");
        queue.add("a");
        queue.add("a");
        assert_eq!(queue.next().await, "b");
        assert_eq!(queue.depth(), 0, "a is being worked on");
        queue.done(&"a");
        assert_eq!(queue.next().await, "a");
        queue.done(&"a");
        queue.done(&"b");
        assert_eq!(queue.depth(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn the_earliest_delay_counts() {
        let queue = Queue::default();
        queue.add_after("a", Duration::from_mins(1));
        queue.add_after("a", Duration::from_secs(5));
        queue.add_after("a", Duration::from_secs(30));
        let start = Instant::now();
        assert_eq!(queue.next().await, "a");
        assert_eq!(start.elapsed().as_secs(), 5);
        queue.done(&"a");
        let idle = tokio::time::timeout(Duration::from_mins(5), queue.next()).await;
        assert!(idle.is_err(), "superseded delays are void");
    }
}
