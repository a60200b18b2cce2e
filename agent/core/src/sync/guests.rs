//! What lives in a Namespace and is not the application's: it would go with it.
//!
//! Question: whose deletion takes other objects along that nobody named? Answer: a Namespace's. (A
//! CustomResourceDefinition takes its objects, and is never deleted: it is not tracked. What an owner
//! takes along says itself whose it is.) Whoever prunes or deletes a Namespace with guests is asked, and
//! the question names them.
//!
//! Not guests are what the application made itself, what goes with an object that owns it, what the
//! control plane puts into every namespace, and records that nobody would miss.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::manifest::object::{ObjectKey, annotation};
use crate::manifest::tracking;
use crate::reason::Names;

/// Namespaces to be deleted, with what is in them.
pub type Guests = BTreeMap<ObjectKey, Names>;

/// Kinds whose objects are made anew by themselves, or only record something.
const RECORDS: [&str; 8] = [
    "Event",
    "Lease",
    "Endpoints",
    "EndpointSlice",
    "PodMetrics",
    "ControllerRevision",
    "ReplicaSet",
    "LocalSubjectAccessReview",
];

/// What every namespace has.
const EVERYWHERE: [(&str, &str); 7] = [
    ("ConfigMap", "kube-root-ca.crt"),
    ("ConfigMap", "openshift-service-ca.crt"),
    ("ConfigMap", "istio-ca-root-cert"),
    ("ServiceAccount", "default"),
    ("ServiceAccount", "builder"),
    ("ServiceAccount", "deployer"),
    ("RoleBinding", "system:deployers"),
];

/// Whether objects of a kind are looked at.
pub fn counts(kind: &str) -> bool {
    !RECORDS.contains(&kind)
}

/// How an object of a namespace is named to whoever is asked, when it is not the application's.
/// `metadata` is enough of it.
pub fn name(object: &Value, key: &ObjectKey, instance: &str) -> Option<String> {
    if !counts(&key.kind) || EVERYWHERE.contains(&(&key.kind, &key.name)) {
        return None;
    }
    let metadata = &object["metadata"];
    let owned = metadata["ownerReferences"]
        .as_array()
        .is_some_and(|owners| !owners.is_empty());
    // The token controller's Secrets go with their ServiceAccount.
    let token = annotation(object, "kubernetes.io/service-account.name").is_some();
    if owned || token || metadata["deletionTimestamp"].is_string() {
        return None;
    }
    let id = annotation(object, gitops_api::constants::annotation::TRACKING_ID)
        .and_then(tracking::TrackingId::parse)
        .filter(|id| id.refers_to(key));
    match id {
        Some(id) if id.instance == instance => None,
        Some(id) => Some(format!("{key} of application {}", id.instance)),
        None => Some(key.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn guests_are_what_somebody_would_miss() {
        let tracked = |instance: &str, name: &str| {
            json!({"annotations": {"argocd.argoproj.io/tracking-id":
                format!("{instance}:/ConfigMap:n/{name}")}})
        };
        let table = [
            ("ConfigMap", "a", json!({}), Some("ConfigMap n/a")),
            ("ConfigMap", "a", tracked("shop", "a"), None),
            (
                "ConfigMap",
                "a",
                tracked("other", "a"),
                Some("ConfigMap n/a of application other"),
            ),
            // A copied mark proves nothing.
            (
                "ConfigMap",
                "a",
                tracked("shop", "b"),
                Some("ConfigMap n/a"),
            ),
            ("ConfigMap", "kube-root-ca.crt", json!({}), None),
            ("ServiceAccount", "default", json!({}), None),
            (
                "ServiceAccount",
                "own",
                json!({}),
                Some("ServiceAccount n/own"),
            ),
            (
                "PersistentVolumeClaim",
                "data",
                json!({}),
                Some("PersistentVolumeClaim n/data"),
            ),
            (
                "Pod",
                "a",
                json!({"ownerReferences": [{"kind": "ReplicaSet"}]}),
                None,
            ),
            ("Pod", "a", json!({"ownerReferences": []}), Some("Pod n/a")),
            ("Event", "a", json!({}), None),
            (
                "Secret",
                "t",
                json!({"annotations": {"kubernetes.io/service-account.name": "x"}}),
                None,
            ),
            (
                "Secret",
                "a",
                json!({"deletionTimestamp": "2026-01-01T00:00:00Z"}),
                None,
            ),
        ];
        for (kind, name_of, metadata, expected) in table {
            let key = ObjectKey {
                group: String::new(),
                kind: kind.into(),
                namespace: "n".into(),
                name: name_of.into(),
            };
            let found = name(&json!({"metadata": metadata}), &key, "shop");
            assert_eq!(found.as_deref(), expected, "{kind} {name_of} {metadata}");
        }
    }
}
