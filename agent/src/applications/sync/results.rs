//! What a sync did, in the words of `status.operationState`.

use std::fmt::Write as _;

use gitops_api::status::{OperationState, ResourceResult, SyncOperationResult};
use gitops_api::{Application, OperationPhase, ResultCode, SyncPhase};
use gitops_core::compare::comparison::State;
use gitops_core::compare::field::DriftedField;
use gitops_core::manifest::hook::Run;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::options::AppOptions;
use gitops_core::manifest::phase::Phase;
use gitops_core::reason;
use gitops_core::reason::{Code, Reason};
use gitops_core::report::history::{DESIRED_DIGEST, HOOKS_DIGEST};
use gitops_core::report::sentence;
use gitops_core::report::sentence::Applied;
use gitops_core::report::status::seconds;
use gitops_core::sync::action::{Action, Verb};
use gitops_core::sync::plan::{MISSING, Plan, Skip};
use gitops_core::sync::{Outcome, Record};
use jiff::Timestamp;
use serde_json::Value;

use crate::applications::app_state::AppState;
use crate::applications::sync::planned::PlannedSync;
use crate::applications::sync::request::Request;

/// How a sync stands.
pub(crate) enum SyncOutcome {
    /// Not at its end: what is waited for.
    Running(Reason),
    /// Ended well; what was done.
    Succeeded(String),
    /// Failed; why.
    Failed(Reason),
}

/// The result of something the agent did.
pub(crate) fn of_action(
    (app_state, run, options): (&AppState, &Run, &AppOptions),
    action: &Action,
    outcome: &Outcome,
) -> ResourceResult {
    let mut result = of_outcome(app_state, run, action.phase, &action.key, outcome);
    if *outcome == Outcome::Applied {
        let desired = app_state.wanted.desired.objects.get(&action.key);
        let said = desired.map(|desired| desired.options).unwrap_or_default();
        let live = app_state.live.get(&action.key).map(|live| live.options);
        let how = Applied::of(&action.key, options, said, live);
        // That it was not there is what its creation says.
        let more = action.reason.strip_prefix(MISSING);
        let why = more.map_or(&*action.reason, |more| more.trim_start_matches("; "));
        result.message = sentence::applied(&action.key, how, why);
    }
    // Unlike that of a hook that failed at its work.
    if matches!(outcome, Outcome::Failed(_)) {
        result.status = Some(ResultCode::SyncFailed);
    }
    result
}

/// The result of something that was observed.
pub(crate) fn of_outcome(
    app_state: &AppState,
    run: &Run,
    phase: Phase,
    key: &ObjectKey,
    outcome: &Outcome,
) -> ResourceResult {
    let hook = app_state
        .wanted
        .desired
        .hooks
        .iter()
        .find(|hook| hook.phases.contains(&phase) && hook.key_in(phase, run) == *key);
    let (status, message) = match outcome {
        Outcome::Applied => (ResultCode::Synced, "applied".to_owned()),
        Outcome::Pruned if app_state.wanted.desired.objects.contains_key(key) => {
            (ResultCode::Pruned, "deleted to be created again".into())
        }
        Outcome::Pruned => (ResultCode::Pruned, sentence::PRUNED.into()),
        Outcome::Skipped => (
            ResultCode::Synced,
            sentence::applied(key, Applied::Unchanged, ""),
        ),
        Outcome::Running(how) | Outcome::Succeeded(how) => (ResultCode::Synced, how.clone()),
        Outcome::Failed(why) => (ResultCode::SyncFailed, why.clone()),
        Outcome::Stopped => (ResultCode::SyncFailed, "Terminated".into()),
    };
    let mut result = resource_result(key, app_state, status, message);
    result.sync_phase = phase.sync_phase();
    let reason = match outcome {
        Outcome::Failed(_) if hook.is_some() => Code::HookFailed.as_str(),
        Outcome::Failed(_) => Code::ObjectDegraded.as_str(),
        Outcome::Running(_) => Code::HookRunning.as_str(),
        Outcome::Stopped => Code::Terminated.as_str(),
        _ => "",
    };
    result.reason = reason.into();
    if let Some(hook) = hook {
        result.hook_type = phase.hook_type();
        result.version.clone_from(&hook.object.gvk.version);
        result.images.clone_from(&hook.object.images);
        if matches!(
            outcome,
            Outcome::Running(_) | Outcome::Succeeded(_) | Outcome::Failed(_) | Outcome::Stopped
        ) {
            result.status = None;
        }
    }
    result
}

