//! Carrying out a sync: what core says is next, until it ends or something has to be waited for.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;
use gitops_api::status::OperationState;
use gitops_api::{HealthStatusCode, OperationPhase, SyncPhase};
use gitops_core::compare::comparison::State;
use gitops_core::compare::field::DriftedField;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::hook::Run;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_core::report::status;
use gitops_core::sync;
use gitops_core::sync::plan::Plan;
use gitops_core::sync::time_limit::{TimeLeft, time_left};
use gitops_core::sync::{Action, Next, Outcome, Record, Situation, Verb, time_limit};
use jiff::Timestamp;
use serde_json::json;

use crate::applications::app_state::AppState;
use crate::applications::cache::AppCache;
use crate::applications::compare::comparison::{ignored, judge};
use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;
use crate::applications::policy::{is_terminating, sync_timeout};
use crate::applications::report::reporter::HandledRequests;
use crate::applications::sync::approval::awaits_approval;
use crate::applications::sync::deliver::{apply_action, propagation};
use crate::applications::sync::dry_run::dry_run_sync;
use crate::applications::sync::hooks;
use crate::applications::sync::request::Request;
use crate::applications::sync::results;
use crate::applications::sync::results::{
    SyncOutcome, healed, operation_state, success, sync_result,
};
use crate::cluster::Cluster;
use crate::cluster::write::WriteError;

/// Longest wait for the API server to serve a kind whose definition was just applied.
const ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(30);

/// How far a sync came.
pub(crate) struct SyncProgress {
    /// What is true now.
    pub(crate) app_state: AppState,
    /// State to report.
    pub(crate) operation: OperationState,
    /// When it began.
    pub(crate) started: Timestamp,
    /// Objects whose drift was taken back, with what it was.
    pub(crate) healed: Vec<(ObjectKey, Vec<DriftedField>)>,
}

/// Carries a request out until it ends or has to wait; what went wrong is in the result.
/// `head` is the digest of what the tracked revision renders to.
pub(crate) async fn advance(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    mut app_state: AppState,
    request: &Request,
    head: &str,
) -> anyhow::Result<SyncProgress> {
    let controller = context.controller;
    let first = request.plan(&app_state);
    let run = Run {
        started: request.started(),
        revision: app_state
            .wanted
            .revisions
            .first()
            .cloned()
            .unwrap_or_default(),
    };
    let mut record = Record::of(request.results());
    tracing::info!(
        application = %context.key,
        revision = run.revision,
        actions = first.len(),
        skipped = first.skipped.len(),
        heal = request.heal.is_some(),
        resumed = request.is_resumed(),
        "syncing"
    );
    let runs_hooks = request.runs_hooks()
        && app_state
            .wanted
            .desired
            .hooks
            .iter()
            .any(|hook| !hook.phases.is_empty());
    // A hook must not run twice because the agent ended between its creation and the report.
    if !request.is_resumed() && (runs_hooks || context.app.operation.is_some()) {
        Box::pin(announce(
            context,
            draft,
            cache,
            request,
            &app_state,
            run.started,
        ))
        .await?;
    }
    if runs_hooks {
        hooks::find(&context.cluster, &app_state, &run).await;
    }
    let healed = match &request.heal {
        Some(_) => healed(&app_state, &first),
        None => vec![],
    };
    let ending = if let Some(failure) = request.refusal(&app_state) {
        SyncOutcome::Failed(failure)
    } else if request.dry_run {
        dry_run_sync(&context.cluster, &app_state, request, &first, &mut record).await
    } else {
        steps(context, &mut app_state, request, &run, &mut record, head).await?
    };
    match &ending {
        SyncOutcome::Running(_) => {}
        SyncOutcome::Succeeded(_) => controller.metrics.sync("succeeded"),
        SyncOutcome::Failed(_) => controller.metrics.sync("failed"),
    }
    let succeeded = matches!(ending, SyncOutcome::Succeeded(_));
    let operation = operation_state(
        context.app,
        &app_state,
        request,
        &first,
        &record,
        run.started,
        ending,
    );
    Ok(SyncProgress {
        app_state,
        operation,
        started: run.started,
        healed: if succeeded { healed } else { vec![] },
    })
}

