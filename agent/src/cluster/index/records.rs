//! The records themselves: which there are, whose they are, and whom a change concerns.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gitops_core::compare::comparison::Confirmation;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::object::ObjectKey;
use serde_json::Value;

use super::gone::Gone;

/// All that is recorded of one cluster.
#[derive(Debug, Default)]
pub(super) struct Records {
    pub(super) objects: HashMap<ObjectKey, LiveObject>,
    /// Objects by the instance name in their tracking annotation.
    pub(super) tracked: HashMap<String, BTreeSet<ObjectKey>>,
    /// Instances that want an object, tracked or not.
    pub(super) wanted: HashMap<ObjectKey, BTreeSet<String>>,
    /// The same, the other way round.
    pub(super) wants: HashMap<String, HashSet<ObjectKey>>,
    /// How many objects are recorded in each namespace.
    pub(super) namespaces: HashMap<String, usize>,
    pub(super) confirmed: HashMap<ObjectKey, Arc<Confirmation>>,
    /// Objects that did their work and may go by themselves, with the digest of their manifest.
    pub(super) ended: HashMap<ObjectKey, Box<str>>,
    /// Objects looked up and not found, which no watch would have shown for lack of a label.
    pub(super) absent: HashSet<ObjectKey>,
    /// Objects whose kind has another health rule since they were recorded.
    pub(super) judged_by_old_rules: HashSet<ObjectKey>,
    pub(super) gone: Gone,
}

impl Records {
    /// Whether this very state of an object is recorded, judged by the rules of now.
    pub(super) fn is_known(&self, key: &ObjectKey, object: &Value) -> bool {
        let metadata = &object["metadata"];
        self.objects.get(key).is_some_and(|known| {
            metadata["resourceVersion"] == *known.resource_version && metadata["uid"] == *known.uid
        }) && !self.judged_by_old_rules.contains(key)
    }

    /// `latest`: it was judged by the health rules of now.
    pub(super) fn put(&mut self, record: LiveObject, latest: bool) -> BTreeSet<String> {
        let key = record.key.clone();
        self.absent.remove(&key);
        let previous = self.objects.get(&key);
        let outdated = self.judged_by_old_rules.contains(&key);
        if previous.is_some_and(|known| {
            let again = outdated && known.resource_version == record.resource_version;
            known.uid == record.uid && !record.is_newer_than(known) && !again
        }) {
            return BTreeSet::new();
        }
        if latest {
            self.judged_by_old_rules.remove(&key);
        }
        let mut affected = self.interested(&key, Some(&record));
        if let Some(previous) = previous {
            affected.extend(self.interested(&key, Some(previous)));
            let matters = |a: &LiveObject, b: &LiveObject| {
                a.uid != b.uid
                    || a.owned != b.owned
                    || a.generation != b.generation
                    || a.health != b.health
                    || a.deleting != b.deleting
                    || a.held != b.held
                    || a.tracking != b.tracking
                    || a.marked != b.marked
                    || a.desired_digest != b.desired_digest
                    || a.keep != b.keep
                    || a.on_deletion != b.on_deletion
                    || a.options != b.options
                    || a.shown != b.shown
                    || (a.generation.is_none() && a.resource_version != b.resource_version)
            };
            if !matters(previous, &record) {
                affected.clear();
            }
            self.untrack(&key);
        } else {
            *self.namespaces.entry(key.namespace.clone()).or_default() += 1;
        }
        if let Some(tracking) = &record.tracking {
            self.tracked
                .entry(tracking.instance.clone())
                .or_default()
                .insert(key.clone());
        }
        match &record.desired_digest {
            Some(digest) if record.ended => {
                self.ended.insert(key.clone(), digest.as_str().into());
            }
            _ => drop(self.ended.remove(&key)),
        }
        self.objects.insert(key, record);
        affected
    }

    pub(super) fn remove(&mut self, key: &ObjectKey) -> BTreeSet<String> {
        let Some(record) = self.objects.get(key) else {
            return BTreeSet::new();
        };
        let affected = self.interested(key, Some(record));
        self.untrack(key);
        self.objects.remove(key);
        self.judged_by_old_rules.remove(key);
        self.confirmed.remove(key);
        if let Some(count) = self.namespaces.get_mut(&key.namespace) {
            *count -= 1;
            if *count == 0 {
                self.namespaces.remove(&key.namespace);
            }
        }
        // A watch said so: there is nothing to look up.
        self.absent.insert(key.clone());
        affected
    }

    pub(super) fn untrack(&mut self, key: &ObjectKey) {
        let Some(instance) = self
            .objects
            .get(key)
            .and_then(|o| o.tracking.as_ref())
            .map(|t| t.instance.clone())
        else {
            return;
        };
        if let Some(keys) = self.tracked.get_mut(&instance) {
            keys.remove(key);
            if keys.is_empty() {
                self.tracked.remove(&instance);
            }
        }
    }

    pub(super) fn interested(
        &self,
        key: &ObjectKey,
        record: Option<&LiveObject>,
    ) -> BTreeSet<String> {
        let mut instances = self.wanted.get(key).cloned().unwrap_or_default();
        instances.extend(
            record
                .and_then(|record| record.tracking.as_ref())
                .map(|t| t.instance.clone()),
        );
        instances
    }
}
