//! What others may change: ignored differences are no drift, are not taken back, and are counted.

use gitops_api::Application;
use gitops_e2e::application::{is_out_of_sync, is_synced, resource, revision, settled, status};
use gitops_e2e::manifests::{config_map, deployment};
use gitops_e2e::{App, World};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

const REPLICAS: &str = ".spec.replicas";

/// Scales a Deployment as an autoscaler does.
async fn scale(world: &World, name: &str, replicas: i32) {
    let params = PatchParams {
        field_manager: Some("autoscaler".into()),
        ..PatchParams::default()
    };
    let patch = Patch::Merge(json!({"spec": {"replicas": replicas}}));
    let api = world.api::<Deployment>();
    api.patch_scale(name, &params, &patch).await.unwrap();
}

/// Changes an object as a person does.
async fn edit(world: &World, name: &str, patch: Value) {
    let params = PatchParams {
        field_manager: Some("kubectl-edit".into()),
        ..PatchParams::default()
    };
    let api = world.api::<Deployment>();
    api.patch(name, &params, &Patch::Merge(patch))
        .await
        .unwrap();
}

async fn replicas(world: &World, name: &str) -> Option<i32> {
    let live = world.api::<Deployment>().get(name).await.unwrap();
    live.spec.and_then(|spec| spec.replicas)
}

fn ignored(app: &Application, kind: &str, name: &str) -> Vec<String> {
    resource(app, kind, name).map_or_else(Vec::new, |resource| resource.ignored_fields)
}

fn rule(name: &str, field: &str, value: &str) -> Value {
    let mut rule = json!({"group": "apps", "kind": "Deployment", "name": name});
    rule[field] = json!([value]);
    rule
}

async fn ignores(app: &App<'_>, names: &[&str]) -> Application {
    app.wait(&format!("Synced, replicas of {names:?} ignored"), |app| {
        is_synced(app)
            && names
                .iter()
                .all(|name| ignored(app, "Deployment", name) == [REPLICAS])
    })
    .await
}

#[tokio::test]
async fn what_an_autoscaler_sets_is_neither_drift_nor_taken_back() {
    let world = World::new("ignore").await;
    let repo = world.repo("config");
    let names = ["pointer", "expression", "manager", "strict"];
    let files: Vec<_> = names
        .iter()
        .map(|name| (format!("{name}.yaml"), deployment(name, 1, "web:1")))
        .collect();
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (path.as_str(), Some(text.as_str())))
        .collect();
    let commit = repo.commit(&files);
    let rules = json!([
        rule("pointer", "jsonPointers", "/spec/replicas"),
        rule(
            "expression",
            "jqPathExpressions",
            ".spec | select(.replicas > 0).replicas"
        ),
        rule("manager", "managedFieldsManagers", "autoscaler"),
        rule(
            "strict",
            "jqPathExpressions",
            ".spec.replicas | select(. == "
        ),
        rule("strict", "managedFieldsManagers", "somebody-else"),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/spec/ignoreDifferences", rules)
        .create()
        .await;
    app.synced_to(&commit).await;
    app.condition(
        "InvalidSettingWarning",
        &[
            "spec.ignoreDifferences[3].jqPathExpressions[0] \".spec.replicas | select(. == \"",
            "closing parenthesis expected at the end",
        ],
    )
    .await;

    for name in ["pointer", "expression", "manager"] {
        scale(&world, name, 4).await;
    }
    ignores(&app, &["pointer", "expression", "manager"]).await;
    // Known to be ignored, it costs no request however often it changes; what is not ignored is
    // taken back, and while that happens nothing else is.
    scale(&world, "pointer", 7).await;
    scale(&world, "strict", 9).await;
    world
        .object("strict", "one replica again", |live: &Deployment| {
            live.spec.as_ref().and_then(|spec| spec.replicas) == Some(1)
        })
        .await;
    let now = app
        .wait("Synced, with the heal on record", |app| {
            let healed = status(app).operation_state.is_some_and(|state| {
                let sync = state.operation.sync.unwrap_or_default();
                sync.resources.iter().any(|one| one.name == "strict")
            });
            is_synced(app) && settled(app) && healed
        })
        .await;
    assert_eq!(replicas(&world, "pointer").await, Some(7));
    assert_eq!(replicas(&world, "expression").await, Some(4));
    assert_eq!(replicas(&world, "manager").await, Some(4));
    assert!(ignored(&now, "Deployment", "strict").is_empty());

    let diff = world.person().gitops(&["diff", "shop"]).run().await;
    diff.exits(0)
        .prints("3 differences ignored by ignoreDifferences");

    // The agent finds out again after a restart.
    let before = status(&now).operation_state;
    world.agent().kill();
    world.agent().restart();
    scale(&world, "manager", 5).await;
    let after = ignores(&app, &["pointer", "expression", "manager"]).await;
    assert_eq!(status(&after).operation_state, before, "nothing was synced");
    assert_eq!(replicas(&world, "pointer").await, Some(7));
}

#[tokio::test]
async fn a_sync_for_another_reason_keeps_ignored_fields_when_they_are_respected() {
    let world = World::new("respect").await;
    let repo = world.repo("config");
    let commit = repo.commit(&[("web.yaml", Some(&deployment("web", 1, "web:1")))]);
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set(
            "/spec/ignoreDifferences",
            json!([rule("web", "jsonPointers", "/spec/replicas")]),
        )
        .set(
            "/spec/syncPolicy/syncOptions",
            json!(["RespectIgnoreDifferences=true"]),
        )
        .create()
        .await;
    app.synced_to(&commit).await;
    assert_eq!(replicas(&world, "web").await, Some(1), "made as Git says");

    scale(&world, "web", 4).await;
    let synced = ignores(&app, &["web"]).await;

    // Only what is ignored changed in Git: nothing to do.
    let commit = repo.commit(&[("web.yaml", Some(&deployment("web", 2, "web:1")))]);
    let same = app
        .wait("Synced to the commit", |app| {
            is_synced(app) && revision(app) == commit
        })
        .await;
    assert_eq!(
        status(&same).operation_state,
        status(&synced).operation_state
    );

    let image = |image: &'static str| {
        move |live: &Deployment| {
            let spec = live.spec.as_ref().and_then(|s| s.template.spec.as_ref());
            spec.is_some_and(|spec| spec.containers[0].image.as_deref() == Some(image))
        }
    };
    let commit = repo.commit(&[("web.yaml", Some(&deployment("web", 2, "web:2")))]);
    world.object("web", "image web:2", image("web:2")).await;
    app.synced_to(&commit).await;
    assert_eq!(replicas(&world, "web").await, Some(4), "respected");
    ignores(&app, &["web"]).await;

    // Healing keeps them too.
    edit(&world, "web", json!({"metadata": {"labels": {"app": "x"}}})).await;
    world
        .object("web", "label as in Git", |live: &Deployment| {
            live.labels().get("app").is_some_and(|label| label == "web")
        })
        .await;
    assert_eq!(
        replicas(&world, "web").await,
        Some(4),
        "respected by a heal"
    );

    // Not respected, a sync for another reason sets what Git says.
    app.patch(json!({"spec": {"syncPolicy": {"syncOptions": null}}}))
        .await;
    let commit = repo.commit(&[("web.yaml", Some(&deployment("web", 2, "web:3")))]);
    world.object("web", "image web:3", image("web:3")).await;
    app.synced_to(&commit).await;
    assert_eq!(replicas(&world, "web").await, Some(2));

    // Without the rule it is drift like any other.
    scale(&world, "web", 6).await;
    ignores(&app, &["web"]).await;
    app.patch(json!({"spec": {"ignoreDifferences": null}}))
        .await;
    world
        .object("web", "two replicas", |live: &Deployment| {
            live.spec.as_ref().and_then(|spec| spec.replicas) == Some(2)
        })
        .await;
}

