//! Deployment, StatefulSet, DaemonSet and ReplicaSet of apps/v1: has the rollout arrived?

use serde_json::Value;

use super::{Health, condition, number, text};

fn is_observed(object: &Value) -> bool {
    number(&object["metadata"]["generation"]) <= number(&object["status"]["observedGeneration"])
}

fn not_observed() -> Health {
    Health::progressing("Waiting for the controller to see the latest change")
}

/// Paused is Suspended, an exceeded progress deadline Degraded, anything under way Progressing.
pub(super) fn deployment(object: &Value) -> Health {
    let (spec, status) = (&object["spec"], &object["status"]);
    if spec["paused"] == true {
        return Health::suspended("Deployment is paused");
    }
    if !is_observed(object) {
        return not_observed();
    }
    if let Some(progress) = condition(object, "Progressing")
        && progress["reason"] == "ProgressDeadlineExceeded"
    {
        return Health::degraded(format!(
            "Deployment {} exceeded its progress deadline",
            text(&object["metadata"]["name"])
        ));
    }
    let updated = number(&status["updatedReplicas"]);
    let (replicas, available) = (
        number(&status["replicas"]),
        number(&status["availableReplicas"]),
    );
    if let Some(wanted) = spec["replicas"].as_i64()
        && updated < wanted
    {
        return Health::progressing(format!("{updated} of {wanted} replicas are updated"));
    }
    if replicas > updated {
        return Health::progressing(format!(
            "{} old replicas are still there",
            replicas - updated
        ));
    }
    if available < updated {
        return Health::progressing(format!(
            "{available} of {updated} updated replicas are available"
        ));
    }
    Health::healthy("")
}

/// Honors partitions; `OnDelete` never waits for Pods that are not replaced by themselves.
pub(super) fn stateful_set(object: &Value) -> Health {
    let (spec, status) = (&object["spec"], &object["status"]);
    if number(&status["observedGeneration"]) == 0 || !is_observed(object) {
        return not_observed();
    }
    let wanted = spec["replicas"].as_i64();
    let ready = number(&status["readyReplicas"]);
    if let Some(wanted) = wanted
        && ready < wanted
    {
        return Health::progressing(format!("{ready} of {wanted} Pods are ready"));
    }
    let strategy = &spec["updateStrategy"];
    if strategy["type"] == "RollingUpdate" && strategy["rollingUpdate"].is_object() {
        if let (Some(wanted), Some(partition)) =
            (wanted, strategy["rollingUpdate"]["partition"].as_i64())
        {
            let updated = number(&status["updatedReplicas"]);
            let due = wanted.saturating_sub(partition);
            if updated < due {
                return Health::progressing(format!(
                    "Partitioned rollout: {updated} of {due} Pods are updated"
                ));
            }
        }
        return Health::healthy("");
    }
    if strategy["type"] == "OnDelete" {
        return Health::healthy("");
    }
    let (update, current) = (
        text(&status["updateRevision"]),
        text(&status["currentRevision"]),
    );
    if update != current {
        return Health::progressing(format!("Waiting for all Pods to reach revision {update}"));
    }
    Health::healthy("")
}

/// `OnDelete` never waits for Pods that are not replaced by themselves.
pub(super) fn daemon_set(object: &Value) -> Health {
    let status = &object["status"];
    if !is_observed(object) {
        return not_observed();
    }
    if object["spec"]["updateStrategy"]["type"] == "OnDelete" {
        return Health::healthy("");
    }
    let wanted = number(&status["desiredNumberScheduled"]);
    let updated = number(&status["updatedNumberScheduled"]);
    if updated < wanted {
        return Health::progressing(format!("{updated} of {wanted} Pods are updated"));
    }
    let available = number(&status["numberAvailable"]);
    if available < wanted {
        return Health::progressing(format!("{available} of {wanted} Pods are available"));
    }
    Health::healthy("")
}

/// Failure to create Pods is Degraded.
pub(super) fn replica_set(object: &Value) -> Health {
    if !is_observed(object) {
        return not_observed();
    }
    if let Some(failure) = condition(object, "ReplicaFailure")
        && failure["status"] == "True"
    {
        return Health::degraded(text(&failure["message"]));
    }
    let available = number(&object["status"]["availableReplicas"]);
    if let Some(wanted) = object["spec"]["replicas"].as_i64()
        && available < wanted
    {
        return Health::progressing(format!("{available} of {wanted} replicas are available"));
    }
    Health::healthy("")
}

#[cfg(test)]
mod tests {
    use gitops_api::HealthStatusCode::{Degraded, Healthy, Progressing, Suspended};
    use serde_json::{Value, json};

    use crate::live::health::tests::check;

