//! Applications that are delivered after others: `gitops-agent.io/depends-on`.

use gitops_api::Application;
use gitops_e2e::application::{is_out_of_sync, is_synced, status};
use gitops_e2e::manifests::{config_map, deployment};
use gitops_e2e::{App, World};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use serde_json::json;

const DEPENDS_ON: &str = "/metadata/annotations/gitops-agent.io~1depends-on";

/// Whether its reasons have this code, and say this.
fn says(app: &Application, code: &str, text: &str) -> bool {
    let mut reasons = status(app).reasons.into_iter();
    reasons.any(|reason| reason.code == code && reason.message.contains(text))
}

async fn waits(app: &App<'_>, text: &str) -> Application {
    app.wait(&format!("waiting: {text}"), |app| {
        is_out_of_sync(app) && says(app, "DependencyWaiting", text)
    })
    .await
}

/// A Deployment of which no Pod becomes ready.
fn hanging(image: &str) -> String {
    deployment("db", 1, image).replace(
        "    metadata:\n      labels:",
        "    metadata:\n      annotations: {gitops-test/outcome: hang}\n      labels:",
    )
}

#[tokio::test]
async fn what_depends_on_another_one_comes_after_it_at_the_same_commit() {
    let world = World::new("depends").await;
    let repo = world.repo("config");
    let release = |version: &str| {
        repo.commit(&[
            ("db/db.yaml", Some(&config_map("db", version))),
            ("shop/shop.yaml", Some(&config_map("shop", version))),
        ])
    };
    let first = release("1");
    let shop = world
        .app("shop")
        .repo(&repo)
        .set("/spec/source/path", json!("shop"))
        .set(DEPENDS_ON, json!("db"))
        .automated()
        .create()
        .await;
    waits(&shop, "db (there is none of that name)").await;
    assert!(!world.exists::<ConfigMap>("shop").await);
    // It differs, and nobody syncs it.
    let db = world
        .app("db")
        .repo(&repo)
        .set("/spec/source/path", json!("db"))
        .create()
        .await;
    waits(&shop, "db (OutOfSync)").await;
    let told = world.person().gitops(&["explain", "shop"]).run().await;
    told.prints("waiting for what it depends on: db (OutOfSync)");
    db.sync(json!({})).await;
    shop.synced_to(&first).await;

    // Of the next commit the same is true, although both were Synced and Healthy before.
    let second = release("2");
    waits(&shop, "db (").await;
    let map = world.api::<ConfigMap>().get("shop").await.unwrap();
    assert_eq!(map.data.unwrap()["value"], "1");
    db.sync(json!({})).await;
    shop.synced_to(&second).await;

    // What was delivered is kept as it is whatever becomes of the other one.
    repo.write("db/db.yaml", &config_map("db", "3"));
    db.wait("OutOfSync", is_out_of_sync).await;
    let before = world.api::<ConfigMap>().get("shop").await.unwrap();
    let edit = json!({"data": {"value": "edited"}});
    let by = PatchParams::apply("kubectl-edit");
    let maps = world.api::<ConfigMap>();
    maps.patch("shop", &by, &Patch::Merge(&edit)).await.unwrap();
    world
        .object("shop", "healed", |map: &ConfigMap| map.data == before.data)
        .await;
    // A person decides.
    let third = repo.write("shop/shop.yaml", &config_map("shop", "3"));
    waits(&shop, "db (OutOfSync)").await;
    let synced = world
        .person()
        .gitops(&["sync", "shop", "--yes"])
        .run()
        .await;
    synced.exits(0);
    shop.synced_to(&third).await;
}

#[tokio::test]
async fn what_is_not_healthy_yet_is_waited_for() {
    let world = World::new("depends-health").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("db/db.yaml", Some(&hanging("db:1"))),
        ("shop/shop.yaml", Some(&config_map("shop", "1"))),
    ]);
    let app = |name: &str| {
        world
            .app(name)
            .repo(&repo)
            .set("/spec/source/path", json!(name))
            .automated()
    };
    app("db").create().await;
    let shop = app("shop").set(DEPENDS_ON, json!("argocd/x, db"));
    let shop = shop.create().await;
    // What cannot be meant keeps it from being synced, with a sentence.
    shop.condition(
        "InvalidSettingWarning",
        &["argocd/x", "no Application of namespace"],
    )
    .await;
    let annotation = json!({"metadata": {"annotations": {"gitops-agent.io/depends-on": "db"}}});
    shop.patch(annotation).await;
    waits(&shop, "db (Progressing)").await;
    world.object("db", "there", |_: &Deployment| true).await;
    // An agent that starts meanwhile knows it.
    world.agent().restart();
    waits(&shop, "db (Progressing)").await;
    assert!(!world.exists::<ConfigMap>("shop").await);
    let commit = repo.write("db/db.yaml", &deployment("db", 1, "db:2"));
    let after = shop.synced_to(&commit).await;
    assert!(is_synced(&after));
    assert!(!says(&after, "DependencyWaiting", ""));
}

#[tokio::test]
async fn a_circle_is_named_by_each_of_its_members() {
    let world = World::new("depends-circle").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a/a.yaml", Some(&config_map("a", "1"))),
        ("b/b.yaml", Some(&config_map("b", "1"))),
    ]);
    let app = |name: &str, on: &str| {
        world
            .app(name)
            .repo(&repo)
            .set("/spec/source/path", json!(name))
            .set(DEPENDS_ON, json!(on))
            .automated()
    };
    let a = app("a", "b").create().await;
    let b = app("b", "a").create().await;
    a.condition("SyncError", &["a -> b -> a"]).await;
    b.condition("SyncError", &["b -> a -> b"]).await;
    let nothing = json!({"metadata": {"annotations": {"gitops-agent.io/depends-on": null}}});
    b.patch(nothing).await;
    b.wait("Synced", is_synced).await;
    a.wait("Synced", is_synced).await;
}
