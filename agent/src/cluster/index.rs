//! Records of the live objects the agent manages, and what was confirmed about them.
//!
//! Filled by watches and by the answers to writes; read by every comparison. Holds no object.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use gitops_core::compare::comparison;
use gitops_core::compare::comparison::{Comparison, Confirmation};
use gitops_core::live::admission::Admission;
use gitops_core::live::health;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::manifest::object::{GroupKind, ObjectKey};
use jiff::Timestamp;
use parking_lot::RwLock;
use serde_json::Value;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::settings::CurrentSettings;

mod gone;
mod records;

use records::Records;

/// The records of one cluster.
#[derive(Debug)]
pub(crate) struct Index {
    settings: CurrentSettings,
    inner: RwLock<Records>,
    changed: Notify,
}

/// What is known besides the records when an application is compared.
pub(crate) struct Known<'a> {
    /// Whether another application exists and may have delivered an object.
    pub(crate) may_hold: &'a dyn Fn(&str, &ObjectKey) -> bool,
    /// Until when this application's own deliveries are on record.
    pub(crate) applied_until: Option<Timestamp>,
}

impl Index {
    /// An empty index. Of kinds that the settings leave alone it never says that an application
    /// has objects.
    pub(crate) fn new(settings: CurrentSettings) -> Self {
        Self {
            settings,
            inner: RwLock::default(),
            changed: Notify::new(),
        }
    }

    /// Takes note of an object; returns the instances to look at again, none when the record is as
    /// before, older than what is known, or that of an object that is known to be gone.
    ///
    /// Whoever takes note of an answer wakes them: when a watch shows the same later, it is known.
    #[must_use = "a watch that shows the same later wakes nobody"]
    pub(crate) fn observe(&self, object: &Value) -> BTreeSet<String> {
        self.take_note(object, false)
    }

    /// The same for the answer to a deletion: a watch may have said before that the object is
    /// gone, and nobody would ever say so again.
    #[must_use = "a watch that shows the same later wakes nobody"]
    pub(crate) fn observe_leaving(&self, object: &Value) -> BTreeSet<String> {
        self.take_note(object, true)
    }

    fn take_note(&self, object: &Value, only_if_there: bool) -> BTreeSet<String> {
        let Some(key) = ObjectKey::of(object) else {
            return BTreeSet::new();
        };
        let (keep_fields, known) = self.read(|inner| {
            (
                !inner.confirmed.contains_key(&key),
                inner.is_known(&key, object),
            )
        });
        if known {
            return BTreeSet::new();
        }
        // Not under the lock: rules of users take their time.
        let rules = self.settings.rules();
        let assess = |object: &Value| health::assess_with(object, |object| rules.judge(object));
        let Some(record) = LiveObject::observe_with(object, keep_fields, assess) else {
            return BTreeSet::new();
        };
        let record = record.tracked_by(object, &self.settings.get().tracking);
        self.write(|inner| {
            if inner.gone.contains(&record.uid) {
                return BTreeSet::new();
            }
            let known = inner.objects.get(&record.key);
            if only_if_there && known.is_none_or(|known| known.uid != record.uid) {
                return BTreeSet::new();
            }
            let latest = Arc::ptr_eq(&rules, &self.settings.rules());
            inner.put(record, latest)
        })
    }

    /// Health rules changed for a kind: its objects are judged anew when they are next seen, even
    /// if they are as before.
    pub(crate) fn judge_again(&self, kind: &GroupKind) {
        self.write(|inner| {
            let of_kind = |key: &&ObjectKey| key.group == kind.group && key.kind == kind.kind;
            let keys: Vec<_> = inner.objects.keys().filter(of_kind).cloned().collect();
            inner.judged_by_old_rules.extend(keys);
        });
    }

