//! The operation of a pass: which sync is under way, its beginning, and what it leaves behind.

use std::time::Duration;

use gitops_api::status::OperationState;
use gitops_api::{Application, ApplicationSource, ApplicationSpec, OperationPhase};
use gitops_core::manifest::hook::Hook;
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_core::report::history::Delivery;
use gitops_core::report::{heals, history, status};
use gitops_core::source::FailureKind;
use gitops_core::sync::retry;
use gitops_core::sync::retry::RetryPolicy;
use gitops_core::sync::time_limit::{TimeLeft, time_left};
use jiff::Timestamp;

use crate::applications::app_state::AppState;
use crate::applications::cache::AppCache;
use crate::applications::compare::comparison;
use crate::applications::context::ReconcileContext;
use crate::applications::controller::Controller;
use crate::applications::draft::StatusDraft;
use crate::applications::error::ReconcileError;
use crate::applications::policy::{requested_retry, sync_timeout};
use crate::applications::report::{commits, notes};
use crate::applications::requeue::Requeue;
use crate::applications::sync::execute;
use crate::applications::sync::execute::SyncProgress;
use crate::applications::sync::planned::PlannedSync;
use crate::applications::sync::request::Request;
use crate::applications::sync::results;

/// A sync that somebody asked for, or that began in an earlier pass.
pub(crate) enum InProgress {
    /// It begins or goes on now.
    Sync(Box<Request>),
    /// It failed and is tried again after this time.
    Waits(Duration),
}

/// The sync that somebody asked for, or one that began in an earlier pass and is not at its
/// end.
pub(crate) fn in_progress(draft: &mut StatusDraft<'_>) -> Option<InProgress> {
    if let Some(waiting) = waiting_for_retry(draft) {
        return Some(waiting);
    }
    beginning_or_going_on(draft).map(|request| InProgress::Sync(Box::new(request)))
}

fn beginning_or_going_on(draft: &mut StatusDraft<'_>) -> Option<Request> {
    let app = draft.app;
    let spec = &app.spec;
    let state = draft.previous.operation_state.as_mut().filter(|state| {
        matches!(
            state.phase,
            OperationPhase::Running | OperationPhase::Terminating
        )
    });
    // Between two attempts it goes on only while somebody wants it.
    let wanted = app.operation.is_some();
    let resumable = state.as_ref().is_some_and(|state| {
        state.sync_result.is_some() && (wanted || state.finished_at.is_none())
    });
    match (state, &app.operation) {
        (Some(state), _) if resumable => Some(Request::resumed(state, spec)),
        (state, Some(operation)) => {
            if state.is_some_and(|state| state.phase == OperationPhase::Terminating) {
                let request = Request::asked_for(operation, spec);
                draft.operation = Some(request.refused(&Reason::Terminated {}, Timestamp::now()));
                return None;
            }
            Some(Request::asked_for(operation, spec))
        }
        // Nobody works on it any more: it was ended while it ended, or its controller is gone.
        (Some(state), None) => {
            state.phase = OperationPhase::Failed;
            reason::explain(state, &Reason::Terminated {});
            draft.operation = Some(state.clone());
            None
        }
        (None, None) => None,
    }
}

/// A sync that failed and has attempts left: Argo CD calls it running, with the time of the
/// last failure.
fn waiting_for_retry(draft: &StatusDraft<'_>) -> Option<InProgress> {
    let state = draft.previous.operation_state.as_ref()?;
    let failed = state.finished_at.as_ref()?;
    if state.phase != OperationPhase::Running || draft.app.operation.is_none() {
        return None;
    }
    let spec = &draft.app.spec;
    let policy = requested_retry(&state.operation, spec);
    let retries = u32::try_from(state.retry_count).unwrap_or(0);
    let pause = policy.backoff(retries.saturating_sub(1));
    Some(match retry::remaining(failed.0, pause, Timestamp::now()) {
        Some(left) => InProgress::Waits(left),
        None => InProgress::Sync(Box::new(Request::again(state, spec, policy.refresh))),
    })
}

/// How long a sync with hooks that would begin now has to wait because the one before began in the same
/// second: a run is known by its second and its revision, and would take the other's hooks for its own.
pub(crate) fn shares_its_second(draft: &StatusDraft<'_>, app_state: &AppState) -> Option<Duration> {
    let hooks = app_state.wanted.desired.hooks.iter();
    let mut phases = hooks.flat_map(Hook::sync_phases);
    phases.next()?;
    let before = draft.known_operation()?.started_at.as_ref()?.0;
    retry::rest_of_second(before, Timestamp::now())
}

/// Whether somebody asks for a sync that has not begun.
pub(crate) fn begins(draft: &StatusDraft<'_>) -> bool {
    let state = draft.previous.operation_state.as_ref();
    let under_way = state.is_some_and(|state| !state.phase.is_completed());
    draft.app.operation.is_some() && !under_way
}