/// Says that a sync has begun, so that it can be followed, ended, and taken up again.
async fn announce(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    request: &Request,
    app_state: &AppState,
    started: Timestamp,
) -> anyhow::Result<()> {
    let mut operation = request.operation.clone();
    operation.sync.get_or_insert_default();
    let mut state = OperationState {
        operation,
        phase: OperationPhase::Running,
        started_at: Some(status::seconds(started)),
        retry_count: i64::from(request.retry),
        sync_result: Some(sync_result(context.app, app_state)),
        ..OperationState::default()
    };
    reason::explain(&mut state, &Reason::Syncing {});
    let known = draft.previous.operation_state.as_ref();
    let ended = known.and_then(|known| known.reason.as_ref());
    let others = draft.previous.reasons.iter();
    let others = others.filter(|said| ended.is_none_or(|ended| ended.message != said.message));
    let said = state.reason.iter().chain(others).cloned();
    draft.previous.reasons = reason::reasons(&draft.previous.reasons, said, Timestamp::now());
    draft.previous.operation_state = Some(state);
    context
        .controller
        .reporter
        .write(
            context.app,
            cache,
            draft.previous.clone(),
            HandledRequests::default(),
        )
        .await
}

async fn steps(
    context: &ReconcileContext<'_>,
    app_state: &mut AppState,
    request: &Request,
    run: &Run,
    record: &mut Record,
    head: &str,
) -> anyhow::Result<SyncOutcome> {
    let controller = context.controller;
    loop {
        let plan = request.plan(app_state);
        let live_hooks = hooks::live(&context.cluster, app_state, run);
        if is_terminating(&controller.configuration, context.key) {
            let situation = situation(app_state, &live_hooks, &plan, request, record, run);
            let actions = sync::terminate(&situation);
            perform_all(context, app_state, request, &actions, run, record).await;
            return Ok(SyncOutcome::Failed(Reason::Terminated {}));
        }
        let limit = sync_timeout(&controller.sources.settings, &controller.limits);
        loop {
            let situation = situation(app_state, &live_hooks, &plan, request, record, run);
            let observed = sync::observe(&situation);
            if observed.is_empty() {
                break;
            }
            for (phase, key, outcome) in observed {
                let outcome = hooks::with_log_tail(&context.cluster, &key, outcome).await;
                let result = results::of_outcome(app_state, run, phase, &key, &outcome);
                record.put(outcome, result);
            }
        }
        let next = sync::next(&situation(
            app_state,
            &live_hooks,
            &plan,
            request,
            record,
            run,
        ));
        if let Some(limit) = limit
            && time_left(run.started, Some(limit), Timestamp::now()) == TimeLeft::Over
            && !matches!(next, Next::Ended { .. })
        {
            let waiting = match &next {
                Next::Wait { reason } => reason.to_string(),
                _ => String::new(),
            };
            let situation = situation(app_state, &live_hooks, &plan, request, record, run);
            let actions = sync::terminate(&situation);
            perform_all(context, app_state, request, &actions, run, record).await;
            return Ok(SyncOutcome::Failed(time_limit::reason(limit, waiting)));
        }
        match next {
            Next::Act(actions) => {
                if let Err(error) = ensure_namespace(context, app_state, request, &actions).await {
                    return Ok(SyncOutcome::Failed(Reason::NamespaceNotCreated {
                        namespace: context.app.spec.destination.namespace.clone(),
                        detail: error.to_string(),
                    }));
                }
                perform_all(context, app_state, request, &actions, run, record).await;
                for definition in wait_for_definitions(&context.cluster, app_state, &actions).await
                {
                    let seconds = ESTABLISHED_TIMEOUT.as_secs();
                    let reason = Reason::DefinitionNotEstablished { seconds };
                    record.explain(SyncPhase::Sync, &definition, &reason);
                }
                judge_again(context, app_state)?;
            }
            Next::Wait { reason } => {
                let hook = matches!(reason, Reason::HookWaiting { .. });
                // What repairs things must not wait for what is broken.
                let superseded =
                    !hook && request.is_automated() && app_state.wanted.desired.digest() != head;
                return Ok(if superseded {
                    SyncOutcome::Failed(Reason::Superseded {
                        waiting: reason.to_string(),
                    })
                } else {
                    SyncOutcome::Running(reason)
                });
            }
            Next::Ended { failure, cleanup } => {
                let question = awaits_approval(context, request, app_state);
                if let (None, Some(question)) = (&failure, question) {
                    return Ok(SyncOutcome::Running(question));
                }
                perform_all(context, app_state, request, &cleanup, run, record).await;
                return Ok(match failure {
                    Some(failure) => SyncOutcome::Failed(failure),
                    None => SyncOutcome::Succeeded(success(request, &plan, record)),
                });
            }
        }
    }
}