pub(crate) fn resource_result(
    key: &ObjectKey,
    app_state: &AppState,
    status: ResultCode,
    message: String,
) -> ResourceResult {
    let desired = app_state.wanted.desired.objects.get(key);
    let version = desired
        .map(|desired| desired.gvk.version.clone())
        .or_else(|| app_state.live.get(key).map(|live| live.version.clone()));
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

/// What was done, for people. `plan` says what a dry run would have done, and what was left out.
pub(crate) fn success(request: &Request, plan: &Plan, record: &Record) -> String {
    let planned = |wanted: fn(&Verb) -> bool| {
        let verbs = plan.actions.values().map(|action| &action.verb);
        verbs.filter(|verb| wanted(verb)).count()
    };
    let applied = record.count(|outcome| *outcome == Outcome::Applied);
    let pruned = record.count(|outcome| *outcome == Outcome::Pruned);
    let ran = record.count(|outcome| matches!(outcome, Outcome::Succeeded(_)));
    let verb = if request.heal.is_some() {
        "healed"
    } else {
        "applied"
    };
    // What is on its way out is neither done by this sync nor left.
    let left: Vec<&Skip> = plan
        .skipped
        .values()
        .filter(|skip| **skip != Skip::Deleting)
        .collect();
    let mut text = if request.dry_run {
        format!(
            "dry run: would apply {} and prune {} objects",
            planned(|verb| *verb == Verb::Apply),
            planned(|verb| matches!(verb, Verb::Delete { .. }))
        )
    } else if applied + pruned + ran == 0 && !left.is_empty() {
        "nothing to apply".into()
    } else if applied + pruned + ran == 0 {
        "nothing to apply: live state matches Git".into()
    } else {
        let counted = |count: usize, what: &str, one: &str| {
            (count > 0)
                .then(|| format!("{what} {count} {one}{}", if count == 1 { "" } else { "s" }))
        };
        let parts: Vec<String> = [
            counted(applied, verb, "object"),
            counted(pruned, "pruned", "object"),
            counted(ran, "ran", "hook"),
        ]
        .into_iter()
        .flatten()
        .collect();
        parts.join(", ")
    };
    if let Some(first) = left.first() {
        let _ = write!(text, ", skipped {} ({})", left.len(), first.reason());
    }
    if let Some(question) = plan.question() {
        let _ = write!(text, "; waiting for approval: {question}");
    }
    if request.dry_run {
        return text;
    }
    sentence::succeeded(record.ends_with_hooks(), &text)
}

pub(crate) fn healed(app_state: &AppState, plan: &Plan) -> Vec<(ObjectKey, Vec<DriftedField>)> {
    plan.actions
        .keys()
        .filter_map(|key| match app_state.comparison.get(key)? {
            State::Drifted(fields) => Some((key.clone(), fields.clone())),
            State::Missing => Some((key.clone(), vec![])),
            _ => None,
        })
        .collect()
}

/// The state of an operation as it is reported.
pub(crate) fn operation_state(
    app: &Application,
    app_state: &AppState,
    planned: &PlannedSync,
    record: &Record,
    started: Timestamp,
    ending: SyncOutcome,
) -> OperationState {
    let PlannedSync { request, plan } = planned;
    let mut results = record.results();
    for (key, skip) in &plan.skipped {
        let status = match app_state.comparison.get(key) {
            Some(state) if state.is_extra() => Some(ResultCode::PruneSkipped),
            // While it goes on it is no outcome: the next pass would take it for an attempt that failed.
            _ if matches!(ending, SyncOutcome::Running(_)) => continue,
            _ if *skip == Skip::UnknownKind => Some(ResultCode::SyncFailed),
            // Left alone on purpose: neither done nor failed.
            _ => None,
        };
        if !results.iter().any(|result| {
            result.kind == key.kind && result.name == key.name && result.namespace == key.namespace
        }) {
            let reason = skip.reason();
            let message = sentence::skipped(skip);
            let mut result = resource_result(key, app_state, ResultCode::Unknown, message);
            result.status = status;
            result.reason = reason.code().map(Code::as_str).unwrap_or_default().into();
            results.push(result);
        }
    }
    let mut operation = request.operation.clone();
    let result = SyncOperationResult {
        resources: results,
        ..sync_result(app, app_state)
    };
    if let Some(sync) = &mut operation.sync
        && sync.revision.is_empty()
        && app.spec.sources.is_empty()
    {
        sync.revision.clone_from(&result.revision);
    }
    let (phase, reason) = match &ending {
        SyncOutcome::Running(reason) => (OperationPhase::Running, Some(reason)),
        SyncOutcome::Succeeded(_) => (OperationPhase::Succeeded, None),
        SyncOutcome::Failed(reason) => (OperationPhase::Failed, Some(reason)),
    };
    let mut state = OperationState {
        operation,
        phase,
        started_at: Some(seconds(started)),
        finished_at: phase.is_completed().then(|| seconds(Timestamp::now())),
        retry_count: i64::from(request.retry),
        sync_result: Some(result),
        ..OperationState::default()
    };
    if let Some(reason) = reason {
        reason::explain(&mut state, reason);
    }
    if let SyncOutcome::Succeeded(done) = ending {
        state.message = done;
    }
    state
}

/// The state of an automated sync that ended well and could not be reported then.
pub(crate) fn found_in_place(
    app: &Application,
    app_state: &AppState,
    request: &Request,
    delivered: Timestamp,
) -> OperationState {
    let mut operation = request.operation.clone();
    let result = sync_result(app, app_state);
    if let Some(sync) = &mut operation.sync {
        sync.revision.clone_from(&result.revision);
        sync.revisions.clone_from(&result.revisions);
    }
    let count = app_state.wanted.desired.objects.len();
    let plural = if count == 1 { "" } else { "s" };
    OperationState {
        operation,
        phase: OperationPhase::Succeeded,
        started_at: Some(seconds(delivered)),
        finished_at: Some(seconds(delivered)),
        message: sentence::succeeded(
            false,
            &format!(
                "applied {count} object{plural}; found in place after the agent had ended before it \
                 could say so"
            ),
        ),
        sync_result: Some(result),
        ..OperationState::default()
    }
}

/// What a sync delivers, before anything was done.
pub(crate) fn sync_result(app: &Application, app_state: &AppState) -> SyncOperationResult {
    let spec = &app.spec;
    let multiple = !spec.sources.is_empty();
    let revisions = &app_state.wanted.revisions;
    let mut result = SyncOperationResult {
        revision: if multiple {
            String::new()
        } else {
            revisions.first().cloned().unwrap_or_default()
        },
        revisions: if multiple { revisions.clone() } else { vec![] },
        source: if multiple { None } else { spec.source.clone() },
        sources: spec.sources.clone(),
        ..SyncOperationResult::default()
    };
    result.extra.insert(
        DESIRED_DIGEST.into(),
        Value::from(app_state.wanted.desired.digest()),
    );
    if let Some(hooks) = app_state.wanted.desired.hooks_digest() {
        result.extra.insert(HOOKS_DIGEST.into(), Value::from(hooks));
    }
    result
}