    fn object(kind: &str, spec: Value, status: Value) -> Value {
        let mut object = json!({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "web", "generation": 2}});
        object["spec"] = spec;
        object["status"] = status;
        object
    }

    #[test]
    fn deployments() {
        let deployment = |spec, status| object("Deployment", spec, status);
        let seen = |mut status: Value| {
            status["observedGeneration"] = json!(2);
            deployment(json!({"replicas": 3}), status)
        };
        check(&[
            (
                deployment(json!({"paused": true}), json!({})),
                Suspended,
                "paused",
            ),
            (
                deployment(json!({"replicas": 0}), json!({"observedGeneration": 1})),
                Progressing,
                "latest change",
            ),
            (
                seen(
                    json!({"conditions": [{"type": "Progressing", "reason": "ProgressDeadlineExceeded"}],
                    "updatedReplicas": 3, "availableReplicas": 3, "replicas": 3}),
                ),
                Degraded,
                "web exceeded",
            ),
            (
                seen(json!({"updatedReplicas": 1})),
                Progressing,
                "1 of 3 replicas are updated",
            ),
            (
                seen(json!({"updatedReplicas": 3, "replicas": 4, "availableReplicas": 3})),
                Progressing,
                "1 old",
            ),
            (
                seen(json!({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 2})),
                Progressing,
                "2 of 3 updated",
            ),
            (
                seen(json!({"updatedReplicas": 3, "replicas": 3, "availableReplicas": 3})),
                Healthy,
                "",
            ),
            (
                deployment(json!({"replicas": 0}), json!({"observedGeneration": 2})),
                Healthy,
                "",
            ),
            (
                deployment(json!({}), json!({"observedGeneration": 3})),
                Healthy,
                "",
            ),
        ]);
    }

    #[test]
    fn stateful_sets() {
        let set = |spec, status| object("StatefulSet", spec, status);
        let rolling = |partition: Value, status| {
            set(
                json!({"replicas": 3, "updateStrategy": {"type": "RollingUpdate",
                "rollingUpdate": {"partition": partition}}}),
                status,
            )
        };
        check(&[
            (set(json!({}), json!({})), Progressing, "latest change"),
            (
                set(json!({}), json!({"observedGeneration": 1})),
                Progressing,
                "latest change",
            ),
            (
                rolling(
                    json!(0),
                    json!({"observedGeneration": 2, "readyReplicas": 2}),
                ),
                Progressing,
                "2 of 3 Pods are ready",
            ),
            (
                rolling(
                    json!(0),
                    json!({"observedGeneration": 2, "readyReplicas": 3, "updatedReplicas": 2}),
                ),
                Progressing,
                "2 of 3 Pods are updated",
            ),
            (
                rolling(
                    json!(2),
                    json!({"observedGeneration": 2, "readyReplicas": 3, "updatedReplicas": 1}),
                ),
                Healthy,
                "",
            ),
            (
                rolling(
                    json!(null),
                    json!({"observedGeneration": 2, "readyReplicas": 3}),
                ),
                Healthy,
                "",
            ),
            (
                set(
                    json!({"updateStrategy": {"type": "OnDelete"}}),
                    json!({"observedGeneration": 2, "updateRevision": "b", "currentRevision": "a"}),
                ),
                Healthy,
                "",
            ),
            (
                set(
                    json!({"updateStrategy": {"type": "RollingUpdate"}}),
                    json!({"observedGeneration": 2, "updateRevision": "b", "currentRevision": "a"}),
                ),
                Progressing,
                "revision b",
            ),
            (
                set(
                    json!({"updateStrategy": {"type": "RollingUpdate"}}),
                    json!({"observedGeneration": 2, "updateRevision": "b", "currentRevision": "b"}),
                ),
                Healthy,
                "",
            ),
        ]);
    }

    #[test]
    fn daemon_sets() {
        let set = |strategy: &str, status| {
            object(
                "DaemonSet",
                json!({"updateStrategy": {"type": strategy}}),
                status,
            )
        };
        check(&[
            (
                set("RollingUpdate", json!({"observedGeneration": 1})),
                Progressing,
                "latest change",
            ),
            (
                set(
                    "OnDelete",
                    json!({"observedGeneration": 2, "desiredNumberScheduled": 3}),
                ),
                Healthy,
                "",
            ),
            (
                set(
                    "RollingUpdate",
                    json!({"observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": 1}),
                ),
                Progressing,
                "1 of 3 Pods are updated",
            ),
            (
                set(
                    "RollingUpdate",
                    json!({"observedGeneration": 2, "desiredNumberScheduled": 3,
                    "updatedNumberScheduled": 3, "numberAvailable": 2}),
                ),
                Progressing,
                "2 of 3 Pods are available",
            ),
            (
                set(
                    "RollingUpdate",
                    json!({"observedGeneration": 2, "desiredNumberScheduled": 3,
                    "updatedNumberScheduled": 3, "numberAvailable": 3}),
                ),
                Healthy,
                "",
            ),
        ]);
    }

    #[test]
    fn replica_sets() {
        let set = |status| object("ReplicaSet", json!({"replicas": 2}), status);
        let failing = |status: &str| {
            set(json!({"observedGeneration": 2, "availableReplicas": 2,
                "conditions": [{"type": "ReplicaFailure", "status": status, "message": "quota"}]}))
        };
        check(&[
            (set(json!({})), Progressing, "latest change"),
            (failing("True"), Degraded, "quota"),
            (failing("False"), Healthy, ""),
            (
                set(json!({"observedGeneration": 2, "availableReplicas": 1})),
                Progressing,
                "1 of 2",
            ),
            (
                set(json!({"observedGeneration": 2, "availableReplicas": 2})),
                Healthy,
                "",
            ),
        ]);
    }
}
