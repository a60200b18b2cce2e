//! Kustomizations, and every option an Application has for them.

use gitops_render::SourceType;
use serde_json::{Value, json};

use crate::support::{DEPLOYMENT, SERVICE, at, names, origins, render, tree};

fn repository() -> gitops_render::MemoryTree {
    tree(&[
        (
            "base/kustomization.yaml",
            "resources: [deployment.yaml, service.yaml]\n",
        ),
        ("base/deployment.yaml", DEPLOYMENT),
        ("base/service.yaml", SERVICE),
        (
            "components/debug/kustomization.yaml",
            "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\ncommonAnnotations: {debug: 'on'}\n",
        ),
        (
            "prod/kustomization.yaml",
            "resources: [../base]\nimages:\n- name: registry:5000/shop/web\n  newTag: 2.0.0\ncommonLabels: {team: shop}\nconfigMapGenerator:\n- name: settings\n  files: [settings.ini]\npatches:\n- path: patch.yaml\n",
        ),
        ("prod/settings.ini", "a=b\n"),
        (
            "prod/patch.yaml",
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 3}\n",
        ),
    ])
}

fn kustomize(options: Value) -> Value {
    json!({"repoURL": "x", "path": "prod", "kustomize": options})
}

fn object<'a>(rendered: &'a gitops_render::Rendered, kind: &str) -> &'a Value {
    &rendered
        .objects
        .iter()
        .find(|o| o.value["kind"] == kind)
        .expect("the object is there")
        .value
}

#[tokio::test]
async fn an_overlay_over_a_base_outside_its_directory() {
    let rendered = render(&repository(), at("prod")).await.unwrap();
    assert_eq!(rendered.source_type, SourceType::Kustomize);
    let mut found = names(&rendered);
    found.sort();
    assert_eq!(found.len(), 3);
    assert!(found[0].starts_with("ConfigMap/settings-"), "{found:?}");
    assert_eq!(found[1..], ["Deployment/web", "Service/web"]);
    let deployment = object(&rendered, "Deployment");
    assert_eq!(deployment["spec"]["replicas"], json!(3));
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        json!("registry:5000/shop/web:2.0.0")
    );
    let mut places = origins(&rendered);
    places.sort();
    assert_eq!(
        places,
        [
            "base/deployment.yaml:1",
            "base/service.yaml:1",
            "prod/kustomization.yaml"
        ]
    );
}

#[tokio::test]
async fn options_of_the_application_edit_the_kustomization() {
    let image = "/spec/template/spec/containers/0/image";
    for (options, pointer, expected) in [
        (
            json!({"namePrefix": "eu-"}),
            "/metadata/name",
            json!("eu-web"),
        ),
        (
            json!({"nameSuffix": "-1"}),
            "/metadata/name",
            json!("web-1"),
        ),
        (
            json!({"namespace": "shop"}),
            "/metadata/namespace",
            json!("shop"),
        ),
        (
            json!({"images": ["registry:5000/shop/web:3"]}),
            image,
            json!("registry:5000/shop/web:3"),
        ),
        (
            json!({"images": ["registry:5000/shop/web=other/web:4"]}),
            image,
            json!("other/web:4"),
        ),
        (
            json!({"images": ["registry:5000/shop/web=other/web:*"]}),
            image,
            json!("other/web:2.0.0"),
        ),
        (
            json!({"images": ["registry:5000/shop/web@sha256:0123456789012345678901234567890123456789012345678901234567890123"]}),
            image,
            json!(
                "registry:5000/shop/web@sha256:0123456789012345678901234567890123456789012345678901234567890123"
            ),
        ),
        (
            json!({"images": ["registry:5000/shop/web:$ARGOCD_APP_REVISION_SHORT"]}),
            image,
            json!("registry:5000/shop/web:0123456"),
        ),
        (
            json!({"replicas": [{"name": "web", "count": 7}]}),
            "/spec/replicas",
            json!(7),
        ),
        (
            json!({"replicas": [{"name": "web", "count": "8"}]}),
            "/spec/replicas",
            json!(8),
        ),
        (
            json!({"commonLabels": {"app-name": "$ARGOCD_APP_NAME"}}),
            "/spec/selector/matchLabels/app-name",
            json!("web"),
        ),
        (
            json!({"commonLabels": {"team": "x"}, "forceCommonLabels": true}),
            "/metadata/labels/team",
            json!("x"),
        ),
        (
            json!({"commonLabels": {"a": "b"}, "labelWithoutSelector": true}),
            "/metadata/labels/a",
            json!("b"),
        ),
        (
            json!({"commonLabels": {"a": "b"}, "labelWithoutSelector": true}),
            "/spec/selector/matchLabels/a",
            Value::Null,
        ),
        (
            json!({"commonLabels": {"a": "b"}, "labelWithoutSelector": true}),
            "/spec/template/metadata/labels/a",
            Value::Null,
        ),
        (
            json!({"commonLabels": {"a": "b"}, "labelWithoutSelector": true, "labelIncludeTemplates": true}),
            "/spec/template/metadata/labels/a",
            json!("b"),
        ),
        (
            json!({"commonAnnotations": {"a": "$ARGOCD_APP_NAME"}}),
            "/metadata/annotations/a",
            json!("$ARGOCD_APP_NAME"),
        ),
        (
            json!({"commonAnnotations": {"a": "$ARGOCD_APP_NAME"}, "commonAnnotationsEnvsubst": true}),
            "/metadata/annotations/a",
            json!("web"),
        ),
        (
            json!({"patches": [{"target": {"kind": "Deployment"}, "patch": "- {op: replace, path: /spec/replicas, value: 9}"}]}),
            "/spec/replicas",
            json!(9),
        ),
        (
            json!({"components": ["../components/debug"]}),
            "/metadata/annotations/debug",
            json!("on"),
        ),
        (
            json!({"components": ["../components/none", "../components/*"], "ignoreMissingComponents": true}),
            "/metadata/annotations/debug",
            json!("on"),
        ),
    ] {
        let rendered = render(&repository(), kustomize(options.clone()))
            .await
            .unwrap();
        let found = object(&rendered, "Deployment")
            .pointer(pointer)
            .cloned()
            .unwrap_or_default();
        assert_eq!(found, expected, "{options}");
    }
}

