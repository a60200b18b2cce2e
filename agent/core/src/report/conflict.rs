//! Whether a status that was computed from one reading of an Application may be written over a later
//! one: two agents may both believe to be the only one, and the later word of the earlier one is wrong.

use gitops_api::{Application, ApplicationStatus, OperationPhase};

/// What of a report still holds when the Application is another one by now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// All of it: only what the report is not about was changed.
    Holds,
    /// The status; but something else is asked for by now, which is not answered by it.
    HoldsUnanswered,
    /// Nothing: somebody else wrote the status meanwhile.
    Superseded,
}

/// Judges a report of `status` that was made from `read`, against the Application as it is `now`.
///
/// That an operation is to end does not undo what it has done: a report of its end holds.
pub fn standing(read: &Application, status: &ApplicationStatus, now: &Application) -> Standing {
    if read.metadata.uid != now.metadata.uid {
        return Standing::Superseded;
    }
    let phase = |app: &Application| {
        let state = app.status.as_ref()?.operation_state.as_ref()?;
        Some(state.phase)
    };
    let ended = status
        .operation_state
        .as_ref()
        .is_some_and(|state| state.phase.is_completed());
    let stopped = phase(now) == Some(OperationPhase::Terminating) && phase(read) != phase(now);
    let same = if stopped && ended {
        let mut now = now.status.clone().unwrap_or_default();
        if let (Some(state), Some(phase)) = (&mut now.operation_state, phase(read)) {
            state.phase = phase;
        }
        read.status.clone().unwrap_or_default() == now
    } else {
        read.status
            .as_ref()
            .unwrap_or(&ApplicationStatus::default())
            == now.status.as_ref().unwrap_or(&ApplicationStatus::default())
    };
    match (same, read.operation == now.operation) {
        (false, _) => Standing::Superseded,
        (true, true) => Standing::Holds,
        (true, false) => Standing::HoldsUnanswered,
    }
}

#[cfg(test)]
mod tests {
    use gitops_api::status::OperationState;
    use gitops_api::{Operation, SyncOperation};

    use super::*;

    fn status(phase: OperationPhase, message: &str) -> ApplicationStatus {
        ApplicationStatus {
            operation_state: Some(OperationState {
                phase,
                message: message.into(),
                ..OperationState::default()
            }),
            ..ApplicationStatus::default()
        }
    }

    fn app(status: Option<ApplicationStatus>, operation: Option<Operation>) -> Application {
        let mut app = Application {
            status,
            operation,
            ..Application::default()
        };
        app.metadata.uid = Some("u".into());
        app
    }

    /// What may have happened between a reading and the report of what was done upon it.
    #[test]
    fn only_what_was_computed_from_the_status_as_it_is_may_replace_it() {
        use OperationPhase::{Running, Succeeded, Terminating};
        use Standing::{Holds, HoldsUnanswered, Superseded};
        let running = || Some(status(Running, "hooks"));
        let asked = |revision: &str| {
            Some(Operation {
                sync: Some(SyncOperation {
                    revision: revision.into(),
                    ..SyncOperation::default()
                }),
                ..Operation::default()
            })
        };
        let (end, progress) = (status(Succeeded, "done"), status(Running, "more hooks"));
        let read = app(running(), asked("a"));
        let mut relabeled = read.clone();
        relabeled.metadata.labels = Some([("team".to_owned(), "shop".to_owned())].into());
        relabeled.metadata.resource_version = Some("9".into());
        let mut another = read.clone();
        another.metadata.uid = Some("v".into());
        let others = app(Some(status(Succeeded, "by the other agent")), None);
        let stopped = app(Some(status(Terminating, "hooks")), asked("a"));
        let stopped_by_other = app(Some(status(Terminating, "other hooks")), asked("a"));
        let first = app(None, None);
        let empty = app(Some(ApplicationStatus::default()), None);
        let table = [
            ("nothing", &read, &end, &read, Holds),
            ("labels, spec", &read, &end, &relabeled, Holds),
            (
                "another sync is asked for",
                &read,
                &end,
                &app(running(), asked("b")),
                HoldsUnanswered,
            ),
            (
                "the request was withdrawn",
                &read,
                &end,
                &app(running(), None),
                HoldsUnanswered,
            ),
            (
                "another agent recorded the end",
                &read,
                &progress,
                &others,
                Superseded,
            ),
            (
                "the same, and this one as well",
                &read,
                &end,
                &others,
                Superseded,
            ),
            (
                "it is to be ended, and has ended",
                &read,
                &end,
                &stopped,
                Holds,
            ),
            (
                "it is to be ended, and goes on",
                &read,
                &progress,
                &stopped,
                Superseded,
            ),
            (
                "another agent went on, and it is to be ended",
                &read,
                &end,
                &stopped_by_other,
                Superseded,
            ),
            (
                "another Application of the name",
                &read,
                &end,
                &another,
                Superseded,
            ),
            ("no status is an empty status", &first, &end, &empty, Holds),
        ];
        for (what, read, status, now, expected) in table {
            assert_eq!(standing(read, status, now), expected, "{what}");
        }
    }
}
