//! What is deployed: applications of four small objects. Pure.

use serde_json::{Value, json};

/// Objects of one application.
pub(crate) const KINDS: usize = 4;
/// Namespace the agent delivers to.
pub(crate) const NAMESPACE: &str = "bench";

/// Name of the n-th application, of its folder and of its objects.
pub(crate) fn name(index: usize) -> String {
    format!("app-{index:03}")
}

/// Manifests of the n-th application, without namespace; `version` is the one value that changes.
pub(crate) fn manifests(index: usize, version: usize) -> [Value; KINDS] {
    let name = name(index);
    let labels = json!({"app.kubernetes.io/name": name});
    [
        json!({
            "apiVersion": "v1", "kind": "ServiceAccount",
            "metadata": {"name": name, "labels": labels},
        }),
        config_map(index, version),
        json!({
            "apiVersion": "v1", "kind": "Service",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "selector": labels,
                "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
            },
        }),
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": name, "labels": labels},
            "spec": {
                "replicas": 0,
                "selector": {"matchLabels": labels},
                "template": {
                    "metadata": {"labels": labels},
                    "spec": {
                        "serviceAccountName": name,
                        "containers": [{
                            "name": "web",
                            "image": "registry.example.com/web:1.0.0",
                            "ports": [{"name": "http", "containerPort": 8080}],
                            "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}},
                        }],
                    },
                },
            },
        }),
    ]
}

/// The object that commits change.
pub(crate) fn config_map(index: usize, version: usize) -> Value {
    let name = name(index);
    json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": name, "labels": {"app.kubernetes.io/name": name}},
        "data": {"version": version.to_string(), "log.level": "info", "region": "eu-west-1"},
    })
}

/// The Application that delivers the n-th folder, and keeps it delivered.
pub(crate) fn application(index: usize, repository: &str) -> Value {
    let name = name(index);
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": {"repoURL": repository, "targetRevision": "main", "path": format!("apps/{name}")},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": NAMESPACE},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        },
    })
}
