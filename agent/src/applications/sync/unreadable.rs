//! The sync that somebody asked for, or that is under way, while what the application follows cannot be
//! had: it goes on where it is about other sources or revisions, else it is tried again.

use crate::app_key::AppKey;
use crate::applications::cache::AppCache;
use crate::applications::context::ReconcileContext;
use crate::applications::controller::Controller;
use crate::applications::draft::StatusDraft;
use crate::applications::error::ReconcileError;
use crate::applications::handover;
use crate::applications::requeue::Requeue;
use crate::applications::sync::approval::with_approval;
use crate::applications::sync::blocked;
use crate::applications::sync::operation;
use crate::applications::sync::operation::{InProgress, in_progress};
use crate::applications::sync::request::Request;

/// Goes on with the operation of an application that cannot be compared for this reason; gives when
/// to look at the operation again.
pub(crate) async fn go_on(
    controller: &Controller,
    key: &AppKey,
    draft: &mut StatusDraft<'_>,
    cache: &mut AppCache,
    error: &ReconcileError,
) -> anyhow::Result<Requeue> {
    let request = match in_progress(draft) {
        Some(InProgress::Sync(request)) => request,
        Some(InProgress::Waits(left)) => return Ok(Requeue::After(left)),
        None => return Ok(Requeue::AwaitChange),
    };
    // Without a spec or a project there is nothing to go on with.
    let Ok(context) = ReconcileContext::new(controller, key, draft.app) else {
        return Ok(postpone(controller, draft, &request, error));
    };
    let Some(sources) = request.other_sources(&context.app.spec) else {
        let requeue = postpone(controller, draft, &request, error);
        return Ok(requeue.or_sooner(operation::requeue(&context, draft)));
    };
    let found = operation::state_of(&context, draft, cache, &sources).await;
    let app_state = match found {
        Ok(app_state) => app_state,
        Err(error) if error.is_fetching() => return Ok(Requeue::FETCHING),
        Err(error) => {
            let requeue = postpone(controller, draft, &request, &error);
            return Ok(requeue.or_sooner(operation::requeue(&context, draft)));
        }
    };
    if let Some(requeue) = handover::awaits_handover(&context, draft, &app_state) {
        return Ok(requeue);
    }
    if let Some(requeue) = blocked::check(&context, draft, &request) {
        return Ok(requeue);
    }
    let planned = with_approval(&context, draft, *request, &app_state);
    // What the tracked revision renders to is not known: nothing here is superseded by it.
    let head = app_state.wanted.desired.digest().to_owned();
    let synced = operation::carry_out(&context, draft, cache, app_state, &planned, &head);
    Box::pin(synced).await?;
    Ok(operation::requeue(&context, draft))
}

/// The operation while its sources cannot be had.
fn postpone(
    controller: &Controller,
    draft: &mut StatusDraft<'_>,
    request: &Request,
    error: &ReconcileError,
) -> Requeue {
    if operation::stays_under_way(controller, request, error) {
        return Requeue::FETCHING;
    }
    // One that the agent began by itself, and nobody asks for, is left to the next comparison.
    if request.is_resumed() && draft.app.operation.is_none() {
        return Requeue::AwaitChange;
    }
    draft.operation = Some(operation::without_sources(&draft.app.spec, request, error));
    Requeue::AwaitChange
}
