//! Lists with keys in which a manifest repeats one.
//!
//! `kubectl create` sends such lists as they are, and the kubelet then reads them in one way; server-side
//! apply refuses them. So each key is sent once, with the value that would have been in force, and
//! whoever wrote it is told.
//!
//! Question: which lists does the API server merge by key and still accept a key twice in? Answer
//! (validation of Kubernetes 1.36): variables, container ports, host aliases, the Secrets of a
//! ServiceAccount, pull Secrets, and finalizers. All others (volumes, mounts, containers, Service ports,
//! webhooks, lists of custom resources) it refuses by itself, whoever sends them.

use serde_json::{Map, Value};

use crate::manifest::object::GroupVersionKind;

/// How a key that is there twice is read.
#[derive(Clone, Copy)]
enum Reading {
    /// The last one is in force.
    Last,
    /// Both are in force: lists inside are joined.
    Joined(&'static str),
}

/// Keys of a list, with what the API server takes for one that is not set.
type Keys = &'static [(&'static str, &'static str)];

const ENV: Keys = &[("name", "")];
const PORTS: Keys = &[("containerPort", ""), ("protocol", "TCP")];
const HOSTS: Keys = &[("ip", "")];
const NAMES: Keys = &[("name", "")];

/// Sends each key of a list once; says which were repeated.
pub(super) fn settle(value: &mut Value, gvk: &GroupVersionKind) -> Vec<String> {
    let mut said = Vec::new();
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        set(metadata, "finalizers", &mut said);
    }
    if gvk.group.is_empty()
        && gvk.kind == "ServiceAccount"
        && let Some(root) = value.as_object_mut()
    {
        list(root, "", "secrets", NAMES, Reading::Last, &mut said);
    }
    for pointer in [
        "/spec/template/spec",
        "/spec/jobTemplate/spec/template/spec",
        "/spec",
    ] {
        let spec = value.pointer_mut(pointer).and_then(Value::as_object_mut);
        if let Some(spec) = spec.filter(|spec| spec.get("containers").is_some_and(Value::is_array))
        {
            pod(spec, &mut said);
        }
    }
    said
}

fn pod(spec: &mut Map<String, Value>, said: &mut Vec<String>) {
    list(
        spec,
        "",
        "hostAliases",
        HOSTS,
        Reading::Joined("hostnames"),
        said,
    );
    list(spec, "", "imagePullSecrets", NAMES, Reading::Last, said);
    for containers in ["initContainers", "containers"] {
        let containers = spec.get_mut(containers).and_then(Value::as_array_mut);
        for container in containers.into_iter().flatten() {
            let name = container["name"].as_str().unwrap_or_default();
            let of = format!("container {name}: ");
            if let Some(container) = container.as_object_mut() {
                list(container, &of, "env", ENV, Reading::Last, said);
                list(container, &of, "ports", PORTS, Reading::Last, said);
            }
        }
    }
}

fn list(
    parent: &mut Map<String, Value>,
    of: &str,
    name: &str,
    keys: Keys,
    reading: Reading,
    said: &mut Vec<String>,
) {
    let Some(items) = parent.get_mut(name).and_then(Value::as_array_mut) else {
        return;
    };
    let id = |item: &Value| -> Option<Vec<String>> {
        let map = item.as_object()?;
        let keys = keys.iter().map(|(key, default)| match map.get(*key) {
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => (*default).into(),
        });
        Some(keys.collect())
    };
    let mut kept: Vec<Value> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        let first = id(&item).and_then(|id_of| {
            kept.iter()
                .position(|other| id(other).as_ref() == Some(&id_of))
        });
        let Some(first) = first else {
            kept.push(item);
            continue;
        };
        let key = id(&item).unwrap_or_default().join("/");
        // Its place is that of the first, which variables between them may refer to.
        match reading {
            Reading::Joined(inner) => {
                let more = item.get(inner).and_then(Value::as_array).cloned();
                if let Some(list) = kept[first].get_mut(inner).and_then(Value::as_array_mut) {
                    list.extend(more.unwrap_or_default());
                }
                said.push(format!("{of}{name} {key} is there twice; both are joined"));
            }
            Reading::Last => {
                let lost = kept[first] != item;
                kept[first] = item;
                said.push(format!(
                    "{of}{name} {key} is there twice; {}",
                    if lost {
                        "the last one is used"
                    } else {
                        "once is enough"
                    }
                ));
            }
        }
    }
    *items = kept;
}

