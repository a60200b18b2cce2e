//! `Application.status` from what was found: the same words Argo CD writes, plus drift by field.
//!
//! Only says; decides nothing. Times of unchanged facts are kept, so that a status without news is
//! equal to the one before and needs no write.

use std::collections::{BTreeSet, HashMap};

use gitops_api::status::{ApplicationCondition, ComparedTo, SyncStatus};
use gitops_api::{
    ApplicationStatus, FieldDrift, HealthStatus, HealthStatusCode, ResourceStatus, SyncStatusCode,
    Time,
};
use jiff::Timestamp;

use crate::compare::comparison::State;
use crate::compare::field::DriftedField;
use crate::live::health;
use crate::live::health::{Health, Member};
use crate::live::object::{LiveObject, OnDeletion};
use crate::manifest::object::{GroupVersionKind, ObjectKey};
use crate::report::compared::sync_code;
use crate::report::{history, reasons, size, summary};

pub use crate::report::compared::{Compared, seconds};
pub use crate::report::facts::{Condition, Report};

/// Builds the status. `reconciledAt` moves only together with something else.
pub fn build(report: &Report<'_>) -> ApplicationStatus {
    let mut status = report.previous.clone();
    status.controller_namespace = report.namespace.into();
    if let Some(operation) = report.operation {
        status.operation_state = Some(operation.clone());
    }
    if let Some(compared) = report.compared {
        fill(&mut status, report, compared);
        history::renew_digests(&mut status, compared.desired);
        history::note_health(
            &mut status,
            report.previous.health.as_ref(),
            compared,
            report.now,
        );
    } else {
        // The objects are as they were; only whether Git wants them so is not known.
        let previous = status.sync.take().unwrap_or_default();
        status.sync = Some(SyncStatus {
            status: SyncStatusCode::Unknown,
            ..previous
        });
        if status.health.is_none() {
            let unknown = health_status(None, HealthStatusCode::Unknown, String::new(), report.now);
            status.health = Some(unknown);
        }
    }
    if report.live.is_some() {
        status.live.clone_from(&report.live);
    }
    status.tracked.clone_from(&report.tracked);
    status.reasons = reasons::all(status.operation_state.as_ref(), report);
    size::fit(
        &mut status,
        &report.previous.conditions,
        report.conditions,
        report.now,
        report.max_bytes,
    );
    if status != *report.previous || status.reconciled_at.is_none() {
        status.reconciled_at = Some(seconds(report.now));
    }
    status
}

fn fill(status: &mut ApplicationStatus, report: &Report<'_>, compared: Compared<'_>) {
    let spec = report.spec;
    let multiple = !spec.sources.is_empty();
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    status.sync = Some(SyncStatus {
        status: sync_code(compared.comparison),
        revision: if multiple {
            String::new()
        } else {
            first(compared.revisions)
        },
        revisions: if multiple {
            compared.revisions.to_vec()
        } else {
            vec![]
        },
        desired_digest: compared.desired.digest().to_owned(),
        compared_to: Some(ComparedTo {
            destination: spec.destination.clone(),
            source: if multiple { None } else { spec.source.clone() },
            sources: spec.sources.clone(),
            ignore_differences: spec.ignore_differences.clone(),
            ..ComparedTo::default()
        }),
        ..SyncStatus::default()
    });
    status.source_type = if multiple {
        String::new()
    } else {
        first(compared.source_types)
    };
    status.source_types = if multiple {
        compared.source_types.to_vec()
    } else {
        vec![]
    };
    let before = Before::of(&status.resources);
    let resources = compared
        .comparison
        .iter()
        .filter(|(key, _)| {
            !compared
                .desired
                .objects
                .get(*key)
                .is_some_and(|o| o.implicit)
        })
        .map(|(key, state)| resource(key, state, compared, &before, report.now))
        .chain(compared.hooks.iter().map(of_hook))
        .collect();
    status.resources = resources;
    // Argo CD 3 keeps the health of objects elsewhere; here it is among them.
    status.resource_health_source.clear();
    let overall = aggregate(compared);
    status.health = Some(health_status(
        status.health.as_ref(),
        overall.status,
        overall.message,
        report.now,
    ));
    status.summary = Some(summary::of(compared, status.summary.as_ref()));
}

