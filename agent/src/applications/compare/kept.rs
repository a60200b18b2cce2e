//! What is not quite as Git has it and no drift: fields that Git gave up and others keep, and what the API
//! server does not take of a manifest. Said as long as it is known.

use gitops_api::constants::condition;
use gitops_core::manifest::desired::DesiredObject;
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
    let index = &context.cluster.index;
    for (key, object) in &app_state.wanted.desired.objects {
        for kept in index.kept(key).into_iter().take(NAMED) {
            draft.conditions.insert(Condition::new(
                condition::FIELD_KEPT_WARNING,
                Reason::FieldKept {
                    object: key.clone(),
                    field: kept.field,
                    manager: kept.manager,
                },
            ));
        }
        let left_out = match index.left_out(key) {
            Some(left_out) => left_out
                .into_iter()
                .map(|left| Reason::FieldLeftOut {
                    object: key.clone(),
                    field: left.field,
                    repeated: left.repeated,
                    origin: object.origin.to_string(),
                })
                .collect(),
            // An agent before this one asked; the object has not changed since.
            None => said_before(draft, object),
        };
        let left_out = left_out.into_iter().take(NAMED);
        let left_out = left_out.map(|reason| Condition::new(condition::LEFT_OUT_WARNING, reason));
        draft.conditions.extend(left_out);
    }
}

/// What the status says of an object that this agent has not asked the API server about.
fn said_before(draft: &StatusDraft<'_>, wanted: &DesiredObject) -> Vec<Reason> {
    let said = draft.previous.reasons.iter().map(reason::read);
    let of_object = |reason: &Reason| matches!(reason, Reason::FieldLeftOut { object, .. } if *object == wanted.key);
    said.filter(of_object).collect()
}
