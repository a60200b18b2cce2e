//! What a watch has shown, and what changed since: one meaning of "changed" for every watched kind.
//!
//! A watch that broke begins with a list. What it shows is compared with what was shown before, so
//! that neither a change nor a deletion in between is lost, and what is the same wakes nobody.

use std::collections::HashMap;
use std::hash::Hash;

use kube::runtime::watcher::Event;

/// What was shown, by name, in a form that differs when it matters.
pub(crate) struct Seen<K> {
    known: HashMap<K, String>,
    /// The list that is under way.
    listing: HashMap<K, String>,
}

impl<K> Default for Seen<K> {
    fn default() -> Self {
        Self {
            known: HashMap::new(),
            listing: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Seen<K> {
    /// Takes note of an event; gives what is new, different or gone with it, in order. A list counts
    /// when it is whole: before, nobody knows what is missing in it.
    pub(crate) fn note<O>(
        &mut self,
        event: &Event<O>,
        read: impl FnOnce(&O) -> (K, String),
    ) -> Vec<K> {
        match event {
            Event::Init => {
                self.listing.clear();
                Vec::new()
            }
            Event::InitApply(object) => {
                let (key, print) = read(object);
                self.listing.insert(key, print);
                Vec::new()
            }
            Event::InitDone => {
                let before = std::mem::replace(&mut self.known, std::mem::take(&mut self.listing));
                let differs = |(key, print): &(&K, &String)| before.get(*key) != Some(*print);
                let changed = self.known.iter().filter(differs).map(|(key, _)| key);
                let gone = before.keys().filter(|key| !self.known.contains_key(*key));
                let mut keys: Vec<K> = changed.chain(gone).cloned().collect();
                keys.sort();
                keys
            }
            Event::Apply(object) => {
                let (key, print) = read(object);
                let known = self.known.insert(key.clone(), print.clone());
                (known != Some(print)).then_some(key).into_iter().collect()
            }
            Event::Delete(object) => {
                let (key, _) = read(object);
                self.known.remove(&key);
                vec![key]
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Object = (&'static str, u32);

    /// What each event in a row changes.
    fn changes(events: &[Event<Object>]) -> Vec<String> {
        let mut seen = Seen::default();
        let read = |object: &Object| (object.0, object.1.to_string());
        let noted = events.iter().map(|event| seen.note(event, read).join(" "));
        noted.collect()
    }

    fn list(objects: &[Object]) -> Vec<Event<Object>> {
        let shown = objects.iter().copied().map(Event::InitApply);
        let (first, last) = ([Event::Init], [Event::InitDone]);
        first.into_iter().chain(shown).chain(last).collect()
    }

    /// What a list changes after another one.
    fn relisted(before: &[Object], after: &[Object]) -> String {
        let events = [list(before), list(after)].concat();
        changes(&events).pop().unwrap_or_default()
    }

    #[test]
    fn a_list_after_another_tells_what_differs_and_what_is_gone() {
        let table: [(&[Object], &[Object], &str); 7] = [
            (&[], &[], ""),
            (&[], &[("a", 1), ("b", 1)], "a b"),
            (&[("a", 1), ("b", 1)], &[("b", 1), ("a", 1)], ""),
            (&[("a", 1), ("b", 1)], &[("a", 2), ("b", 1)], "a"),
            (&[("a", 1), ("b", 1)], &[("a", 1)], "b"),
            (&[("a", 1)], &[("b", 1)], "a b"),
            (&[("a", 1), ("b", 1)], &[], "a b"),
        ];
        for (before, after, changed) in table {
            assert_eq!(relisted(before, after), changed, "{before:?} {after:?}");
        }
    }

    #[test]
    fn a_list_counts_when_it_is_whole_and_one_that_broke_off_counts_nothing() {
        let broken = [Event::Init, Event::InitApply(("b", 2))];
        let events = [
            list(&[("a", 1), ("b", 1)]),
            broken.into(),
            list(&[("a", 1), ("b", 1)]),
        ];
        let changed = changes(&events.concat());
        assert_eq!(changed[3], "a b");
        assert!(changed[4..].iter().all(String::is_empty), "{changed:?}");
    }

    #[test]
    fn events_tell_what_differs_and_the_list_after_them_tells_it_not_again() {
        let told = [
            Event::Apply(("a", 1)),
            Event::Apply(("a", 2)),
            Event::Apply(("b", 1)),
            Event::Delete(("a", 2)),
            Event::Apply(("a", 2)),
        ];
        let events = [list(&[("a", 1)]), told.into(), list(&[("a", 2), ("b", 1)])].concat();
        let changed = changes(&events);
        assert_eq!(changed[2..8], ["a", "", "a", "b", "a", "a"]);
        assert_eq!(changed.last().unwrap(), "");
    }
}
