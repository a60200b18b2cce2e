//! Whom a change concerns: which sets are looked at when an Application, a project, a cluster or a
//! setting changes.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use gitops_api::Application;
use gitops_api::application_set::WrittenApplicationSet;
use gitops_core::applicationset::{Rolling, uses_clusters};
use gitops_core::manifest::digest;
use kube::runtime::reflector::{ObjectRef, Store};
use parking_lot::Mutex;
use serde_json::{Value, json};

use crate::app_key::AppKey;
use crate::queue::Queue;

/// Events within this time are answered by one look.
const COALESCE_DELAY: Duration = Duration::from_millis(50);

/// The queue of sets, and what is known of who depends on what.
#[derive(Default)]
pub(crate) struct Wake {
    /// Sets to be looked at.
    pub(super) queue: Queue<AppKey>,
    sets: OnceLock<Store<WrittenApplicationSet>>,
    seen: Mutex<HashMap<AppKey, Seen>>,
    /// Names of Applications that each set generated last.
    claims: Mutex<BTreeMap<AppKey, BTreeSet<String>>>,
}

#[derive(Clone, PartialEq)]
struct Seen {
    digest: String,
    /// How far it is, where its set rolls.
    progress: String,
    owners: Vec<String>,
}

impl Wake {
    pub(super) fn set_store(&self, sets: Store<WrittenApplicationSet>) {
        let _ = self.sets.set(sets);
    }

    fn wake(&self, set: AppKey) {
        self.queue.add_after(set, COALESCE_DELAY);
    }

    /// A set itself changed, or a repository it follows.
    pub(crate) fn set(&self, key: AppKey) {
        self.queue.add(key);
    }

    /// A project, a setting or credentials changed.
    pub(crate) fn everything(&self) {
        for set in self.sets.get().map(Store::state).unwrap_or_default() {
            self.wake(AppKey::of(set.as_ref()));
        }
    }

    /// A cluster came, changed or went.
    pub(super) fn clusters(&self) {
        for set in self.sets.get().map(Store::state).unwrap_or_default() {
            let generators = set.spec.get("generators").and_then(Value::as_array);
            if generators.is_some_and(|generators| uses_clusters(generators)) {
                self.wake(AppKey::of(set.as_ref()));
            }
        }
    }

    /// An Application as it is now. Its status concerns only sets that roll.
    pub(crate) fn application(&self, application: &Application) {
        let metadata = &application.metadata;
        let owners: Vec<String> = application.sets().map(str::to_owned).collect();
        let namespace = metadata.namespace.as_deref().unwrap_or_default();
        let rolls = owners.iter().any(|name| self.rolls(namespace, name));
        let now = Seen {
            progress: if rolls {
                progress(application)
            } else {
                String::new()
            },
            digest: digest::of_value(&json!([
                application.spec,
                metadata.labels,
                metadata.annotations,
                metadata.finalizers,
                metadata.owner_references,
                metadata.deletion_timestamp,
            ])),
            owners,
        };
        let key = AppKey::of(application);
        let before = self.seen.lock().insert(key.clone(), now.clone());
        if before.as_ref() != Some(&now) {
            self.interested(&key, [before, Some(now)].into_iter().flatten());
        }
    }

    fn rolls(&self, namespace: &str, name: &str) -> bool {
        let reference = ObjectRef::new(name).within(namespace);
        let set = self.sets.get().and_then(|sets| sets.get(&reference));
        set.is_some_and(|set| set.spec.get("strategy").is_some_and(Rolling::is_meant))
    }

    /// An Application is gone.
    pub(crate) fn application_gone(&self, key: &AppKey) {
        let before = self.seen.lock().remove(key);
        self.interested(key, before.into_iter());
    }

    fn interested(&self, key: &AppKey, seen: impl Iterator<Item = Seen>) {
        let of_name = |name: String| AppKey {
            namespace: key.namespace.clone(),
            name,
        };
        let mut sets: BTreeSet<AppKey> = seen.flat_map(|seen| seen.owners).map(of_name).collect();
        let claims = self.claims.lock();
        let claims = claims.iter().filter(|(_, names)| names.contains(&key.name));
        sets.extend(claims.map(|(set, _)| set.clone()));
        for set in sets {
            self.wake(set);
        }
    }

    /// Takes note of what a set generated; the answer is which other sets generated the same names.
    /// Those are woken when that is news.
    pub(super) fn claim(
        &self,
        set: &AppKey,
        names: &BTreeSet<String>,
    ) -> BTreeMap<String, Vec<String>> {
        let mut claims = self.claims.lock();
        let before = claims
            .insert(set.clone(), names.clone())
            .unwrap_or_default();
        let mut rivals: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let others = claims.iter().filter(|(other, _)| *other != set);
        let mut woken = Vec::new();
        for (other, theirs) in others.filter(|(other, _)| other.namespace == set.namespace) {
            for name in theirs.intersection(names) {
                rivals
                    .entry(name.clone())
                    .or_default()
                    .push(other.name.clone());
            }
            let is_news = |name: &&String| names.contains(*name) != before.contains(*name);
            if theirs.iter().any(|name| is_news(&name)) {
                woken.push(other.clone());
            }
        }
        drop(claims);
        for other in woken {
            self.wake(other);
        }
        rivals
    }

    /// A set is gone.
    pub(super) fn forget(&self, set: &AppKey) {
        self.claim(set, &BTreeSet::new());
        self.claims.lock().remove(set);
    }
}

/// What a rollout is judged by.
fn progress(application: &Application) -> String {
    let Some(status) = &application.status else {
        return String::new();
    };
    let operation = status.operation_state.as_ref();
    let health = status.health.as_ref();
    let conditions = status.conditions.iter();
    let conditions: Vec<_> = conditions
        .map(|one| (&one.condition_type, &one.message))
        .collect();
    digest::of_value(&json!([
        status.sync,
        health.map(|health| health.status),
        operation.map(|operation| (operation.phase, &operation.started_at)),
        application.operation.is_some(),
        conditions,
    ]))
}

/// Shared by the watches.
pub(super) type SharedWake = Arc<Wake>;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn two_sets_of_one_name_hear_of_each_other() {
        let wake = Wake::default();
        let key = |name: &str| AppKey {
            namespace: "argocd".into(),
            name: name.into(),
        };
        let names = |all: &[&str]| all.iter().map(|name| (*name).to_owned()).collect();
        assert!(wake.claim(&key("one"), &names(&["a", "b"])).is_empty());
        let rivals = wake.claim(&key("two"), &names(&["b", "c"]));
        assert_eq!(
            rivals,
            BTreeMap::from([("b".to_owned(), vec!["one".to_owned()])])
        );
        assert_eq!(wake.queue.next().await, key("one"), "it has to say so, too");
        wake.queue.done(&key("one"));
        let rivals = wake.claim(&key("one"), &names(&["a", "b"]));
        assert_eq!(rivals.len(), 1);
        wake.forget(&key("two"));
        assert_eq!(
            wake.queue.next().await,
            key("one"),
            "the name is free again"
        );
        assert!(wake.claim(&key("one"), &names(&["a", "b"])).is_empty());
    }
}