fn resource(
    key: &ObjectKey,
    state: &State,
    compared: Compared<'_>,
    before: &Before<'_>,
    now: Timestamp,
) -> ResourceStatus {
    let desired = compared.desired.objects.get(key);
    let live = compared.live.get(key);
    let health = match live {
        Some(live) => live.health.clone(),
        None if has_ended(state) => Some(Health::new(HealthStatusCode::Healthy, ENDED)),
        None => Some(Health::new(HealthStatusCode::Missing, "")),
    };
    let ended = match live {
        Some(live) => live.ended,
        None => has_ended(state),
    };
    let drift = match state {
        State::Drifted(fields) => {
            let noticed = |path: &str| {
                before
                    .get(key)
                    .into_iter()
                    .flat_map(|resource| &resource.drift)
                    .find(|drift| drift.path == path)
                    .and_then(|drift| drift.since.clone())
            };
            fields
                .iter()
                .map(|field| drift(field, noticed, now))
                .collect()
        }
        _ => vec![],
    };
    ResourceStatus {
        group: key.group.clone(),
        version: desired
            .map(|object| object.gvk.version.clone())
            .or_else(|| live.map(|live| live.version.clone()))
            .unwrap_or_default(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        status: Some(match state {
            State::Synced => SyncStatusCode::Synced,
            State::UnknownKind => SyncStatusCode::Unknown,
            // As Argo CD says of what it is not allowed to look at.
            _ if compared
                .denied
                .iter()
                .any(|denied| !denied.is_hook && denied.key == *key) =>
            {
                SyncStatusCode::Unknown
            }
            _ => SyncStatusCode::OutOfSync,
        }),
        health: health.map(|health| of_resource(key, health, before, now)),
        requires_pruning: state.is_extra(),
        sync_wave: desired
            .map(|object| object.wave)
            .or_else(|| live.map(|live| live.wave))
            .unwrap_or_default(),
        requires_deletion_confirmation: live
            .is_some_and(|live| live.on_deletion == OnDeletion::Confirm),
        drift,
        ignored_fields: compared.ignored.get(key).cloned().unwrap_or_default(),
        completed: desired
            .filter(|_| ended && state.is_synced())
            .map(|object| object.digest.clone())
            .unwrap_or_default(),
        ..ResourceStatus::default()
    }
}

/// What is told of an Application that is being deleted: what is on its way out is no longer as Git has
/// it, as Argo CD shows it.
pub fn note_leaving(status: &mut ApplicationStatus, leaving: &BTreeSet<ObjectKey>, now: Timestamp) {
    let mut found = false;
    for resource in &mut status.resources {
        if leaving.contains(&identity(resource).1) {
            resource.status = Some(SyncStatusCode::OutOfSync);
            found = true;
        }
    }
    if !found {
        return;
    }
    if let Some(sync) = &mut status.sync {
        sync.status = SyncStatusCode::OutOfSync;
    }
    let health = status.health.get_or_insert_default();
    if health.status != HealthStatusCode::Progressing {
        health.status = HealthStatusCode::Progressing;
        health.message = format!("{} objects are being deleted", leaving.len());
        health.last_transition_time = Some(seconds(now));
    }
}

/// What is told of a hook while its object is live. Argo CD calls those whose name Git gives to be
/// pruned, because they are no part of what is synchronized.
fn of_hook(live: &LiveObject) -> ResourceStatus {
    ResourceStatus {
        group: live.key.group.clone(),
        version: live.version.clone(),
        kind: live.key.kind.clone(),
        namespace: live.key.namespace.clone(),
        name: live.key.name.clone(),
        hook: true,
        requires_pruning: true,
        sync_wave: live.wave,
        ..ResourceStatus::default()
    }
}

/// What is said of an object that is not there any more, and need not be.
const ENDED: &str = "it did its work, and the cluster took it away";

/// Whether an object that is not there is as Git wants it.
fn has_ended(state: &State) -> bool {
    state.is_synced()
}

/// What is told of one object. Since when it does not work is what people ask; of the many that do,
/// and of those that are still to be made, nobody does.
fn of_resource(
    key: &ObjectKey,
    health: Health,
    before: &Before<'_>,
    now: Timestamp,
) -> HealthStatus {
    if matches!(
        health.status,
        HealthStatusCode::Healthy | HealthStatusCode::Missing
    ) {
        return HealthStatus {
            status: health.status,
            message: health.message,
            last_transition_time: None,
        };
    }
    let previous = before.get(key).and_then(|known| known.health.as_ref());
    health_status(previous, health.status, health.message, now)
}

/// The objects of the last report of which a time is kept: looking for them one by one would take
/// longest in a large application.
struct Before<'a>(HashMap<ObjectKey, &'a ResourceStatus>);

