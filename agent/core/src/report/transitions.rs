//! What a written status tells that the one before did not, as the Kubernetes Events of Argo CD's
//! controller say it: `OperationStarted`, `OperationCompleted`, `ResourceUpdated`; one per transition.

use gitops_api::ApplicationStatus;
use gitops_api::status::OperationState;

/// One Event to tell of an Application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Its reason.
    pub reason: &'static str,
    /// For people, Argo CD's sentence first.
    pub note: String,
    /// Whether something failed.
    pub is_warning: bool,
}

/// What is told when `after` follows `before`, in the order it happened.
pub fn transitions(before: &ApplicationStatus, after: &ApplicationStatus) -> Vec<Told> {
    let mut told = Vec::new();
    let known = before.operation_state.as_ref();
    if let Some(state) = &after.operation_state {
        let same = |known: &OperationState| known.started_at == state.started_at;
        let begins = !known.is_some_and(same);
        if begins && state.operation.is_automated() {
            told.push(normal(
                "OperationStarted",
                format!("Initiated automated sync to '{}'", revisions(state)),
            ));
        }
        if let Some(state) = ended(before, after) {
            told.push(completed(state));
        }
    }
    let code = |status: &ApplicationStatus| {
        let sync = status.sync.as_ref();
        sync.map(|sync| sync.status.to_string()).unwrap_or_default()
    };
    let health = |status: &ApplicationStatus| {
        let health = status.health.as_ref();
        health.map(|it| it.status.to_string()).unwrap_or_default()
    };
    for (what, before, after) in [
        ("sync", code(before), code(after)),
        ("health", health(before), health(after)),
    ] {
        if before != after {
            let note = format!("Updated {what} status: {before} -> {after}");
            told.push(normal("ResourceUpdated", note));
        }
    }
    told
}

/// The operation that has ended when `after` follows `before`.
pub fn ended<'a>(
    before: &ApplicationStatus,
    after: &'a ApplicationStatus,
) -> Option<&'a OperationState> {
    let state = after.operation_state.as_ref()?;
    let same = |known: &OperationState| known.started_at == state.started_at;
    let known = before.operation_state.as_ref().filter(|known| same(known));
    let was_over = known.is_some_and(|known| known.phase.is_completed());
    (state.phase.is_completed() && !was_over).then_some(state)
}

fn normal(reason: &'static str, note: String) -> Told {
    Told {
        reason,
        note,
        is_warning: false,
    }
}

fn completed(state: &OperationState) -> Told {
    let sync = state.operation.sync.as_ref();
    let partial = sync.is_some_and(|sync| !sync.resources.is_empty());
    let name = if partial { "Partial sync" } else { "Sync" };
    let succeeded = state.phase.is_successful();
    let end = if succeeded { "succeeded" } else { "failed" };
    let mut note = format!("{name} operation to {} {end}", revisions(state));
    if !state.message.is_empty() {
        note.push_str(": ");
        note.push_str(&state.message);
    }
    Told {
        reason: "OperationCompleted",
        note,
        is_warning: !succeeded,
    }
}

/// What the operation is about: the revisions it delivers, else those that were asked for.
fn revisions(state: &OperationState) -> String {
    let join = |revision: &String, revisions: &[String]| {
        if revisions.is_empty() {
            revision.clone()
        } else {
            revisions.join(", ")
        }
    };
    let result = state.sync_result.as_ref();
    let delivered = result.map(|result| join(&result.revision, &result.revisions));
    let asked = state.operation.sync.as_ref();
    delivered
        .or_else(|| asked.map(|sync| join(&sync.revision, &sync.revisions)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn status(value: Value) -> ApplicationStatus {
        serde_json::from_value(value).unwrap()
    }

    fn operation(phase: &str, second: u32, automated: bool, resources: &Value) -> Value {
        json!({"operation": {"sync": {"resources": resources}, "initiatedBy": {"automated": automated}},
            "phase": phase, "startedAt": format!("2026-01-01T00:00:{second:02}Z"), "message": "words",
            "syncResult": {"revision": "abc"}})
    }

    fn state(sync: &str, health: &str, operation: &Value) -> ApplicationStatus {
        status(
            json!({"sync": {"status": sync}, "health": {"status": health},
            "operationState": operation}),
        )
    }

    /// What Argo CD 3.5 tells in the same situations, as far as its words go.
    #[test]
    fn each_transition_is_told_once() {
        let empty = ApplicationStatus::default();
        let automated = |phase| operation(phase, 1, true, &json!([]));
        let running = state("OutOfSync", "Missing", &automated("Running"));
        let done = state("Synced", "Healthy", &automated("Succeeded"));
        let by_hand = state(
            "Synced",
            "Healthy",
            &operation("Failed", 2, false, &json!([])),
        );
        let part = json!([{"kind": "ConfigMap", "name": "a"}]);
        let healed = state("Synced", "Healthy", &operation("Succeeded", 3, true, &part));
        let degraded = state("Synced", "Degraded", &automated("Succeeded"));
        let started = "OperationStarted Initiated automated sync to 'abc'";
        let cases: [(&ApplicationStatus, &ApplicationStatus, Vec<&str>); 7] = [
            (
                &empty,
                &running,
                vec![
                    started,
                    "ResourceUpdated Updated sync status:  -> OutOfSync",
                    "ResourceUpdated Updated health status:  -> Missing",
                ],
            ),
            (&running, &running, vec![]),
            (
                &running,
                &done,
                vec![
                    "OperationCompleted Sync operation to abc succeeded: words",
                    "ResourceUpdated Updated sync status: OutOfSync -> Synced",
                    "ResourceUpdated Updated health status: Missing -> Healthy",
                ],
            ),
            (&done, &done, vec![]),
            (
                &done,
                &by_hand,
                vec!["OperationCompleted! Sync operation to abc failed: words"],
            ),
            (
                &done,
                &healed,
                vec![
                    started,
                    "OperationCompleted Partial sync operation to abc succeeded: words",
                ],
            ),
            (
                &done,
                &degraded,
                vec!["ResourceUpdated Updated health status: Healthy -> Degraded"],
            ),
        ];
        for (before, after, expected) in cases {
            let told: Vec<String> = transitions(before, after)
                .into_iter()
                .map(|it| {
                    format!(
                        "{}{} {}",
                        it.reason,
                        if it.is_warning { "!" } else { "" },
                        it.note
                    )
                })
                .collect();
            assert_eq!(told, expected);
        }
    }
}
