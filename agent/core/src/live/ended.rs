//! Objects that end by themselves: what is gone after it did its work is no difference.
//!
//! Question: which objects does the cluster take away once they are done, without anybody asking?
//! Answer: Jobs with a time to live, Pods that are not restarted, workflows and pipelines with a clean-up
//! of their own, requests for certificates. Only what succeeded counts: what failed and is gone is
//! missing, and is made again. A Job without a time to live is deleted by a person only, who may want it
//! to run again.

use serde_json::Value;

/// Whether an object of the cluster has done its work and may be taken away any time.
pub fn has_ended(object: &Value) -> bool {
    let (group, kind) = match (object["apiVersion"].as_str(), object["kind"].as_str()) {
        (Some(version), Some(kind)) => {
            (version.split_once('/').map_or("", |(group, _)| group), kind)
        }
        _ => return false,
    };
    let spec = &object["spec"];
    match (group, kind) {
        // https://kubernetes.io/docs/concepts/workloads/controllers/ttlafterfinished/
        ("batch", "Job") => {
            !spec["ttlSecondsAfterFinished"].is_null() && is_true(object, "Complete")
        }
        // https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-garbage-collection
        ("", "Pod") => {
            object["metadata"]["ownerReferences"].is_null()
                && matches!(spec["restartPolicy"].as_str(), Some("Never" | "OnFailure"))
                && object["status"]["phase"] == "Succeeded"
        }
        ("argoproj.io", "Workflow") => {
            (!spec["ttlStrategy"].is_null() || !spec["workflowTemplateRef"].is_null())
                && object["status"]["phase"] == "Succeeded"
        }
        ("tekton.dev", "PipelineRun" | "TaskRun") => is_true(object, "Succeeded"),
        ("cert-manager.io", "CertificateRequest") => is_true(object, "Ready"),
        ("acme.cert-manager.io", "Order" | "Challenge") => object["status"]["state"] == "valid",
        ("certificates.k8s.io", "CertificateSigningRequest") => {
            !object["status"]["certificate"].is_null()
        }
        _ => false,
    }
}

fn is_true(object: &Value, condition: &str) -> bool {
    let conditions = object["status"]["conditions"].as_array();
    conditions
        .into_iter()
        .flatten()
        .any(|of| of["type"] == condition && of["status"] == "True")
}

/// The class of a claim that is not bound and for which nobody began to make a volume.
pub(super) fn unbound_class(object: &Value) -> Option<&str> {
    let is_claim = object["kind"] == "PersistentVolumeClaim" && object["apiVersion"] == "v1";
    let waits = is_claim
        && object["status"]["phase"] == "Pending"
        && object["spec"]["volumeName"]
            .as_str()
            .unwrap_or_default()
            .is_empty();
    waits.then(|| {
        object["spec"]["storageClassName"]
            .as_str()
            .unwrap_or_default()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_may_go_by_itself() {
        let complete = json!({"conditions": [{"type": "Complete", "status": "True"}]});
        let failed = json!({"conditions": [{"type": "Failed", "status": "True"}]});
        let job = |ttl: Value, status: &Value| {
            json!({"apiVersion": "batch/v1", "kind": "Job",
                "spec": {"ttlSecondsAfterFinished": ttl}, "status": status})
        };
        let pod = |policy: &str, phase: &str| {
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {},
                "spec": {"restartPolicy": policy}, "status": {"phase": phase}})
        };
        let mut owned = pod("Never", "Succeeded");
        owned["metadata"]["ownerReferences"] = json!([{}]);
        let ready = json!({"apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest",
            "status": {"conditions": [{"type": "Ready", "status": "True"}]}});
        let table = [
            (job(json!(0), &complete), true),
            (job(json!(60), &failed), false),
            (job(json!(60), &json!({})), false),
            (job(Value::Null, &complete), false),
            (pod("Never", "Succeeded"), true),
            (pod("OnFailure", "Running"), false),
            (pod("Always", "Succeeded"), false),
            (pod("Never", "Failed"), false),
            (owned, false),
            (ready, true),
            (
                json!({"apiVersion": "apps/v1", "kind": "Deployment"}),
                false,
            ),
        ];
        for (object, expected) in table {
            assert_eq!(has_ended(&object), expected, "{object}");
        }
    }
}