#[tokio::test]
async fn what_was_respected_counts_again_when_the_rule_goes() {
    let world = World::new("rulegone").await;
    let repo = world.repo("config");
    repo.commit(&[("web.yaml", Some(&deployment("web", 1, "web:1")))]);
    let app = world
        .app("shop")
        .repo(&repo)
        .set(
            "/spec/ignoreDifferences",
            json!([rule("web", "jsonPointers", "/spec/replicas")]),
        )
        .set(
            "/spec/syncPolicy/syncOptions",
            json!(["RespectIgnoreDifferences=true"]),
        )
        .create()
        .await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({})).await;
    scale(&world, "web", 3).await;
    ignores(&app, &["web"]).await;
    let commit = repo.commit(&[("web.yaml", Some(&deployment("web", 1, "web:2")))]);
    app.wait("OutOfSync", |app| {
        is_out_of_sync(app) && revision(app) == commit
    })
    .await;
    app.sync(json!({})).await;
    ignores(&app, &["web"]).await;
    assert_eq!(replicas(&world, "web").await, Some(3));
    world.agent().kill();
    world.agent().restart();
    app.patch(json!({"spec": {"ignoreDifferences": null}}))
        .await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({})).await;
    app.synced().await;
    assert_eq!(replicas(&world, "web").await, Some(1));
}

#[tokio::test]
async fn an_extra_object_that_is_annotated_so_leaves_the_application_synced() {
    let world = World::new("extraneous").await;
    let repo = world.repo("config");
    let annotated = config_map("kept", "1").replace(
        "name: kept",
        "name: kept\n  annotations:\n    argocd.argoproj.io/compare-options: IgnoreExtraneous",
    );
    repo.commit(&[
        ("web.yaml", Some(&config_map("web", "1"))),
        ("kept.yaml", Some(&annotated)),
        ("plain.yaml", Some(&config_map("plain", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({})).await;
    app.synced().await;
    let commit = repo.commit(&[("kept.yaml", None)]);
    let app_now = app
        .wait("Synced all the same", |app| {
            is_synced(app)
                && revision(app) == commit
                && resource(app, "ConfigMap", "kept").is_some_and(|r| r.requires_pruning)
        })
        .await;
    let kept = resource(&app_now, "ConfigMap", "kept").unwrap();
    assert_eq!(
        kept.status,
        Some(gitops_api::SyncStatusCode::OutOfSync),
        "the object itself is not hidden"
    );
    repo.commit(&[("plain.yaml", None)]);
    app.wait("OutOfSync by the plain one", is_out_of_sync).await;
    app.sync(json!({"prune": true})).await;
    world.object_gone::<ConfigMap>("plain").await;
    world.object_gone::<ConfigMap>("kept").await;
    app.synced().await;
}
