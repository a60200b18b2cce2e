//! Manifests that do not work: file and line where there is one, and everything else goes on.

use gitops_e2e::World;
use gitops_e2e::application::{conditions, resource, status};
use gitops_e2e::manifests::{config_map, deployment};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

#[tokio::test]
async fn invalid_yaml_is_named_by_file_and_line() {
    let world = World::new("badyaml").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    repo.write(
        "b.yaml",
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: [broken\n",
    );
    let broken = app.condition("ComparisonError", &["b.yaml"]).await;
    let (_, message) = conditions(&broken).into_iter().next().unwrap();
    assert!(
        message.contains("b.yaml:") || message.contains("line "),
        "{message}"
    );
    assert!(world.exists::<ConfigMap>("settings").await);
    repo.write("b.yaml", &config_map("second", "one"));
    let mended = app
        .wait("without conditions", |app| conditions(app).is_empty())
        .await;
    assert!(status(&mended).conditions.is_empty());
    world.config_map_is("second", "one").await;
}

#[tokio::test]
async fn an_object_given_twice_is_a_warning() {
    let world = World::new("twice").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("settings", "one"))),
        ("b.yaml", Some(&config_map("settings", "two"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.condition("RepeatedResourceWarning", &["settings"])
        .await;
    app.synced().await;
}

#[tokio::test]
async fn what_kustomize_and_helm_say_is_passed_on() {
    let world = World::new("toolerrors").await;
    let repo = world.repo("config");
    super::sources::write_chart(&repo, "chart", "web", "1.0.0");
    std::fs::write(
        repo.path().join("chart/templates/bad.yaml"),
        "{{ fail \"the value color is missing\" }}\n",
    )
    .unwrap();
    repo.commit(&[(
        "overlay/kustomization.yaml",
        Some("resources: [not-there.yaml]\n"),
    )]);
    let app = world
        .app("overlay")
        .repo(&repo)
        .path("overlay")
        .automated()
        .create()
        .await;
    app.condition("ComparisonError", &["not-there.yaml"]).await;
    let app = world
        .app("chart")
        .repo(&repo)
        .path("chart")
        .automated()
        .create()
        .await;
    app.condition("ComparisonError", &["the value color is missing"])
        .await;
}

#[tokio::test]
async fn an_unknown_kind_is_named_and_the_rest_is_applied_when_it_is_known() {
    let world = World::new("nokind").await;
    let repo = world.repo("config");
    repo.write(
        "a.yaml",
        "apiVersion: example.com/v7\nkind: Unheard\nmetadata:\n  name: of\n",
    );
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.condition("ComparisonError", &["Unheard", "CustomResourceDefinition"])
        .await;
    repo.write(
        "a.yaml",
        "apiVersion: apps/v1beta9\nkind: Deployment\nmetadata:\n  name: of\n",
    );
    app.condition("SyncError", &["apps/v1beta9 Deployment", "a.yaml"])
        .await;
    repo.write("a.yaml", &config_map("settings", "one"));
    app.synced().await;
}

#[tokio::test]
async fn an_immutable_field_is_explained_and_the_object_stays() {
    let world = World::new("immutable").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let changed = deployment("web", 1, "web:1").replace("app: web", "app: other");
    repo.write("web.yaml", &changed);
    let failed = app.condition("SyncError", &["web", "immutable"]).await;
    let result = status(&failed)
        .operation_state
        .unwrap()
        .sync_result
        .unwrap();
    let web = result.resources.iter().find(|r| r.name == "web").unwrap();
    assert_eq!(web.status, Some(gitops_api::ResultCode::SyncFailed));
    repo.write("web.yaml", &deployment("web", 1, "web:2"));
    app.healthy().await;
}

#[tokio::test]
async fn an_admission_denial_is_passed_on() {
    let world = World::new("denied").await;
    let policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy",
        "metadata": {"name": world.namespace},
        "spec": {
            "failurePolicy": "Fail",
            "matchConstraints": {"resourceRules": [{
                "apiGroups": [""], "apiVersions": ["v1"], "resources": ["configmaps"],
                "operations": ["CREATE", "UPDATE"],
            }]},
            "validations": [{
                "expression": "!has(object.data) || !('forbidden' in object.data)",
                "message": "the key forbidden is not allowed here",
            }],
        },
    });
    let binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding",
        "metadata": {"name": world.namespace},
        "spec": {
            "policyName": world.namespace,
            "validationActions": ["Deny"],
            "matchResources": {"namespaceSelector": {"matchLabels": {
                "kubernetes.io/metadata.name": world.target,
            }}},
        },
    });
    world.plane.apply_value_as("gitops-e2e", policy).await;
    world.plane.apply_value_as("gitops-e2e", binding).await;
    world.policy_in_force(&world.target, "forbidden").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("allowed", "one"))),
        (
            "b.yaml",
            Some(&(config_map("denied", "one") + "  forbidden: \"1\"\n")),
        ),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.condition(
        "SyncError",
        &["denied", "the key forbidden is not allowed here"],
    )
    .await;
    repo.write("b.yaml", &config_map("denied", "one"));
    app.synced().await;
}

