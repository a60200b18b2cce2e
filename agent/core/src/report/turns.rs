//! Whose Preview is answered next: askers take turns, however many each of them asks.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

/// Most Previews of one asker that wait.
pub const MAX_WAITING: usize = 20;

/// Previews that wait, by who asks. Of one asker, one is answered at a time, so that nobody has all
/// workers.
#[derive(Debug, Default)]
pub struct Turns {
    waiting: HashMap<String, VecDeque<String>>,
    /// Askers with a Preview waiting, whose turn is first one first.
    order: VecDeque<String>,
    /// Askers one of whose Previews is being answered.
    working: HashSet<String>,
    /// Previews that wait or are being answered.
    known: BTreeSet<String>,
}

/// What became of a Preview that was noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// It waits.
    Waits,
    /// It waits already, or is being answered.
    Known,
    /// Its asker has [`MAX_WAITING`] others waiting.
    TooMany,
}

impl Turns {
    /// Takes up a Preview.
    pub fn add(&mut self, asker: &str, preview: &str) -> Noticed {
        if self.known.contains(preview) {
            return Noticed::Known;
        }
        let waiting = self.waiting.entry(asker.to_owned()).or_default();
        if waiting.len() >= MAX_WAITING {
            return Noticed::TooMany;
        }
        if waiting.is_empty() {
            self.order.push_back(asker.to_owned());
        }
        waiting.push_back(preview.to_owned());
        self.known.insert(preview.to_owned());
        Noticed::Waits
    }

    /// The next Preview with its asker; the caller says [`Turns::done`] afterwards.
    pub fn next_turn(&mut self) -> Option<(String, String)> {
        let free = |asker: &String| !self.working.contains(asker);
        let place = self.order.iter().position(free)?;
        let asker = self.order.remove(place)?;
        let waiting = self.waiting.get_mut(&asker)?;
        let preview = waiting.pop_front()?;
        if waiting.is_empty() {
            self.waiting.remove(&asker);
        } else {
            self.order.push_back(asker.clone());
        }
        self.working.insert(asker.clone());
        Some((asker, preview))
    }

    /// A Preview was answered, or could not be.
    pub fn done(&mut self, asker: &str, preview: &str) {
        self.working.remove(asker);
        self.known.remove(preview);
    }
}

/// What is said of a Preview that is not taken up.
pub fn too_many() -> String {
    format!(
        "{MAX_WAITING} Previews of yours wait already, which is the most; ask again when one of \
         them is answered"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_hundred_previews_of_one_do_not_hold_up_the_one_of_another() {
        let mut turns = Turns::default();
        let noticed: Vec<Noticed> = (0..200)
            .map(|number| turns.add("ana", &format!("a{number}")))
            .collect();
        let of = |wanted: Noticed| noticed.iter().filter(|found| **found == wanted).count();
        assert_eq!(
            (of(Noticed::Waits), of(Noticed::TooMany)),
            (MAX_WAITING, 180)
        );
        let first = turns.next_turn();
        assert_eq!(first, Some(("ana".into(), "a0".into())));
        assert_eq!(turns.next_turn(), None, "the other worker is not hers");
        assert_eq!(turns.add("bob", "b0"), Noticed::Waits);
        assert_eq!(turns.next_turn(), Some(("bob".into(), "b0".into())));
        turns.done("ana", "a0");
        assert_eq!(turns.next_turn(), Some(("ana".into(), "a1".into())));
    }

    #[test]
    fn askers_take_turns() {
        let mut turns = Turns::default();
        for (asker, preview) in [("a", "1"), ("a", "2"), ("a", "3"), ("b", "4"), ("c", "5")] {
            turns.add(asker, preview);
        }
        assert_eq!(turns.add("a", "2"), Noticed::Known);
        let mut order = String::new();
        while let Some((asker, preview)) = turns.next_turn() {
            order.push_str(&preview);
            turns.done(&asker, &preview);
        }
        assert_eq!(order, "14523");
        assert_eq!(turns.add("a", "1"), Noticed::Waits, "it may be asked again");
    }
}
