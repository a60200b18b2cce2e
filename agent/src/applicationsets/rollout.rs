//! Sets that roll: what core says may go on now, and their deletion in reverse.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gitops_api::Application;
use gitops_api::application_set::WrittenApplicationSet;
use gitops_api::constants::{annotation, finalizer};
use gitops_core::applicationset::{
    Change, Existing, Member, Ownership, Rolling, Rollout, RolloutInput, SetSpec, Validated, Verb,
    deletion_turn, new_specs, roll,
};
use jiff::Timestamp;
use kube::ResourceExt;
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
        let rolling = self.rolling(spec)?;
        let parameters = self.controller.sources.settings.application_sets();
        // What is never changed is not waited for.
        let new_specs = if parameters.policy(spec).update {
            new_specs(&validated.good, existing, &spec.ignored_differences)
        } else {
            BTreeSet::new()
        };
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
            let member = Member {
                labels: &labels[name.as_str()],
                live: live.get(name.as_str()).map(Arc::as_ref),
                has_new_spec: new_specs.contains(name.as_str()),
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

    /// The steps of a set, where the installation lets sets roll.
    fn rolling<'a>(&self, spec: &'a SetSpec) -> Option<&'a Rolling> {
        let rolls = self.controller.sources.settings.application_sets().rolls;
        spec.rolling.as_ref().filter(|_| rolls)
    }

    /// Gives a set that is to be deleted in reverse the finalizer that makes it wait for that.
    pub(super) async fn keep_finalizer(
        &self,
        set: &WrittenApplicationSet,
        spec: &SetSpec,
    ) -> anyhow::Result<()> {
        let is_reverse = self
            .rolling(spec)
            .is_some_and(|one| one.is_deleted_in_reverse);
        if !is_reverse || waits(set) {
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
        if !waits(set) {
            return None;
        }
        let spec = SetSpec::read(&Value::Object(set.spec.clone()));
        let rolling = self.rolling(&spec).filter(|one| one.is_deleted_in_reverse);
        let own = self.applications_of(key);
        let steps = rolling.map_or_else(BTreeMap::new, |rolling| {
            let own = own.iter();
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

/// Whether its deletion waits for the agent.
fn waits(set: &WrittenApplicationSet) -> bool {
    let mut finalizers = set.finalizers().iter();
    finalizers.any(|one| one == finalizer::RESOURCES)
}

fn texts(value: &Value) -> BTreeMap<String, String> {
    let map = value.as_object().into_iter().flatten();
    map.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}
