//! Taking back what one commit did to a file while keeping what later ones did.

use crate::git::Entry;

/// What is done with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// It is as it was before the commit already.
    Nothing,
    /// It becomes this; `None`: it goes away.
    Take(Option<Entry>),
    /// Later commits changed it too: their changes are kept, line by line.
    Merge {
        /// What the commit made of it.
        base: Entry,
        /// What it is.
        ours: Entry,
        /// What it was before the commit.
        theirs: Entry,
    },
    /// It cannot be decided by a program; why.
    Conflict(&'static str),
}

/// Decides. `before` and `after` are the file before and after the commit, `now` is what it is.
pub fn step(before: Option<&Entry>, after: Option<&Entry>, now: Option<&Entry>) -> Step {
    if now == before {
        return Step::Nothing;
    }
    if now == after {
        return Step::Take(before.cloned());
    }
    match (before, after, now) {
        (Some(before), Some(after), Some(now)) if is_text(before, after, now) => Step::Merge {
            base: after.clone(),
            ours: now.clone(),
            theirs: before.clone(),
        },
        (Some(_), Some(_), Some(_)) => {
            Step::Conflict("it is a link or a submodule that changed since")
        }
        (_, _, None) => Step::Conflict("it was deleted since"),
        (None, _, Some(_)) => Step::Conflict("it was added by the commit and changed since"),
        (Some(_), None, Some(_)) => {
            Step::Conflict("it was deleted by the commit and added anew since")
        }
    }
}

fn is_text(before: &Entry, after: &Entry, now: &Entry) -> bool {
    [before, after, now]
        .iter()
        .all(|entry| entry.mode.starts_with("100"))
}

/// Mode of a merged file: what the commit did to it is taken back, too.
pub fn merged_mode(before: &Entry, after: &Entry, now: &Entry) -> String {
    if now.mode == after.mode {
        before.mode.clone()
    } else {
        now.mode.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(id: &str) -> Option<Entry> {
        let mode = if id.starts_with('@') {
            "120000"
        } else {
            "100644"
        };
        (!id.is_empty()).then(|| Entry {
            mode: mode.into(),
            id: id.into(),
        })
    }

    #[test]
    fn every_case() {
        let of = |before: &str, after: &str, now: &str| {
            step(
                entry(before).as_ref(),
                entry(after).as_ref(),
                entry(now).as_ref(),
            )
        };
        assert_eq!(of("a", "b", "b"), Step::Take(entry("a")));
        assert_eq!(of("a", "b", "a"), Step::Nothing);
        assert_eq!(of("", "b", "b"), Step::Take(None));
        assert_eq!(of("", "b", ""), Step::Nothing);
        assert_eq!(of("a", "", ""), Step::Take(entry("a")));
        assert_eq!(of("a", "", "a"), Step::Nothing);
        assert!(matches!(of("a", "b", "c"), Step::Merge { .. }));
        assert_eq!(of("a", "b", ""), Step::Conflict("it was deleted since"));
        assert!(matches!(of("", "b", "c"), Step::Conflict(why) if why.contains("changed since")));
        assert!(matches!(of("a", "", "c"), Step::Conflict(why) if why.contains("anew")));
        assert!(matches!(of("@a", "@b", "@c"), Step::Conflict(why) if why.contains("link")));
    }

    #[test]
    fn modes_are_taken_back_too() {
        let mode = |mode: &str| Entry {
            mode: mode.into(),
            id: String::new(),
        };
        let (plain, executable) = (mode("100644"), mode("100755"));
        assert_eq!(merged_mode(&plain, &executable, &executable), "100644");
        assert_eq!(merged_mode(&plain, &plain, &executable), "100755");
    }
}
