//! Objects that move from one Application to another are handed over, never deleted in between.

use gitops_e2e::manifests::config_map;
use gitops_e2e::{App, Repo, World};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use serde_json::json;

async fn app<'a>(world: &'a World, repo: &Repo, name: &str) -> App<'a> {
    world
        .app(name)
        .repo(repo)
        .path(name)
        .automated()
        .create()
        .await
}

/// The object, once it belongs to an application.
async fn of(world: &World, name: &str, instance: &str) -> ConfigMap {
    world
        .object(name, &format!("of {instance}"), |map: &ConfigMap| {
            map.annotations()
                .get("argocd.argoproj.io/tracking-id")
                .is_some_and(|id| id.starts_with(&format!("{instance}:")))
        })
        .await
}

#[tokio::test]
async fn in_one_commit_whoever_looks_at_it_first() {
    let world = World::new("moveone").await;
    let repo = world.repo("config");
    let moved = config_map("moved", "1");
    let stays = |name: &str| config_map(name, "1");
    repo.commit(&[
        ("a/moved.yaml", Some(&moved)),
        ("a/stays.yaml", Some(&stays("in-a"))),
        ("b/stays.yaml", Some(&stays("in-b"))),
    ]);
    let a = app(&world, &repo, "a").await;
    let b = app(&world, &repo, "b").await;
    a.synced().await;
    b.synced().await;
    let uid = of(&world, "moved", "a").await.uid();
    // There and back, so that each of them is once the one who gives.
    for (from, to) in [("a", "b"), ("b", "a"), ("a", "b"), ("b", "a")] {
        let (gone, new) = (format!("{from}/moved.yaml"), format!("{to}/moved.yaml"));
        let commit = repo.commit(&[(&gone, None), (&new, Some(&moved))]);
        assert_eq!(of(&world, "moved", to).await.uid(), uid, "it was deleted");
        a.synced_to(&commit).await;
        b.synced_to(&commit).await;
        // Also when the agents that look know nothing yet.
        if to == "a" {
            world.agent().restart();
        }
    }
    let event = world.event("ConfigMap", "moved", "HandedOver").await;
    assert!(event.contains("without being deleted"), "{event}");
}

#[tokio::test]
async fn taken_first_and_given_later_or_with_the_whole_application() {
    let world = World::new("movetwo").await;
    let (from, to) = (world.repo("from"), world.repo("to"));
    let moved = config_map("moved", "1");
    from.commit(&[
        ("a/moved.yaml", Some(&moved)),
        ("a/stays.yaml", Some(&config_map("in-a", "1"))),
    ]);
    to.write("b/stays.yaml", &config_map("in-b", "1"));
    let a = app(&world, &from, "a").await;
    let b = app(&world, &to, "b").await;
    a.synced().await;
    b.synced().await;
    let uid = of(&world, "moved", "a").await.uid();
    to.write("b/moved.yaml", &moved);
    b.condition("SharedResourceWarning", &["moved", "it stays with a"])
        .await;
    assert_eq!(of(&world, "moved", "a").await.uid(), uid);
    from.commit(&[("a/moved.yaml", None)]);
    assert_eq!(of(&world, "moved", "b").await.uid(), uid);
    b.healthy().await;
    a.healthy().await;

    // The whole application goes, with its finalizer, and another one wants what it had.
    from.write("a/moved.yaml", &moved);
    a.condition("SharedResourceWarning", &["moved", "it stays with b"])
        .await;
    b.patch(json!({"metadata": {"finalizers": ["resources-finalizer.argocd.argoproj.io"]}}))
        .await;
    b.delete().await;
    b.gone().await;
    assert_eq!(of(&world, "moved", "a").await.uid(), uid);
    assert!(!world.exists::<ConfigMap>("in-b").await);
    a.synced().await;
}