impl<'a> Before<'a> {
    fn of(resources: &'a [ResourceStatus]) -> Self {
        let timed = |resource: &&ResourceStatus| {
            let health = resource.health.as_ref();
            !resource.drift.is_empty()
                || health.is_some_and(|health| health.last_transition_time.is_some())
        };
        let entry = |resource: &'a ResourceStatus| (identity(resource).1, resource);
        Self(resources.iter().filter(timed).map(entry).collect())
    }

    fn get(&self, key: &ObjectKey) -> Option<&'a ResourceStatus> {
        self.0.get(key).copied()
    }
}

/// A difference in the form of the API, with the time that the cluster has of it, if any.
pub fn field_drift(field: &DriftedField) -> FieldDrift {
    let since = field.since.as_deref().and_then(|text| text.parse().ok());
    FieldDrift {
        path: field.path.to_string(),
        desired: field.desired.clone().map(String::from),
        live: field.live.clone().map(String::from),
        manager: field.manager.clone().unwrap_or_default(),
        since: since.map(seconds),
    }
}

/// The same of what is reported again and again: where the cluster has no time, since it was noticed.
fn drift(
    field: &DriftedField,
    noticed: impl Fn(&str) -> Option<Time>,
    now: Timestamp,
) -> FieldDrift {
    let mut drift = field_drift(field);
    if drift.since.is_none() {
        drift.since = noticed(&drift.path).or_else(|| Some(seconds(now)));
    }
    drift
}

/// Health of the application from the health of its objects.
pub fn aggregate(compared: Compared<'_>) -> Health {
    let explicit = compared.comparison.keys().filter(|key| {
        !compared
            .desired
            .objects
            .get(*key)
            .is_some_and(|object| object.implicit)
    });
    health::aggregate(explicit.map(|key| {
        let live = compared.live.get(key);
        Member {
            key,
            exists: live.is_some() || compared.comparison.get(key).is_some_and(has_ended),
            health: live.and_then(|live| live.health.as_ref()),
            ignored: live.is_some_and(|live| live.ignore_health),
        }
    }))
}

fn health_status(
    previous: Option<&HealthStatus>,
    status: HealthStatusCode,
    message: String,
    now: Timestamp,
) -> HealthStatus {
    let since = previous
        .filter(|previous| previous.status == status)
        .and_then(|previous| previous.last_transition_time.clone());
    HealthStatus {
        status,
        message,
        last_transition_time: Some(since.unwrap_or_else(|| seconds(now))),
    }
}

/// Conditions as they are kept, within bounds: those that were there before keep their time.
pub fn conditions(
    previous: &[ApplicationCondition],
    found: &BTreeSet<Condition>,
    now: Timestamp,
) -> Vec<ApplicationCondition> {
    size::conditions(previous, found, now)
}

/// What an entry of `status.resources` is about.
pub fn identity(resource: &ResourceStatus) -> (GroupVersionKind, ObjectKey) {
    let gvk = GroupVersionKind {
        group: resource.group.clone(),
        version: resource.version.clone(),
        kind: resource.kind.clone(),
    };
    let key = ObjectKey {
        group: resource.group.clone(),
        kind: resource.kind.clone(),
        namespace: resource.namespace.clone(),
        name: resource.name.clone(),
    };
    (gvk, key)
}

/// The JSON merge patch (RFC 7396) that turns `before` into `after`; `None` when they are equal.
pub fn merge_patch(
    before: &serde_json::Value,
    after: &serde_json::Value,
) -> Option<serde_json::Value> {
    use serde_json::{Map, Value};
    if before == after {
        return None;
    }
    let (Value::Object(old), Value::Object(new)) = (before, after) else {
        return Some(after.clone());
    };
    let mut patch = Map::new();
    for (name, value) in new {
        let change = match old.get(name) {
            Some(known) => merge_patch(known, value),
            None => Some(value.clone()),
        };
        if let Some(change) = change {
            patch.insert(name.clone(), change);
        }
    }
    for name in old.keys().filter(|name| !new.contains_key(*name)) {
        patch.insert(name.clone(), Value::Null);
    }
    Some(Value::Object(patch))
}

#[cfg(test)]
mod tests;
