//! What a Pod has to find before its containers can start.
//!
//! Question: what keeps a container from being started at all? Answer: ConfigMaps and Secrets it mounts
//! or takes variables from, claims it mounts, and the ServiceAccount it runs as. What is optional does
//! not count, nor do pull Secrets, without which the kubelet tries all the same.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::manifest::object::ObjectKey;

/// The objects without which no Pod of a manifest can start; none for kinds without Pods.
pub fn required(manifest: &Value) -> BTreeSet<ObjectKey> {
    let namespace = manifest["metadata"]["namespace"]
        .as_str()
        .unwrap_or_default();
    let mut found = BTreeSet::new();
    let mut needs = |kind: &str, of: &Value, name: &str| {
        if of["optional"] == true {
            return;
        }
        if let Some(name) = of[name].as_str().filter(|name| !name.is_empty()) {
            found.insert(ObjectKey {
                group: String::new(),
                kind: kind.into(),
                namespace: namespace.into(),
                name: name.into(),
            });
        }
    };
    for pointer in [
        "/spec/template/spec",
        "/spec/jobTemplate/spec/template/spec",
        "/spec",
    ] {
        let spec = manifest.pointer(pointer);
        let Some(spec) = spec.filter(|spec| spec["containers"].is_array()) else {
            continue;
        };
        needs("ServiceAccount", spec, "serviceAccountName");
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        for volume in list(&spec["volumes"]) {
            needs("ConfigMap", &volume["configMap"], "name");
            needs("Secret", &volume["secret"], "secretName");
            needs(
                "PersistentVolumeClaim",
                &volume["persistentVolumeClaim"],
                "claimName",
            );
            for source in list(&volume["projected"]["sources"]) {
                needs("ConfigMap", &source["configMap"], "name");
                needs("Secret", &source["secret"], "name");
            }
        }
        for containers in ["initContainers", "containers"] {
            for container in list(&spec[containers]) {
                for variable in list(&container["env"]) {
                    needs(
                        "ConfigMap",
                        &variable["valueFrom"]["configMapKeyRef"],
                        "name",
                    );
                    needs("Secret", &variable["valueFrom"]["secretKeyRef"], "name");
                }
                for source in list(&container["envFrom"]) {
                    needs("ConfigMap", &source["configMapRef"], "name");
                    needs("Secret", &source["secretRef"], "name");
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_container_cannot_start_without() {
        let spec = json!({
            "serviceAccountName": "account", "imagePullSecrets": [{"name": "pull"}],
            "volumes": [
                {"name": "a", "configMap": {"name": "mounted"}},
                {"name": "b", "secret": {"secretName": "mounted"}},
                {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
                {"name": "d", "projected": {"sources": [{"configMap": {"name": "projected"}},
                    {"secret": {"name": "maybe", "optional": true}}]}},
                {"name": "e", "emptyDir": {}}],
            "containers": [{"name": "web",
                "env": [{"name": "A", "valueFrom": {"configMapKeyRef": {"name": "one", "key": "k"}}},
                        {"name": "B", "valueFrom": {"secretKeyRef": {"name": "maybe", "key": "k", "optional": true}}}],
                "envFrom": [{"secretRef": {"name": "all"}}]}],
        });
        let expected = [
            "ConfigMap n/mounted",
            "ConfigMap n/one",
            "ConfigMap n/projected",
            "PersistentVolumeClaim n/data",
            "Secret n/all",
            "Secret n/mounted",
            "ServiceAccount n/account",
        ];
        for manifest in [
            json!({"metadata": {"namespace": "n"}, "spec": {"template": {"spec": spec}}}),
            json!({"metadata": {"namespace": "n"}, "spec": {"jobTemplate": {"spec": {"template": {"spec": spec}}}}}),
            json!({"metadata": {"namespace": "n"}, "spec": spec}),
        ] {
            let found: Vec<String> = required(&manifest)
                .iter()
                .map(ToString::to_string)
                .collect();
            assert_eq!(found, expected);
        }
        assert!(required(&json!({"spec": {"ports": []}})).is_empty());
    }
}