/// Whether an attempt of the operation is due, so that what failed before is asked for again.
pub(crate) fn is_due(draft: &StatusDraft<'_>) -> bool {
    let waits = matches!(waiting_for_retry(draft), Some(InProgress::Waits(_)));
    draft.app.operation.is_some() && !waits
}

/// Whether a sync in the middle of its work stays as it is although its sources cannot be had: while time
/// may help, and as long as a sync may take.
pub(super) fn stays_under_way(
    controller: &Controller,
    request: &Request,
    error: &ReconcileError,
) -> bool {
    let limit = sync_timeout(&controller.sources.settings, &controller.limits);
    request.is_resumed()
        && error.kind() == FailureKind::Transient
        && time_left(request.started(), limit, Timestamp::now()) != TimeLeft::Over
}

/// The state of a sync whose sources cannot be had; it is tried again while it has attempts left.
pub(super) fn without_sources(
    spec: &ApplicationSpec,
    request: &Request,
    error: &ReconcileError,
) -> OperationState {
    let state = request.refused(&error.reason(), Timestamp::now());
    let mut policy = requested_retry(&state.operation, spec);
    if error.kind() == FailureKind::Transient {
        let stated = spec.sync_policy.as_ref();
        let stated = stated.is_some_and(|policy| policy.retry.is_some());
        policy = policy.patient_with_sources(stated || state.operation.retry.is_some());
    }
    retried(&policy, request, state)
}

/// A failed sync that somebody asked for stays under way while it has attempts left.
fn with_retry(spec: &ApplicationSpec, request: &Request, state: OperationState) -> OperationState {
    let policy = requested_retry(&state.operation, spec);
    retried(&policy, request, state)
}

fn retried(policy: &RetryPolicy, request: &Request, mut state: OperationState) -> OperationState {
    let failed = state.phase.is_completed() && !state.phase.is_successful();
    let ended = matches!(
        reason::of_operation(&state),
        Reason::Terminated {} | Reason::SyncTimeout { .. } | Reason::ProjectDenies { .. }
    );
    if !failed || request.is_automated() || ended {
        return state;
    }
    if !policy.allows(request.retry) {
        return state;
    }
    let now = Timestamp::now();
    let next = now + policy.backoff(request.retry);
    state.phase = OperationPhase::Running;
    state.retry_count = i64::from(request.retry) + 1;
    state.finished_at = Some(status::seconds(now));
    let reason = Reason::SyncRetrying {
        failure: state.message.clone(),
        attempt: state.retry_count,
        at: status::seconds(next).0,
    };
    reason::explain(&mut state, &reason);
    state
}

/// Whether the end of an operation answers what is asked for on the Application: what the agent began
/// by itself does not answer a person who asked meanwhile.
pub(crate) fn answers(app: &Application, state: &OperationState) -> bool {
    let asked = app.operation.as_ref();
    state.phase.is_completed()
        && asked.is_some_and(|asked| asked.is_automated() == state.operation.is_automated())
}

/// When to look again although nothing happens: at the next attempt, or when a sync has taken
/// too long.
pub(crate) fn requeue(context: &ReconcileContext<'_>, draft: &StatusDraft<'_>) -> Requeue {
    let Some(state) = &draft.operation else {
        return Requeue::AwaitChange;
    };
    if state.phase.is_completed() {
        // Nothing else may ever wake it again: the next pass decides when to retry, or begins what was
        // asked for meanwhile.
        let asked = context.app.operation.is_some() && !answers(context.app, state);
        return if state.phase.is_successful() && !asked {
            Requeue::AwaitChange
        } else {
            Requeue::NOW
        };
    }
    let now = Timestamp::now();
    if state.finished_at.is_some() {
        let policy = requested_retry(&state.operation, &context.app.spec);
        let retries = u32::try_from(state.retry_count).unwrap_or(0);
        return Requeue::After(policy.backoff(retries.saturating_sub(1)));
    }
    let Some(started) = &state.started_at else {
        return Requeue::AwaitChange;
    };
    match time_left(
        started.0,
        sync_timeout(
            &context.controller.sources.settings,
            &context.controller.limits,
        ),
        now,
    ) {
        TimeLeft::Unlimited => Requeue::AwaitChange,
        TimeLeft::Left(left) => Requeue::After(left),
        TimeLeft::Over => Requeue::NOW,
    }
}

