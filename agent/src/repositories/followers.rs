//! Who follows which revisions of one repository, and whom a change of its refs concerns.
//!
//! Works on what it is given: it lists nothing, fetches nothing and wakes nobody. A follower is
//! whatever its owner wants woken: only equality and order of keys are asked for.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::Arc;

use gitops_core::source::revision::{self, Resolution};
use gitops_git::Refs;

/// What is followed of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Target {
    /// A branch, tag, version range or commit, as `targetRevision` names it.
    pub(crate) revision: String,
    /// Prefix of the tags a version range is about; may be empty.
    pub(crate) tag_prefix: String,
}

/// What asking a server brought that followers have not been told of yet.
#[derive(Clone, Debug)]
pub(super) enum Change {
    /// Nothing: the same refs, or still no answer.
    None,
    /// Other refs than before. Targets that could not be had with the refs before may be there now,
    /// whatever they resolve to.
    Refs {
        before: Arc<Refs>,
        after: Arc<Refs>,
        failed: BTreeSet<Target>,
    },
    /// The first answer, the first failure, or the first answer after one.
    Everything,
}

/// The followers of one repository.
#[derive(Debug)]
pub(super) struct Followers<K> {
    targets: HashMap<K, BTreeSet<Target>>,
    /// The same the other way round: many followers share a target, and it is resolved once.
    keys: BTreeMap<Target, BTreeSet<K>>,
}

