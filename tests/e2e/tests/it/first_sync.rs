//! From a commit to objects in the cluster: first sync, further commits, prune.

use gitops_e2e::World;
use gitops_e2e::application::{resource, revision, status};
use gitops_e2e::manifests::{config_map, deployment};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;

#[tokio::test]
async fn a_commit_reaches_the_cluster_and_the_status_says_so() {
    let world = World::new("first").await;
    let repo = world.repo("config");
    let commit = repo.commit(&[
        ("k8s/web.yaml", Some(&deployment("web", 2, "web:1"))),
        ("k8s/settings.yaml", Some(&config_map("settings", "one"))),
    ]);
    let app = world
        .app("shop")
        .repo(&repo)
        .path("k8s")
        .automated()
        .create()
        .await;
    let app = app.healthy().await;

    assert_eq!(revision(&app), commit);
    let status = status(&app);
    assert_eq!(status.source_type, "Directory");
    assert_eq!(status.summary.unwrap_or_default().images, ["web:1"]);
    assert_eq!(status.history.len(), 1);
    assert_eq!(status.history[0].revision, commit);
    assert!(status.reconciled_at.is_some());
    assert!(status.conditions.is_empty(), "{:?}", status.conditions);
    let operation = status.operation_state.unwrap();
    assert!(operation.phase.is_successful(), "{}", operation.message);
    assert!(
        operation
            .operation
            .initiated_by
            .unwrap_or_default()
            .automated
    );
    assert_eq!(operation.sync_result.unwrap().resources.len(), 2);
    let web = resource(&app, "Deployment", "web").unwrap();
    assert_eq!((web.group.as_str(), web.version.as_str()), ("apps", "v1"));
    assert_eq!(web.namespace, world.target);

    let events = world.all_events().await;
    assert!(events.contains("OperationCompleted"), "{events}");

    let live = world.object("web", "there", |_: &Deployment| true).await;
    assert_eq!(live.labels()["gitops-agent.io/managed-by"], world.namespace);
    assert_eq!(
        live.annotations()["argocd.argoproj.io/tracking-id"],
        format!("shop:apps/Deployment:{}/web", world.target)
    );
    assert!(
        live.annotations()
            .contains_key("gitops-agent.io/desired-digest")
    );
    let managers: Vec<_> = live
        .managed_fields()
        .iter()
        .filter_map(|f| f.manager.as_deref())
        .collect();
    assert!(managers.contains(&"gitops-agent"), "{managers:?}");
}

#[tokio::test]
async fn an_image_is_bumped_by_a_commit() {
    let world = World::new("bump").await;
    let repo = world.repo("config");
    repo.write("web.yaml", &deployment("web", 1, "web:1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.healthy().await;
    let commit = repo.write("web.yaml", &deployment("web", 1, "web:2"));
    let after = app.synced_to(&commit).await;

    assert_eq!(status(&after).history.len(), 2);
    let image = |live: &Deployment| {
        live.spec.as_ref().and_then(|spec| {
            spec.template
                .spec
                .as_ref()?
                .containers
                .first()?
                .image
                .clone()
        })
    };
    world
        .object("web", "web:2", |live| {
            image(live).as_deref() == Some("web:2")
        })
        .await;
    app.wait("Healthy with web:2", |app| {
        status(app).summary.unwrap_or_default().images == ["web:2"]
    })
    .await;
}

#[tokio::test]
async fn what_is_removed_from_git_is_pruned() {
    let world = World::new("prune").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("kept", "1"))),
        ("b.yaml", Some(&config_map("removed", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    world.config_map_is("removed", "1").await;
    let commit = repo.remove("b.yaml");
    world.object_gone::<ConfigMap>("removed").await;
    let after = app.synced_to(&commit).await;

    assert!(resource(&after, "ConfigMap", "removed").is_none());
    assert!(world.exists::<ConfigMap>("kept").await);
}

#[tokio::test]
async fn without_prune_the_object_stays_and_is_reported() {
    let world = World::new("noprune").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("kept", "1"))),
        ("b.yaml", Some(&config_map("removed", "1"))),
    ]);
    let automated = serde_json::json!({"selfHeal": true});
    let app = world
        .app("shop")
        .repo(&repo)
        .set("/spec/syncPolicy/automated", automated)
        .create()
        .await;
    app.synced().await;
    repo.remove("b.yaml");
    let after = app
        .wait("removed requires pruning", |app| {
            resource(app, "ConfigMap", "removed").is_some_and(|found| found.requires_pruning)
        })
        .await;

    assert!(gitops_e2e::application::is_out_of_sync(&after));
    assert!(world.exists::<ConfigMap>("removed").await);
}

#[tokio::test]
async fn fields_of_a_newer_argo_cd_are_kept() {
    let world = World::new("newer").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .set("/spec/fromTheFuture", serde_json::json!({"kept": true}))
        .set("/spec/source/alsoNew", serde_json::json!("yes"))
        .create()
        .await;
    app.synced().await;
    let text = serde_json::to_value(app.get().await).unwrap();
    assert_eq!(text["spec"]["fromTheFuture"]["kept"], true);
    assert_eq!(text["spec"]["source"]["alsoNew"], "yes");
    assert_eq!(text["status"]["history"][0]["source"]["alsoNew"], "yes");
}
