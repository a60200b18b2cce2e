//! Giving an object back to Argo CD: what its own next comparison and apply go by. The fields are
//! Argo CD's again, what was last applied is written down as it does, and the marks of the agent go.

use gitops_api::constants::{FIELD_MANAGER, annotation, label};
use serde_json::{Map, Value, json};

use crate::live::ownership::{Entry, element_is, entries};
use crate::live::takeover::{ARGO_CD_SYNC, union};

/// The merge patch that gives an object back; `None` when the agent holds nothing of it.
/// `server_side`: Argo CD applies it through the API server (`ServerSideApply=true`).
///
/// It is refused when somebody changed the object since it was read.
pub fn given_back(object: &Value, server_side: bool) -> Option<Value> {
    let is_ours = |entry: &Entry<'_>| {
        entry.manager == FIELD_MANAGER && entry.operation == "Apply" && entry.subresource.is_none()
    };
    let mut fields = entries(object).find(is_ours)?.fields.clone();
    without_marks(&mut fields);
    let operation = if server_side { "Apply" } else { "Update" };
    let version = &object["apiVersion"];
    let mut list = vec![json!({
        "manager": ARGO_CD_SYNC, "operation": operation, "apiVersion": version,
        "fieldsType": "FieldsV1", "fieldsV1": fields,
    })];
    for raw in object["metadata"]["managedFields"].as_array()? {
        let of = |name: &str| raw[name].as_str().unwrap_or_default();
        let whole = of("subresource").is_empty();
        if whole && of("manager") == FIELD_MANAGER && of("operation") == "Apply" {
            list[0]["time"] = raw["time"].clone();
        } else if whole
            && of("manager") == ARGO_CD_SYNC
            && of("operation") == operation
            && raw["apiVersion"] == *version
        {
            union(&mut list[0]["fieldsV1"], &raw["fieldsV1"]);
        } else {
            list.push(raw.clone());
        }
    }
    let mut annotations = Map::new();
    for name in own_marks(object, "annotations") {
        annotations.insert(name, Value::Null);
    }
    if !server_side {
        let mut applied = extract(object, &list[0]["fieldsV1"]).unwrap_or_else(|| json!({}));
        for field in ["apiVersion", "kind"] {
            applied[field] = object[field].clone();
        }
        for field in ["name", "namespace"] {
            if object["metadata"][field].is_string() {
                applied["metadata"][field] = object["metadata"][field].clone();
            }
        }
        if let Some(annotations) = applied["metadata"]["annotations"].as_object_mut() {
            annotations.remove(annotation::LAST_APPLIED);
        }
        annotations.insert(
            annotation::LAST_APPLIED.into(),
            format!("{applied}\n").into(),
        );
    }
    let labels: Map<String, Value> = own_marks(object, "labels")
        .map(|name| (name, Value::Null))
        .collect();
    Some(json!({"metadata": {
        "resourceVersion": object["metadata"]["resourceVersion"],
        "managedFields": list,
        "annotations": annotations,
        "labels": labels,
    }}))
}

fn is_mark(name: &str) -> bool {
    name == label::MANAGED_BY || name == annotation::DESIRED_DIGEST
}

fn own_marks<'a>(object: &'a Value, map: &str) -> impl Iterator<Item = String> + use<'a> {
    let entries = object["metadata"][map].as_object();
    let names = entries.into_iter().flat_map(Map::keys);
    names.filter(|name| is_mark(name)).cloned()
}

fn without_marks(fields: &mut Value) {
    for map in ["f:annotations", "f:labels"] {
        let entries = fields
            .get_mut("f:metadata")
            .and_then(|metadata| metadata.get_mut(map))
            .and_then(Value::as_object_mut);
        if let Some(entries) = entries {
            entries.retain(|name, _| name.strip_prefix("f:").is_none_or(|name| !is_mark(name)));
        }
    }
}

/// The part of an object that an entry holds.
fn extract(object: &Value, fields: &Value) -> Option<Value> {
    let owned = fields.as_object()?;
    if owned.keys().all(|key| key == ".") {
        return Some(object.clone());
    }
    match object {
        Value::Object(map) => {
            let part = map.iter().filter_map(|(name, value)| {
                let child = owned.get(&format!("f:{name}"))?;
                let part = if is_empty_map(child, value) {
                    json!({})
                } else {
                    extract(value, child)?
                };
                Some((name.clone(), part))
            });
            Some(Value::Object(part.collect()))
        }
        Value::Array(items) => {
            let part = items.iter().filter_map(|item| {
                let (_, child) = owned.iter().find(|(key, _)| element_is(item, key))?;
                extract(item, child)
            });
            Some(Value::Array(part.collect()))
        }
        _ => Some(object.clone()),
    }
}

