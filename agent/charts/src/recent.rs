//! Values behind one lock each, found by key, and forgotten when nobody has asked for them for a
//! while or when there are too many. Never forgets what somebody is using. The clock is a parameter.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The values used lately.
pub(crate) struct Recent<K, V> {
    max: usize,
    kept: Duration,
    entries: Mutex<HashMap<K, Entry<V>>>,
}

struct Entry<V> {
    value: Arc<tokio::sync::Mutex<V>>,
    used: Instant,
}

impl<V> Entry<V> {
    /// Whether the map alone holds it: nobody works with it or waits for it.
    fn is_idle(&self) -> bool {
        Arc::strong_count(&self.value) == 1
    }
}

impl<K: Hash + Eq + Clone, V: Default> Recent<K, V> {
    /// At most `max` values, each for at most `kept` after it was last asked for.
    pub(crate) fn new(max: usize, kept: Duration) -> Self {
        Self {
            max,
            kept,
            entries: Mutex::default(),
        }
    }

    /// The value of `key`, its default when there is none.
    pub(crate) fn get(&self, key: K, now: Instant) -> Arc<tokio::sync::Mutex<V>> {
        let mut entries = self.entries.lock();
        let old = |entry: &Entry<V>| now.saturating_duration_since(entry.used) > self.kept;
        entries.retain(|other, entry| *other == key || !entry.is_idle() || !old(entry));
        if entries.len() >= self.max && !entries.contains_key(&key) {
            let idle = entries.iter().filter(|(_, entry)| entry.is_idle());
            let oldest = idle.min_by_key(|(_, entry)| entry.used);
            let oldest = oldest.map(|(key, _)| key.clone());
            oldest.and_then(|key| entries.remove(&key));
        }
        let entry = entries.entry(key).or_insert_with(|| Entry {
            value: Arc::default(),
            used: now,
        });
        entry.used = now;
        Arc::clone(&entry.value)
    }

    /// Forgets those values for whose keys `forget` says so.
    pub(crate) fn forget(&self, forget: impl Fn(&K) -> bool) {
        self.entries.lock().retain(|key, _| !forget(key));
    }

    #[cfg(test)]
    fn keys(&self) -> Vec<K>
    where
        K: Ord,
    {
        let mut keys: Vec<K> = self.entries.lock().keys().cloned().collect();
        keys.sort();
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_asks_for_is_forgotten_and_what_is_in_use_is_not() {
        let (start, second) = (Instant::now(), Duration::from_secs(1));
        let recent: Recent<u32, u32> = Recent::new(3, 10 * second);
        let in_use = recent.get(0, start);
        for key in 1..100 {
            recent.get(key, start + key * second / 100);
        }
        assert_eq!(recent.keys(), [0, 98, 99], "the least recently used goes");
        *in_use.try_lock().unwrap() = 7;
        recent.get(98, start + 5 * second);
        recent.get(98, start + 12 * second);
        assert_eq!(recent.keys(), [0, 98]);
        drop(in_use);
        assert_eq!(*recent.get(0, start + 13 * second).try_lock().unwrap(), 7);
        recent.forget(|key| *key == 0);
        assert_eq!(*recent.get(0, start + 13 * second).try_lock().unwrap(), 0);
    }
}
