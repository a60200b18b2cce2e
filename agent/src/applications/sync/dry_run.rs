//! A dry run of a sync: asks the API server about every object it would apply, and changes none.

use futures::future::join_all;
use gitops_api::ResultCode;
use gitops_core::manifest::apply::recreates;
use gitops_core::manifest::desired::{DesiredObject, DesiredSet};
use gitops_core::manifest::object::ObjectKey;
use gitops_core::project::Gate;
use gitops_core::reason::{Names, Reason};
use gitops_core::sync::action::Verb;
use gitops_core::sync::{Outcome, Record};

use crate::applications::app_state::AppState;
use crate::applications::sync::planned::PlannedSync;
use crate::applications::sync::request::Request;
use crate::applications::sync::results::{SyncOutcome, resource_result, success};
use crate::cluster::Cluster;
use crate::cluster::write::WriteError;

/// Tells of each object what a sync would do with it, and which ones the API server would
/// refuse.
pub(crate) async fn dry_run_sync(
    (cluster, gate): (&Cluster, &Gate),
    app_state: &AppState,
    planned: &PlannedSync,
    record: &mut Record,
) -> SyncOutcome {
    let PlannedSync { request, plan } = planned;
    let desired = &app_state.wanted.desired;
    let answers = join_all(plan.actions.values().map(async |action| {
        match (&action.verb, desired.objects.get(&action.key)) {
            (Verb::Apply, Some(object)) => {
                would_apply((cluster, gate), app_state, request, object, &action.reason).await
            }
            _ => Ok(format!("would be pruned: {}", action.reason)),
        }
    }))
    .await;
    let mut refused = Vec::new();
    for (action, answer) in plan.actions.values().zip(answers) {
        let mut code = "";
        let (outcome, status, message) = match answer {
            Ok(message) => {
                let status = match action.verb {
                    Verb::Delete { .. } => ResultCode::Pruned,
                    _ => ResultCode::Synced,
                };
                (Outcome::Skipped, status, message)
            }
            Err(error) => {
                let place = desired.objects.get(&action.key);
                let place = place.map(|object| format!(" ({})", object.origin));
                let why = format!("{error}{}", place.unwrap_or_default());
                refused.push(format!("{}: {why}", action.key));
                code = error.code().as_str();
                (Outcome::Failed(why.clone()), ResultCode::SyncFailed, why)
            }
        };
        let mut result = resource_result(&action.key, app_state, status, message);
        result.reason = code.into();
        record.put(outcome, result);
    }
    let summary = success(request, plan, record);
    if refused.is_empty() {
        SyncOutcome::Succeeded(summary)
    } else {
        SyncOutcome::Failed(Reason::DryRunRefused {
            summary,
            objects: Names::of(refused),
        })
    }
}

async fn would_apply(
    (cluster, gate): (&Cluster, &Gate),
    app_state: &AppState,
    request: &Request,
    object: &DesiredObject,
    reason: &str,
) -> Result<String, WriteError> {
    let options = &request.options;
    let live = app_state.live.get(&object.key);
    let validates = options.validates(object.options);
    let permit = gate.write(&object.key)?;
    let asked = cluster
        .writer
        .dry_run(&permit, &object.gvk, &object.manifest(), validates)
        .await;
    let said = live.map(|live| live.options);
    match asked {
        Ok(_) => Ok(format!("would be applied: {reason}")),
        Err(error)
            if error.is_immutable() && recreates(&object.key, options, object.options, said) =>
        {
            Ok("would be deleted and created again".into())
        }
        Err(error) => match missing_yet(
            &app_state.wanted.desired,
            options.create_namespace,
            &error,
            object,
        ) {
            Some(what) => Ok(format!(
                "would be applied: {reason}; the API server cannot check it before {what} exists"
            )),
            None => Err(error),
        },
    }
}

/// What the sync itself would create before, and without which the API server cannot answer.
fn missing_yet(
    desired: &DesiredSet,
    creates_namespace: bool,
    error: &WriteError,
    object: &DesiredObject,
) -> Option<&'static str> {
    match error {
        WriteError::UnknownKind(_) => object.kind_known.then_some("its definition"),
        error if error.is_not_found() => {
            let namespace = ObjectKey {
                group: String::new(),
                kind: "Namespace".into(),
                namespace: String::new(),
                name: object.key.namespace.clone(),
            };
            let comes = creates_namespace || desired.objects.contains_key(&namespace);
            comes.then_some("its namespace")
        }
        _ => None,
    }
}
