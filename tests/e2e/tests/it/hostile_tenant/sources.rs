//! Sources of an author: whatever names one is measured by the project.

use gitops_api::OperationPhase;
use gitops_e2e::World;
use gitops_e2e::application::status;
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::core::v1::ConfigMap;
use serde_json::json;

use super::project;

#[tokio::test]
async fn the_source_of_an_operation_is_measured_by_the_project() {
    let world = World::new("opsource").await;
    let (own, secret) = (world.repo("own"), world.repo("secret"));
    own.write("a.yaml", &config_map("own", "one"));
    secret.write("a.yaml", &config_map("stolen", "one"));
    let spec = json!({
        "sourceRepos": [own.url()],
        "destinations": [{"server": "*", "namespace": world.target}],
    });
    project(&world, "fenced", spec).await;
    let app = world.app("shop").repo(&own);
    let app = app.set("/spec/project", json!("fenced")).create().await;
    let source = json!({"repoURL": secret.url(), "path": ".", "targetRevision": "main"});
    for sync in [
        json!({"source": source}),
        json!({"sources": [source]}),
        json!({"source": source, "dryRun": true}),
    ] {
        let app = app.sync(sync.clone()).await;
        let state = status(&app).operation_state.unwrap();
        assert_eq!(
            state.phase,
            OperationPhase::Error,
            "{sync} {}",
            state.message
        );
        assert!(state.message.contains("sourceRepos"), "{}", state.message);
        assert!(state.message.contains(&secret.url()), "{}", state.message);
    }
    assert!(!world.exists::<ConfigMap>("stolen").await);
    // What is allowed may stand in.
    let source = json!({"repoURL": own.url(), "path": ".", "targetRevision": "main"});
    let app = app.sync(json!({"source": source})).await;
    let state = status(&app).operation_state.unwrap();
    assert_eq!(state.phase, OperationPhase::Succeeded, "{}", state.message);
    world.config_map_is("own", "one").await;
}

#[tokio::test]
async fn a_preview_and_a_pinned_revision_stay_within_the_source_repositories() {
    let world = World::new("narrowsource").await;
    let own = world.repo("own");
    let first = own.write("a.yaml", &config_map("own", "one"));
    let everything = json!({
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": world.target}],
    });
    project(&world, "fenced", everything).await;
    let app = world.app("shop").repo(&own).automated();
    let app = app.set("/spec/project", json!("fenced")).create().await;
    app.synced_to(&first).await;
    let narrowed = json!({
        "sourceRepos": ["https://other.example/**"],
        "destinations": [{"server": "*", "namespace": world.target}],
    });
    project(&world, "fenced", narrowed).await;
    app.condition("InvalidSpecError", &["sourceRepos"]).await;
    let app = app.sync(json!({"revision": first})).await;
    let state = status(&app).operation_state.unwrap();
    assert_eq!(state.phase, OperationPhase::Error, "{}", state.message);
}

#[tokio::test]
async fn a_repository_that_is_denied_is_not_asked_for_its_commits() {
    let world = World::new("notasked").await;
    let denied = world.repo("denied");
    denied.write("a.yaml", &config_map("a", "one"));
    let spec = json!({
        "sourceRepos": ["*", format!("!{}", denied.url())],
        "destinations": [{"server": "*", "namespace": world.target}],
    });
    project(&world, "fenced", spec).await;
    let spelled = denied.url().replacen("://", "://user@", 1);
    for (name, url) in [("plain", denied.url()), ("user", spelled)] {
        let app = world.app(name).repo(&denied).automated();
        let app = app
            .set("/spec/project", json!("fenced"))
            .set("/spec/source/repoURL", json!(url));
        let app = app.create().await;
        app.condition("InvalidSpecError", &["denies", "sourceRepos"])
            .await;
        let app = app.sync(json!({})).await;
        let state = status(&app).operation_state.unwrap();
        assert_eq!(state.phase, OperationPhase::Error, "{}", state.message);
    }
    assert_eq!(world.times_logged("fetched"), 0);
    assert!(!world.exists::<ConfigMap>("a").await);
}
