//! Which revisions of what they follow the applications have observed, and who waits for whom.

use std::collections::{BTreeMap, BTreeSet};

use gitops_api::ApplicationSource;
use gitops_core::source;
use parking_lot::Mutex;

use crate::app_key::AppKey;

/// A repository and what is followed of it.
pub(crate) type Followed = (String, String);

/// Which revisions each application has looked at.
#[derive(Default)]
pub(crate) struct ObservedRevisions(Mutex<Inner>);

#[derive(Default)]
struct Inner {
    /// By application; empty when it could not even look its sources up.
    revisions: BTreeMap<AppKey, BTreeMap<Followed, String>>,
    /// For whom an application waits.
    waiting: BTreeMap<AppKey, BTreeSet<AppKey>>,
}

impl ObservedRevisions {
    /// Takes note of a look, whatever came of it; returns who waited for nothing else.
    pub(crate) fn note(&self, key: &AppKey, revisions: BTreeMap<Followed, String>) -> Vec<AppKey> {
        self.with(|inner| {
            inner.revisions.insert(key.clone(), revisions);
            inner.release(key)
        })
    }

    /// Forgets an application; returns who waited for nothing else.
    pub(crate) fn forget(&self, key: &AppKey) -> Vec<AppKey> {
        self.with(|inner| {
            inner.revisions.remove(key);
            inner.waiting.remove(key);
            inner.release(key)
        })
    }

    /// Those of `others` that have not looked at these revisions yet, though they follow the same.
    pub(crate) fn behind(
        &self,
        key: &AppKey,
        mine: &BTreeMap<Followed, String>,
        others: impl Iterator<Item = (AppKey, BTreeSet<Followed>)>,
    ) -> BTreeSet<AppKey> {
        self.with(|inner| {
            let behind: BTreeSet<AppKey> = others
                .filter(|(other, _)| other != key)
                .filter(|(other, followed)| match inner.revisions.get(other) {
                    None => followed.iter().any(|place| mine.contains_key(place)),
                    Some(looked) => followed.iter().any(|place| {
                        let seen = looked.get(place);
                        seen.is_some() && mine.get(place).is_some_and(|own| seen != Some(own))
                    }),
                })
                .map(|(other, _)| other)
                .collect();
            if behind.is_empty() {
                inner.waiting.remove(key);
            } else {
                inner.waiting.insert(key.clone(), behind.clone());
            }
            behind
        })
    }

    fn with<T>(&self, f: impl FnOnce(&mut Inner) -> T) -> T {
        f(&mut self.0.lock())
    }
}

impl Inner {
    fn release(&mut self, looked: &AppKey) -> Vec<AppKey> {
        let mut free = Vec::new();
        self.waiting.retain(|waiting, behind| {
            behind.remove(looked);
            if behind.is_empty() {
                free.push(waiting.clone());
            }
            !behind.is_empty()
        });
        free
    }
}

/// What a source follows; `None` for a chart, which no commit moves.
pub(crate) fn followed(source: &ApplicationSource) -> Option<Followed> {
    let in_git = source.chart.is_empty() && !source.repo_url.is_empty();
    in_git.then(|| {
        let url = source::normalize(&source.repo_url);
        (url, source.target_revision.clone())
    })
}

/// The revisions that were found, by what is followed.
pub(crate) fn looked_at(
    sources: &[ApplicationSource],
    revisions: &[String],
) -> BTreeMap<Followed, String> {
    let pairs = sources.iter().zip(revisions);
    pairs
        .filter_map(|(source, revision)| Some((followed(source)?, revision.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> AppKey {
        AppKey {
            namespace: "argocd".into(),
            name: name.into(),
        }
    }

    fn place() -> Followed {
        ("https://git.example.org/a".into(), "main".into())
    }

    fn at(revision: &str) -> BTreeMap<Followed, String> {
        BTreeMap::from([(place(), revision.into())])
    }

    #[test]
    fn nobody_acts_before_all_have_looked() {
        let observed_revisions = ObservedRevisions::default();
        let others = || {
            [
                (key("a"), BTreeSet::from([place()])),
                (key("b"), BTreeSet::from([place()])),
                (key("broken"), BTreeSet::from([place()])),
                (key("elsewhere"), BTreeSet::new()),
            ]
            .into_iter()
        };
        let behind = |of: &str| observed_revisions.behind(&key(of), &at("2"), others());
        observed_revisions.note(&key("a"), at("2"));
        assert_eq!(
            behind("a"),
            BTreeSet::from([key("b"), key("broken")]),
            "they never looked"
        );
        assert!(
            observed_revisions
                .note(&key("broken"), BTreeMap::new())
                .is_empty()
        );
        assert_eq!(observed_revisions.note(&key("b"), at("1")), [key("a")]);
        assert_eq!(
            behind("a"),
            BTreeSet::from([key("b")]),
            "it looked at the one before"
        );
        assert_eq!(observed_revisions.note(&key("b"), at("2")), [key("a")]);
        assert!(behind("a").is_empty() && behind("b").is_empty());
        assert_eq!(behind("c"), BTreeSet::new());
        observed_revisions.note(&key("b"), at("1"));
        assert_eq!(behind("a"), BTreeSet::from([key("b")]));
        assert_eq!(
            observed_revisions.forget(&key("b")),
            [key("a")],
            "it is gone"
        );
    }
}
