//! Rules of a project: followed, or refused with a sentence; global projects count.

use gitops_e2e::World;
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::project;

#[tokio::test]
async fn a_project_with_rules_that_are_not_enforced_syncs_nothing() {
    let world = World::new("notenforced").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("a", "one"));
    let rules = [
        ("signatureKeys", json!([{"keyID": "1234567890ABCDEF"}])),
        (
            "sourceIntegrity",
            json!({"git": {"policies": [{"repos": [{"url": "*"}], "gpg": {"mode": "head", "keys": []}}]}}),
        ),
        (
            "destinationServiceAccounts",
            json!([{"server": "*", "namespace": "*", "defaultServiceAccount": "deployer"}]),
        ),
    ];
    for (field, value) in rules {
        let name = field.to_lowercase();
        let mut spec =
            json!({"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]});
        spec[field] = value;
        project(&world, &name, spec).await;
        let app = world.app(&name).repo(&repo).automated();
        let app = app.set("/spec/project", json!(name)).create().await;
        app.condition("InvalidSpecError", &[field, "does not check yet"])
            .await;
    }
    assert!(!world.exists::<ConfigMap>("a").await);
}

#[tokio::test]
async fn an_entry_that_denies_and_cannot_be_read_stops_the_project() {
    let world = World::new("malformed").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("a", "one"));
    let everywhere = json!([{"server": "*", "namespace": "*"}]);
    let specs = [
        json!({"sourceRepos": ["*", "!"], "destinations": everywhere}),
        json!({"sourceRepos": ["*", "!https://host/["], "destinations": everywhere}),
        json!({"sourceRepos": ["*"], "destinations": [everywhere[0], {"server": "*", "namespace": "!kube-["}]}),
        json!({"sourceRepos": ["*"], "destinations": everywhere,
            "namespaceResourceBlacklist": [{"group": "", "kind": "Secret["}]}),
    ];
    for (place, spec) in specs.into_iter().enumerate() {
        let name = format!("malformed{place}");
        project(&world, &name, spec).await;
        let app = world.app(&name).repo(&repo).automated();
        let app = app.set("/spec/project", json!(name)).create().await;
        app.condition("InvalidSpecError", &["is not a pattern"])
            .await;
    }
    assert!(!world.exists::<ConfigMap>("a").await);
}

#[tokio::test]
async fn what_a_global_project_denies_is_denied_and_follows_its_changes() {
    let world = World::new("global").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("a", "one"));
    let everywhere = json!([{"server": "*", "namespace": "*"}]);
    let denies = json!({"namespaceResourceBlacklist": [{"group": "", "kind": "ConfigMap"}]});
    project(&world, "for-all", denies).await;
    let labelled = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "team", "namespace": world.namespace, "labels": {"fence": "yes"}},
        "spec": {"sourceRepos": ["*"], "destinations": everywhere},
    });
    world.plane.apply_value_as("gitops-e2e", labelled).await;
    let settings = format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: argocd-cm\n  namespace: {}\n  labels:\n    \
         app.kubernetes.io/part-of: argocd\ndata:\n  globalProjects: |\n    - projectName: absent\n      \
         labelSelector: {{}}\n    - projectName: for-all\n      labelSelector: {{matchLabels: {{fence: \"yes\"}}}}\n",
        world.namespace
    );
    world.configure(&settings).await;
    let app = world.app("shop").repo(&repo).automated();
    let app = app.set("/spec/project", json!("team")).create().await;
    app.condition("SyncError", &["ConfigMap", "namespaceResourceBlacklist"])
        .await;
    assert!(!world.exists::<ConfigMap>("a").await);
    project(&world, "for-all", json!({"description": "denies nothing"})).await;
    app.synced().await;
}
