//! What a sync did, in the words of `status.operationState`.

use std::fmt::Write as _;

use gitops_api::{
    Application, OperationPhase, ResultCode, SyncPhase,
    status::{OperationState, ResourceResult, SyncOperationResult},
};
use gitops_core::{
    compare::{DriftedField, State},
    object::ObjectKey,
    plan::{Action, Plan, Verb},
    status::seconds,
};
use jiff::Timestamp;
use serde_json::Value;

use super::{reconcile::Findings, request::Request};
use crate::cluster::write::WriteError;

/// Extension of `operationState.syncResult`: digest of the manifests that were synced, by which a
/// commit that changes nothing for the application is told from one that does.
pub(crate) const DESIRED_DIGEST: &str = "desiredDigest";

/// What became of one action.
pub(super) enum Done {
    Applied,
    Pruned,
    Nothing,
}

pub(super) fn result_of(
    action: &Action,
    findings: &Findings,
    done: Result<Done, WriteError>,
) -> ResourceResult {
    let desired = findings.wanted.desired.objects.get(&action.key);
    let (status, message) = match done {
        Ok(Done::Applied) => (ResultCode::Synced, format!("applied: {}", action.reason)),
        Ok(Done::Pruned) => (ResultCode::Pruned, "pruned: no longer in Git".into()),
        Ok(Done::Nothing) => (ResultCode::Synced, "unchanged".into()),
        Err(error) => {
            let place = desired
                .map(|d| format!(" ({})", d.origin))
                .unwrap_or_default();
            (ResultCode::SyncFailed, format!("{error}{place}"))
        }
    };
    resource_result(&action.key, findings, status, message)
}

fn resource_result(
    key: &ObjectKey,
    findings: &Findings,
    status: ResultCode,
    message: String,
) -> ResourceResult {
    let desired = findings.wanted.desired.objects.get(key);
    let version = desired
        .map(|desired| desired.gvk.version.clone())
        .or_else(|| findings.live.get(key).map(|live| live.version.clone()));
    ResourceResult {
        group: key.group.clone(),
        version: version.unwrap_or_default(),
        kind: key.kind.clone(),
        namespace: key.namespace.clone(),
        name: key.name.clone(),
        status: Some(status),
        message,
        sync_phase: Some(SyncPhase::Sync),
        images: desired
            .map(|desired| desired.images.clone())
            .unwrap_or_default(),
        ..ResourceResult::default()
    }
}

pub(super) fn summary(failures: &[String]) -> String {
    const SHOWN: usize = 3;
    let mut text = failures
        .iter()
        .take(SHOWN)
        .cloned()
        .collect::<Vec<_>>()
        .join("; ");
    if failures.len() > SHOWN {
        let _ = write!(text, "; and {} more", failures.len() - SHOWN);
    }
    text
}

pub(super) fn success(request: &Request, plan: &Plan) -> String {
    let count = |wanted: fn(&Verb) -> bool| {
        plan.steps
            .iter()
            .flat_map(|step| &step.actions)
            .filter(|a| wanted(&a.verb))
            .count()
    };
    let applied = count(|verb| *verb == Verb::Apply);
    let pruned = count(|verb| matches!(verb, Verb::Prune { .. }));
    let verb = if request.heal.is_some() {
        "healed"
    } else {
        "applied"
    };
    let mut text = if request.dry_run {
        format!("dry run: would apply {applied} and prune {pruned} objects")
    } else if applied + pruned == 0 {
        "nothing to apply: everything is as Git has it".into()
    } else {
        let mut parts = Vec::new();
        if applied > 0 {
            parts.push(format!("{verb} {applied}"));
        }
        if pruned > 0 {
            parts.push(format!("pruned {pruned}"));
        }
        let noun = if applied + pruned == 1 {
            "object"
        } else {
            "objects"
        };
        format!("{} {noun}", parts.join(" and "))
    };
    if !plan.skipped.is_empty() {
        let _ = write!(text, ", skipped {}", plan.skipped.len());
    }
    text
}

pub(super) fn healed(findings: &Findings, plan: &Plan) -> Vec<(ObjectKey, Vec<DriftedField>)> {
    plan.steps
        .iter()
        .flat_map(|step| &step.actions)
        .filter_map(|action| match findings.comparison.get(&action.key)? {
            State::Drifted(fields) => Some((action.key.clone(), fields.clone())),
            State::Missing => Some((action.key.clone(), vec![])),
            _ => None,
        })
        .collect()
}

#[expect(
    clippy::too_many_arguments,
    reason = "one record is put together from all of them"
)]
pub(super) fn operation_state(
    app: &Application,
    findings: &Findings,
    request: &Request,
    plan: &Plan,
    mut results: Vec<ResourceResult>,
    started: Timestamp,
    failed: bool,
    message: String,
) -> OperationState {
    for (key, skip) in &plan.skipped {
        let status = match findings.comparison.get(key) {
            Some(State::Extra) => ResultCode::PruneSkipped,
            _ => ResultCode::SyncFailed,
        };
        results.push(resource_result(key, findings, status, skip.message()));
    }
    let spec = &app.spec;
    let multiple = !spec.sources.is_empty();
    let revisions = &findings.wanted.revisions;
    let mut result = SyncOperationResult {
        revision: if multiple {
            String::new()
        } else {
            revisions.first().cloned().unwrap_or_default()
        },
        revisions: if multiple { revisions.clone() } else { vec![] },
        source: if multiple { None } else { spec.source.clone() },
        sources: spec.sources.clone(),
        resources: results,
        ..SyncOperationResult::default()
    };
    result.extra.insert(
        DESIRED_DIGEST.into(),
        Value::from(findings.wanted.desired.digest()),
    );
    let mut operation = request.operation.clone();
    if let Some(sync) = &mut operation.sync
        && sync.revision.is_empty()
        && !multiple
    {
        sync.revision.clone_from(&result.revision);
    }
    OperationState {
        operation,
        phase: if failed {
            OperationPhase::Failed
        } else {
            OperationPhase::Succeeded
        },
        message,
        started_at: Some(seconds(started)),
        finished_at: Some(seconds(Timestamp::now())),
        retry_count: i64::from(request.retry),
        sync_result: Some(result),
        ..OperationState::default()
    }
}