#[tokio::test]
async fn refusals_say_why() {
    let with = |file: &str, content: &str| {
        let mut tree = repository();
        tree.insert(file, content);
        tree
    };
    let overlay = "prod/kustomization.yaml";
    for (tree, options, expected) in [
        (
            with(
                overlay,
                "resources: ['https://github.com/org/repo//deploy?ref=v1']\n",
            ),
            json!({}),
            "prod/kustomization.yaml refers to https://github.com/org/repo, which is not in this repository; it is not fetched here",
        ),
        (
            with(
                overlay,
                "resources: ['https://user:hunter2@git.example.com/r.git//x']\n",
            ),
            json!({}),
            "prod/kustomization.yaml refers to https://git.example.com/r.git, which",
        ),
        (
            with(overlay, "resources: ['github.com/org/repo/deploy']\n"),
            json!({}),
            "prod/kustomization.yaml refers to https://github.com/org/repo, which",
        ),
        (
            with(overlay, "helmCharts: [{name: x}]\n"),
            json!({}),
            "prod: chart x has no repo to fetch it from, and prod/charts/x does not exist",
        ),
        (
            with(overlay, "resources: [../../elsewhere]\n"),
            json!({}),
            "outside of the repository",
        ),
        (
            with(overlay, "resources: [gone.yaml]\n"),
            json!({}),
            "prod/kustomization.yaml refers to gone.yaml, which does not exist",
        ),
        (
            with(overlay, "resources: [../base/service.yaml]\n"),
            json!({}),
            "security; file",
        ),
        (
            with(overlay, "resource: [x]\n"),
            json!({}),
            "prod/kustomization.yaml: not a valid kustomization: unknown field \"resource\"",
        ),
        (
            with(overlay, "resources: [x\n"),
            json!({}),
            "prod/kustomization.yaml: not a valid kustomization",
        ),
        (
            with("prod/patch.yaml", "kind: [\n"),
            json!({}),
            "prod/patch.yaml:1: not valid YAML",
        ),
        (
            with("prod/kustomization.yml", "resources: []\n"),
            json!({}),
            "more than one kustomization file",
        ),
        (
            with(overlay, "namePrefix: x\ngenerators: [g.yaml]\n"),
            json!({}),
            "g.yaml",
        ),
        (
            repository(),
            json!({"components": ["../components/none"]}),
            "../components/none leads to nothing",
        ),
        (
            repository(),
            json!({"commonLabels": {"team": "x"}}),
            "label team is already in the kustomization file",
        ),
        (
            repository(),
            json!({"commonLabels": {"a": "x"}, "labelIncludeTemplates": true}),
            "needs labelWithoutSelector",
        ),
        (
            repository(),
            json!({"replicas": [{"name": "web", "count": "many"}]}),
            "the count of web is not a whole number",
        ),
        (repository(), json!({"images": ["web"]}), "says nothing new"),
        (
            repository(),
            json!({"patches": [{"target": {"kind": "Deployment"}, "patch": "- {op: replace, path: /spec/nope/password, value: hunter2}"}]}),
            "kustomize: ",
        ),
    ] {
        let error = render(&tree, kustomize(options))
            .await
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(expected),
            "expected {expected}\ngot: {error}"
        );
        assert!(!error.contains("hunter2"), "{error}");
        assert!(!error.contains("/repository"), "{error}");
        assert!(error.len() < 900, "{error}");
    }
}

#[tokio::test]
async fn an_override_file_changes_the_source() {
    let mut tree = repository();
    tree.insert(
        "prod/.argocd-source.yaml",
        "kustomize:\n  images: ['registry:5000/shop/web:5']\n  nameSuffix: -all\npath: elsewhere\n",
    );
    tree.insert(
        "prod/.argocd-source-web.yaml",
        "kustomize:\n  nameSuffix: -web\n",
    );
    let rendered = render(&tree, at("prod")).await.unwrap();
    let deployment = object(&rendered, "Deployment");
    assert_eq!(deployment["metadata"]["name"], json!("web-web"));
    assert_eq!(
        deployment["spec"]["template"]["spec"]["containers"][0]["image"],
        json!("registry:5000/shop/web:5")
    );
    tree.insert("prod/.argocd-source.yaml", "kustomize: [x\n");
    let error = render(&tree, at("prod")).await.unwrap_err().to_string();
    assert!(
        error.contains("prod/.argocd-source.yaml: not valid YAML"),
        "{error}"
    );
}

#[tokio::test]
async fn links_inside_the_repository_work() {
    let mut tree = repository();
    tree.insert_symlink("linked", "prod");
    tree.insert_symlink("prod/extra.yaml", "../base/service.yaml");
    let rendered = render(&tree, at("linked")).await.unwrap();
    assert_eq!(rendered.objects.len(), 3);
}