/// A list in which each value is there once.
fn set(parent: &mut Map<String, Value>, name: &str, said: &mut Vec<String>) {
    let Some(items) = parent.get_mut(name).and_then(Value::as_array_mut) else {
        return;
    };
    let mut kept: Vec<Value> = Vec::with_capacity(items.len());
    for item in items.drain(..) {
        if kept.contains(&item) {
            said.push(format!("{name} {item} is there twice; once is enough"));
        } else {
            kept.push(item);
        }
    }
    *items = kept;
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn repeated_keys_are_sent_once_as_the_kubelet_reads_them() {
        let table = [
            (
                json!({"containers": [{"name": "a", "env": [
                    {"name": "A", "value": "1"}, {"name": "B", "value": "$(A)"}, {"name": "A", "value": "2"}]}]}),
                json!({"containers": [{"name": "a", "env": [
                    {"name": "A", "value": "2"}, {"name": "B", "value": "$(A)"}]}]}),
                vec!["container a: env A is there twice; the last one is used"],
            ),
            (
                json!({"containers": [{"name": "a", "ports": [
                    {"containerPort": 80, "name": "x"}, {"containerPort": 80, "protocol": "TCP", "name": "y"},
                    {"containerPort": 80, "protocol": "UDP"}]}]}),
                json!({"containers": [{"name": "a", "ports": [
                    {"containerPort": 80, "protocol": "TCP", "name": "y"}, {"containerPort": 80, "protocol": "UDP"}]}]}),
                vec!["container a: ports 80/TCP is there twice; the last one is used"],
            ),
            (
                json!({"containers": [], "hostAliases": [
                    {"ip": "1.1.1.1", "hostnames": ["a"]}, {"ip": "1.1.1.1", "hostnames": ["b"]}]}),
                json!({"containers": [], "hostAliases": [{"ip": "1.1.1.1", "hostnames": ["a", "b"]}]}),
                vec!["hostAliases 1.1.1.1 is there twice; both are joined"],
            ),
            (
                json!({"containers": [], "imagePullSecrets": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}),
                json!({"containers": [], "imagePullSecrets": [{"name": "a"}, {"name": "b"}]}),
                vec!["imagePullSecrets a is there twice; once is enough"],
            ),
            // Refused by the API server, whoever sends it: left to it.
            (
                json!({"containers": [{"name": "a", "volumeMounts": [{"mountPath": "/a"}, {"mountPath": "/a"}]}]}),
                json!({"containers": [{"name": "a", "volumeMounts": [{"mountPath": "/a"}, {"mountPath": "/a"}]}]}),
                vec![],
            ),
            // No list of a Pod.
            (
                json!({"env": [{"name": "A"}, {"name": "A"}]}),
                json!({"env": [{"name": "A"}, {"name": "A"}]}),
                vec![],
            ),
        ];
        for (spec, expected, said) in table {
            for pointer in ["/spec/template/spec", "/spec"] {
                let mut object = if pointer == "/spec" {
                    json!({"apiVersion": "v1", "kind": "Pod", "spec": spec})
                } else {
                    json!({"apiVersion": "apps/v1", "kind": "Deployment",
                        "spec": {"template": {"spec": spec}}})
                };
                let gvk = GroupVersionKind::of(&object).unwrap();
                assert_eq!(settle(&mut object, &gvk), said);
                assert_eq!(object.pointer(pointer), Some(&expected));
            }
        }
    }
}