/// A map that is held as such, and nothing in it.
fn is_empty_map(fields: &Value, value: &Value) -> bool {
    value.is_object()
        && fields
            .as_object()
            .is_some_and(|owned| owned.keys().eq(["."]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::live::takeover::has_given_up;

    fn object() -> Value {
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "namespace": "n", "resourceVersion": "7",
                "annotations": {annotation::TRACKING_ID: "shop:apps/Deployment:n/web",
                    annotation::DESIRED_DIGEST: "d", "theirs": "x"},
                "labels": {label::MANAGED_BY: "argocd", "app": "web"},
                "managedFields": [
                    {"manager": "gitops-agent", "operation": "Apply", "apiVersion": "apps/v1",
                     "time": "2026-01-01T00:00:00Z", "fieldsV1": {
                        "f:metadata": {
                            "f:annotations": {format!("f:{}", annotation::TRACKING_ID): {},
                                format!("f:{}", annotation::DESIRED_DIGEST): {}},
                            "f:labels": {"f:app": {}, format!("f:{}", label::MANAGED_BY): {}}},
                        "f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                            "k:{\"name\":\"a\"}": {".": {}, "f:name": {}, "f:image": {}}}}}}}},
                    {"manager": "argocd-controller", "operation": "Update", "apiVersion": "apps/v1",
                     "fieldsV1": {"f:spec": {"f:strategy": {}}}},
                    {"manager": "kube-controller-manager", "operation": "Update", "apiVersion": "apps/v1",
                     "subresource": "status", "fieldsV1": {"f:status": {}}},
                ],
            },
            "spec": {"replicas": 2, "strategy": {"type": "RollingUpdate"}, "template": {"spec": {
                "dnsPolicy": "ClusterFirst",
                "containers": [{"name": "a", "image": "i", "imagePullPolicy": "Always"},
                    {"name": "injected", "image": "j"}]}}},
        })
    }

    #[test]
    fn what_the_agent_held_is_argo_cds_again() {
        let patch = given_back(&object(), false).unwrap();
        let metadata = &patch["metadata"];
        assert_eq!(metadata["resourceVersion"], "7");
        assert_eq!(metadata["labels"], json!({label::MANAGED_BY: null}));
        assert_eq!(
            metadata["annotations"][annotation::DESIRED_DIGEST],
            Value::Null
        );
        let list = metadata["managedFields"].as_array().unwrap();
        assert_eq!(list.len(), 2, "{list:#?}");
        assert_eq!(list[0]["manager"], "argocd-controller");
        assert_eq!(list[0]["operation"], "Update");
        assert_eq!(list[0]["fieldsV1"]["f:spec"]["f:strategy"], json!({}));
        let text = metadata["annotations"][annotation::LAST_APPLIED]
            .as_str()
            .unwrap();
        let applied: Value = serde_json::from_str(text).unwrap();
        assert_eq!(
            applied,
            json!({
                "apiVersion": "apps/v1", "kind": "Deployment",
                "metadata": {"name": "web", "namespace": "n", "labels": {"app": "web"},
                    "annotations": {annotation::TRACKING_ID: "shop:apps/Deployment:n/web"}},
                "spec": {"replicas": 2, "strategy": {"type": "RollingUpdate"}, "template": {"spec": {
                    "containers": [{"name": "a", "image": "i"}]}}},
            })
        );

        // A field that Git gives up afterwards is seen to be given up, by Argo CD's own rule.
        let mut after = object();
        after["metadata"]["managedFields"] = metadata["managedFields"].clone();
        after["metadata"]["annotations"][annotation::LAST_APPLIED] = text.into();
        let git = |replicas: bool| {
            let mut git = applied.clone();
            if !replicas {
                git["spec"].as_object_mut().unwrap().remove("replicas");
            }
            git
        };
        assert!(!has_given_up(&after, "gitops-agent", &git(true)));
        assert!(has_given_up(&after, "gitops-agent", &git(false)));
    }

    #[test]
    fn applied_through_the_api_server_it_needs_no_annotation() {
        let patch = given_back(&object(), true).unwrap();
        assert_eq!(patch["metadata"]["managedFields"][0]["operation"], "Apply");
        assert!(
            patch["metadata"]["annotations"]
                .get(annotation::LAST_APPLIED)
                .is_none()
        );
    }

    #[test]
    fn what_the_agent_never_applied_is_left_alone() {
        let mut never = object();
        never["metadata"]["managedFields"]
            .as_array_mut()
            .unwrap()
            .remove(0);
        assert_eq!(given_back(&never, false), None);
    }
}
