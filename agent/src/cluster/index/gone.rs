//! Objects that are gone for good. An answer that was under way when an object went tells of it as it
//! was, and may come last; no watch would ever correct it, for a UID is never used again.

use std::collections::{HashSet, VecDeque};

/// So many objects that went are remembered: far more than go while a single answer is under way.
const MAX_REMEMBERED: usize = 4096;

/// The UIDs of those that went last.
#[derive(Debug, Default)]
pub(super) struct Gone {
    known: HashSet<Box<str>>,
    order: VecDeque<Box<str>>,
}

impl Gone {
    /// Takes note that the object with this UID is gone.
    pub(super) fn note(&mut self, uid: &str) {
        if !self.known.insert(uid.into()) {
            return;
        }
        self.order.push_back(uid.into());
        if self.order.len() > MAX_REMEMBERED
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }

    /// Whether the object with this UID is known to be gone.
    pub(super) fn contains(&self, uid: &str) -> bool {
        self.known.contains(uid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_ones_are_remembered_and_no_more_than_so_many() {
        let mut gone = Gone::default();
        for uid in 0..=MAX_REMEMBERED {
            gone.note(&uid.to_string());
            gone.note(&uid.to_string());
        }
        assert!(!gone.contains("0"));
        assert!(gone.contains("1") && gone.contains(&MAX_REMEMBERED.to_string()));
        assert_eq!(gone.order.len(), MAX_REMEMBERED);
        assert_eq!(gone.known.len(), MAX_REMEMBERED);
    }
}
