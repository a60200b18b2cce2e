//! Phases, waves and hooks: what waits for what, what a failure stops, what is left behind.

use std::path::Path;

use gitops_api::{Application, OperationPhase, SyncPhase};
use gitops_e2e::application::status;
use gitops_e2e::manifests::{config_map, deployment, hook_job};
use gitops_e2e::{App, World};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::ResourceExt;
use serde_json::json;

fn job(name: &str, phase: &str, policy: &str, outcome: &str) -> String {
    let annotations = format!(
        "argocd.argoproj.io/hook: {phase}\n    argocd.argoproj.io/hook-delete-policy: {policy}"
    );
    hook_job(name, &annotations, outcome)
}

async fn ended(app: &App<'_>, phase: OperationPhase) -> Application {
    app.wait(&format!("an operation that {phase}"), move |app| {
        status(app)
            .operation_state
            .is_some_and(|state| state.phase == phase)
    })
    .await
}

/// The hook of that name in the last result: phase and how it stands.
fn hook(app: &Application, name: &str) -> Option<(SyncPhase, OperationPhase, String)> {
    let result = status(app).operation_state?.sync_result?;
    let found = result.resources.into_iter().find(|r| r.name == name)?;
    Some((found.sync_phase?, found.hook_phase?, found.message))
}