/// Does all of it at the same time and records what became of it.
async fn perform_all(
    context: &ReconcileContext<'_>,
    app_state: &AppState,
    request: &Request,
    actions: &[Action],
    run: &Run,
    record: &mut Record,
) {
    let known = &*record;
    let done = join_all(
        actions
            .iter()
            .map(|action| perform(context, app_state, request, action, run, known)),
    )
    .await;
    for (action, done) in actions.iter().zip(done) {
        let mut refused = None;
        let outcome = match done {
            Ok(Some(outcome)) => outcome,
            Ok(None) => continue,
            Err(error) => {
                refused = Some(error.code());
                let place = app_state.wanted.desired.objects.get(&action.key);
                let place = place.map(|desired| format!(" ({})", desired.origin));
                Outcome::Failed(format!("{error}{}", place.unwrap_or_default()))
            }
        };
        let mut result = results::of_action(app_state, run, action, &outcome);
        if let Some(code) = refused {
            result.reason = code.as_str().into();
        }
        record.put(outcome, result);
    }
}

/// What is true after the writes; the answers to them are in the index already.
fn judge_again(context: &ReconcileContext<'_>, app_state: &mut AppState) -> anyhow::Result<()> {
    let (mut comparison, live) = judge(context, &app_state.wanted.desired)?;
    for (key, state) in &mut comparison {
        if matches!(state, State::Unconfirmed)
            && let Some(known) = app_state.comparison.get(key)
        {
            *state = known.clone();
        }
    }
    app_state.comparison = comparison;
    app_state.live = live;
    app_state.ignored = ignored(&context.cluster, &app_state.wanted.desired);
    Ok(())
}

fn situation<'a>(
    app_state: &'a AppState,
    hooks: &'a HashMap<ObjectKey, LiveObject>,
    plan: &'a Plan,
    request: &Request,
    record: &'a Record,
    run: &'a Run,
) -> Situation<'a> {
    Situation {
        desired: &app_state.wanted.desired,
        comparison: &app_state.comparison,
        live: &app_state.live,
        live_hooks: hooks,
        plan,
        complete: request.is_complete(),
        hooks: request.runs_hooks(),
        options: request.options,
        record,
        run,
    }
}

