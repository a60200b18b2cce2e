//! What keeps a sync away that is otherwise decided on: a pause, or a sync window. Every sync passes
//! here before it changes anything.

use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;
use crate::applications::policy::is_terminating;
use crate::applications::requeue::Requeue;
use crate::applications::sync::request::Request;
use crate::applications::sync::{pause, window};

/// Keeps a sync away that may not be now. One that changes nothing, and the end of one, may always be. Gives when to ask again;
/// otherwise a change of what blocks it does.
pub(crate) fn check(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    request: &Request,
) -> Option<Requeue> {
    if request.dry_run || is_terminating(&context.controller.configuration, context.key) {
        return None;
    }
    pause::check(draft, request).or_else(|| window::check(context, draft, request))
}
