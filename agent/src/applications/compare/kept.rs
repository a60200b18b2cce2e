//! What is not quite as Git has it and no drift: fields that Git gave up and others keep, and what the API
//! server does not take of a manifest. Said as long as it is known.

use std::cell::LazyCell;

use gitops_api::constants::condition;
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;

use crate::applications::app_state::AppState;
use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;

/// Most fields that are named of one object.
const NAMED: usize = 5;

/// Says of each object which fields stay, and who sets them, and which of Git's are left out.
pub(crate) fn note(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    app_state: &AppState,
) {
    let said_before = LazyCell::new(|| {
        let said = draft.previous.reasons.iter().map(reason::read);
        let said = said.filter(|reason| matches!(reason, Reason::FieldLeftOut { .. }));
        said.collect::<Vec<_>>()
    });
    let mut found = Vec::new();
    for (key, object) in &app_state.wanted.desired.objects {
        let Some(confirmed) = context.cluster.index.confirmed(key) else {
            // An agent before this one asked; the object has not changed since.
            let of_object = |reason: &&Reason| matches!(reason, Reason::FieldLeftOut { object, .. } if object == key);
            let said = said_before.iter().filter(of_object).take(NAMED);
            found.extend(said.map(|reason| (condition::LEFT_OUT_WARNING, reason.clone())));
            continue;
        };
        let kept = confirmed
            .kept
            .iter()
            .take(NAMED)
            .map(|kept| Reason::FieldKept {
                object: key.clone(),
                field: kept.field.clone(),
                manager: kept.manager.clone(),
            });
        found.extend(kept.map(|reason| (condition::FIELD_KEPT_WARNING, reason)));
        let left_out = confirmed.left_out.iter().take(NAMED);
        let left_out = left_out.map(|left| Reason::FieldLeftOut {
            object: key.clone(),
            field: left.field.clone(),
            repeated: left.repeated,
            origin: object.origin.to_string(),
        });
        found.extend(left_out.map(|reason| (condition::LEFT_OUT_WARNING, reason)));
    }
    let found = found.into_iter();
    draft
        .conditions
        .extend(found.map(|(kind, reason)| Condition::new(kind, reason)));
}
