//! `status.reasons`: which of the reasons are said of an application, and in which order.

use gitops_api::constants::condition;
use gitops_api::status::{OperationState, StatusReason};

use crate::compare::comparison::State;
use crate::reason;
use crate::reason::{Names, Reason};
use crate::report::compared::Compared;
use crate::report::facts::Report;

/// Why the application is as it is, what matters most first: the operation that did not end well,
/// errors, what is decided and waited for, why live is not as Git says, warnings.
pub(super) fn all(operation: Option<&OperationState>, report: &Report<'_>) -> Vec<StatusReason> {
    let operation = operation.filter(|state| !state.phase.is_successful());
    let operation = operation.map(reason::of_operation);
    let (errors, warnings): (Vec<_>, Vec<_>) = report
        .conditions
        .iter()
        .partition(|found| condition::is_error(found.kind));
    let differences = report.compared.map(differences).unwrap_or_default();
    let found = operation
        .iter()
        .filter(|reason| reason.code().is_some())
        .chain(errors.into_iter().map(|found| &found.reason))
        .chain(report.reasons)
        .chain(&differences)
        .chain(warnings.into_iter().map(|found| &found.reason))
        .map(reason::entry);
    reason::reasons(&report.previous.reasons, found, report.now)
}

/// Why live is not as Git says.
fn differences(compared: Compared<'_>) -> Vec<Reason> {
    let named = |wanted: fn(&State) -> bool| {
        let found = compared
            .comparison
            .iter()
            .filter(|(_, state)| wanted(state));
        Names::of(found.map(|(key, _)| key))
    };
    let missing = named(|state| matches!(state, State::Missing));
    let changed = named(|state| matches!(state, State::Changed));
    let drifted = named(|state| matches!(state, State::Drifted(_)));
    let extra = named(|state| matches!(state, State::Extra));
    let handed_over = named(|state| matches!(state, State::HandedOver(_)));
    [
        (
            missing.is_empty(),
            Reason::ObjectsMissing { objects: missing },
        ),
        (
            changed.is_empty(),
            Reason::ObjectsChanged { objects: changed },
        ),
        (
            drifted.is_empty(),
            Reason::ObjectsDrifted { objects: drifted },
        ),
        (extra.is_empty(), Reason::ObjectsNotInGit { objects: extra }),
        (
            handed_over.is_empty(),
            Reason::ObjectsHandedOver {
                objects: handed_over,
            },
        ),
    ]
    .into_iter()
    .filter_map(|(none, reason)| (!none).then_some(reason))
    .collect()
}
