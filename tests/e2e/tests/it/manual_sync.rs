//! Without automation nothing is applied until somebody asks through `operation`.

use gitops_api::ResultCode;
use gitops_e2e::World;
use gitops_e2e::application::{is_out_of_sync, is_synced, resource, status};
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use kube::api::{Patch, PatchParams};
use serde_json::json;

#[tokio::test]
async fn nothing_is_applied_until_asked_and_then_everything() {
    let world = World::new("manual").await;
    let repo = world.repo("config");
    let commit = repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let still = app.refresh("normal").await;
    assert!(is_out_of_sync(&still));
    assert!(status(&still).operation_state.is_none());
    assert!(!world.exists::<ConfigMap>("settings").await);

    let done = app.sync(json!({})).await;
    let state = status(&done).operation_state.unwrap();
    assert!(state.phase.is_successful(), "{}", state.message);
    assert_eq!(state.sync_result.unwrap().revision, commit);
    app.synced().await;
    world.config_map_is("settings", "one").await;

    repo.write("a.yaml", &config_map("settings", "two"));
    app.wait("OutOfSync after a commit", is_out_of_sync).await;
    world.config_map_is("settings", "one").await;
}

#[tokio::test]
async fn a_sync_prunes_only_when_asked() {
    let world = World::new("manualprune").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("kept", "1"))),
        ("b.yaml", Some(&config_map("removed", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({})).await;
    app.synced().await;
    let commit = repo.remove("b.yaml");
    app.compared_to(&commit).await;

    let kept = app.sync(json!({})).await;
    let result = status(&kept).operation_state.unwrap().sync_result.unwrap();
    let skipped = result
        .resources
        .iter()
        .find(|r| r.name == "removed")
        .unwrap();
    assert_eq!(skipped.status, Some(ResultCode::PruneSkipped));
    assert!(world.exists::<ConfigMap>("removed").await);

    app.patch(json!({"operation": {"sync": {"prune": true}}}))
        .await;
    world.object_gone::<ConfigMap>("removed").await;
    let after = app.wait("Synced", is_synced).await;
    assert!(resource(&after, "ConfigMap", "removed").is_none());
}

#[tokio::test]
async fn a_dry_run_applies_nothing_and_a_selection_only_what_it_names() {
    let world = World::new("selective").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("a.yaml", Some(&config_map("chosen", "1"))),
        ("b.yaml", Some(&config_map("other", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let dry = app.sync(json!({"dryRun": true})).await;
    assert!(status(&dry).operation_state.unwrap().phase.is_successful());
    assert!(!world.exists::<ConfigMap>("chosen").await);
    let resources = json!([{"kind": "ConfigMap", "name": "chosen"}]);
    app.patch(json!({"operation": {"sync": {"resources": resources}}}))
        .await;
    world.config_map_is("chosen", "1").await;
    app.wait("chosen Synced, other not", |app| {
        let code = |name| resource(app, "ConfigMap", name).and_then(|r| r.status);
        code("chosen") == Some(gitops_api::SyncStatusCode::Synced)
            && code("other") == Some(gitops_api::SyncStatusCode::OutOfSync)
    })
    .await;
    assert!(!world.exists::<ConfigMap>("other").await);
}

#[tokio::test]
async fn a_dry_run_says_what_the_api_server_would_refuse() {
    let world = World::new("dryrun").await;
    let repo = world.repo("config");
    let elsewhere = |name: &str| {
        config_map(name, "1").replace(
            "metadata:\n",
            &format!("metadata:\n  namespace: {}-new\n", world.target),
        )
    };
    let namespace = format!(
        "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: {}-new\n",
        world.target
    );
    repo.commit(&[
        ("a.yaml", Some(&config_map("good", "1"))),
        ("b.yaml", Some(&config_map("Bad_Name", "1"))),
        ("c.yaml", Some(&namespace)),
        ("d.yaml", Some(&elsewhere("later"))),
    ]);
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let dry = app.sync(json!({"dryRun": true})).await;
    let state = status(&dry).operation_state.unwrap();
    assert_eq!(state.phase, gitops_api::OperationPhase::Failed);
    for text in ["would apply 4", "Bad_Name", "b.yaml"] {
        assert!(state.message.contains(text), "{text}: {}", state.message);
    }
    let results = state.sync_result.unwrap().resources;
    let of = |name: &str| {
        let result = results.iter().find(|result| result.name == name).unwrap();
        (result.status, result.message.clone())
    };
    assert_eq!(of("Bad_Name").0, Some(ResultCode::SyncFailed));
    assert!(
        of("good").1.contains("would be applied"),
        "{:?}",
        of("good")
    );
    assert!(
        of("later").1.contains("namespace exists"),
        "{:?}",
        of("later")
    );
    assert!(!world.exists::<ConfigMap>("good").await);

    repo.write("b.yaml", &config_map("fine", "1"));
    let dry = app.refresh("normal").await;
    assert!(is_out_of_sync(&dry));
    let dry = app.sync(json!({"dryRun": true})).await;
    assert!(status(&dry).operation_state.unwrap().phase.is_successful());
    assert!(!world.exists::<ConfigMap>("fine").await);
}

#[tokio::test]
async fn a_request_can_name_another_revision() {
    let world = World::new("revision").await;
    let repo = world.repo("config");
    let first = repo.write("a.yaml", &config_map("settings", "one"));
    repo.write("a.yaml", &config_map("settings", "two"));
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    app.sync(json!({"revision": first})).await;
    world.config_map_is("settings", "one").await;
    app.wait("OutOfSync with main", is_out_of_sync).await;
}

#[tokio::test]
async fn an_operation_can_be_ended_and_none_stays_open_for_ever() {
    let world = World::new("terminate").await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).create().await;
    app.wait("OutOfSync", is_out_of_sync).await;
    let ending = json!({"operationState": {
        "phase": "Terminating", "startedAt": "2026-01-01T00:00:00Z", "operation": {"sync": {}},
    }});
    let asked = json!({"sync": {}, "initiatedBy": {"username": "tester"}});
    app.patch(json!({"operation": asked, "status": ending}))
        .await;
    let ended = |phase: &'static str| {
        move |app: &gitops_api::Application| {
            let state = status(app).operation_state;
            app.operation.is_none() && state.is_some_and(|state| state.phase.as_str() == phase)
        }
    };
    let done = app.wait("the end of the operation", ended("Error")).await;
    let message = status(&done).operation_state.unwrap().message;
    assert_eq!(message, "operation terminated");
    assert!(!world.exists::<ConfigMap>("settings").await);

    // The controller that began it is gone, and so is what was asked for.
    app.patch(json!({"status": {"operationState": {"phase": "Running"}}}))
        .await;
    app.refresh("normal").await;
    app.wait("nothing left open", ended("Failed")).await;
}

/// Ends the Pod of a hook that runs, other than that of `before`, as its kubelet would; gives its UID.
async fn ends(world: &World, before: Option<&str>) -> String {
    let running = |pod: &Pod| {
        let phase = pod
            .status
            .as_ref()
            .and_then(|status| status.phase.as_deref());
        phase == Some("Running") && pod.uid().as_deref() != before
    };
    let pod = world.object("check", "running", running).await;
    let ended = json!({"status": {"phase": "Succeeded"}});
    let (params, patch) = (PatchParams::default(), Patch::Strategic(ended));
    let pods = world.api::<Pod>();
    pods.patch_status("check", &params, &patch).await.unwrap();
    pod.uid().unwrap()
}

#[tokio::test]
async fn what_is_asked_for_while_the_agent_syncs_by_itself_comes_next() {
    let world = World::new("manualmeanwhile").await;
    let repo = world.repo("config");
    let hook = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: check\n  annotations:\n    \
                argocd.argoproj.io/hook: PreSync\n    gitops-test/outcome: hang\nspec:\n  \
                restartPolicy: Never\n  containers: [{name: work, image: work:1}]\n";
    repo.commit(&[
        ("hook.yaml", Some(hook)),
        ("a.yaml", Some(&config_map("settings", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    let waits = |app: &gitops_api::Application| {
        let state = status(app).operation_state;
        state.is_some_and(|state| state.message.contains("waiting in PreSync"))
    };
    app.wait("waiting for its hook", waits).await;
    let asked = json!({"operation": {"initiatedBy": {"username": "tester"}, "sync": {}}});
    app.patch(asked).await;
    let first = ends(&world, None).await;
    world.config_map_is("settings", "1").await;
    ends(&world, Some(&first)).await;
    app.wait("the end of what was asked for", |app| {
        let state = status(app).operation_state.unwrap_or_default();
        let initiator = state.operation.initiated_by.unwrap_or_default();
        app.operation.is_none() && initiator.username == "tester" && state.phase.is_successful()
    })
    .await;
}
