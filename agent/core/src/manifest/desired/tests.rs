use serde_json::json;

use super::*;
use crate::manifest::object;

const CONTEXT: Context<'_> = Context {
    instance: "shop",
    destination_namespace: "prod",
    managed_by: "argocd",
    tracking: None,
};

fn run(values: &[Value]) -> Result<DesiredSet, Vec<InvalidManifest>> {
    let manifests = values
        .iter()
        .enumerate()
        .map(|(index, value)| Manifest {
            value: value.clone(),
            origin: Origin {
                path: format!("{index}.yaml"),
                line: Some(1),
            },
        })
        .collect();
    prepare(manifests, CONTEXT, |kind| match kind.kind.as_str() {
        "Namespace" | "ClusterRole" | "CustomResourceDefinition" => Some(Scope::Cluster),
        "Widget" => None,
        _ => Some(Scope::Namespaced),
    })
}

#[test]
fn objects_are_completed_and_marked() {
    let set = run(&[json!({
        "apiVersion": "v1", "kind": "ConfigMap", "status": {"x": 1}, "data": {"a": "b", "c": null},
        "metadata": {"name": "settings", "creationTimestamp": null, "uid": "1"}
    })])
    .unwrap();
    let object = set.objects.values().next().unwrap();
    assert_eq!(object.key.to_string(), "ConfigMap prod/settings");
    assert_eq!(
        object.manifest(),
        json!({
            "apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "b"},
            "metadata": {"name": "settings", "namespace": "prod",
                "labels": {"gitops-agent.io/managed-by": "argocd"},
                "annotations": {
                    "argocd.argoproj.io/tracking-id": "shop:/ConfigMap:prod/settings",
                    "gitops-agent.io/desired-digest": object.digest,
                }}
        })
    );
}

#[test]
fn cluster_scoped_objects_lose_their_namespace_but_are_tracked_with_the_destination() {
    let set = run(&[
        json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
        "metadata": {"name": "x", "namespace": "y"}}),
    ])
    .unwrap();
    let object = set.objects.values().next().unwrap();
    assert_eq!(object.key.namespace, "");
    assert_eq!(
        object::annotation(&object.manifest(), "argocd.argoproj.io/tracking-id"),
        Some("shop:rbac.authorization.k8s.io/ClusterRole:prod/x")
    );
}

#[test]
fn definitions_are_not_tracked_and_give_the_scope_of_their_kind() {
    let set = run(&[
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": "widgets.example.com"},
            "spec": {"group": "example.com", "scope": "Cluster", "names": {"kind": "Widget"}}}),
        json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {"a": null}}),
    ])
    .unwrap();
    let [crd, widget] = set.objects.values().collect::<Vec<_>>()[..] else {
        panic!()
    };
    assert_eq!(
        object::annotation(&crd.manifest(), "argocd.argoproj.io/tracking-id"),
        None
    );
    assert!(widget.kind_known);
    assert_eq!(widget.key.namespace, "");
    assert_eq!(
        widget.manifest()["spec"],
        json!({"a": null}),
        "null may mean something in a custom resource"
    );
}

#[test]
fn secrets_become_comparable() {
    let set = run(&[
        json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "data": {"a": "eA=="}, "stringData": {"b": "y"}}),
    ])
    .unwrap();
    let manifest = set.objects.values().next().unwrap().manifest();
    assert_eq!(manifest["data"], json!({"a": "eA==", "b": "eQ=="}));
    assert_eq!(manifest.get("stringData"), None);
}

#[test]
fn last_duplicate_wins_and_both_places_are_named() {
    let map = |v: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"v": v}});
    let set = run(&[map("1"), map("2")]).unwrap();
    assert_eq!(
        set.objects.values().next().unwrap().manifest()["data"]["v"],
        "2"
    );
    assert_eq!(
        set.repeated,
        ["ConfigMap prod/a is defined by 0.yaml:1 and by 1.yaml:1; the last one is used"]
    );
}

#[test]
fn every_bad_manifest_is_reported_with_its_place() {
    let problems = run(&[
        json!({"kind": "ConfigMap", "metadata": {"name": "a"}}),
        json!("text"),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"labels": {"a": 1}, "name": "x"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "../secrets/a"}}),
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", "namespace": "b?c\n"}}),
    ])
    .unwrap_err();
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(
        texts,
        [
            "0.yaml:1: apiVersion is missing; is this file a Kubernetes manifest?",
            "1.yaml:1: the document is not a map; a manifest starts with apiVersion and kind",
            "2.yaml:1: metadata.labels[\"a\"] is 1, not a string; put it in quotes",
            "3.yaml:1: ConfigMap has no metadata.name; give it one",
            "4.yaml:1: metadata.name \"../secrets/a\" cannot be a name",
            "5.yaml:1: metadata.namespace \"b?c\\n\" cannot be a name",
        ]
    );
}

#[test]
fn hooks_are_set_apart() {
    let job = |annotations: Value| {
        json!({"apiVersion": "batch/v1", "kind": "Job",
               "metadata": {"name": "j", "annotations": annotations}})
    };
    let cases = [
        (json!({"argocd.argoproj.io/hook": "PreSync"}), 1),
        (json!({"argocd.argoproj.io/hook": "Skip"}), 1),
        (json!({"helm.sh/hook": "test"}), 1),
        (json!({"helm.sh/hook": "pre-install,pre-upgrade"}), 1),
        (json!({"helm.sh/hook": "crd-install"}), 0),
        (json!({"argocd.argoproj.io/hook": ""}), 0),
        (json!({}), 0),
    ];
    for (annotations, hooks) in cases {
        let set = run(&[job(annotations.clone())]).unwrap();
        assert_eq!(
            (set.hooks.len(), set.objects.len()),
            (hooks, 1 - hooks),
            "{annotations}"
        );
    }
}

#[test]
fn images_of_pod_templates() {
    let set = run(&[json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "c"},
        "spec": {"jobTemplate": {"spec": {"template": {"spec": {
            "initContainers": [{"image": "b:1"}], "containers": [{"image": "a:1"}, {"image": "b:1"}]}}}}}})])
    .unwrap();
    assert_eq!(set.objects.values().next().unwrap().images, ["a:1", "b:1"]);
}
