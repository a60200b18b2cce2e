//! Which application to look at next.
//!
//! An application that is asked for many times while it waits is looked at once; one that is asked
//! for while somebody works on it is looked at once more afterwards. Never works on one
//! application twice at the same time. Projects take turns, so that one with very many applications
//! does not make the others wait.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::sync::OnceLock;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Names the group a key belongs to.
type GroupOf<K> = Box<dyn Fn(&K) -> String + Send + Sync>;

/// A queue of keys with coalescing and delays.
pub(crate) struct Queue<K> {
    state: Mutex<State<K>>,
    wake: Notify,
    /// Groups that take turns; without it all keys are of one.
    group_of: OnceLock<GroupOf<K>>,
}

struct State<K> {
    /// Keys to be looked at now, by group.
    ready: HashMap<String, VecDeque<K>>,
    /// Groups with such keys, whose turn is first one first.
    turns: VecDeque<String>,
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
                ready: HashMap::new(),
                turns: VecDeque::new(),
                waiting: HashSet::new(),
                working: HashSet::new(),
                again: HashSet::new(),
                delayed: BinaryHeap::new(),
                due: HashMap::new(),
            }),
            wake: Notify::new(),
            group_of: OnceLock::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Queue<K> {
    /// Groups keys from now on; the first grouping stays.
    pub(crate) fn group_by(&self, group_of: impl Fn(&K) -> String + Send + Sync + 'static) {
        let _ = self.group_of.set(Box::new(group_of));
    }

    fn group(&self, key: &K) -> String {
        let group_of = self.group_of.get();
        group_of.map_or_else(String::new, |group_of| group_of(key))
    }

    /// Asks for `key` now.
    pub(crate) fn add(&self, key: K) {
        let group = self.group(&key);
        self.with(|state| state.add(key, group));
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
            let due = match self.with(|state| state.take(&|key| self.group(key))) {
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
        let group = self.group(key);
        let again = self.with(|state| {
            state.working.remove(key);
            state.again.remove(key) && {
                state.add(key.clone(), group);
                true
            }
        });
        if again {
            self.wake.notify_one();
        }
    }

    /// How many keys wait to be looked at now.
    pub(crate) fn depth(&self) -> usize {
        self.with(|state| state.ready.values().map(VecDeque::len).sum())
    }

    fn with<T>(&self, f: impl FnOnce(&mut State<K>) -> T) -> T {
        f(&mut self.state.lock())
    }
}

impl<K: Clone + Eq + Hash + Ord> State<K> {
    fn add(&mut self, key: K, group: String) {
        if self.working.contains(&key) {
            self.again.insert(key);
        } else if self.waiting.insert(key.clone()) {
            let ready = self.ready.entry(group.clone()).or_default();
            if ready.is_empty() {
                self.turns.push_back(group);
            }
            ready.push_back(key);
        }
    }

    /// The first key of the group whose turn it is, which then comes last.
    fn next_turn(&mut self) -> Option<K> {
        let group = self.turns.pop_front()?;
        let ready = self.ready.get_mut(&group)?;
        let key = ready.pop_front();
        if ready.is_empty() {
            self.ready.remove(&group);
        } else {
            self.turns.push_back(group);
        }
        key
    }

    /// The next key, or when the next delayed one is due.
    fn take(&mut self, group_of: &dyn Fn(&K) -> String) -> Result<K, Option<Instant>> {
        let now = Instant::now();
        while let Some(Reverse((at, key))) = self.delayed.peek().cloned() {
            if at > now {
                break;
            }
            self.delayed.pop();
            if self.due.get(&key) == Some(&at) {
                self.due.remove(&key);
                let group = group_of(&key);
                self.add(key, group);
            }
        }
        match self.next_turn() {
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
    async fn projects_take_turns_however_many_applications_wait() {
        let queue = Queue::default();
        queue.group_by(|key: &&str| key.chars().take(1).collect());
        for key in ["a1", "a2", "a3", "a4", "b1", "c1", "b2"] {
            queue.add(key);
        }
        let mut taken = Vec::new();
        for _ in 0..7 {
            taken.push(queue.next().await);
        }
        assert_eq!(taken, ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
        // One that comes late has its turn before the rest of a group that waits.
        for key in ["x1", "x2", "x3"] {
            queue.add(key);
        }
        assert_eq!(queue.next().await, "x1");
        queue.add("y1");
        assert_eq!(queue.next().await, "x2");
        assert_eq!(queue.next().await, "y1");
        assert_eq!(queue.next().await, "x3");
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
