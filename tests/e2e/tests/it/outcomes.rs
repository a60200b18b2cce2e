//! How a sync ended, in Argo CD's terms: done only when all of it is done, failed where it is not, and each
//! object's part of it.

use gitops_api::status::ResourceResult;
use gitops_api::{
    Application, HealthStatusCode, OperationPhase, ResultCode, SyncPhase, SyncStatusCode,
};
use gitops_e2e::World;
use gitops_e2e::application::{conditions, health, operation, resource, status, sync_code};
use gitops_e2e::manifests::{config_map, definition, hook_job};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

fn result(app: &Application, name: &str) -> ResourceResult {
    let results = operation(app).sync_result.unwrap_or_default().resources;
    let found = results.into_iter().find(|result| result.name == name);
    found.unwrap_or_default()
}

fn history(app: &Application) -> usize {
    status(app).history.len()
}

fn hook(name: &str, phase: &str, outcome: &str) -> String {
    hook_job(name, &format!("argocd.argoproj.io/hook: {phase}"), outcome)
}

/// An object of a kind that the cluster does not serve fails the sync, what is to follow it does not run, and
/// it goes on by itself when the definition comes.
#[tokio::test]
async fn an_unserved_kind_is_no_success() {
    let world = World::new("unserved").await;
    let repo = world.repo("config");
    let group = format!("{}.example.com", world.namespace);
    let widget = format!("apiVersion: {group}/v1\nkind: Widget\nmetadata:\n  name: one\n");
    let commit = repo.commit(&[
        ("a.yaml", Some(&config_map("settings", "one"))),
        ("post.yaml", Some(&hook("post", "PostSync", ""))),
        ("widget.yaml", Some(&widget)),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    let failed = app
        .wait("a failed sync", |app| {
            operation(app).phase == OperationPhase::Failed
        })
        .await;
    let state = operation(&failed);
    assert!(state.message.contains("Widget"), "{}", state.message);
    assert_eq!(result(&failed, "one").status, Some(ResultCode::SyncFailed));
    assert_eq!(result(&failed, "one").reason, "ObjectKindUnknown");
    assert_eq!(result(&failed, "settings").status, Some(ResultCode::Synced));
    assert_eq!(history(&failed), 0);
    assert!(!world.exists::<Job>("post").await);

    let definition = definition(&group, "Widget");
    world.plane.apply_value_as("gitops-e2e", definition).await;
    let done = app.synced_to(&commit).await;
    assert!(operation(&done).phase.is_successful());
    assert_eq!(history(&done), 1);
    world.object("post", "there", |_: &Job| true).await;
}

/// A PostSync hook that fails is tried again as `retry` says, although all objects are as Git has them.
#[tokio::test]
async fn a_hook_that_fails_after_everything_was_applied_is_tried_again() {
    let world = World::new("retryhook").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("settings", "one"))),
        ("post.yaml", Some(&hook("post", "PostSync", "fail"))),
    ]);
    let retry =
        json!({"automated": {}, "retry": {"limit": 2, "backoff": {"duration": "1s", "factor": 1}}});
    let app = world
        .app("shop")
        .repo(&repo)
        .set("/spec/syncPolicy", retry)
        .create()
        .await;
    let ended = app
        .wait("two retries", |app| {
            let state = operation(app);
            state.phase == OperationPhase::Failed && state.retry_count == 2
        })
        .await;
    assert_eq!(history(&ended), 0);
    assert_eq!(sync_code(&ended), Some(SyncStatusCode::Synced));
    // A hook alone is no difference; with one it runs as it is then.
    let commit = repo.commit(&[
        ("a.yaml", Some(&config_map("settings", "two"))),
        ("post.yaml", Some(&hook("post", "PostSync", ""))),
    ]);
    let done = app
        .wait("a success", |app| operation(app).phase.is_successful())
        .await;
    assert_eq!(operation(&done).sync_result.unwrap().revision, commit);
}

