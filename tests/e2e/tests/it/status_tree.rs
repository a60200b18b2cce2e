//! `status APP`: Pods beneath their workloads, with the person's own rights.

use gitops_e2e::World;
use gitops_e2e::manifests::{config_map, deployment};
use k8s_openapi::api::apps::v1::Deployment;
use serde_json::json;

use crate::explain::with_outcome;

#[tokio::test]
async fn pods_stand_beneath_their_workloads() {
    let world = World::new("tree").await;
    let repo = world.repo("config");
    let commit = repo.commit(&[
        (
            "web.yaml",
            Some(&deployment("web", 3, "registry.example/web:1")),
        ),
        (
            "api.yaml",
            Some(&with_outcome(
                &deployment("api", 1, "registry.example/api:2"),
                "image-pull-error",
            )),
        ),
        ("settings.yaml", Some(&config_map("settings", "one"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    world
        .object("web", "3 Pods ready", |web: &Deployment| {
            web.status.as_ref().and_then(|status| status.ready_replicas) == Some(3)
        })
        .await;
    let person = world.person();
    // Watched, so that the Pods' states are waited for.
    let mut watched = person
        .gitops(&["status", "shop", "--watch"])
        .on_terminal(120, 40);
    watched
        .shows("ImagePullBackOff")
        .await
        .shows("Pod x3")
        .await;
    watched.interrupt();
    watched.ends().await.is_tidy();

    let piped = person.gitops(&["status", "shop"]).run().await;
    piped.exits(0).is_plain();
    piped
        .prints("├─ Deployment/api")
        .prints("ReplicaSet/web-")
        .prints("Pod x3")
        .prints("Running")
        .prints("registry.example/api:2: back-off pulling the image")
        .prints(&format!("live       {}", &commit[..7]));
    let narrow = person.gitops(&["status", "shop"]).on_terminal(60, 50);
    narrow.ends().await.exits(0).is_tidy().shows("ReplicaSet/");
    let ascii = person.gitops(&["status", "shop"]).with("LC_ALL", "C");
    let ascii = ascii.run().await;
    ascii.check(ascii.stdout.is_ascii(), "is ASCII");
    let live = "jsonpath={.applications[0].live.commit.revision}";
    let live = person.gitops(&["status", "shop", "-o", live]).run().await;
    live.exits(0).prints(&commit);
}

#[tokio::test]
async fn pods_that_may_not_be_read_are_said_so() {
    let world = World::new("treerights").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let rules = json!([
        {"apiGroups": ["argoproj.io"], "resources": ["applications"], "verbs": ["get", "list"]},
    ]);
    let reader = world.person_with("reader", rules).await;
    let status = reader.gitops(&["status", "shop"]).run().await;
    status.exits(0).is_plain().prints("Deployment/web");
    status.prints(&format!(
        "not shown: Pods in namespace {}: you may not list them",
        world.target
    ));
    let explained = reader.gitops(&["explain", "shop"]).run().await;
    explained
        .exits(0)
        .prints("shop is fine")
        .prints("not seen: Events");
}
