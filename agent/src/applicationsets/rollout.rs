//! Sets that roll: what core says may go on now, and their deletion in reverse.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use gitops_api::Application;
use gitops_api::application_set::WrittenApplicationSet;
use gitops_api::constants::{annotation, finalizer};
use gitops_core::applicationset::{
    Change, Existing, Member, Ownership, Rollout, RolloutInput, SetSpec, Validated, Verb,
    deletion_turn, has_new_spec, roll,
};
use jiff::Timestamp;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use serde_json::Value;

use super::controller::SetController;
use crate::app_key::AppKey;

/// Pause before a deletion that failed is tried again.
const RETRY: Duration = Duration::from_secs(10);

impl SetController {
    /// How far the set's rollout is, when it rolls.
    pub(super) fn rollout(
        &self,
        key: &AppKey,
        set: &WrittenApplicationSet,
        spec: &SetSpec,
        validated: &Validated,
        existing: &BTreeMap<String, Existing>,
    ) -> Option<Rollout> {
        let parameters = self.controller.sources.settings.application_sets();
        let rolling = spec.rolling.as_ref().filter(|_| parameters.rolls)?;
        // What is never changed is not waited for.
        let changes = parameters.policy(spec).update;
        let labels = validated.good.iter().map(|(name, desired)| {
            let labels = &desired.value["metadata"]["labels"];
            (name.as_str(), texts(labels))
        });
        let labels: BTreeMap<&str, BTreeMap<String, String>> = labels.collect();
        let live = validated.good.keys().filter_map(|name| {
            let is_own = existing.get(name)?.ownership(&key.name) == Ownership::Own;
            let app = self.application(key, name).filter(|_| is_own)?;
            Some((name.as_str(), app))
        });
        let live: BTreeMap<&str, Arc<Application>> = live.collect();
        let members = validated.good.iter().map(|(name, desired)| {
            let found = existing.get(name);
            let member = Member {
                labels: &labels[name.as_str()],
                live: live.get(name.as_str()).map(Arc::as_ref),
                has_new_spec: found.is_some_and(|found| {
                    changes && has_new_spec(&desired.value, found, &spec.ignored_differences)
                }),
                prunes: desired.prunes,
            };
            (name.as_str(), member)
        });
        let before = set.status.as_ref();
        Some(roll(&RolloutInput {
            rolling,
            members: &members.collect(),
            before: before.map_or(&[], |status| &status.application_status),
            is_paused: set
                .annotations()
                .get(annotation::ROLLOUT)
                .is_some_and(|value| value == annotation::ROLLOUT_PAUSED),
            now: Timestamp::now(),
        }))
    }

    pub(super) fn application(&self, key: &AppKey, name: &str) -> Option<Arc<Application>> {
        let reference = ObjectRef::new(name).within(&key.namespace);
        self.controller.configuration.applications.get(&reference)
    }

    /// Takes the finalizer of sets that are deleted in reverse along, or off.
    pub(super) async fn keep_finalizer(
        &self,
        set: &WrittenApplicationSet,
        spec: &SetSpec,
    ) -> anyhow::Result<()> {
        let rolls = self.controller.sources.settings.application_sets().rolls;
        let rolling = spec.rolling.as_ref().filter(|_| rolls);
        let is_reverse = rolling.is_some_and(|one| one.is_deleted_in_reverse);
        let has = set
            .finalizers()
            .iter()
            .any(|one| one == finalizer::RESOURCES);
        if !is_reverse || has {
            return Ok(());
        }
        let mut all = set.finalizers().to_vec();
        all.push(finalizer::RESOURCES.to_owned());
        self.set_finalizers(set, &all).await
    }

    /// Deletes the Applications of a set that is deleted, where they have an order; else they go with it, by
    /// the garbage collector.
    pub(super) async fn delete(
        &self,
        key: &AppKey,
        set: &WrittenApplicationSet,
    ) -> Option<Duration> {
        let has = set
            .finalizers()
            .iter()
            .any(|one| one == finalizer::RESOURCES);
        if !has {
            return None;
        }
        let written = Value::Object(set.spec.clone());
        let spec = SetSpec::read(&written);
        let rolls = self.controller.sources.settings.application_sets().rolls;
        let rolling = spec
            .rolling
            .filter(|one| rolls && one.is_deleted_in_reverse);
        let applications = self.controller.configuration.applications.state();
        let own = applications.iter().filter(|one| {
            let mut owners = one.owner_references().iter();
            one.namespace().as_deref() == Some(&key.namespace)
                && owners.any(|owner| owner.kind == "ApplicationSet" && owner.name == key.name)
        });
        let steps = rolling.map_or_else(BTreeMap::new, |rolling| {
            own.map(|one| (one.name_any(), rolling.step_of(one.labels())))
                .collect()
        });
        let turn = deletion_turn(&steps);
        if turn.is_empty() {
            let left = set.finalizers().iter();
            let left: Vec<String> = left
                .filter(|one| *one != finalizer::RESOURCES)
                .cloned()
                .collect();
            let done = self.set_finalizers(set, &left).await;
            return done.is_err().then_some(RETRY);
        }
        let leaving = |name: &str| {
            let app = self.application(key, name);
            app.is_none_or(|one| one.metadata.deletion_timestamp.is_some())
        };
        let changes: Vec<_> = turn
            .iter()
            .filter(|name| !leaving(name))
            .map(|name| Change {
                name: name.clone(),
                verb: Verb::Delete,
                why: "its set is deleted, and its step has its turn".into(),
            })
            .collect();
        let carried = self.carry_out(key, &changes).await;
        for refused in &carried.refused {
            tracing::warn!(applicationset = %key, why = refused.message, "not deleted");
        }
        (carried.again || !carried.refused.is_empty()).then_some(RETRY)
    }
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let map = value.as_object().into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
