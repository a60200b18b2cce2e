//! The sync windows of the project: keeps syncs away while they are closed, says why, and when the
//! application is to be looked at again.

use std::time::Duration;

use gitops_api::constants::condition;
use gitops_core::project::windows::{Asked, Closed, Verdict, Windows};
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;
use crate::applications::permission;
use crate::applications::requeue::Requeue;
use crate::applications::sync::request::Request;

/// The windows for this application; `None` when its project has none.
fn windows(context: &ReconcileContext<'_>) -> Option<Windows> {
    let spec = &context.app.spec;
    let name = spec.effective_project();
    let rules = permission::rules(&context.controller.configuration, spec).ok()?;
    let windows = &rules.spec().sync_windows;
    (!windows.is_empty()).then(|| {
        Windows::of(
            name,
            windows,
            &context.key.name,
            &spec.destination,
            // The database is compiled in: the image has none.
            |zone| TimeZone::get(zone).ok(),
        )
    })
}

/// Says what is wrong with the windows for this application.
pub(crate) fn note(context: &ReconcileContext<'_>, draft: &mut StatusDraft<'_>) {
    if let Some(windows) = windows(context) {
        draft.conditions.extend(
            windows
                .problems()
                .map(|problem| Condition::new(condition::SYNC_WINDOW_WARNING, problem)),
        );
    }
}

/// Keeps a sync away that may not be now: an automated one waits, one that a person asks for
/// is refused, and one under way is stopped where it is.
pub(super) fn check(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    request: &Request,
) -> Option<Requeue> {
    let asked = if request.is_automated() {
        Asked::Automatically
    } else {
        Asked::ByHand
    };
    let now = Timestamp::now();
    let began = request.is_resumed().then(|| request.started());
    let Closed {
        reason,
        opens,
        ask_again,
    } = match windows(context)?.judge(asked, began, now) {
        Verdict::Open => return None,
        Verdict::Closed(closed) => closed,
    };
    let again = opens
        .or(ask_again)
        .map(|moment| Duration::try_from(moment.duration_since(now)).unwrap_or_default());
    let stopped = request.stopped(&reason);
    if stopped.is_none() && asked == Asked::ByHand {
        draft.operation = Some(request.refused(&reason, now));
        // What keeps the automated sync away still does.
        let told = draft.previous.conditions.iter();
        let told = told.filter(|told| told.condition_type == condition::SYNC_WINDOW_WARNING);
        draft.conditions.extend(told.map(|told| {
            let reason = reason::of_condition(&draft.previous, told);
            Condition::new(condition::SYNC_WINDOW_WARNING, reason)
        }));
        return Some(Requeue::AwaitChange);
    }
    if stopped.is_some() {
        draft.operation = stopped;
    }
    let message = reason::entry(&reason).message;
    let mut told = draft.previous.reasons.iter();
    if !told.any(|told| told.message == message) {
        tracing::info!(application = %context.key, %reason, "blocked by a sync window");
    }
    // What is wrong with a window is said once.
    if let Reason::SyncWindowInvalid { detail } = &reason {
        let detail = detail.clone();
        let problem = Reason::SyncWindowProblem { detail };
        draft.conditions.retain(|said| said.reason != problem);
    }
    draft
        .conditions
        .insert(Condition::new(condition::SYNC_WINDOW_WARNING, reason));
    Some(again.into())
}