/// Does one thing; `None` when there is nothing to record of it.
async fn perform(
    context: &ReconcileContext<'_>,
    app_state: &AppState,
    request: &Request,
    action: &Action,
    run: &Run,
    record: &Record,
) -> Result<Option<Outcome>, WriteError> {
    match &action.verb {
        Verb::Apply => {
            let Some(desired) = app_state.wanted.desired.objects.get(&action.key) else {
                return Ok(None);
            };
            let live = app_state.live.get(&action.key);
            let deleted = record.get(SyncPhase::Sync, &action.key) == Some(&Outcome::Pruned);
            let outcome =
                apply_action(&context.cluster, desired, live, &request.options, deleted).await?;
            if let Some(State::HandedOver(from)) = app_state.comparison.get(&action.key) {
                context.controller.reporter.handed_over(
                    &context.cluster,
                    context.app,
                    app_state,
                    &action.key,
                    from,
                );
            }
            Ok(Some(outcome))
        }
        Verb::Prune { uid } => {
            let Some(live) = app_state.live.get(&action.key) else {
                return Ok(None);
            };
            context
                .cluster
                .delete(
                    &live.gvk(),
                    &action.key,
                    uid,
                    propagation(request.options.propagation),
                )
                .await?;
            Ok(Some(Outcome::Pruned))
        }
        Verb::RunHook | Verb::DeleteHook { .. } | Verb::ReleaseHook => {
            let Some(hook) = hooks::of_action(app_state, action, run) else {
                return Ok(matches!(action.verb, Verb::RunHook).then_some(Outcome::Skipped));
            };
            let (cluster, gvk) = (&context.cluster, &hook.object.gvk);
            match &action.verb {
                Verb::DeleteHook { uid } => hooks::delete(cluster, gvk, &action.key, uid).await?,
                Verb::ReleaseHook => hooks::release(cluster, gvk, &action.key).await?,
                _ => {
                    let manifest = hook.manifest(action.phase, run);
                    hooks::run(
                        cluster,
                        &hook.object,
                        &manifest,
                        action.phase,
                        &request.options,
                    )
                    .await?;
                    return Ok(Some(Outcome::Running("just created".into())));
                }
            }
            Ok(None)
        }
    }
}

/// Creates the destination namespace when the option asks for it and something has to live in
/// it. With managed metadata it is an object like any other, and part of the plan.
async fn ensure_namespace(
    context: &ReconcileContext<'_>,
    app_state: &AppState,
    request: &Request,
    actions: &[Action],
) -> Result<(), WriteError> {
    let cluster = &context.cluster;
    let name = &context.app.spec.destination.namespace;
    let needed = actions.iter().any(|action| {
        matches!(action.verb, Verb::Apply | Verb::RunHook)
            && action.key.namespace == *name
            && !app_state.live.contains_key(&action.key)
    });
    let key = ObjectKey {
        group: String::new(),
        kind: "Namespace".into(),
        namespace: String::new(),
        name: name.clone(),
    };
    if !request.options.create_namespace
        || !needed
        || name.is_empty()
        || app_state.wanted.desired.objects.contains_key(&key)
        || cluster.index.has_objects_in(name)
    {
        return Ok(());
    }
    let gvk = GroupVersionKind {
        group: String::new(),
        version: "v1".into(),
        kind: "Namespace".into(),
    };
    if cluster.writer.get(&gvk, &key).await?.is_some() {
        return Ok(());
    }
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    cluster.writer.apply(&gvk, &namespace, true).await.map(drop)
}

/// After a CustomResourceDefinition was applied, waits until its kind is served: objects of it
/// may be in the next step. Gives those that took too long.
async fn wait_for_definitions(
    cluster: &Cluster,
    app_state: &AppState,
    actions: &[Action],
) -> Vec<ObjectKey> {
    let mut late = Vec::new();
    let definitions: Vec<_> = actions
        .iter()
        .filter(|action| {
            action.verb == Verb::Apply && action.key.kind == "CustomResourceDefinition"
        })
        .filter_map(|action| app_state.wanted.desired.objects.get(&action.key))
        .collect();
    for desired in &definitions {
        let established = async {
            loop {
                let changed = cluster.index.changed();
                let health = cluster.index.get(&desired.key).and_then(|r| r.health);
                if health.is_some_and(|h| h.status == HealthStatusCode::Healthy) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(ESTABLISHED_TIMEOUT, established)
            .await
            .is_err()
        {
            tracing::warn!(definition = %desired.key, "timed out waiting for CRD condition Established");
            late.push(desired.key.clone());
        }
    }
    if !definitions.is_empty() && cluster.discovery.refresh().await.is_err() {
        tracing::warn!("kinds could not be read after a definition was applied");
    }
    late
}
