//! After the move: nothing is changed by it, and what Git or people change afterwards is judged as before.

use std::collections::BTreeMap;

use gitops_api::{Application, OperationPhase, SyncStatusCode};
use gitops_e2e::recorded::Definitions;
use serde_json::{Value, json};

use super::{Moved, STATES, sync_of};

async fn a_move_changes_nothing(definitions: Definitions) {
    let mut moved = Moved::new(definitions).await;
    moved.looked_at().await;

    let api = moved.applications();
    let mut said = BTreeMap::new();
    for (name, expected) in STATES {
        let app = api.get(name).await.unwrap();
        let is = sync_of(&app)
            .map(|code| code.to_string())
            .unwrap_or_default();
        if is != expected {
            let status = serde_json::to_string(&app.status).unwrap();
            said.insert(name, format!("{is} instead of {expected}: {status}"));
        }
    }
    let changes = moved.changes(&[]).await;
    assert!(
        changes.is_empty(),
        "{changes:#?}\n{}",
        moved.world.agent_tail()
    );
    assert!(said.is_empty(), "{said:#?}");
    for verb in ["apply", "take-over", "delete"] {
        let sample = format!("gitops_agent_api_requests_total{{verb=\"{verb}\"}}");
        let count = moved.world.agent().metric(&sample);
        assert!(count < 0.5, "{count} writes: {verb}");
    }
    let inflight = api.get("inflight").await.unwrap();
    let state = inflight.status.unwrap().operation_state.unwrap();
    assert_eq!(state.phase, OperationPhase::Running, "{state:?}");
}

#[tokio::test]
async fn a_move_changes_nothing_under_argo_cds_definitions() {
    Box::pin(a_move_changes_nothing(Definitions::ArgoCd)).await;
}

#[tokio::test]
async fn a_move_changes_nothing_under_our_definitions() {
    Box::pin(a_move_changes_nothing(Definitions::Own)).await;
}

/// What Git changes afterwards arrives, and nothing else; what people change is judged as before.
async fn a_commit_changes_what_it_changes(definitions: Definitions) {
    let mut moved = Moved::new(definitions).await;
    moved.looked_at().await;
    let work = moved.recorded.checkout("config");
    let file = work.path().join("plain-web/all.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let edited = text.replace(
        "  level: \"info\"\n  url: \"http://api\"\n",
        "  level: \"debug\"\n",
    );
    assert_ne!(text, edited);
    std::fs::write(&file, edited).unwrap();
    let commit = moved.recorded.push(&work, "Less");
    let app = moved
        .until("plain-web", "synced to the commit", |app| {
            let sync = app.status.as_ref().and_then(|status| status.sync.as_ref());
            sync.is_some_and(|sync| {
                sync.revision == commit && sync.status == SyncStatusCode::Synced
            })
        })
        .await;
    assert!(app.status.unwrap().history.len() > 1);
    moved.refreshed().await;
    let changes = moved.changes(&["ConfigMap plain-web/web-config"]).await;
    assert!(changes.is_empty(), "{changes:#?}");
    let map = moved.find("ConfigMap plain-web/web-config").await.unwrap();
    assert_eq!(
        map["data"],
        json!({"level": "debug"}),
        "what Git gave up is gone"
    );
    assert_eq!(
        map["metadata"]["labels"]["gitops-agent.io/managed-by"],
        "argocd"
    );

    // Without self-heal a deleted object stays away; the hotfix stays.
    moved.delete("ConfigMap noheal-drift/noheal").await;
    // With self-heal it comes back, alone: hooks do not run.
    moved.delete("Service helm-api/helm-api").await;
    moved.until_there("Service helm-api/helm-api").await;
    moved.refreshed().await;
    moved.refreshed().await;
    assert!(moved.find("ConfigMap noheal-drift/noheal").await.is_none());
    let except = [
        "ConfigMap plain-web/web-config",
        "ConfigMap noheal-drift/noheal",
        "Service helm-api/helm-api",
    ];
    let changes = moved.changes(&except).await;
    assert!(
        changes.is_empty(),
        "{changes:#?}\n{}",
        moved.world.agent_tail()
    );

    // The agent forgets nothing of it when it starts anew.
    moved.world.agent().restart_anew();
    moved.world.logged("the agent runs").await;
    moved.refreshed().await;
    moved.refreshed().await;
    let changes = moved.changes(&except).await;
    assert!(
        changes.is_empty(),
        "{changes:#?}\n{}",
        moved.world.agent_tail()
    );
    assert!(moved.find("ConfigMap noheal-drift/noheal").await.is_none());

    // The failing hook runs when Git changes it, and as often as its retries say.
    let file = work.path().join("bad-hook/all.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("v: \"2\"", "v: \"3\"")).unwrap();
    let commit = moved.recorded.push(&work, "Again");
    let failed = moved
        .until("bad-hook", "given up", |app| {
            let state = app
                .status
                .as_ref()
                .and_then(|status| status.operation_state.as_ref());
            state.is_some_and(|state| {
                let result = state.sync_result.as_ref();
                state.phase == OperationPhase::Failed
                    && state.retry_count == 1
                    && result.is_some_and(|result| result.revision == commit)
            })
        })
        .await;
    let ended = |app: &Application| {
        app.status
            .as_ref()?
            .operation_state
            .as_ref()?
            .finished_at
            .clone()
    };
    moved.refreshed().await;
    moved.refreshed().await;
    let later = moved.applications().get("bad-hook").await.unwrap();
    assert_eq!(ended(&later), ended(&failed), "it ran again");
}

#[tokio::test]
async fn after_a_move_a_commit_arrives_under_argo_cds_definitions() {
    Box::pin(a_commit_changes_what_it_changes(Definitions::ArgoCd)).await;
}

#[tokio::test]
async fn after_a_move_a_commit_arrives_under_our_definitions() {
    Box::pin(a_commit_changes_what_it_changes(Definitions::Own)).await;
}

/// With label tracking objects carry no annotation that names them.
#[tokio::test]
async fn objects_tracked_by_labels_are_known() {
    let mut moved = Moved::load(Definitions::ArgoCd, |object| {
        if object["kind"] == "ConfigMap" && object["metadata"]["name"] == "argocd-cm" {
            object["data"]["application.resourceTrackingMethod"] = json!("label");
        }
        let id = "argocd.argoproj.io/tracking-id";
        let annotations = object["metadata"]["annotations"].as_object_mut();
        let tracking = annotations.and_then(|annotations| annotations.remove(id));
        if let Some(app) = tracking
            .as_ref()
            .and_then(Value::as_str)
            .and_then(|id| id.split(':').next())
        {
            object["metadata"]["labels"]["app.kubernetes.io/instance"] = json!(app);
        }
    })
    .await;
    moved.looked_at().await;
    for (name, expected) in [
        ("prune-pending", "OutOfSync"),
        ("keep-none", "OutOfSync"),
        ("plain-web", "Synced"),
        ("hooks-app", "Synced"),
    ] {
        let app = moved.applications().get(name).await.unwrap();
        let is = sync_of(&app)
            .map(|code| code.to_string())
            .unwrap_or_default();
        assert_eq!(is, expected, "{name}: {:?}", app.status);
    }
    let changes = moved.changes(&[]).await;
    assert!(changes.is_empty(), "{changes:#?}");
    let asked = moved
        .world
        .person()
        .gitops(&["sync", "prune-pending", "--prune", "--yes"])
        .run()
        .await;
    asked.exits(0);
    assert!(moved.find("ConfigMap prune-pending/gone").await.is_none());
}