/// Carries a sync out as far as it goes now, and records what it did; gives what is true then.
pub(crate) async fn sync(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    app_state: AppState,
    planned: PlannedSync,
) -> anyhow::Result<AppState> {
    let head = execute::state_of_git(&app_state);
    let other = other_state(context, draft, cache, &app_state, &planned.request).await;
    let (app_state, planned) = match other {
        Ok(None) => (app_state, planned),
        Ok(Some(other)) => {
            let planned = PlannedSync::new(planned.request, &other);
            (other, planned)
        }
        // The operation stays as it is, and goes on when the answer is there.
        Err(error) if error.is_fetching() => {
            draft.fetching = true;
            return Ok(app_state);
        }
        Err(error) if stays_under_way(context.controller, &planned.request, &error) => {
            draft.fetching = true;
            return Ok(app_state);
        }
        Err(error) => {
            let spec = &context.app.spec;
            draft.operation = Some(without_sources(spec, &planned.request, &error));
            return Ok(app_state);
        }
    };
    Box::pin(carry_out(context, draft, cache, app_state, &planned, &head)).await
}

/// The same of what the sync is about. `head` is the digest of what the tracked revision renders to.
pub(super) async fn carry_out(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    app_state: AppState,
    planned: &PlannedSync,
    head: &str,
) -> anyhow::Result<AppState> {
    let request = &planned.request;
    let advanced = Box::pin(execute::advance(
        context, draft, cache, app_state, planned, head,
    ))
    .await?;
    let SyncProgress {
        app_state,
        operation,
        started,
        healed,
    } = advanced;
    let revision = app_state.wanted.revisions.first();
    let revision = revision.map(String::as_str).unwrap_or_default();
    heals::record(
        &mut draft.previous.heals,
        &healed,
        revision,
        Timestamp::now(),
    );
    let operation = with_retry(&context.app.spec, request, operation);
    let phase = operation.phase;
    if phase.is_completed() {
        context
            .controller
            .reporter
            .healed(&context.cluster, context.app, &app_state, &healed);
    }
    let changed = operation
        .sync_result
        .as_ref()
        .is_some_and(|result| !result.resources.is_empty());
    let known = history::is_newest(&draft.previous, &app_state.wanted.desired);
    if phase.is_successful() && request.is_complete() && (changed || !known) {
        let times = (started, Timestamp::now());
        record_delivery(context, draft, &app_state, &operation, times).await;
    }
    draft.operation = Some(operation);
    if phase.is_completed() && !phase.is_successful() {
        notes::note_failed_attempt(draft);
    }
    Ok(app_state)
}

/// Adds a sync that ended well to the history.
async fn record_delivery(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    app_state: &AppState,
    operation: &OperationState,
    (started, finished): (Timestamp, Timestamp),
) {
    let delivery = Delivery {
        revisions: &app_state.wanted.revisions,
        commit: commits::delivered(app_state).await,
        digest: app_state.wanted.desired.digest().to_owned(),
        started,
        finished,
        initiated_by: operation.operation.initiated_by.clone().unwrap_or_default(),
    };
    history::record_history(&mut draft.previous, &context.app.spec, delivery);
}

/// Records a sync that went well and that the agent could not report because it ended, if there was
/// one: what worked is what a rollback goes back to.
pub(crate) async fn record_unreported(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    app_state: &AppState,
) {
    let desired = &app_state.wanted.desired;
    // An agent before this one saw it, and that nothing had to be done for it.
    if draft
        .delivered
        .as_ref()
        .is_some_and(|known| desired.is_recorded_as(&known.digest))
    {
        return;
    }
    let created = context.app.metadata.creation_timestamp.as_ref();
    let created = created.map(|time| time.0);
    let delivered = history::unrecorded_delivery(&draft.previous, created, app_state.compared());
    let Some(delivered) = delivered else { return };
    let request = Request::automated(&context.app.spec, None, 0);
    let operation = results::found_in_place(context.app, app_state, &request, delivered);
    tracing::info!(application = %context.key, "recording a sync that could not be reported");
    record_delivery(
        context,
        draft,
        app_state,
        &operation,
        (delivered, delivered),
    )
    .await;
    draft.operation = Some(operation);
}

/// The state of another revision that a request names; `None` when it is about the one at hand.
async fn other_state(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    app_state: &AppState,
    request: &Request,
) -> Result<Option<AppState>, ReconcileError> {
    let Some(sources) = request.other_sources(&context.app.spec) else {
        return Ok(None);
    };
    if request.pinned() == app_state.wanted.revisions {
        return Ok(None);
    }
    state_of(context, draft, cache, &sources).await.map(Some)
}

/// What is true of the sources that a request names.
pub(super) async fn state_of(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    sources: &[ApplicationSource],
) -> Result<AppState, ReconcileError> {
    let from = &context.controller.sources;
    let found = from
        .resolve(&context.app.spec, sources, true, &mut draft.conditions)
        .await?;
    let wanted = from
        .render_app(&context.target(), found, &mut cache.operating, false)
        .await?;
    comparison::compare(context, draft, wanted).await
}
