//! Changes in the cluster: shown field by field, and put back when self-heal is on.

use gitops_e2e::World;
use gitops_e2e::application::{is_out_of_sync, is_synced, resource, status};
use gitops_e2e::manifests::{config_map, deployment};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

fn by(manager: &str) -> PatchParams {
    PatchParams {
        field_manager: Some(manager.into()),
        ..PatchParams::default()
    }
}

#[tokio::test]
async fn a_scaled_deployment_is_scaled_back_and_the_object_says_so() {
    let world = World::new("scale").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &deployment("web", 3, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let scaled = json!({"spec": {"replicas": 5}});
    let live = world.api::<Deployment>();
    live.patch("web", &by("kubectl-scale"), &Patch::Merge(&scaled))
        .await
        .unwrap();
    let message = world.event("Deployment", "web", "SelfHealed").await;
    assert!(message.contains(".spec.replicas"), "{message}");
    assert!(message.contains('5') && message.contains('3'), "{message}");
    assert!(message.contains("kubectl-scale"), "{message}");
    world
        .object("web", "3 replicas", |web: &Deployment| {
            web.spec.as_ref().and_then(|spec| spec.replicas) == Some(3)
        })
        .await;
    let after = app
        .wait("a record of it", |app| !status(app).heals.is_empty())
        .await;
    let heal = status(&after).heals.remove(0);
    let field = &heal.fields[0];
    assert_eq!((heal.name.as_str(), heal.repeated), ("web", 0));
    assert_eq!(field.manager, "kubectl-scale");
    assert_eq!(field.live.as_deref(), Some("5"));
    app.healthy().await;
    assert!(world.agent().metric("gitops_agent_heals_total") >= 1.0);
}

#[tokio::test]
async fn deleted_objects_and_edited_labels_come_back() {
    let world = World::new("deleted").await;
    let repo = world.repo("config");
    let labeled = config_map("labeled", "1")
        .replace("name: labeled", "name: labeled\n  labels:\n    team: shop");
    repo.commit(&[
        ("a.yaml", Some(&config_map("gone", "1"))),
        ("b.yaml", Some(&labeled)),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let maps = world.api::<ConfigMap>();
    let uid = world.config_map_is("gone", "1").await.uid();
    maps.delete("gone", &DeleteParams::default()).await.unwrap();
    world
        .object("gone", "made anew", |map: &ConfigMap| map.uid() != uid)
        .await;
    let message = world.event("ConfigMap", "gone", "SelfHealed").await;
    assert!(message.contains("deleted"), "{message}");

    let edit = json!({"metadata": {"labels": {"team": "nobody"}}});
    maps.patch("labeled", &by("kubectl-label"), &Patch::Merge(&edit))
        .await
        .unwrap();
    let message = world.event("ConfigMap", "labeled", "SelfHealed").await;
    assert!(message.contains("team"), "{message}");
    world
        .object("labeled", "team shop", |map: &ConfigMap| {
            map.labels()["team"] == "shop"
        })
        .await;

    // Also when the label goes by which the agent watches.
    let edit = json!({"metadata": {"labels": {"gitops-agent.io/managed-by": null}}});
    maps.patch("labeled", &by("kubectl-label"), &Patch::Merge(&edit))
        .await
        .unwrap();
    world
        .object("labeled", "watched again", |map: &ConfigMap| {
            map.labels().contains_key("gitops-agent.io/managed-by")
        })
        .await;
}

#[tokio::test]
async fn without_self_heal_the_status_says_which_field_who_and_since_when() {
    let world = World::new("noheal").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &deployment("web", 2, "web:1"));
    let automated = json!({"prune": true});
    let app = world
        .app("shop")
        .repo(&repo)
        .set("/spec/syncPolicy/automated", automated)
        .create()
        .await;
    app.healthy().await;
    let edit = json!({"spec": {"replicas": 4}});
    world
        .api::<Deployment>()
        .patch("web", &by("kubectl-edit"), &Patch::Merge(&edit))
        .await
        .unwrap();
    let drifted = app
        .wait("OutOfSync with drift", |app| {
            is_out_of_sync(app)
                && resource(app, "Deployment", "web").is_some_and(|r| !r.drift.is_empty())
        })
        .await;
    let drift = resource(&drifted, "Deployment", "web").unwrap().drift;
    assert_eq!(drift.len(), 1, "{drift:?}");
    assert_eq!(drift[0].path, ".spec.replicas");
    assert_eq!(drift[0].desired.as_deref(), Some("2"));
    assert_eq!(drift[0].live.as_deref(), Some("4"));
    assert_eq!(drift[0].manager, "kubectl-edit");
    assert!(drift[0].since.is_some());

    let back = json!({"spec": {"replicas": 2}});
    world
        .api::<Deployment>()
        .patch("web", &by("kubectl-edit"), &Patch::Merge(&back))
        .await
        .unwrap();
    let after = app.wait("Synced again", is_synced).await;
    assert!(
        resource(&after, "Deployment", "web")
            .unwrap()
            .drift
            .is_empty()
    );
}

#[tokio::test]
async fn fields_git_does_not_set_belong_to_others() {
    let world = World::new("foreign").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    let added =
        json!({"metadata": {"annotations": {"autoscaler/note": "x"}}, "data": {"extra": "y"}});
    let maps = world.api::<ConfigMap>();
    maps.patch("settings", &by("autoscaler"), &Patch::Merge(&added))
        .await
        .unwrap();
    let commit = repo.write("a.yaml", &config_map("settings", "2"));
    let after = app.synced_to(&commit).await;
    assert!(is_synced(&after));
    let map = world.config_map_is("settings", "2").await;
    assert_eq!(map.data.as_ref().unwrap()["extra"], "y");
    assert_eq!(map.annotations()["autoscaler/note"], "x");
}

#[tokio::test]
async fn a_field_that_is_taken_back_again_and_again_is_healed_ever_less_often() {
    let world = World::new("fight").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let maps = world.api::<ConfigMap>();
    for number in 0..4 {
        let edit = json!({"data": {"value": format!("mine-{number}")}});
        maps.patch("settings", &by("other-operator"), &Patch::Merge(&edit))
            .await
            .unwrap();
        if number < 3 {
            world.config_map_is("settings", "one").await;
        }
    }
    let fields = "ConfigMap {}/settings (.data.value by other-operator)";
    let fields = fields.replace("{}", &world.target);
    app.condition("SyncError", &["backing off", &fields]).await;
    // Slower, and yet it does.
    world.config_map_is("settings", "one").await;
    app.healthy().await;
}
