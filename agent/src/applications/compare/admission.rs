//! What admission makes of the values Git states: said, and asked about again from time to time.
//!
//! It is not healed: applying again would have the same end. Once the webhook or policy is gone or
//! corrected, a dry run says so, and what is then a difference is healed like any other.

use std::time::Duration;

use gitops_api::constants::condition;
use gitops_core::compare::comparison::{Comparison, State};
use gitops_core::live::admission::Admission;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;
use jiff::Timestamp;

use crate::applications::app_state::AppState;
use crate::applications::cache::AppCache;
use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;
use crate::applications::requeue::Requeue;

/// Pause between two dry runs of what is overruled, since nothing announces that it no longer is.
const RECHECK_INTERVAL: Duration = Duration::from_mins(5);

/// Whether it is time to ask again.
pub(crate) fn is_due(refreshes: bool, cache: &AppCache) -> bool {
    let asked = cache.admission_asked;
    refreshes
        || asked.is_some_and(|asked| {
            let age = Timestamp::now().duration_since(asked);
            Duration::try_from(age).is_ok_and(|age| age >= RECHECK_INTERVAL)
        })
}

/// Makes the API server be asked about what it is time to ask again, and what an earlier agent
/// found and this one does not know.
pub(crate) fn invalidate(
    context: &ReconcileContext<'_>,
    draft: &StatusDraft<'_>,
    desired: &DesiredSet,
    comparison: &mut Comparison,
) {
    let conditions = &draft.previous.conditions;
    let said = conditions
        .iter()
        .any(|said| said.condition_type == condition::OVERRULED_WARNING);
    let index = &context.cluster.index;
    for (key, admission) in index.admission(desired.objects.keys(), said) {
        let doubted = match admission {
            Admission::Unknown => said && reason::is_mutated(&draft.previous, key),
            Admission::Kept => false,
            Admission::MutatedByAdmission(_) => draft.asks_admission,
        };
        if doubted
            && let Some(state) = comparison.get_mut(key)
            && state.is_synced()
        {
            *state = State::Unconfirmed;
        }
    }
}

/// Says what is overruled; returns when to ask again.
pub(crate) fn note(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    app_state: &AppState,
    cache: &mut AppCache,
) -> Requeue {
    let index = &context.cluster.index;
    let keys = app_state
        .comparison
        .iter()
        .filter(|(_, state)| state.is_synced());
    let mutated_by_admission = index.admission(keys.map(|(key, _)| key), false);
    if mutated_by_admission.is_empty() {
        cache.admission_asked = None;
        return Requeue::AwaitChange;
    }
    if draft.asks_admission || cache.admission_asked.is_none() {
        cache.admission_asked = Some(Timestamp::now());
    }
    for (key, admission) in mutated_by_admission {
        if let Admission::MutatedByAdmission(mutated_by_admission) = admission {
            draft.conditions.insert(Condition::new(
                condition::OVERRULED_WARNING,
                Reason::AdmissionMutated {
                    object: key.clone(),
                    detail: mutated_by_admission.to_string(),
                },
            ));
        }
    }
    Requeue::After(RECHECK_INTERVAL)
}
