//! Drift that is made to look like none.

use gitops_e2e::World;
use gitops_e2e::application::{is_out_of_sync, is_synced, status};
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::json;

#[tokio::test]
async fn values_applied_under_the_agents_name_are_drift() {
    let world = World::new("forgedmanager").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("a", "one"));
    // Self-heal is off: what is shown is the point.
    let app = world.app("shop").repo(&repo).create().await;
    app.sync(json!({})).await;
    app.wait("synced", is_synced).await;
    let mut forged = serde_json::to_value(world.config_map_is("a", "one").await).unwrap();
    forged["data"]["value"] = json!("forged");
    forged["apiVersion"] = json!("v1");
    forged["kind"] = json!("ConfigMap");
    let metadata = forged["metadata"].as_object_mut().unwrap();
    for field in [
        "managedFields",
        "resourceVersion",
        "uid",
        "creationTimestamp",
    ] {
        metadata.remove(field);
    }
    world
        .plane
        .apply_value_as("gitops-agent", forged.clone())
        .await;
    world.config_map_is("a", "forged").await;
    let found = app.wait("the drift", is_out_of_sync).await;
    let drift = serde_json::to_string(&status(&found).resources).unwrap();
    assert!(
        drift.contains("forged") && drift.contains("data"),
        "{drift}"
    );
    // Nor does an agent believe it that was away meanwhile. What is applied within the second in which
    // the sync ended cannot be told from the sync's own.
    app.sync(json!({})).await;
    let synced = app.wait("synced", is_synced).await;
    let state = status(&synced).operation_state.unwrap();
    let ended = serde_json::to_value(state.finished_at.unwrap()).unwrap();
    world.agent().kill();
    let mut attempt = 0;
    loop {
        attempt += 1;
        forged["data"]["value"] = json!(format!("forged again {attempt}"));
        let live = world
            .plane
            .apply_value_as("gitops-agent", forged.clone())
            .await;
        let entries = live["metadata"]["managedFields"].as_array().unwrap();
        let entry = entries
            .iter()
            .find(|entry| entry["manager"] == "gitops-agent");
        // Both are RFC 3339 in UTC and whole seconds, and so ordered as texts.
        let time = &entry.unwrap()["time"];
        if time.as_str().unwrap() > ended.as_str().unwrap() {
            break;
        }
    }
    world.agent().restart();
    app.wait("the drift", is_out_of_sync).await;
}

#[tokio::test]
async fn a_forged_owner_keeps_no_object() {
    let world = World::new("forgedowner").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("a", "one"));
    let app = world.app("shop").repo(&repo).automated();
    let app = app.create().await;
    app.synced().await;
    // An Application whose wishes nobody knows, because it is never looked at.
    let asleep = world.app("asleep").repo(&repo).path("nowhere");
    let skipped = json!({"argocd.argoproj.io/skip-reconcile": "true"});
    asleep.set("/metadata/annotations", skipped).create().await;
    let object = world.config_map_is("a", "one").await;
    let id = object.annotations()["argocd.argoproj.io/tracking-id"].clone();
    let forged = json!({"metadata": {"annotations": {
        "argocd.argoproj.io/tracking-id": id.replacen("shop:", "asleep:", 1)}},
        "data": {"value": "forged"}});
    let maps = world.api::<ConfigMap>();
    let params = kube::api::PatchParams::default();
    let patch = kube::api::Patch::Merge(&forged);
    maps.patch("a", &params, &patch).await.unwrap();
    world
        .object("a", "taken back", |map: &ConfigMap| {
            map.annotations().get("argocd.argoproj.io/tracking-id") == Some(&id)
                && map.data.as_ref().is_some_and(|data| data["value"] == "one")
        })
        .await;
}