#[tokio::test]
async fn the_migration_of_the_examples_runs_before_anything_else_and_is_tidied_up() {
    let world = World::new("migrate").await;
    let repo = world.repo("config");
    let example = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/examples/000-payments-migration-job.yaml");
    repo.commit(&[
        ("job.yaml", Some(&std::fs::read_to_string(example).unwrap())),
        ("web.yaml", Some(&deployment("web", 1, "web:1"))),
        (
            "after.yaml",
            Some(&job("after", "PostSync", "BeforeHookCreation", "")),
        ),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    let done = ended(&app, OperationPhase::Succeeded).await;
    let (phase, stands, _) = hook(&done, "payments-migrate").unwrap();
    assert_eq!(
        (phase, stands),
        (SyncPhase::PreSync, OperationPhase::Succeeded)
    );
    let (phase, stands, _) = hook(&done, "after").unwrap();
    assert_eq!(
        (phase, stands),
        (SyncPhase::PostSync, OperationPhase::Succeeded)
    );
    app.healthy().await;
    // The one is deleted because it succeeded, the other stays to be looked at, and nothing holds it.
    world.object_gone::<Job>("payments-migrate").await;
    let after = world
        .object("after", "let go", |job: &Job| {
            !job.finalizers()
                .iter()
                .any(|f| f.contains("hook-finalizer"))
        })
        .await;
    let web = world.object("web", "there", |_: &Deployment| true).await;
    assert!(after.creation_timestamp() >= web.creation_timestamp());

    // Hooks are no part of what is synchronized, and run again with the next sync.
    let first = after.uid();
    repo.write("web.yaml", &deployment("web", 2, "web:2"));
    world
        .object("after", "run anew", |job: &Job| job.uid() != first)
        .await;
    app.healthy().await;
}

#[tokio::test]
async fn a_hook_that_fails_stops_the_release_and_says_so() {
    let world = World::new("hookfail").await;
    let repo = world.repo("config");
    repo.commit(&[
        (
            "job.yaml",
            Some(&job("migrate", "PreSync", "BeforeHookCreation", "fail")),
        ),
        (
            "fail.yaml",
            Some(&job("alarm", "SyncFail", "BeforeHookCreation", "")),
        ),
        ("map.yaml", Some(&config_map("settings", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    let failed = ended(&app, OperationPhase::Failed).await;
    let message = status(&failed).operation_state.unwrap().message;
    assert!(message.contains("migrate"), "{message}");
    assert_eq!(hook(&failed, "alarm").unwrap().1, OperationPhase::Succeeded);
    assert!(!world.exists::<ConfigMap>("settings").await);
    app.condition("SyncError", &["migrate"]).await;
    let person = world.person();
    let explained = person.gitops(&["explain", "shop"]).run().await;
    explained.prints("hook Job/migrate failed");
    explained.prints("kubectl logs job/migrate");
    // A repaired hook is tried at once, although no object differs from before.
    let commit = repo.write("job.yaml", &job("migrate", "PreSync", "HookSucceeded", ""));
    let done = app.synced_to(&commit).await;
    let state = status(&done).operation_state.unwrap();
    assert_eq!(state.retry_count, 0, "not for the backoff's sake");
    world.config_map_is("settings", "1").await;
}

#[tokio::test]
async fn a_wave_waits_for_the_health_of_the_one_before_and_a_fix_does_not_wait_for_what_is_broken()
{
    let world = World::new("waves").await;
    let repo = world.repo("config");
    let hanging = deployment("first", 1, "web:1").replace(
        "    metadata:\n      labels:",
        "    metadata:\n      annotations: {gitops-test/outcome: hang}\n      labels:",
    );
    assert!(hanging.contains("outcome"), "{hanging}");
    let second = config_map("second", "1").replace(
        "  name: second",
        "  name: second\n  annotations: {argocd.argoproj.io/sync-wave: \"1\"}",
    );
    repo.commit(&[("a.yaml", Some(&hanging)), ("b.yaml", Some(&second))]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    let waits = ended(&app, OperationPhase::Running).await;
    let message = status(&waits).operation_state.unwrap().message;
    assert!(
        message.contains("first") && message.contains("wave 0"),
        "{message}"
    );
    assert!(!world.exists::<ConfigMap>("second").await);
    // Another agent goes on waiting.
    world.agent().restart();
    app.refresh("normal").await;
    assert!(!world.exists::<ConfigMap>("second").await);
    let fixed = repo.write("a.yaml", &deployment("first", 1, "web:2"));
    world.config_map_is("second", "1").await;
    app.synced_to(&fixed).await;
}

#[tokio::test]
async fn a_hook_runs_once_though_the_agent_is_killed_and_can_be_ended() {
    let world = World::new("hookkill").await;
    let repo = world.repo("config");
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  generateName: check-\n  annotations:\n    \
               argocd.argoproj.io/hook: PreSync\n    gitops-test/outcome: hang\nspec:\n  \
               restartPolicy: Never\n  containers: [{name: work, image: work:1}]\n";
    repo.commit(&[
        ("pod.yaml", Some(pod)),
        ("map.yaml", Some(&config_map("settings", "1"))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    let running = app
        .wait("a running hook", |app| {
            let result = status(app).operation_state.and_then(|s| s.sync_result);
            result.is_some_and(|result| result.resources.iter().any(|r| r.kind == "Pod"))
        })
        .await;
    let result = status(&running)
        .operation_state
        .unwrap()
        .sync_result
        .unwrap();
    let name = result.resources[0].name.clone();
    assert!(name.starts_with("check-"), "{name}");
    let pods = world.api::<Pod>();
    let uid = pods.get(&name).await.unwrap().uid();
    world.agent().restart();
    app.refresh("normal").await;
    let all = pods.list(&kube::api::ListParams::default()).await.unwrap();
    assert_eq!(
        all.items.iter().map(ResourceExt::uid).collect::<Vec<_>>(),
        [uid]
    );
    assert!(!world.exists::<ConfigMap>("settings").await);
    // Somebody has had enough of it. Without automation it is not tried again.
    app.patch(json!({"spec": {"syncPolicy": null}})).await;
    app.patch(json!({"status": {"operationState": {"phase": "Terminating"}}}))
        .await;
    let done = ended(&app, OperationPhase::Failed).await;
    let message = status(&done).operation_state.unwrap().message;
    assert_eq!(message, "operation terminated");
    world.object_gone::<Pod>(&name).await;
}

/// An object that is left alone is no failure, also when the sync was interrupted by a wait.
#[tokio::test]
async fn what_another_application_has_fails_no_sync_that_waits_for_a_hook() {
    let world = World::new("hookshared").await;
    let repo = world.repo("config");
    repo.commit(&[
        ("one/shared.yaml", Some(&config_map("shared", "one"))),
        ("two/shared.yaml", Some(&config_map("shared", "one"))),
        ("two/own.yaml", Some(&config_map("own", "1"))),
        (
            "two/hook.yaml",
            Some(&job("migrate", "PreSync", "BeforeHookCreation", "")),
        ),
    ]);
    let app = |name: &str| world.app(name).repo(&repo).path(name).automated();
    app("one").create().await.synced().await;
    let two = app("two").create().await;
    world.config_map_is("own", "1").await;
    let done = two
        .wait("the end of its sync", |app| {
            let state = status(app).operation_state;
            state.is_some_and(|state| state.phase.is_completed())
        })
        .await;
    let state = status(&done).operation_state.unwrap();
    assert!(state.phase.is_successful(), "{}", state.message);
}
