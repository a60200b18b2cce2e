//! Objects that move from one application to another: who wants them, who has to look again, and
//! whom to wait for before anything is deleted.
//!
//! A commit that moves a manifest is looked at by one application after the other. So that none
//! prunes what the next one would take over, those that follow the same revision wait for each
//! other's look at it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use gitops_api::ApplicationSource;
use gitops_api::constants::annotation;
use gitops_core::compare::comparison::State;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::project::permits_object;
use gitops_core::source;
use kube::ResourceExt;

use crate::applications::reconcile::{AppState, Reconciliation};
use crate::applications::{AppKey, Controller, key_of};

/// A repository and what is followed of it.
type Followed = (String, String);

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
    fn note(&self, key: &AppKey, revisions: BTreeMap<Followed, String>) -> Vec<AppKey> {
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
    fn behind(
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
        f(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
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

fn followed(source: &ApplicationSource) -> Option<Followed> {
    let in_git = source.chart.is_empty() && !source.repo_url.is_empty();
    in_git.then(|| {
        let url = source::normalise(&source.repo_url);
        (url, source.target_revision.clone())
    })
}

fn looked_at(sources: &[ApplicationSource], revisions: &[String]) -> BTreeMap<Followed, String> {
    let pairs = sources.iter().zip(revisions);
    pairs
        .filter_map(|(source, revision)| Some((followed(source)?, revision.clone())))
        .collect()
}

impl Controller {
    /// Another application that wants an object and may have it.
    pub(crate) fn next_owner(&self, instance: &str, object: &ObjectKey) -> Option<String> {
        let others = self.cluster.index.other_claimants_of(instance, object);
        others.into_iter().find(|other| {
            let Some(app) = self.application(&crate::applications::app_key(other, &self.namespace))
            else {
                return false;
            };
            let name = app.spec.effective_project();
            app.metadata.deletion_timestamp.is_none()
                && self.project(name).is_ok_and(|project| {
                    permits_object(&project.spec, name, &app.spec.destination, object).is_ok()
                })
        })
    }

    /// Looks at other applications again.
    pub(crate) fn requeue(&self, instances: BTreeSet<String>) {
        for instance in instances {
            self.queue
                .add(crate::applications::app_key(&instance, &self.namespace));
        }
    }

    /// Takes note that an application looked at these revisions, or tried to.
    pub(crate) fn record_observed(
        &self,
        key: &AppKey,
        sources: &[ApplicationSource],
        revisions: &[String],
    ) {
        for waiting in self
            .observed_revisions
            .note(key, looked_at(sources, revisions))
        {
            self.queue.add(waiting);
        }
    }

    /// Applications that follow the same revisions and have not looked at them yet: one of them
    /// may want what this one gives up, or give up what this one wants. It is woken when they have.
    pub(crate) fn unobserved_apps(
        &self,
        key: &AppKey,
        sources: &[ApplicationSource],
        revisions: &[String],
    ) -> BTreeSet<AppKey> {
        let applications = self.configuration.applications.state();
        let others = applications
            .iter()
            .filter(|app| app.metadata.deletion_timestamp.is_none())
            .filter(|app| {
                let skipped = app.annotations().get(annotation::SKIP_RECONCILE);
                skipped.is_none_or(|skipped| skipped != "true")
            })
            .map(|app| {
                let sources = app.spec.effective_sources();
                (
                    key_of(app.as_ref()),
                    sources.iter().filter_map(followed).collect(),
                )
            });
        self.observed_revisions
            .behind(key, &looked_at(sources, revisions), others)
    }
}

impl Reconciliation<'_> {
    /// Whether objects would change hands, or go, before everybody concerned has looked at the
    /// commit.
    pub(crate) fn awaits_handover(&self, app_state: &AppState) -> bool {
        let concerned = app_state
            .comparison
            .values()
            .any(|state| state.is_extra() || matches!(state, State::OwnedBy(_)));
        if !concerned {
            return false;
        }
        let sources = self.app.spec.effective_sources();
        let behind = self
            .controller
            .unobserved_apps(self.key, sources, &self.tracked);
        if !behind.is_empty() {
            tracing::debug!(application = %self.key, ?behind, "waits for the look of others");
        }
        !behind.is_empty()
    }
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