#[tokio::test]
async fn of_two_applications_the_first_keeps_the_object() {
    let world = World::new("shared").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("one/a.yaml", Some(&config_map("settings", "one"))),
        ("two/a.yaml", Some(&config_map("settings", "two"))),
    ]);
    let first = world
        .app("one")
        .repo(&repo)
        .path("one")
        .automated()
        .create()
        .await;
    first.synced().await;
    let uid = world.config_map_is("settings", "one").await.metadata.uid;
    let second = world
        .app("two")
        .repo(&repo)
        .path("two")
        .automated()
        .create()
        .await;
    second
        .condition("SharedResourceWarning", &["settings", "one", "two"])
        .await;
    first.refresh("normal").await;
    second.refresh("normal").await;
    let map = world.config_map_is("settings", "one").await;
    assert_eq!(map.metadata.uid, uid);
    // Given up by the first, it goes to the second.
    repo.commit(&[
        ("one/a.yaml", None),
        ("one/b.yaml", Some(&config_map("other", "1"))),
    ]);
    world.config_map_is("settings", "two").await;
    second
        .wait("without conditions", |app| conditions(app).is_empty())
        .await;
}

#[tokio::test]
async fn an_empty_render_prunes_nothing_unless_allowed() {
    let world = World::new("empty").await;
    let repo = world.repo("config");
    repo.write("k8s/a.yaml", &config_map("settings", "one"));
    let app = world
        .app("shop")
        .repo(&repo)
        .path("k8s")
        .automated()
        .create()
        .await;
    app.synced().await;
    repo.commit(&[("k8s/a.yaml", None), ("k8s/README.md", Some("empty"))]);
    let empty = app.condition("SyncError", &["allowEmpty"]).await;
    assert!(
        resource(&empty, "ConfigMap", "settings")
            .unwrap()
            .requires_pruning
    );
    assert!(world.exists::<ConfigMap>("settings").await);
    app.patch(json!({"spec": {"syncPolicy": {"automated": {"allowEmpty": true}}}}))
        .await;
    world.object_gone::<ConfigMap>("settings").await;
    app.synced().await;
}

#[tokio::test]
async fn secrets_never_show() {
    let world = World::new("secrets").await;
    let repo = world.repo("config");
    let secret = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\nstringData:\n  password: {value}\n"
        )
    };
    repo.write("a.yaml", &secret("hunter2hunter2"));
    let automated = json!({"prune": true});
    let app = world
        .app("shop")
        .repo(&repo)
        .set("/spec/syncPolicy/automated", automated)
        .create()
        .await;
    app.synced().await;
    let edit = json!({"data": {"password": "bGVha2VkbGVha2Vk"}});
    let secrets = world.api::<k8s_openapi::api::core::v1::Secret>();
    let params = kube::api::PatchParams::default();
    secrets
        .patch("login", &params, &kube::api::Patch::Merge(&edit))
        .await
        .unwrap();
    let drifted = app
        .wait("drift of the Secret", |app| {
            resource(app, "Secret", "login").is_some_and(|r| !r.drift.is_empty())
        })
        .await;
    let mut shown = serde_json::to_string(&drifted.status).unwrap();
    // What the API server refuses is quoted by it; not by the agent.
    repo.write(
        "a.yaml",
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: login\ndata:\n  password: not-base64-topsecret!\n",
    );
    let refused = app
        .wait("SyncError", |app| {
            conditions(app)
                .iter()
                .any(|(kind, _)| kind == "SyncError" || kind == "ComparisonError")
        })
        .await;
    shown += &serde_json::to_string(&refused.status).unwrap();
    repo.write("a.yaml", "apiVersion: v1\nkind: Secret\nmetadata: {name: login}\nstringData: {password: [oops, topsecret}\n");
    let broken = app.condition("ComparisonError", &["a.yaml"]).await;
    shown += &serde_json::to_string(&broken.status).unwrap();
    shown += &world.agent().log();
    shown += &world.all_events().await;
    for secret in [
        "hunter2",
        "aHVudGVyMm",
        "bGVha2Vk",
        "leakedleaked",
        "topsecret",
        "dG9wc2Vjc",
    ] {
        assert!(!shown.contains(secret), "{secret} shows in\n{shown}");
    }
}
