//! Fields that the control plane fills in, whatever a manifest says of them: they are not sent.
//!
//! Question: which fields have a writer that Kubernetes itself (or an annotation in the manifest)
//! names, so that no manifest can mean to win against it? Answer: the rules of an aggregated
//! ClusterRole, the token of a ServiceAccount's Secret, and the authority that an injector writes
//! where an annotation or label asks for it. `status` is taken out of every manifest. Never takes
//! out what only might have another writer: that is a fight, and is said.

use serde_json::{Map, Value};

use crate::manifest::object::{GroupVersionKind, annotation, label};

/// What the token controller writes into a Secret of its type.
/// <https://kubernetes.io/docs/concepts/configuration/secret/#serviceaccount-token-secrets>
const TOKEN_KEYS: [&str; 3] = ["token", "ca.crt", "namespace"];

/// Annotations that ask an injector for the authority.
/// <https://cert-manager.io/docs/concepts/ca-injector/>,
/// <https://docs.openshift.com/container-platform/latest/security/certificates/service-serving-certificate.html>
const INJECTS: [&str; 4] = [
    "cert-manager.io/inject-ca-from",
    "cert-manager.io/inject-ca-from-secret",
    "cert-manager.io/inject-apiserver-ca",
    "service.beta.openshift.io/inject-cabundle",
];

/// Label and annotation by which OpenShift fills a ConfigMap.
const INJECTS_TRUSTED: &str = "config.openshift.io/inject-trusted-cabundle";

/// Takes out of a manifest what the control plane fills in.
pub(super) fn leave(value: &mut Value, gvk: &GroupVersionKind) {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        // https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles:
        // the control plane overwrites whatever is in the rules.
        ("rbac.authorization.k8s.io", "ClusterRole")
            if value.get("aggregationRule").is_some_and(Value::is_object) =>
        {
            remove(value, &[], "rules");
        }
        ("", "Secret") if value["type"] == "kubernetes.io/service-account-token" => {
            for key in TOKEN_KEYS {
                remove(value, &["data"], key);
            }
        }
        ("", "ConfigMap") => {
            let asks = annotation(value, INJECTS[3]) == Some("true");
            if asks {
                remove(value, &["data"], "service-ca.crt");
            }
            if label(value, INJECTS_TRUSTED) == Some("true") {
                remove(value, &["data"], "ca-bundle.crt");
            }
        }
        _ if INJECTS.iter().any(|name| annotation(value, name).is_some()) => {
            authorities(value, gvk);
        }
        _ => {}
    }
}

/// Takes the authorities out of the places an injector writes.
fn authorities(value: &mut Value, gvk: &GroupVersionKind) {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        (
            "admissionregistration.k8s.io",
            "ValidatingWebhookConfiguration" | "MutatingWebhookConfiguration",
        ) => {
            let webhooks = value.get_mut("webhooks").and_then(Value::as_array_mut);
            for webhook in webhooks.into_iter().flatten() {
                remove(webhook, &["clientConfig"], "caBundle");
            }
        }
        ("apiregistration.k8s.io", "APIService") => remove(value, &["spec"], "caBundle"),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            let client = ["spec", "conversion", "webhook", "clientConfig"];
            remove(value, &client, "caBundle");
        }
        _ => {}
    }
}

fn remove(value: &mut Value, parents: &[&str], name: &str) {
    let mut place = Some(value);
    for parent in parents {
        place = place.and_then(|place| place.get_mut(*parent));
    }
    let map: Option<&mut Map<String, Value>> = place.and_then(Value::as_object_mut);
    if let Some(map) = map {
        map.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn left(mut value: Value) -> Value {
        let gvk = GroupVersionKind::of(&value).unwrap();
        leave(&mut value, &gvk);
        value.as_object_mut().unwrap().remove("apiVersion");
        value.as_object_mut().unwrap().remove("kind");
        value
    }

    #[test]
    fn what_the_control_plane_fills_in_is_not_sent() {
        let role = |rest: Value| {
            let mut role =
                json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole"});
            role.as_object_mut()
                .unwrap()
                .extend(rest.as_object().unwrap().clone());
            role
        };
        let selectors = json!({"clusterRoleSelectors": [{"matchLabels": {"a": "b"}}]});
        // Empty rules, rules that somebody exported, no rules; and a role that is not aggregated.
        for rules in [json!([]), json!([{"verbs": ["get"]}])] {
            assert_eq!(
                left(role(json!({"aggregationRule": selectors, "rules": rules}))),
                json!({"aggregationRule": selectors})
            );
            let own = json!({"rules": rules});
            assert_eq!(left(role(own.clone())), own);
        }
        let token = json!({"apiVersion": "v1", "kind": "Secret",
            "type": "kubernetes.io/service-account-token",
            "data": {"token": "eA==", "ca.crt": "eA==", "namespace": "eA==", "more": "eA=="}});
        assert_eq!(left(token)["data"], json!({"more": "eA=="}));
        let opaque = json!({"apiVersion": "v1", "kind": "Secret", "data": {"token": "eA=="}});
        assert_eq!(left(opaque)["data"], json!({"token": "eA=="}));
    }

    #[test]
    fn authorities_are_left_to_the_injector_that_an_annotation_names() {
        let asks = json!({"annotations": {"cert-manager.io/inject-ca-from": "a/b"}});
        let table = [
            (
                json!({"apiVersion": "admissionregistration.k8s.io/v1",
                    "kind": "MutatingWebhookConfiguration",
                    "webhooks": [{"name": "a", "clientConfig": {"url": "x", "caBundle": "Cg=="}}]}),
                json!([{"name": "a", "clientConfig": {"url": "x"}}]),
                "/webhooks",
            ),
            (
                json!({"apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
                    "spec": {"caBundle": "Cg==", "group": "g"}}),
                json!({"group": "g"}),
                "/spec",
            ),
            (
                json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
                    "spec": {"conversion": {"webhook": {"clientConfig": {"caBundle": "Cg=="}}}}}),
                json!({"webhook": {"clientConfig": {}}}),
                "/spec/conversion",
            ),
        ];
        for (manifest, expected, place) in table {
            let before = manifest.pointer(place).cloned();
            assert_eq!(left(manifest.clone()).pointer(place).cloned(), before);
            let mut asking = manifest;
            asking["metadata"] = asks.clone();
            assert_eq!(left(asking).pointer(place), Some(&expected));
        }
        let trusted = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"labels": {"config.openshift.io/inject-trusted-cabundle": "true"}},
            "data": {"ca-bundle.crt": "", "own": "1"}});
        assert_eq!(left(trusted)["data"], json!({"own": "1"}));
    }
}
