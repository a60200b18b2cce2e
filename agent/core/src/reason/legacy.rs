//! The one place that reads sentences: those of agents that kept no reasons beside them
//! (before `status.reasons`).
//!
//! Their statuses are read once after an upgrade, so that a user who approved a prune is not asked
//! again, an operation that was terminated is not begun again, and what admission changed is asked
//! about again. The sentences are frozen: nothing here follows what the agent says today.

use gitops_api::ApplicationStatus;
use gitops_api::constants::condition;
use gitops_api::status::ApplicationCondition;
use jiff::Timestamp;

use super::{PruneQuestion, Reason};
use crate::manifest::object::ObjectKey;
use crate::source::revision::short;

/// Where a question ended and the way to agree began.
const HOW: &str = "to agree: kubectl gitops approve ";

/// An operation that somebody ended.
pub(super) fn of_operation(message: &str) -> Option<Reason> {
    (message == "operation terminated").then_some(Reason::Terminated {})
}

/// When a question was asked that is asked still.
pub(super) fn asked_since(
    conditions: &[ApplicationCondition],
    revision: &str,
    wanted: &PruneQuestion,
) -> Option<Timestamp> {
    let asked = match &wanted.over {
        Some(_) => format!("at {}: {wanted}", short(revision)),
        None => format!(
            "at {}: no longer in Git, and to be deleted only when somebody agrees \
             (Prune=confirm): {}",
            short(revision),
            wanted.objects
        ),
    };
    conditions
        .iter()
        .filter(|known| known.condition_type == condition::CONFIRMATION_WARNING)
        .find(|known| question(&known.message) == Some(&asked))
        .and_then(|known| known.last_transition_time.as_ref())
        .map(|time| time.0)
}

/// What is asked in a message; `None` when nothing is.
pub(super) fn question(message: &str) -> Option<&str> {
    let (question, _) = message.split_once(HOW)?;
    Some(question.trim_end_matches([' ', ';']))
}

/// Whether a condition says that admission changes the object.
pub(super) fn is_mutated(status: &ApplicationStatus, key: &ObjectKey) -> bool {
    let start = format!("{key}: ");
    status
        .conditions
        .iter()
        .filter(|said| said.condition_type == condition::OVERRULED_WARNING)
        .any(|said| said.message.starts_with(&start))
}