    /// Completes when any record changes after this call.
    pub(crate) fn changed(&self) -> Notified<'_> {
        self.changed.notified()
    }

    /// Takes note that the object with this UID is gone; another one may have its name by now.
    pub(crate) fn remove(&self, key: &ObjectKey, uid: &str) -> BTreeSet<String> {
        self.write(|inner| {
            inner.gone.note(uid);
            if inner.objects.get(key).is_some_and(|known| known.uid == uid) {
                inner.remove(key)
            } else {
                BTreeSet::new()
            }
        })
    }

    /// `metadata.uid` of an object as it is recorded.
    pub(crate) fn uid(&self, key: &ObjectKey) -> Option<String> {
        self.read(|inner| inner.objects.get(key).map(|known| known.uid.clone()))
    }

    /// Whether anybody wants an object, or it is known already.
    pub(crate) fn is_of_interest(&self, key: &ObjectKey) -> bool {
        self.read(|inner| inner.objects.contains_key(key) || inner.wanted.contains_key(key))
    }

    /// The known objects of a kind without the agent's label.
    pub(crate) fn unmarked(&self, kind: &GroupKind) -> Vec<ObjectKey> {
        self.read(|inner| {
            let objects = inner.objects.values().filter(|object| !object.marked);
            objects
                .map(|object| &object.key)
                .filter(|key| key.group == kind.group && key.kind == kind.kind)
                .cloned()
                .collect()
        })
    }

    /// Removes the records of a kind that a complete listing did not show; with `only_marked` those
    /// of objects that carry the agent's label.
    pub(crate) fn retain_listed(
        &self,
        kind: &GroupKind,
        listed: &HashSet<ObjectKey>,
        only_marked: bool,
    ) -> BTreeSet<String> {
        self.write(|inner| {
            let gone: Vec<_> = inner
                .objects
                .values()
                .filter(|object| object.marked || !only_marked)
                .map(|object| &object.key)
                .filter(|key| key.group == kind.group && key.kind == kind.kind)
                .filter(|key| !listed.contains(*key))
                .cloned()
                .collect();
            gone.iter()
                .flat_map(|key| {
                    let affected = inner.remove(key);
                    // It may only have lost its label: worth a look before it is called missing.
                    inner.absent.remove(key);
                    affected
                })
                .collect()
        })
    }

    /// Says what an instance wants now; `None` when the application is gone. Returns the other
    /// instances that want what this one does not want any more.
    pub(crate) fn register_desired(
        &self,
        instance: &str,
        desired: Option<&DesiredSet>,
    ) -> BTreeSet<String> {
        let now: HashSet<ObjectKey> = desired
            .iter()
            .flat_map(|set| set.objects.keys().cloned())
            .collect();
        self.write(|inner| {
            let before = inner.wants.remove(instance).unwrap_or_default();
            let mut next_owners = BTreeSet::new();
            for key in before.difference(&now) {
                if let Some(instances) = inner.wanted.get_mut(key) {
                    instances.remove(instance);
                    next_owners.extend(instances.iter().cloned());
                    if instances.is_empty() {
                        inner.wanted.remove(key);
                        inner.confirmed.remove(key);
                        inner.ended.remove(key);
                        inner.absent.remove(key);
                    }
                }
            }
            for key in now.difference(&before) {
                inner
                    .wanted
                    .entry(key.clone())
                    .or_default()
                    .insert(instance.into());
            }
            // Wanting nothing is known, too.
            if desired.is_some() {
                inner.wants.insert(instance.into(), now);
            }
            next_owners
        })
    }

    /// Other instances that want an object.
    pub(crate) fn other_claimants_of(&self, instance: &str, key: &ObjectKey) -> Vec<String> {
        self.read(|inner| {
            let wanting = inner.wanted.get(key).into_iter().flatten();
            wanting
                .filter(|other| *other != instance)
                .cloned()
                .collect()
        })
    }

    /// Notes what the API server confirmed about an object.
    pub(crate) fn confirm(&self, key: &ObjectKey, mut confirmation: Confirmation) {
        self.write(|inner| {
            // What an apply of the same manifest left with others stays so.
            if let Some(known) = inner.confirmed.get(key)
                && confirmation.kept.is_empty()
                && known.desired_digest == confirmation.desired_digest
            {
                confirmation.kept.clone_from(&known.kept);
            }
            if let Some(object) = inner.objects.get_mut(key) {
                object.fields = None;
            }
            inner.confirmed.insert(key.clone(), Arc::new(confirmation));
        });
    }

    /// Notes that an object that is not there did its work, as an earlier agent saw it.
    pub(crate) fn note_ended(&self, key: &ObjectKey, digest: &str) {
        self.write(|inner| {
            if !inner.objects.contains_key(key) && !inner.ended.contains_key(key) {
                inner.ended.insert(key.clone(), digest.into());
            }
        });
    }

    /// What the API server confirmed last about an object; `None` when this agent has not asked it.
    pub(crate) fn confirmed(&self, key: &ObjectKey) -> Option<Arc<Confirmation>> {
        self.read(|inner| inner.confirmed.get(key).cloned())
    }

    /// Notes that an object was looked up and not found.
    pub(crate) fn note_absent(&self, key: &ObjectKey) {
        self.write(|inner| {
            if !inner.objects.contains_key(key) {
                inner.absent.insert(key.clone());
            }
        });
    }

    /// Whether the watches cannot know yet that this object does not exist.
    pub(crate) fn is_unprobed(&self, key: &ObjectKey) -> bool {
        self.read(|inner| !inner.objects.contains_key(key) && !inner.absent.contains(key))
    }

    /// Forgets which objects of an instance were looked up, so that they are looked up again.
    pub(crate) fn forget_probes(&self, instance: &str) {
        self.write(|inner| {
            let Records { absent, wants, .. } = inner;
            for key in wants.get(instance).into_iter().flatten() {
                absent.remove(key);
            }
        });
    }

    /// Whether there is a record of an object.
    pub(crate) fn contains(&self, key: &ObjectKey) -> bool {
        self.read(|inner| inner.objects.contains_key(key))
    }

    /// The record of an object.
    pub(crate) fn get(&self, key: &ObjectKey) -> Option<LiveObject> {
        self.read(|inner| inner.objects.get(key).cloned())
    }

    /// The objects tracked to an instance.
    pub(crate) fn tracked(&self, instance: &str) -> BTreeSet<ObjectKey> {
        self.read(|inner| self.tracked_in(inner, instance))
    }

    /// The objects of the agent's own hooks among them, of whatever run.
    pub(crate) fn hooks_of(&self, instance: &str) -> Vec<LiveObject> {
        self.read(|inner| {
            let tracked = inner.tracked.get(instance).into_iter().flatten();
            let records = tracked.filter_map(|key| inner.objects.get(key));
            records
                .filter(|record| record.hook && (record.operation.is_some() || record.held))
                .cloned()
                .collect()
        })
    }

    fn tracked_in(&self, inner: &Records, instance: &str) -> BTreeSet<ObjectKey> {
        let settings = self.settings.get();
        let tracked = inner.tracked.get(instance).into_iter().flatten();
        let managed = |key: &&ObjectKey| !settings.excludes(&key.group, &key.kind);
        tracked.filter(managed).cloned().collect()
    }

    /// Other instances that want objects tracked to this one.
    pub(crate) fn other_claimants(&self, instance: &str) -> BTreeSet<String> {
        self.read(|inner| {
            let tracked = inner.tracked.get(instance).into_iter().flatten();
            let wanted = tracked.filter_map(|key| inner.wanted.get(key)).flatten();
            wanted.filter(|other| *other != instance).cloned().collect()
        })
    }

    /// Whether a namespace is known to exist, because something is known to live in it.
    pub(crate) fn has_objects_in(&self, namespace: &str) -> bool {
        self.read(|inner| inner.namespaces.contains_key(namespace))
    }

    /// Compares what an instance wants with what is live, and returns the live records along with
    /// the verdicts.
    pub(crate) fn compare(
        &self,
        desired: &DesiredSet,
        instance: &str,
        known: &Known<'_>,
    ) -> (Comparison, HashMap<ObjectKey, LiveObject>) {
        // Copied under the lock and judged without it: judging parses manifests.
        let (tracked, mut live, confirmed, wanted, ended) = self.read(|inner| {
            let tracked = self.tracked_in(inner, instance);
            let keys = || desired.objects.keys().chain(&tracked);
            let live: HashMap<ObjectKey, LiveObject> = keys()
                .filter_map(|key| Some((key.clone(), inner.objects.get(key)?.clone())))
                .map(|(key, live)| (key, live.doubted_after(known.applied_until)))
                .collect();
            let confirmed: HashMap<&ObjectKey, Arc<Confirmation>> = desired
                .objects
                .keys()
                .filter_map(|key| Some((key, inner.confirmed.get(key)?.clone())))
                .collect();
            // Whether the owner wants it, where that is known.
            let wanted: HashMap<ObjectKey, bool> = live
                .values()
                .filter_map(|live| {
                    let owner = &live.tracking.as_ref()?.instance;
                    let wants = inner.wants.get(owner)?;
                    Some((live.key.clone(), wants.contains(&live.key)))
                })
                .collect();
            let ended: HashMap<ObjectKey, Box<str>> = desired
                .objects
                .keys()
                .filter_map(|key| Some((key.clone(), inner.ended.get(key)?.clone())))
                .collect();
            (tracked, live, confirmed, wanted, ended)
        });
        let comparison = comparison::compare(
            desired,
            instance,
            |key| live.get(key),
            &tracked,
            |key| confirmed.get(key).map(AsRef::as_ref),
            |other, key| {
                let wanted = wanted.get(key).copied();
                wanted.unwrap_or_else(|| (known.may_hold)(other, key))
            },
        );
        let mut comparison = comparison;
        comparison::settle_ended(&mut comparison, desired, |key| {
            ended.get(key).map(AsRef::as_ref)
        });
        live.retain(|key, _| comparison.contains_key(key));
        (comparison, live)
    }

    /// Fields of an object that differ from Git and are ignored, as last confirmed.
    pub(crate) fn ignored(&self, key: &ObjectKey) -> Vec<String> {
        self.read(|inner| {
            let confirmed = inner.confirmed.get(key);
            confirmed.map_or_else(Vec::new, |confirmed| confirmed.ignored.clone())
        })
    }

    /// What admission made of those of these objects that it did not leave as Git states them; or,
    /// with `unknown`, of which that is not known.
    pub(crate) fn admission<'a>(
        &self,
        keys: impl IntoIterator<Item = &'a ObjectKey>,
        unknown: bool,
    ) -> Vec<(&'a ObjectKey, Admission)> {
        self.read(|inner| {
            let found = |key: &'a ObjectKey| {
                let admission = &inner.confirmed.get(key)?.admission;
                let wanted = match admission {
                    Admission::Unknown => unknown,
                    Admission::Kept => false,
                    Admission::MutatedByAdmission(_) => true,
                };
                wanted.then(|| (key, admission.clone()))
            };
            keys.into_iter().filter_map(found).collect()
        })
    }

    /// How many objects are recorded.
    pub(crate) fn len(&self) -> usize {
        self.read(|inner| inner.objects.len())
    }

    fn read<T>(&self, f: impl FnOnce(&Records) -> T) -> T {
        f(&self.inner.read())
    }

    fn write<T>(&self, f: impl FnOnce(&mut Records) -> T) -> T {
        let result = f(&mut self.inner.write());
        self.changed.notify_waiters();
        result
    }
}

#[cfg(test)]
mod tests;
