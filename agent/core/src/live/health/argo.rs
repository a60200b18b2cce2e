//! Argo Rollouts.

use gitops_api::HealthStatusCode;
use serde_json::Value;

use super::{Health, condition, number, text};
use crate::manifest::object::annotation;

/// Rollout: what its controller says, once it has seen the latest change; for controllers before
/// 1.0, which say nothing, what its replicas and services show.
pub(super) fn rollout(object: &Value) -> Health {
    let status = &object["status"];
    if !status.is_object() || !is_observed(object) {
        return Health::progressing("Waiting for the controller to see the latest change");
    }
    match text(&status["phase"]) {
        "" => legacy_rollout(object),
        "Paused" => Health::suspended(text(&status["message"])),
        phase => Health::new(HealthStatusCode::from(phase), text(&status["message"])),
    }
}

fn is_observed(object: &Value) -> bool {
    let status = &object["status"];
    if object["spec"]["workloadRef"].is_object()
        && let Some(wanted) = annotation(object, "rollout.argoproj.io/workload-generation")
        && wanted != written(&status["workloadObservedGeneration"])
    {
        return false;
    }
    // Controllers before 1.0 wrote a hash here, which says nothing about the generation.
    match written(&status["observedGeneration"]).parse::<i64>() {
        Ok(observed) => observed >= number(&object["metadata"]["generation"]),
        Err(_) => true,
    }
}

/// A generation, written as a number or as text.
fn written(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), Into::into)
}

