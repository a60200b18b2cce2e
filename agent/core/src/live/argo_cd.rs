//! Whether Argo CD acts on the same Applications: two controllers would undo each other's work.

use serde_json::Value;

use crate::live::ownership::entries;
use crate::live::takeover::ARGO_CD_CONTROLLER;

/// What the application controller is called in commands, labels and names.
const APPLICATION_CONTROLLER: &str = "application-controller";

/// Whether a Deployment or StatefulSet is Argo CD's application controller, whatever its name: by
/// labels, images and commands, as installations of all kinds have them.
pub fn is_application_controller(workload: &Value) -> bool {
    let metadata = &workload["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let labels = &metadata["labels"];
    let containers = workload["spec"]["template"]["spec"]["containers"].as_array();
    let containers: Vec<&Value> = containers.into_iter().flatten().collect();
    let image = containers
        .iter()
        .any(|container| text(&container["image"]).contains("/argocd"));
    if labels["app.kubernetes.io/part-of"] != "argocd" && !image {
        return false;
    }
    let words = containers
        .iter()
        .flat_map(|container| [&container["command"], &container["args"]])
        .filter_map(Value::as_array)
        .flatten()
        .filter_map(Value::as_str);
    let mut names = words.chain(metadata["name"].as_str());
    names.any(|name| name.ends_with(APPLICATION_CONTROLLER))
        || labels["app.kubernetes.io/component"] == APPLICATION_CONTROLLER
        || text(&labels["app.kubernetes.io/name"]).ends_with(APPLICATION_CONTROLLER)
}

/// Whether a workload runs, or is still on its way out.
pub fn is_running(workload: &Value) -> bool {
    let wanted = workload["spec"]["replicas"].as_i64().unwrap_or(1);
    let there = workload["status"]["replicas"].as_i64().unwrap_or(0);
    wanted > 0 || there > 0
}

/// When Argo CD's application controller last wrote an Application, as `managedFields` says; `None`:
/// never.
pub fn last_written(application: &Value) -> Option<&str> {
    entries(application)
        .filter(|entry| entry.manager == ARGO_CD_CONTROLLER)
        .filter_map(|entry| entry.time)
        .max()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(name: &str, labels: &Value, image: &str, args: &[&str]) -> Value {
        json!({"metadata": {"name": name, "labels": labels},
            "spec": {"template": {"spec": {"containers": [{"image": image, "args": args}]}}}})
    }

    #[test]
    fn controllers_are_found_whatever_their_names() {
        let argo = "quay.io/argoproj/argocd:v3.5.1";
        let part_of = json!({"app.kubernetes.io/part-of": "argocd"});
        let named = json!({"app.kubernetes.io/part-of": "argocd",
            "app.kubernetes.io/component": "application-controller"});
        let table = [
            (
                workload("argocd-application-controller", &part_of, argo, &[]),
                true,
            ),
            (
                workload(
                    "argo-cd-argocd-application-controller",
                    &part_of,
                    "mirror/x:1",
                    &[],
                ),
                true,
            ),
            (
                workload(
                    "openshift-gitops-application-controller",
                    &part_of,
                    "x@sha256:1",
                    &[],
                ),
                true,
            ),
            (workload("cd", &named, "mirror/x:1", &[]), true),
            (
                workload("cd", &json!({}), argo, &["argocd-application-controller"]),
                true,
            ),
            (
                workload("argocd-applicationset-controller", &part_of, argo, &[]),
                false,
            ),
            (
                workload("argocd-server", &part_of, argo, &["argocd-server"]),
                false,
            ),
            (
                workload("my-application-controller", &json!({}), "shop/x:1", &[]),
                false,
            ),
        ];
        for (object, expected) in table {
            assert_eq!(is_application_controller(&object), expected, "{object}");
        }
    }

    #[test]
    fn one_on_its_way_out_still_runs() {
        let of = |wanted: Value, there: Value| json!({"spec": {"replicas": wanted}, "status": {"replicas": there}});
        assert!(
            is_running(&of(Value::Null, Value::Null)),
            "one replica is the default"
        );
        assert!(is_running(&of(json!(0), json!(1))));
        assert!(!is_running(&of(json!(0), Value::Null)));
    }

    #[test]
    fn its_last_write_is_on_record() {
        let entry = |manager: &str, time: &str| json!({"manager": manager, "operation": "Update", "time": time, "fieldsV1": {}});
        let app = json!({"metadata": {"managedFields": [
            entry("argocd-server", "2026-01-03T00:00:00Z"),
            entry("argocd-application-controller", "2026-01-01T00:00:00Z"),
            entry("argocd-application-controller", "2026-01-02T00:00:00Z"),
        ]}});
        assert_eq!(last_written(&app), Some("2026-01-02T00:00:00Z"));
        assert_eq!(last_written(&json!({})), None);
    }
}
