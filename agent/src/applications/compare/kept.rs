//! Fields that Git gave up and others keep: said as long as that is known.

use gitops_api::constants::condition;
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;

use crate::applications::app_state::AppState;
use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;

/// Most fields that are named of one object.
const NAMED: usize = 5;

/// Says of each object which fields stay, and who sets them.
pub(crate) fn note(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    app_state: &AppState,
) {
    for key in app_state.wanted.desired.objects.keys() {
        for kept in context.cluster.index.kept(key).into_iter().take(NAMED) {
            draft.conditions.insert(Condition::new(
                condition::FIELD_KEPT_WARNING,
                Reason::FieldKept {
                    object: key.clone(),
                    field: kept.field,
                    manager: kept.manager,
                },
            ));
        }
    }
}
