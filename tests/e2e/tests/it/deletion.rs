//! Deleting an Application: with its finalizer the objects go, without it they stay.

use gitops_e2e::World;
use gitops_e2e::manifests::{config_map, deployment};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

#[tokio::test]
async fn with_the_finalizer_the_objects_go_first() {
    let world = World::new("cascade").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("settings", "one"))),
        ("b.yaml", Some(&deployment("web", 1, "web:1"))),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .cascading()
        .create()
        .await;
    app.healthy().await;
    app.delete().await;
    app.gone().await;
    assert!(!world.exists::<ConfigMap>("settings").await);
    assert!(!world.exists::<Deployment>("web").await);
}

#[tokio::test]
async fn without_it_the_objects_stay_and_a_new_application_takes_them() {
    let world = World::new("orphan").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let uid = world.config_map_is("settings", "one").await.metadata.uid;
    app.delete().await;
    app.gone().await;
    repo.write("a.yaml", &config_map("settings", "two"));
    let heir = world.app("heir").repo(&repo).automated().create().await;
    heir.synced().await;
    let map = world.config_map_is("settings", "two").await;
    assert_eq!(map.metadata.uid, uid);
}

#[tokio::test]
async fn an_application_that_is_skipped_is_left_alone() {
    let world = World::new("skip").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("skipped", "one"));
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set(
            "/metadata/annotations",
            json!({"argocd.argoproj.io/skip-reconcile": "true"}),
        )
        .create()
        .await;
    // A later one is done; the skipped one was not touched.
    let other = world.repo("other");
    other.write("a.yaml", &config_map("marker", "one"));
    world
        .app("marker")
        .repo(&other)
        .automated()
        .create()
        .await
        .synced()
        .await;
    assert!(app.get().await.status.is_none());
    assert!(!world.exists::<ConfigMap>("skipped").await);
    let wake = json!({"metadata": {"annotations": {"argocd.argoproj.io/skip-reconcile": null}}});
    app.patch(wake).await;
    app.synced().await;
}
