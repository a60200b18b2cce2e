//! Destination namespaces: created on request, missing ones named.

use gitops_e2e::manifests::config_map;
use gitops_e2e::{World, wait};
use k8s_openapi::api::core::v1::Namespace;
use kube::{Api, ResourceExt};
use serde_json::json;

#[tokio::test]
async fn a_namespace_is_created_with_its_metadata() {
    let world = World::new("namespace").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let name = format!("{}-new", world.namespace);
    let metadata = json!({"labels": {"team": "shop"}, "annotations": {"example.com/owner": "us"}});
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/spec/destination/namespace", json!(name))
        .set(
            "/spec/syncPolicy/syncOptions",
            json!(["CreateNamespace=true"]),
        )
        .set("/spec/syncPolicy/managedNamespaceMetadata", metadata)
        .create()
        .await;
    app.synced().await;
    let api: Api<Namespace> = Api::all(world.plane.client.clone());
    let made = api.get(&name).await.unwrap();
    assert_eq!(made.labels()["team"], "shop");
    assert_eq!(made.annotations()["example.com/owner"], "us");
}

#[tokio::test]
async fn a_missing_namespace_is_named_with_the_way_out() {
    let world = World::new("nonamespace").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let name = format!("{}-missing", world.namespace);
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/spec/destination/namespace", json!(name))
        .create()
        .await;
    app.condition(
        "SyncError",
        &[&name, "does not exist", "CreateNamespace=true"],
    )
    .await;
    let api: Api<Namespace> = Api::all(world.plane.client.clone());
    assert!(api.get_opt(&name).await.unwrap().is_none());

    app.patch(json!({"spec": {"syncPolicy": {"syncOptions": ["CreateNamespace=true"]}}}))
        .await;
    app.synced().await;
    let made = wait::until(api, &name, |namespace| namespace.is_some()).await;
    assert!(made.is_ok());
}
