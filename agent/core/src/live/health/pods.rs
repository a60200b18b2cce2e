//! Pods: does it run, has it run, or does it fail again and again?

use gitops_api::constants;
use serde_json::Value;

use super::{Health, condition, text};
use crate::manifest::object::annotation;
use crate::mask;

/// A Pod that restarts for ever is judged by its containers; one that runs once by its phase, so
/// that a hook is not failed by an error that goes away (gitops-engine, `health_pod.go`).
pub(super) fn pod(object: &Value) -> Health {
    let status = &object["status"];
    let always = object["spec"]["restartPolicy"] == "Always" || ignores_restart_policy(object);
    if always {
        let failures = waiting_failures(object);
        if !failures.is_empty() {
            return Health::degraded(failures.join(", "));
        }
    }
    let message = text(&status["message"]);
    match text(&status["phase"]) {
        "Pending" => Health::progressing(message),
        "Succeeded" => Health::healthy(message),
        "Failed" => Health::degraded(failure_message(object)),
        "Running" if always => {
            let terminated = containers(object, "containerStatuses")
                .any(|container| container["lastState"]["terminated"].is_object());
            if condition(object, "Ready").is_some_and(|ready| ready["status"] == "True") {
                Health::healthy(message)
            } else if terminated {
                Health::degraded(message)
            } else {
                Health::progressing(message)
            }
        }
        "Running"
            if matches!(
                text(&object["spec"]["restartPolicy"]),
                "OnFailure" | "Never"
            ) =>
        {
            Health::progressing(message)
        }
        _ => Health::unknown(message),
    }
}

/// `argocd.argoproj.io/ignore-restart-policy: "true"` asks to be judged as one that restarts for
/// ever; hooks are exempt from it.
fn ignores_restart_policy(object: &Value) -> bool {
    let is_hook = annotation(object, constants::annotation::HOOK).is_some()
        || annotation(object, constants::annotation::HELM_HOOK).is_some();
    !is_hook && annotation(object, constants::annotation::IGNORE_RESTART_POLICY) == Some("true")
}

fn containers<'a>(object: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    object["status"][list].as_array().into_iter().flatten()
}

fn waiting_failures(object: &Value) -> Vec<String> {
    containers(object, "containerStatuses")
        .map(|container| &container["state"]["waiting"])
        .filter(|waiting| {
            let reason = text(&waiting["reason"]);
            reason.starts_with("Err") || reason.ends_with("Error") || reason.ends_with("BackOff")
        })
        .map(|waiting| match text(&waiting["message"]) {
            "" => text(&waiting["reason"]).into(),
            message => message.into(),
        })
        .collect()
}

fn failure_message(object: &Value) -> String {
    let message = text(&object["status"]["message"]);
    if !message.is_empty() {
        return message.into();
    }
    containers(object, "initContainerStatuses")
        .chain(containers(object, "containerStatuses"))
        .find_map(|container| {
            let terminated = &container["state"]["terminated"];
            let code = terminated["exitCode"].as_i64().unwrap_or(0);
            match (text(&terminated["message"]), text(&terminated["reason"])) {
                ("", "OOMKilled") => Some("OOMKilled".into()),
                ("", _) if code != 0 => Some(format!(
                    "container \"{}\" failed with exit code {code}",
                    text(&container["name"])
                )),
                ("", _) => None,
                // It may be the end of the log, and everybody who sees the status reads it.
                (message, _) => Some(mask::mask_output::<&str>(message, &[])),
            }
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use gitops_api::HealthStatusCode::{Degraded, Healthy, Progressing, Unknown};
    use serde_json::{Value, json};

    use crate::live::health::tests::check;

    fn pod(policy: &str, status: Value) -> Value {
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"}});
        pod["spec"] = json!({"restartPolicy": policy});
        pod["status"] = status;
        pod
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"phase": "Pending", "containerStatuses": [
            {"name": "a", "state": {"running": {}}},
            {"name": "b", "state": {"waiting": {"reason": reason, "message": message}}}]})
    }

    #[test]
    fn waiting_containers() {
        let mut annotated = pod("Never", waiting("ImagePullBackOff", "no image"));
        annotated["metadata"]["annotations"] =
            json!({"argocd.argoproj.io/ignore-restart-policy": "true"});
        let mut hook = annotated.clone();
        hook["metadata"]["annotations"]["argocd.argoproj.io/hook"] = json!("PreSync");
        check(&[
            (
                pod("Always", waiting("ErrImagePull", "no image")),
                Degraded,
                "no image",
            ),
            (
                pod("Always", waiting("CreateContainerConfigError", "no key")),
                Degraded,
                "no key",
            ),
            (
                pod("Always", waiting("CrashLoopBackOff", "")),
                Degraded,
                "CrashLoopBackOff",
            ),
            (
                pod("Always", waiting("ContainerCreating", "")),
                Progressing,
                "",
            ),
            (
                pod("Never", waiting("ImagePullBackOff", "no image")),
                Progressing,
                "",
            ),
            (annotated, Degraded, "no image"),
            (hook, Progressing, ""),
        ]);
    }

    #[test]
    fn phases() {
        let failed = |state: Value| json!({"phase": "Failed", "containerStatuses": [{"name": "job", "state": {"terminated": state}}]});
        let running = |ready: &str, last: Value| {
            json!({"phase": "Running", "conditions": [{"type": "Ready", "status": ready}],
                "containerStatuses": [{"name": "a", "lastState": last}]})
        };
        let lasting = |status: Value| {
            let mut pod = pod("Never", status);
            pod["metadata"]["annotations"] =
                json!({"argocd.argoproj.io/ignore-restart-policy": "true"});
            pod
        };
        check(&[
            (pod("Always", json!({"phase": "Pending"})), Progressing, ""),
            (pod("Never", json!({"phase": "Succeeded"})), Healthy, ""),
            (
                pod("Never", json!({"phase": "Failed", "message": "evicted"})),
                Degraded,
                "evicted",
            ),
            (
                pod("Never", failed(json!({"message": "boom", "exitCode": 1}))),
                Degraded,
                "boom",
            ),
            (
                pod(
                    "Never",
                    failed(json!({"reason": "OOMKilled", "exitCode": 137})),
                ),
                Degraded,
                "OOMKilled",
            ),
            (
                pod(
                    "Never",
                    failed(json!({"exitCode": 1, "message": "as bob, password=hunter2"})),
                ),
                Degraded,
                "as bob, password=***",
            ),
            (
                pod("Never", failed(json!({"exitCode": 3}))),
                Degraded,
                "\"job\" failed with exit code 3",
            ),
            (pod("Always", running("True", json!({}))), Healthy, ""),
            (lasting(running("True", json!({}))), Healthy, ""),
            (lasting(running("False", json!({}))), Progressing, ""),
            (
                lasting(running("False", json!({"terminated": {}}))),
                Degraded,
                "",
            ),
            (
                pod(
                    "Always",
                    running("False", json!({"terminated": {"exitCode": 1}})),
                ),
                Degraded,
                "",
            ),
            (pod("Always", running("False", json!({}))), Progressing, ""),
            (
                pod("OnFailure", running("True", json!({}))),
                Progressing,
                "",
            ),
            (pod("", running("True", json!({}))), Unknown, ""),
            (pod("Always", json!({"phase": "Unknown"})), Unknown, ""),
            (pod("Always", json!({})), Unknown, ""),
        ]);
    }
}