/// What a terminated sync had begun is Failed, and not Running for ever.
#[tokio::test]
async fn a_hook_that_was_stopped_says_so() {
    let world = World::new("stopped").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("settings", "one"))),
        ("pre.yaml", Some(&hook("pre", "PreSync", "hang"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.wait("the hook runs", |app| {
        result(app, "pre").hook_phase == Some(OperationPhase::Running)
    })
    .await;
    let ending = json!({"status": {"operationState": {"phase": "Terminating"}}});
    app.patch(ending).await;
    let ended = app
        .wait("the end", |app| {
            operation(app).phase == OperationPhase::Failed
        })
        .await;
    let stopped = result(&ended, "pre");
    assert_eq!(stopped.hook_phase, Some(OperationPhase::Failed));
    assert_eq!(stopped.message, "Terminated");
    assert_eq!(stopped.sync_phase, Some(SyncPhase::PreSync));
    world.object_gone::<Job>("pre").await;
}

/// A commit of which only an object is left that must not be pruned is delivered by leaving it.
#[tokio::test]
async fn a_commit_that_only_leaves_something_is_a_deployment() {
    let world = World::new("leaves").await;
    let repo = world.repo("config");
    let kept = config_map("kept", "one").replacen(
        "metadata:\n",
        "metadata:\n  annotations: {argocd.argoproj.io/sync-options: Prune=false}\n",
        1,
    );
    repo.commit(&[
        ("a.yaml", Some(&config_map("settings", "one"))),
        ("kept.yaml", Some(&kept)),
    ]);
    let prune = json!({"automated": {"prune": true}});
    let app = world.app("shop").repo(&repo);
    let app = app.set("/spec/syncPolicy", prune).create().await;
    app.synced().await;
    let commit = repo.remove("kept.yaml");
    let done = app
        .wait("a second deployment", |app| history(app) == 2)
        .await;
    let state = operation(&done);
    assert!(state.phase.is_successful(), "{}", state.message);
    assert_eq!(state.sync_result.unwrap().revision, commit);
    let left = result(&done, "kept");
    assert_eq!(left.status, Some(ResultCode::PruneSkipped));
    assert!(
        left.message.starts_with("ignored (no prune)"),
        "{}",
        left.message
    );
    assert!(world.exists::<ConfigMap>("kept").await);
    // And it stays at that.
    world.agent().restart();
    let after = app.refresh("normal").await;
    assert_eq!(history(&after), 2);
    assert_eq!(sync_code(&after), Some(SyncStatusCode::OutOfSync));
}

/// One object that the project does not allow is that object's failure: the sync fails, the others are told of
/// as ever, and it goes on when the project allows it.
#[tokio::test]
async fn an_object_that_is_denied_does_not_hide_the_others() {
    let world = World::new("denied").await;
    let repo = world.repo("config");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata:\n  name: token\nstringData: {a: b}\n";
    repo.commit(&[
        ("a.yaml", Some(&config_map("settings", "one"))),
        ("secret.yaml", Some(secret)),
    ]);
    let project = |denied: serde_json::Value| {
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "fenced", "namespace": world.namespace},
            "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
                "namespaceResourceBlacklist": denied}})
        .to_string()
    };
    world
        .configure(&project(json!([{"group": "", "kind": "Secret"}])))
        .await;
    let app = world.app("shop").repo(&repo).automated();
    let app = app.set("/spec/project", json!("fenced")).create().await;
    let failed = app
        .wait("a failed sync", |app| {
            operation(app).phase == OperationPhase::Failed && !conditions(app).is_empty()
        })
        .await;
    let kinds: Vec<_> = conditions(&failed)
        .into_iter()
        .map(|(kind, _)| kind)
        .collect();
    assert_eq!(kinds, ["SyncError"]);
    assert_eq!(sync_code(&failed), Some(SyncStatusCode::OutOfSync));
    let code = |kind: &str, name: &str| resource(&failed, kind, name).and_then(|it| it.status);
    assert_eq!(code("Secret", "token"), Some(SyncStatusCode::Unknown));
    assert_eq!(
        code("ConfigMap", "settings"),
        Some(SyncStatusCode::OutOfSync)
    );
    assert!(
        !world.exists::<ConfigMap>("settings").await,
        "as a whole or not at all"
    );
    // It is not tried again and again.
    let started = operation(&failed).started_at;
    let again = app.refresh("normal").await;
    assert_eq!(operation(&again).started_at, started);

    world.configure(&project(json!([]))).await;
    let done = app.synced().await;
    assert!(operation(&done).phase.is_successful());
    assert!(conditions(&done).is_empty(), "{:?}", conditions(&done));
}

/// An Application under deletion looks like it, as long as something holds one of its objects.
#[tokio::test]
async fn an_application_on_its_way_out_is_neither_synced_nor_healthy() {
    let world = World::new("leaving").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world
        .app("shop")
        .repo(&repo)
        .automated()
        .cascading()
        .create()
        .await;
    app.synced().await;
    let maps: Api<ConfigMap> = world.api();
    let hold = |finalizers: serde_json::Value| {
        Patch::Merge(json!({"metadata": {"finalizers": finalizers}}))
    };
    let params = PatchParams::default();
    maps.patch("settings", &params, &hold(json!(["test.example.com/held"])))
        .await
        .unwrap();
    app.delete().await;
    app.wait("OutOfSync and Progressing", |app| {
        sync_code(app) == Some(SyncStatusCode::OutOfSync)
            && health(app) == Some(HealthStatusCode::Progressing)
    })
    .await;
    maps.patch("settings", &params, &hold(json!(null)))
        .await
        .unwrap();
    app.gone().await;
}

/// Argo CD's server asks for hydration with each refresh; what is not needed is taken off all the same.
#[tokio::test]
async fn requests_of_argo_cds_server_are_consumed_and_its_metrics_are_told() {
    let world = World::new("consumed").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    app.synced().await;
    app.patch(json!({"metadata": {"annotations": {
        "argocd.argoproj.io/refresh": "normal", "argocd.argoproj.io/hydrate": "normal"}}}))
        .await;
    app.wait("no annotations", |app| {
        let annotations = app.metadata.annotations.clone().unwrap_or_default();
        annotations
            .keys()
            .all(|name| !name.contains("/refresh") && !name.contains("/hydrate"))
    })
    .await;
    let text = world.agent().get("/metrics");
    for series in [
        "argocd_app_info{".to_owned(),
        "sync_status=\"Synced\"".to_owned(),
        format!(
            "argocd_app_sync_total{{namespace=\"{}\",name=\"shop\"",
            world.namespace
        ),
        format!(
            "argocd_app_reconcile_count{{namespace=\"{}\"",
            world.namespace
        ),
        "argocd_git_request_total{".to_owned(),
        "argocd_cluster_info{".to_owned(),
    ] {
        assert!(text.contains(&series), "{series} is not in\n{text}");
    }
}
