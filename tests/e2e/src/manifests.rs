//! Short manifests that tests commit.

use serde_json::{Value, json};

/// A ConfigMap with one key, `value`.
pub fn config_map(name: &str, value: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {name}\ndata:\n  value: {value:?}\n"
    )
}

/// A Deployment of one container named `web`.
pub fn deployment(name: &str, replicas: u32, image: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata:
  name: {name}
  labels:
    app: {name}
spec:
  replicas: {replicas}
  selector:
    matchLabels:
      app: {name}
  template:
    metadata:
      labels:
        app: {name}
    spec:
      containers:
        - name: web
          image: {image}
"
    )
}

/// A Job that is a hook by these annotations; `outcome` is what its fake Pod does: nothing said, it succeeds.
pub fn hook_job(name: &str, annotations: &str, outcome: &str) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations:\n    \
         {annotations}\nspec:\n  backoffLimit: 0\n  template:\n    metadata:\n      annotations:\n        \
         gitops-test/outcome: \"{outcome}\"\n    spec:\n      restartPolicy: Never\n      \
         containers:\n        - name: work\n          image: work:1\n"
    )
}

/// A CustomResourceDefinition of a kind in namespaces that takes anything; its plural ends in `s`.
pub fn definition(group: &str, kind: &str) -> Value {
    let singular = kind.to_lowercase();
    let plural = format!("{singular}s");
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Namespaced",
            "names": {"kind": kind, "listKind": format!("{kind}List"), "plural": plural, "singular": singular},
            "versions": [{
                "name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
            }],
        },
    })
}

/// A Helm chart with one ConfigMap whose `value` and `release` come from values and the release.
pub fn chart(name: &str, version: &str) -> [(String, String); 3] {
    [
        (
            "Chart.yaml".into(),
            format!("apiVersion: v2\nname: {name}\nversion: {version}\nappVersion: \"9\"\n"),
        ),
        ("values.yaml".into(), "value: default\n".into()),
        (
            "templates/map.yaml".into(),
            "apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-map
  namespace: {{ .Release.Namespace }}
data:
  value: {{ .Values.value | quote }}
  chart: {{ .Chart.Name }}-{{ .Chart.Version }}
"
            .into(),
        ),
    ]
}
