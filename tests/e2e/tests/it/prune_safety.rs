//! Prunes that wait for a person: large ones, and those of objects that ask for it.

use gitops_api::{Application, OperationPhase};
use gitops_e2e::application::{is_out_of_sync, status};
use gitops_e2e::manifests::config_map;
use gitops_e2e::{Repo, World};
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

/// A repository with so many ConfigMaps.
fn maps(world: &World, count: usize) -> Repo {
    let repo = world.repo("config");
    let files: Vec<(String, String)> = (0..count)
        .map(|index| (file(index), config_map(&name(index), "1")))
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    repo.commit(&files);
    repo
}

fn name(index: usize) -> String {
    format!("map-{index:02}")
}

fn file(index: usize) -> String {
    format!("{}.yaml", name(index))
}

/// Removes these from Git, and changes the first one.
fn remove(repo: &Repo, removed: std::ops::Range<usize>, value: &str) -> String {
    let paths: Vec<String> = removed.map(file).collect();
    let first = config_map(&name(0), value);
    let mut files: Vec<_> = paths.iter().map(|path| (path.as_str(), None)).collect();
    files.push(("map-00.yaml", Some(first.as_str())));
    repo.commit(&files)
}

async fn count(world: &World) -> usize {
    let maps = world.api::<ConfigMap>();
    let all = maps.list(&kube::api::ListParams::default()).await.unwrap();
    let ours = |map: &&ConfigMap| {
        map.metadata
            .name
            .as_deref()
            .unwrap_or("")
            .starts_with("map-")
    };
    all.items.iter().filter(ours).count()
}

fn consent(time: &str) -> serde_json::Value {
    json!({"metadata": {"annotations": {"argocd.argoproj.io/deletion-approved": time}}})
}

fn message(app: &Application) -> String {
    status(app).operation_state.unwrap_or_default().message
}

#[tokio::test]
async fn a_large_prune_waits_while_everything_else_goes_on() {
    let world = World::new("budget").await;
    let repo = maps(&world, 15);
    // Neither automation alone nor a text nobody can read lets it go.
    let app = world
        .app("shop")
        .repo(&repo)
        .set("/spec/syncPolicy/automated", json!({"prune": true}))
        .set(
            "/metadata/annotations",
            json!({"gitops-agent.io/prune-budget": "half"}),
        )
        .create()
        .await;
    app.synced().await;
    app.condition("InvalidSettingWarning", &["\"half\"", "50%"])
        .await;
    app.patch(consent("2026-01-01T00:00:00Z")).await;
    let commit = remove(&repo, 1..13, "2");
    world.config_map_is("map-00", "2").await;
    app.condition(
        "ConfirmationWarning",
        &[
            "12 of 15 objects",
            "50%",
            "map-01",
            "kubectl gitops approve shop",
            &commit[..7],
        ],
    )
    .await;
    let waiting = app.get().await;
    assert!(is_out_of_sync(&waiting));
    assert!(
        message(&waiting).contains("12 of 15 objects"),
        "{}",
        message(&waiting)
    );
    world.agent().restart();
    app.refresh("normal").await;
    assert_eq!(count(&world).await, 15);
    // What comes next is another question, and applied all the same.
    let commit = remove(&repo, 13..14, "3");
    world.config_map_is("map-00", "3").await;
    app.condition("ConfirmationWarning", &["13 of 15 objects", &commit[..7]])
        .await;
    let person = world.person();
    let listed = person.gitops(&["status"]).run().await;
    listed.prints("waiting for approval, kubectl gitops approve shop");
    let explained = person.gitops(&["explain", "shop"]).run().await;
    explained
        .prints("waiting for approval of a deletion")
        .prints("13 of 15 objects");
    let refused = person.gitops(&["approve", "shop"]).run().await;
    refused.exits(4).says("--yes");
    assert_eq!(count(&world).await, 15);
    let agreed = person.gitops(&["approve", "shop", "--yes"]).run().await;
    agreed.exits(0).says("ConfigMap/map-13");
    app.synced_to(&commit).await;
    assert_eq!(count(&world).await, 2);
}

#[tokio::test]
async fn a_budget_can_be_said_and_a_person_who_prunes_has_said_yes() {
    let world = World::new("budgetset").await;
    let repo = maps(&world, 24);
    let budget =
        |text: &str| json!({"metadata": {"annotations": {"gitops-agent.io/prune-budget": text}}});
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    app.patch(budget("2")).await;
    let commit = remove(&repo, 1..4, "2");
    app.condition("ConfirmationWarning", &["3 of 24 objects", "budget of 2"])
        .await;
    app.patch(budget("none")).await;
    app.synced_to(&commit).await;
    app.patch(budget("0")).await;
    let commit = remove(&repo, 4..5, "3");
    app.condition("ConfirmationWarning", &["1 of 21 objects"])
        .await;
    app.sync(json!({"prune": true})).await;
    app.synced_to(&commit).await;
    // Everything is never deleted, whatever the budget.
    app.patch(budget("none")).await;
    let commit = remove(&repo, 5..24, "4");
    app.synced_to(&commit).await;
    let all = repo.commit(&[("map-00.yaml", None), ("README", Some("nothing"))]);
    app.compared_to(&all).await;
    app.condition("SyncError", &["Git holds no manifests"])
        .await;
    assert!(world.exists::<ConfigMap>("map-00").await);
}

#[tokio::test]
async fn what_asks_before_its_prune_is_asked_about_whoever_syncs() {
    let world = World::new("askprune").await;
    let asking = |name: &str| {
        config_map(name, "1").replace(
            &format!("  name: {name}"),
            &format!(
                "  name: {name}\n  annotations: {{argocd.argoproj.io/sync-options: Prune=confirm}}"
            ),
        )
    };
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&asking("first"))),
        ("b.yaml", Some(&asking("second"))),
        ("c.yaml", Some(&config_map("stays", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    repo.commit(&[
        ("a.yaml", None),
        ("c.yaml", Some(&config_map("stays", "2"))),
    ]);
    world.config_map_is("stays", "2").await;
    app.condition("ConfirmationWarning", &["Prune=confirm", "first"])
        .await;
    // Asked for by a person, it waits until there is a yes, and is not forgotten by a new agent.
    app.patch(json!({"operation": {"sync": {"prune": true}}}))
        .await;
    app.wait("an operation that asks", |app| {
        status(app).operation_state.is_some_and(|state| {
            state.phase == OperationPhase::Running
                && state.message.contains("kubectl gitops approve")
        })
    })
    .await;
    world.agent().restart();
    assert!(world.exists::<ConfigMap>("first").await);
    let person = world.person();
    let refused = person.gitops(&["approve", "shop"]).run().await;
    refused.exits(4).says("Prune=confirm");
    person
        .gitops(&["approve", "shop", "--yes"])
        .run()
        .await
        .exits(0);
    world.object_gone::<ConfigMap>("first").await;
    app.synced().await;
    person
        .gitops(&["approve", "shop"])
        .run()
        .await
        .exits(0)
        .says("nothing is waiting for approval");
    assert!(world.exists::<ConfigMap>("second").await);
}