impl<K> Default for Followers<K> {
    fn default() -> Self {
        Self {
            targets: HashMap::new(),
            keys: BTreeMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash + Ord> Followers<K> {
    pub(super) fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Who follows this very target.
    pub(super) fn of(&self, target: &Target) -> BTreeSet<K> {
        self.keys.get(target).cloned().unwrap_or_default()
    }

    /// `key` follows these targets from now on, and no others.
    pub(super) fn set(&mut self, key: &K, targets: BTreeSet<Target>) {
        if self.targets.get(key) == Some(&targets) {
            return;
        }
        self.remove(key);
        for target in &targets {
            let keys = self.keys.entry(target.clone()).or_default();
            keys.insert(key.clone());
        }
        if !targets.is_empty() {
            self.targets.insert(key.clone(), targets);
        }
    }

    /// `key` follows nothing here any more.
    pub(super) fn remove(&mut self, key: &K) {
        for target in self.targets.remove(key).unwrap_or_default() {
            if let Some(keys) = self.keys.get_mut(&target) {
                keys.remove(key);
                if keys.is_empty() {
                    self.keys.remove(&target);
                }
            }
        }
    }

    /// The followers that have to look again after `change`.
    ///
    /// `resolve` says what a target means given refs. It is asked twice for each distinct target
    /// when refs moved, and never otherwise.
    pub(super) fn affected(
        &self,
        change: &Change,
        resolve: impl Fn(&Refs, &Target) -> Resolution,
    ) -> BTreeSet<K> {
        match change {
            Change::None => BTreeSet::new(),
            Change::Everything => self.targets.keys().cloned().collect(),
            Change::Refs {
                before,
                after,
                failed,
            } => self
                .keys
                .iter()
                .filter(|(target, _)| {
                    failed.contains(target) || resolve(before, target) != resolve(after, target)
                })
                .flat_map(|(_, keys)| keys.iter().cloned())
                .collect(),
        }
    }
}

/// What a target means, given the refs of its repository.
pub(super) fn resolve(refs: &Refs, target: &Target) -> Resolution {
    revision::resolve(
        &refs.by_name,
        |named| &named.sha,
        refs.head.as_deref(),
        &target.revision,
        &target.tag_prefix,
    )
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use gitops_git::RefTarget;

    use super::*;

    fn refs(names: &[(&str, &str)]) -> Arc<Refs> {
        let by_name = names
            .iter()
            .map(|(name, sha)| {
                let target = RefTarget {
                    sha: (*sha).to_owned(),
                    tag_object: None,
                };
                ((*name).to_owned(), target)
            })
            .collect();
        Arc::new(Refs {
            head: Some("refs/heads/main".into()),
            head_sha: None,
            by_name,
        })
    }

    fn target(revision: &str) -> Target {
        Target {
            revision: revision.into(),
            tag_prefix: String::new(),
        }
    }

    fn moved(before: &Arc<Refs>, after: &Arc<Refs>, failed: &[&str]) -> Change {
        Change::Refs {
            before: Arc::clone(before),
            after: Arc::clone(after),
            failed: failed.iter().map(|name| target(name)).collect(),
        }
    }

    /// Any key will do: numbers here, Applications elsewhere.
    fn followers(rows: &[(u32, &[&str])]) -> Followers<u32> {
        let mut followers = Followers::default();
        for (key, names) in rows {
            followers.set(key, names.iter().map(|name| target(name)).collect());
        }
        followers
    }

    #[test]
    fn only_followers_of_what_moved_are_affected() {
        let followers = followers(&[
            (1, &["main"]),
            (2, &["HEAD", "1.x"]),
            (3, &["release"]),
            (4, &["0123456789abcdef0123456789abcdef01234567"]),
            (5, &["missing"]),
        ]);
        let before = refs(&[("refs/heads/main", "a"), ("refs/heads/release", "b")]);
        let keys = |change: Change| -> Vec<u32> {
            followers.affected(&change, resolve).into_iter().collect()
        };
        let pushed = refs(&[("refs/heads/main", "c"), ("refs/heads/release", "b")]);
        assert_eq!(keys(moved(&before, &pushed, &[])), [1, 2]);
        let tagged = refs(&[
            ("refs/heads/main", "a"),
            ("refs/heads/release", "b"),
            ("refs/tags/v1.2.0", "b"),
        ]);
        assert_eq!(keys(moved(&before, &tagged, &[])), [2]);
        let appeared = refs(&[
            ("refs/heads/main", "a"),
            ("refs/heads/missing", "d"),
            ("refs/heads/release", "b"),
        ]);
        assert_eq!(keys(moved(&before, &appeared, &[])), [5]);
        let deleted = refs(&[("refs/heads/main", "a")]);
        assert_eq!(keys(moved(&before, &deleted, &[])), [3]);
        // A commit named by its id resolves to the same, but may have come with the push.
        let commit = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(keys(moved(&before, &pushed, &[commit])), [1, 2, 4]);
        assert_eq!(keys(Change::Everything), [1, 2, 3, 4, 5]);
        assert!(keys(Change::None).is_empty());
    }

    #[test]
    fn targets_are_resolved_once_each_and_only_when_refs_moved() {
        const FOLLOWERS: u32 = 1_000;
        let mut followers = Followers::default();
        for key in 0..FOLLOWERS {
            followers.set(&key, BTreeSet::from([target("main"), target("1.x")]));
        }
        let calls = Cell::new(0);
        let counted = |refs: &Refs, target: &Target| {
            calls.set(calls.get() + 1);
            resolve(refs, target)
        };
        assert!(followers.affected(&Change::None, counted).is_empty());
        assert_eq!(
            followers.affected(&Change::Everything, counted).len(),
            1_000
        );
        assert_eq!(calls.get(), 0);
        let before = refs(&[("refs/heads/main", "a")]);
        let after = refs(&[("refs/heads/main", "b")]);
        let affected = followers.affected(&moved(&before, &after, &[]), counted);
        assert_eq!(affected.len(), 1_000);
        assert_eq!(calls.get(), 4, "two targets, before and after");
    }

    #[test]
    fn who_follows_something_else_or_nothing_is_forgotten() {
        let mut followers = followers(&[(1, &["main"]), (2, &["main"])]);
        let (before, after) = (
            refs(&[("refs/heads/main", "a"), ("refs/heads/other", "a")]),
            refs(&[("refs/heads/main", "b"), ("refs/heads/other", "a")]),
        );
        let keys = |followers: &Followers<u32>| -> Vec<u32> {
            let change = moved(&before, &after, &[]);
            followers.affected(&change, resolve).into_iter().collect()
        };
        assert_eq!(keys(&followers), [1, 2]);
        followers.set(&1, BTreeSet::from([target("other")]));
        assert_eq!(keys(&followers), [2]);
        followers.remove(&2);
        assert!(keys(&followers).is_empty() && !followers.is_empty());
        followers.set(&1, BTreeSet::new());
        assert!(followers.is_empty() && followers.keys.is_empty());
    }
}
