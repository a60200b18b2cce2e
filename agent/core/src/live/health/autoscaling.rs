//! HorizontalPodAutoscaler and PodDisruptionBudget.

use serde_json::Value;

use super::{Health, status_conditions, text};

/// Reasons that need a person, by type of condition.
const FAILURES: [(&str, &str); 8] = [
    ("AbleToScale", "FailedGetScale"),
    ("AbleToScale", "FailedUpdateScale"),
    ("ScalingActive", "FailedGetResourceMetric"),
    ("ScalingActive", "FailedGetObjectMetric"),
    ("ScalingActive", "FailedGetPodsMetric"),
    ("ScalingActive", "FailedGetExternalMetric"),
    ("ScalingActive", "FailedComputeMetricsReplicas"),
    ("ScalingActive", "InvalidSelector"),
];

/// autoscaling/v2 and its betas: `status.conditions`.
pub(super) fn horizontal_pod_autoscaler(object: &Value) -> Health {
    by_conditions(status_conditions(object))
}

/// autoscaling/v1 keeps the conditions in an annotation, as JSON.
pub(super) fn horizontal_pod_autoscaler_v1(object: &Value) -> Health {
    let Some(conditions) =
        crate::manifest::object::annotation(object, "autoscaling.alpha.kubernetes.io/conditions")
    else {
        return by_conditions(&[]);
    };
    match serde_json::from_str::<Vec<Value>>(conditions) {
        Ok(conditions) => by_conditions(&conditions),
        Err(error) => Health::unknown(format!(
            "annotation autoscaling.alpha.kubernetes.io/conditions is not valid JSON: {error}"
        )),
    }
}

fn by_conditions(conditions: &[Value]) -> Health {
    let failed = conditions.iter().find(|condition| {
        FAILURES.contains(&(text(&condition["type"]), text(&condition["reason"])))
    });
    if let Some(failed) = failed {
        return Health::degraded(text(&failed["message"]));
    }
    let works = conditions.iter().find(|condition| {
        matches!(text(&condition["type"]), "AbleToScale" | "ScalingLimited")
            && condition["status"] == "True"
    });
    match works {
        Some(works) => Health::healthy(text(&works["message"])),
        None => Health::progressing("Waiting to Autoscale"),
    }
}

/// Too few Pods for the budget is a state like any other; every other refusal is Degraded.
pub(super) fn pod_disruption_budget(object: &Value) -> Health {
    let mut health = Health::progressing("Waiting for status");
    for condition in status_conditions(object) {
        let reason = text(&condition["reason"]);
        if condition["status"] == "False" && reason != "InsufficientPods" {
            return Health::degraded(format!("PodDisruptionBudget has {reason}"));
        }
        health = Health::healthy(format!("PodDisruptionBudget has {reason}"));
    }
    health
}

#[cfg(test)]
mod tests {
    use gitops_api::HealthStatusCode::{Degraded, Healthy, Progressing, Unknown};
    use serde_json::{Value, json};

    use crate::live::health::tests::check;

    #[test]
    fn autoscalers() {
        let able = json!({"type": "AbleToScale", "status": "True", "reason": "ReadyForNewScale", "message": "ready"});
        let v2 = |conditions: Value| json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "status": {"conditions": conditions}});
        let v1 = |annotations: Value| json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler", "metadata": {"annotations": annotations}});
        let key = "autoscaling.alpha.kubernetes.io/conditions";
        check(&[
            (v2(json!([])), Progressing, "Waiting to Autoscale"),
            (v2(json!([able])), Healthy, "ready"),
            (
                v2(
                    json!([able, {"type": "ScalingActive", "status": "False", "reason": "FailedGetResourceMetric", "message": "no metrics"}]),
                ),
                Degraded,
                "no metrics",
            ),
            (
                v2(
                    json!([{"type": "AbleToScale", "status": "False", "reason": "FailedGetScale", "message": "gone"}]),
                ),
                Degraded,
                "gone",
            ),
            (
                v2(
                    json!([{"type": "ScalingActive", "status": "False", "reason": "ScalingDisabled"}]),
                ),
                Progressing,
                "",
            ),
            (v1(json!(null)), Progressing, "Waiting"),
            (v1(json!({key: "[]"})), Progressing, "Waiting"),
            (
                v1(json!({key: json!([able]).to_string()})),
                Healthy,
                "ready",
            ),
            (v1(json!({key: "[{"})), Unknown, "not valid JSON"),
        ]);
    }

    #[test]
    fn budgets() {
        let budget = |conditions: Value| json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "status": {"conditions": conditions}});
        check(&[
            (budget(json!(null)), Progressing, "Waiting"),
            (
                budget(json!([{"status": "True", "reason": "SufficientPods"}])),
                Healthy,
                "SufficientPods",
            ),
            (
                budget(json!([{"status": "False", "reason": "InsufficientPods"}])),
                Healthy,
                "InsufficientPods",
            ),
            (
                budget(json!([{"status": "False", "reason": "SyncFailed"}])),
                Degraded,
                "SyncFailed",
            ),
        ]);
    }
}
