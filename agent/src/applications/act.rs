//! What is done about an application as it was compared: what core decides, carried out.

use gitops_api::constants::condition;
use gitops_core::compare::comparison::State;
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;
use gitops_core::sync::autosync;
use gitops_core::sync::autosync::{Decision, Idle};
use gitops_core::sync::plan::is_worth_it;
use jiff::Timestamp;

use crate::applications::app_state::AppState;
use crate::applications::cache::AppCache;
use crate::applications::context::ReconcileContext;
use crate::applications::dependencies;
use crate::applications::draft::StatusDraft;
use crate::applications::handover;
use crate::applications::policy::{automated, automated_retry};
use crate::applications::report::notes;
use crate::applications::requeue::Requeue;
use crate::applications::sync::approval::{pending_prune_approval, with_approval};
use crate::applications::sync::operation::{InProgress, in_progress, sync};
use crate::applications::sync::planned::PlannedSync;
use crate::applications::sync::request::Request;
use crate::applications::sync::{blocked, operation, window};

/// Decides and carries out; returns what is true afterwards.
pub(super) async fn act(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    app_state: AppState,
) -> anyhow::Result<(AppState, Requeue)> {
    let spec = &context.app.spec;
    window::note(context, draft);
    let asked = pending_prune_approval(context, draft, &app_state);
    // What the agent does by itself it does as a whole or not at all; what a person asks for is
    // refused by itself.
    let denied = !app_state.denied.is_empty();
    let waits = handover::awaits_handover(context, draft, &app_state);
    let in_progress = match waits {
        Some(_) => None,
        None => in_progress(draft),
    };
    match asked {
        Some((_, Some(planned))) if waits.is_none() && !denied && in_progress.is_none() => {
            return Box::pin(sync_unless_pointless(
                context, draft, cache, app_state, planned,
            ))
            .await;
        }
        Some((condition, _)) => {
            draft.conditions.insert(condition);
        }
        None => {}
    }
    if let Some(requeue) = waits {
        return Ok((app_state, requeue));
    }
    match in_progress {
        Some(InProgress::Sync(request)) => {
            if !request.is_resumed()
                && let Some(left) = operation::shares_its_second(draft, &app_state)
            {
                return Ok((app_state, Requeue::After(left)));
            }
            if let Some(requeue) = blocked::check(context, draft, &request) {
                return Ok((app_state, requeue));
            }
            let planned = with_approval(context, draft, *request, &app_state);
            return Box::pin(sync_or_retry(context, draft, cache, app_state, planned)).await;
        }
        Some(InProgress::Waits(pause)) => return Ok((app_state, Requeue::After(pause))),
        None if draft.paused.is_some() => return Ok((app_state, Requeue::AwaitChange)),
        None => {}
    }
    let now = Timestamp::now();
    let (retry, problem) = automated_retry(spec);
    draft.conditions.extend(problem);
    let attempt = draft.last_attempt(&app_state);
    // That the project does not allow it is found out once, and no longer counts when it does.
    if denied && attempt.is_some() {
        return Ok((app_state, Requeue::AwaitChange));
    }
    let decision = autosync::decide(
        automated(spec),
        &app_state.comparison,
        attempt,
        &retry,
        &cache.heals,
        now,
    );
    match decision {
        Decision::Nothing(idle) => {
            if idle == Idle::Synced && !cache.reported {
                operation::record_unreported(context, draft, &app_state).await;
            }
            notes::note_idle(draft, idle, &app_state);
            Ok((app_state, Requeue::AwaitChange))
        }
        Decision::Later(pause, reason) => {
            notes::note_failed_attempt(draft);
            if matches!(reason, Reason::SelfHealBackoff { .. }) {
                draft
                    .conditions
                    .insert(Condition::new(condition::SYNC_ERROR, reason));
            }
            Ok((app_state, Requeue::After(pause)))
        }
        Decision::Sync { .. } if dependencies::awaits(context, draft) => {
            Ok((app_state, Requeue::AwaitChange))
        }
        Decision::Sync { retry } => {
            if let Some(left) = operation::shares_its_second(draft, &app_state) {
                return Ok((app_state, Requeue::After(left)));
            }
            let handed_over = |(_, state): &(_, &State)| matches!(state, State::HandedOver(_));
            let handed_over = app_state.comparison.iter().filter(handed_over);
            cache.heals.record(handed_over.map(|(key, _)| key), now);
            let request = Request::automated(spec, None, retry);
            let planned = with_approval(context, draft, request, &app_state);
            Box::pin(sync_unless_pointless(
                context, draft, cache, app_state, planned,
            ))
            .await
        }
        Decision::Heal(_) if denied => Ok((app_state, Requeue::AwaitChange)),
        Decision::Heal(keys) => {
            let request = Request::automated(spec, Some(keys.clone()), 0);
            let planned = with_approval(context, draft, request, &app_state);
            if planned.plan.is_empty() {
                return Ok((app_state, Requeue::AwaitChange));
            }
            if let Some(requeue) = blocked::check(context, draft, &planned.request) {
                return Ok((app_state, requeue));
            }
            cache.heals.record(&keys, now);
            context.controller.metrics.heals.inc_by(keys.len() as u64);
            Box::pin(sync_or_retry(context, draft, cache, app_state, planned)).await
        }
    }
}

/// Syncs, unless all that differs must be left as it is: kept objects, objects on their way out, a
/// prune that would leave nothing; or that no window is open for it.
async fn sync_unless_pointless(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    app_state: AppState,
    planned: PlannedSync,
) -> anyhow::Result<(AppState, Requeue)> {
    if planned.plan.is_empty() && !is_worth_it(&planned.plan, draft.last_attempt(&app_state)) {
        return Ok((app_state, Requeue::AwaitChange));
    }
    if let Some(requeue) = blocked::check(context, draft, &planned.request) {
        return Ok((app_state, requeue));
    }
    Box::pin(sync_or_retry(context, draft, cache, app_state, planned)).await
}

async fn sync_or_retry(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    app_state: AppState,
    planned: PlannedSync,
) -> anyhow::Result<(AppState, Requeue)> {
    let app_state = sync(context, draft, cache, app_state, planned).await?;
    let requeue = operation::requeue(context, draft);
    Ok((app_state, requeue))
}

/// Why nothing is done, or not yet, in the state that is reported. The same in the pass that made
/// it so and in those after it, which thus write nothing.
pub(super) fn decided(
    draft: &StatusDraft<'_>,
    cache: &AppCache,
    app_state: &AppState,
) -> Option<Reason> {
    let spec = &draft.app.spec;
    let attempt = draft.last_attempt(app_state);
    let decision = autosync::decide(
        automated(spec),
        &app_state.comparison,
        attempt,
        &automated_retry(spec).0,
        &cache.heals,
        Timestamp::now(),
    );
    match decision {
        Decision::Nothing(idle) => match draft.app.rolling_set() {
            Some(set) if idle == Idle::Manual => Some(Reason::SetDecidesSync { set: set.into() }),
            _ => idle.reason(attempt),
        },
        Decision::Later(_, reason) => Some(reason),
        Decision::Sync { .. } | Decision::Heal(_) => None,
    }
}
