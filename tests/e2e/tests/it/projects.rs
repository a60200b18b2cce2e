//! Projects: what they do not allow is refused with the rule that says so.

use gitops_e2e::control_plane::ControlPlane;
use gitops_e2e::manifests::config_map;
use gitops_e2e::{World, world};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

async fn project(world: &World, name: &str, spec: serde_json::Value) {
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": name, "namespace": world.namespace}, "spec": spec,
    });
    world.plane.apply_value_as("gitops-e2e", project).await;
}

#[tokio::test]
async fn sources_destinations_and_kinds_are_checked() {
    let world = World::new("projects").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let everywhere = json!([{"server": "*", "namespace": "*"}]);
    project(
        &world,
        "sources",
        json!({
            "sourceRepos": ["https://example.com/*"], "destinations": everywhere,
        }),
    )
    .await;
    project(
        &world,
        "destinations",
        json!({
            "sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "elsewhere"}],
        }),
    )
    .await;
    project(
        &world,
        "kinds",
        json!({
            "sourceRepos": ["*"], "destinations": everywhere,
            "namespaceResourceBlacklist": [{"group": "", "kind": "ConfigMap"}],
        }),
    )
    .await;
    for (name, condition, text) in [
        ("sources", "InvalidSpecError", repo.url()),
        ("destinations", "InvalidSpecError", world.target.clone()),
        ("kinds", "SyncError", "ConfigMap".to_owned()),
    ] {
        let app = world
            .app(name)
            .repo(&repo)
            .automated()
            .set("/spec/project", json!(name))
            .create()
            .await;
        app.condition(condition, &[&text, name]).await;
    }
    assert!(!world.exists::<ConfigMap>("settings").await);
    // A rule that is relaxed takes effect at once.
    project(
        &world,
        "sources",
        json!({"sourceRepos": ["*"], "destinations": everywhere}),
    )
    .await;
    world.existing_app("sources").synced().await;
}

#[tokio::test]
async fn a_missing_project_is_named_and_found_when_it_is_made() {
    let world = World::new("noproject").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/spec/project", json!("later"))
        .create()
        .await;
    app.condition("InvalidSpecError", &["later", "AppProject"])
        .await;
    let spec = json!({"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}]});
    project(&world, "later", spec).await;
    app.synced().await;
}

#[tokio::test]
async fn the_default_project_is_made_when_it_is_missing() {
    let plane = ControlPlane::shared().await;
    let namespace = world::unique("default");
    plane.namespace(&namespace).await;
    let world = World::without_project(plane, namespace).await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/spec/project", json!(""))
        .create()
        .await;
    app.synced().await;
}
