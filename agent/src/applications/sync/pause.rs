//! The pause of an application: says that it is in force, and keeps every sync away while it is.

use gitops_api::Application;
use gitops_api::constants::{annotation, condition};
use gitops_core::report::status::Condition;
use gitops_core::sync::pause;
use gitops_core::sync::pause::Paused;
use jiff::Timestamp;
use kube::ResourceExt;

use crate::applications::draft::StatusDraft;
use crate::applications::requeue::Requeue;
use crate::applications::sync::request::Request;
use crate::settings::CurrentSettings;

/// The pause in force for an Application, its own or that of all.
pub(crate) fn in_force(settings: &CurrentSettings, app: &Application) -> Option<Paused> {
    let own = app.annotations().get(annotation::PAUSED);
    let all = settings.paused();
    pause::judge(own.map(String::as_str), all.as_deref(), Timestamp::now())
}

/// Takes note of the pause.
pub(crate) fn note(draft: &mut StatusDraft<'_>, settings: &CurrentSettings) {
    draft.paused = in_force(settings, draft.app);
    let reason = draft.paused.iter().map(Paused::reason);
    let told = reason.map(|reason| Condition::new(condition::PAUSED_WARNING, reason));
    draft.conditions.extend(told);
}

/// When the pause ends by itself.
pub(crate) fn end(draft: &StatusDraft<'_>) -> Requeue {
    let paused = draft.paused.as_ref();
    paused
        .and_then(|paused| paused.time_left(Timestamp::now()))
        .into()
}

/// Keeps a sync away: one that a person asks for is refused, one under way is stopped where it is and
/// goes on afterwards.
pub(super) fn check(draft: &mut StatusDraft<'_>, request: &Request) -> Option<Requeue> {
    let reason = draft.paused.as_ref()?.reason();
    if let Some(stopped) = request.stopped(&reason) {
        draft.operation = Some(stopped);
    } else if !request.is_automated() {
        draft.operation = Some(request.refused(&reason, Timestamp::now()));
    }
    Some(end(draft))
}
