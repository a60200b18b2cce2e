//! What of many kept results goes when together they take more room than there is: what was used
//! longest ago. Keeps no result itself, only their sizes.

use std::collections::HashMap;
use std::hash::Hash;

/// Sizes of what is kept, in bytes, and when each was last used.
#[derive(Clone, Debug)]
pub struct Kept<K> {
    budget: usize,
    total: usize,
    uses: u64,
    sizes: HashMap<K, (usize, u64)>,
}

impl<K: Clone + Eq + Hash> Kept<K> {
    /// Nothing yet; together all may have `budget` bytes.
    pub fn new(budget: usize) -> Self {
        Self {
            budget,
            total: 0,
            uses: 0,
            sizes: HashMap::new(),
        }
    }

    /// Takes note that `key` was used and has this size now. Gives those that have to go, which are
    /// counted no more; `key` itself never is among them.
    pub fn used(&mut self, key: &K, bytes: usize) -> Vec<K> {
        self.forget(key);
        if bytes == 0 {
            return Vec::new();
        }
        self.uses += 1;
        self.total = self.total.saturating_add(bytes);
        self.sizes.insert(key.clone(), (bytes, self.uses));
        let mut gone = Vec::new();
        while self.total > self.budget {
            let others = self.sizes.iter().filter(|(other, _)| *other != key);
            let oldest = others.min_by_key(|(_, (_, used))| *used);
            let Some(oldest) = oldest.map(|(oldest, _)| oldest.clone()) else {
                break;
            };
            self.forget(&oldest);
            gone.push(oldest);
        }
        gone
    }

    /// Counts `key` no more.
    pub fn forget(&mut self, key: &K) {
        if let Some((bytes, _)) = self.sizes.remove(key) {
            self.total -= bytes;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_was_used_longest_ago_goes_first() {
        let mut kept = Kept::new(10);
        assert_eq!(kept.used(&"a", 4), Vec::<&str>::new());
        assert_eq!(kept.used(&"b", 4), Vec::<&str>::new());
        assert_eq!(kept.used(&"a", 4), Vec::<&str>::new());
        assert_eq!(kept.used(&"c", 4), ["b"]);
        assert_eq!(kept.used(&"d", 100), ["a", "c"], "what is in use stays");
        assert_eq!(kept.used(&"e", 1), ["d"]);
        assert_eq!(kept.used(&"e", 0), Vec::<&str>::new());
        assert_eq!(kept.total, 0);
    }

    proptest! {
        #[test]
        fn all_but_the_last_fit(uses in proptest::collection::vec((0_u8..6, 0_usize..30), 0..60)) {
            let mut kept = Kept::new(40);
            for (key, bytes) in uses {
                kept.used(&key, bytes);
                let others: usize = kept.sizes.iter().filter(|(k, _)| **k != key).map(|(_, s)| s.0).sum();
                prop_assert!(others == 0 || kept.total <= 40);
                prop_assert_eq!(kept.total, kept.sizes.values().map(|s| s.0).sum::<usize>());
            }
        }
    }
}