fn legacy_rollout(object: &Value) -> Health {
    let (spec, status) = (&object["spec"], &object["status"]);
    if let Some(invalid) = condition(object, "InvalidSpec") {
        return Health::degraded(text(&invalid["message"]));
    }
    if let Some(progress) = condition(object, "Progressing")
        && matches!(
            text(&progress["reason"]),
            "RolloutAborted" | "ProgressDeadlineExceeded"
        )
    {
        return Health::degraded(text(&progress["message"]));
    }
    let pauses = status["pauseConditions"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    if pauses || spec["paused"] == true {
        return Health::suspended("Rollout is paused");
    }
    let wanted = spec["replicas"].as_i64().unwrap_or(1);
    let (updated, available) = (
        number(&status["updatedReplicas"]),
        number(&status["availableReplicas"]),
    );
    if updated < wanted {
        return Health::progressing(format!("{updated} of {wanted} replicas are updated"));
    }
    if available < updated {
        return Health::progressing(format!(
            "{available} of {updated} updated replicas are available"
        ));
    }
    let current = text(&status["currentPodHash"]);
    let stable = match text(&status["stableRS"]) {
        "" => text(&status["canary"]["stableRS"]),
        stable => stable,
    };
    if spec["strategy"]["blueGreen"].is_object() {
        if text(&status["blueGreen"]["activeSelector"]) != current {
            return Health::progressing("Waiting for the active Service to be switched over");
        }
        if !stable.is_empty() && stable != current {
            return Health::progressing("Waiting for the analysis to complete");
        }
    } else if stable != current {
        return Health::progressing("Waiting for all steps to complete");
    }
    Health::healthy("")
}

#[cfg(test)]
mod tests {
    use gitops_api::HealthStatusCode::{Degraded, Healthy, Progressing, Suspended, Unknown};
    use serde_json::{Value, json};

    use crate::live::health::tests::check;

    fn object(kind: &str, status: Value) -> Value {
        let mut object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": kind, "metadata": {"generation": 3}});
        object["status"] = status;
        object
    }

    #[test]
    fn phases() {
        check(&[
            (
                object("Workflow", json!({"phase": "Succeeded"})),
                Healthy,
                "",
            ),
            (object("Workflow", json!(null)), Progressing, ""),
            (
                object("Workflow", json!({"phase": "Failed", "message": "no"})),
                Degraded,
                "no",
            ),
            (object("Workflow", json!({"phase": "New"})), Unknown, "New"),
            (
                object("AnalysisRun", json!({"phase": "Successful"})),
                Healthy,
                "",
            ),
            (
                object(
                    "AnalysisRun",
                    json!({"phase": "Inconclusive", "message": "?"}),
                ),
                Unknown,
                "?",
            ),
            (
                object("AnalysisRun", json!({"phase": "Error"})),
                Degraded,
                "",
            ),
            (
                object("Experiment", json!({"phase": "Running"})),
                Progressing,
                "",
            ),
            (object("CronWorkflow", json!({})), Healthy, ""),
            (
                object(
                    "CronWorkflow",
                    json!({"conditions": [{"type": "SpecError", "status": "True", "message": "bad"}]}),
                ),
                Degraded,
                "bad",
            ),
        ]);
    }

    #[test]
    fn rollouts() {
        let rollout = |spec: Value, mut status: Value| {
            if status.is_object() && status["observedGeneration"].is_null() {
                status["observedGeneration"] = json!("3");
            }
            let mut rollout = object("Rollout", status);
            rollout["spec"] = spec;
            rollout
        };
        let mut referenced = rollout(
            json!({"workloadRef": {"name": "web"}}),
            json!({"phase": "Healthy", "workloadObservedGeneration": "1"}),
        );
        referenced["metadata"]["annotations"] =
            json!({"rollout.argoproj.io/workload-generation": "2"});
        let mut seen = referenced.clone();
        seen["status"]["workloadObservedGeneration"] = json!("2");
        let canary = json!({"replicas": 2, "strategy": {"canary": {}}});
        let blue_green = json!({"replicas": 2, "strategy": {"blueGreen": {}}});
        let legacy = |extra: Value| {
            let mut status = json!({"updatedReplicas": 2, "availableReplicas": 2, "currentPodHash": "new", "stableRS": "new"});
            for (name, value) in extra.as_object().unwrap() {
                status[name] = value.clone();
            }
            status
        };
        check(&[
            (
                rollout(json!({}), json!(null)),
                Progressing,
                "latest change",
            ),
            (
                rollout(
                    json!({}),
                    json!({"observedGeneration": "2", "phase": "Healthy"}),
                ),
                Progressing,
                "latest change",
            ),
            (
                rollout(
                    json!({}),
                    json!({"observedGeneration": 3, "phase": "Healthy"}),
                ),
                Healthy,
                "",
            ),
            (
                rollout(
                    json!({}),
                    json!({"observedGeneration": "7d4f9", "phase": "Healthy"}),
                ),
                Healthy,
                "",
            ),
            (
                rollout(
                    json!({}),
                    json!({"phase": "Paused", "message": "CanaryPauseStep"}),
                ),
                Suspended,
                "CanaryPauseStep",
            ),
            (
                rollout(
                    json!({}),
                    json!({"phase": "Degraded", "message": "aborted"}),
                ),
                Degraded,
                "aborted",
            ),
            (referenced, Progressing, "latest change"),
            (seen, Healthy, ""),
            (
                rollout(
                    canary.clone(),
                    legacy(json!({"conditions": [{"type": "InvalidSpec", "message": "bad"}]})),
                ),
                Degraded,
                "bad",
            ),
            (
                rollout(
                    canary.clone(),
                    legacy(
                        json!({"conditions": [{"type": "Progressing", "reason": "RolloutAborted", "message": "aborted"}]}),
                    ),
                ),
                Degraded,
                "aborted",
            ),
            (
                rollout(canary.clone(), legacy(json!({"pauseConditions": [{}]}))),
                Suspended,
                "paused",
            ),
            (
                rollout(canary.clone(), legacy(json!({"updatedReplicas": 1}))),
                Progressing,
                "1 of 2 replicas",
            ),
            (
                rollout(canary.clone(), legacy(json!({"availableReplicas": 1}))),
                Progressing,
                "1 of 2 updated",
            ),
            (
                rollout(canary.clone(), legacy(json!({"stableRS": "old"}))),
                Progressing,
                "steps",
            ),
            (rollout(canary, legacy(json!({}))), Healthy, ""),
            (
                rollout(
                    blue_green.clone(),
                    legacy(json!({"blueGreen": {"activeSelector": "old"}})),
                ),
                Progressing,
                "active Service",
            ),
            (
                rollout(
                    blue_green.clone(),
                    legacy(json!({"blueGreen": {"activeSelector": "new"}, "stableRS": "old"})),
                ),
                Progressing,
                "analysis",
            ),
            (
                rollout(
                    blue_green,
                    legacy(json!({"blueGreen": {"activeSelector": "new"}})),
                ),
                Healthy,
                "",
            ),
        ]);
    }
}
