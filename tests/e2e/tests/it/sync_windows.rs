//! Sync windows of a project: who is kept away, what is said, and when it goes on.

use std::time::Duration;

use gitops_api::OperationPhase;
use gitops_api::status::OperationState;
use gitops_e2e::World;
use gitops_e2e::application::{App, conditions, is_out_of_sync, status};
use gitops_e2e::manifests::config_map;
use k8s_openapi::api::core::v1::ConfigMap;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

const WARNING: &str = "SyncWindowWarning";

async fn windows(world: &World, windows: Value) {
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "windows", "namespace": world.namespace},
        "spec": {"sourceRepos": ["*"], "destinations": [{"server": "*", "namespace": "*"}],
            "syncWindows": windows},
    });
    world.plane.apply_value_as("gitops-e2e", project).await;
}

fn deny(schedule: &str, duration: &str, manual: bool) -> Value {
    json!([{"kind": "deny", "schedule": schedule, "duration": duration, "applications": ["sh*"],
        "manualSync": manual, "description": "change freeze"}])
}

async fn asked_for(app: &App<'_>) -> OperationState {
    status(&app.sync(json!({})).await).operation_state.unwrap()
}

#[tokio::test]
async fn a_closed_window_keeps_syncs_away_and_says_so() {
    let world = World::new("windows").await;
    windows(&world, deny("* * * * *", "1h", false)).await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let project = |name: &str| {
        world
            .app(name)
            .repo(&repo)
            .set("/spec/project", json!("windows"))
    };
    let app = project("shop").automated().create().await;
    let told = app
        .condition(
            WARNING,
            &["deny window", "change freeze", "project windows"],
        )
        .await;
    assert!(is_out_of_sync(&told));
    // One that the window does not match is not kept away.
    let other = project("other")
        .set("/spec/source/path", json!("."))
        .create()
        .await;
    assert!(conditions(&other.compared_to(&repo.head()).await).is_empty());
    assert!(!world.exists::<ConfigMap>("settings").await);

    let refused = asked_for(&app).await;
    assert_eq!(refused.phase, OperationPhase::Error);
    assert!(
        refused.message.contains("manual sync not allowed"),
        "{}",
        refused.message
    );
    assert!(!world.exists::<ConfigMap>("settings").await);
    app.condition(WARNING, &["no automated sync"]).await;
    let person = world.person();
    let explained = person.gitops(&["explain", "shop"]).run().await;
    explained
        .prints("change freeze")
        .prints("get appproject windows");
    let listed = person.gitops(&["status"]).run().await;
    listed.prints("deny window");

    windows(&world, deny("* * * * *", "1h", true)).await;
    let done = asked_for(&app).await;
    assert_eq!(done.phase, OperationPhase::Succeeded, "{}", done.message);
    // Neither is drift taken back.
    let commit = repo.write("a.yaml", &config_map("settings", "two"));
    app.wait("held back", |app| {
        is_out_of_sync(app) && conditions(app).iter().any(|(kind, _)| kind == WARNING)
    })
    .await;
    world.config_map_is("settings", "one").await;
    windows(&world, json!([])).await;
    let synced = app.synced_to(&commit).await;
    assert!(conditions(&synced).is_empty(), "{:?}", conditions(&synced));
}

#[tokio::test]
async fn a_sync_begins_when_the_window_opens() {
    let world = World::new("opening").await;
    // Since the last full minute, for some seconds more.
    let now = Timestamp::now().as_second();
    let minute = now % 3600 / 60;
    let hour = now % 86400 / 3600;
    let seconds = now % 60 + 12;
    windows(
        &world,
        deny(
            &format!("{minute} {hour} * * *"),
            &format!("{seconds}s"),
            false,
        ),
    )
    .await;
    let repo = world.repo("config");
    repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated();
    let app = app.set("/spec/project", json!("windows")).create().await;
    let opens = Timestamp::from_second(now - now % 60 + seconds).unwrap();
    app.condition(WARNING, &["allowed from", &opens.to_string()])
        .await;
    let synced = app.synced().await;
    let began = status(&synced).operation_state.unwrap().started_at.unwrap();
    assert!(began.0 >= opens, "{began:?} is before {opens}");
    let late = began.0.duration_since(opens).unsigned_abs();
    assert!(late < Duration::from_secs(5), "{late:?} after it opened");
}

#[tokio::test]
async fn a_window_that_cannot_be_read_is_named() {
    let world = World::new("badwindow").await;
    windows(&world, deny("61 * * * *", "1h", false)).await;
    let repo = world.repo("config");
    let commit = repo.write("a.yaml", &config_map("settings", "one"));
    let app = world.app("shop").repo(&repo).automated();
    let app = app.set("/spec/project", json!("windows")).create().await;
    let texts = ["spec.syncWindows[0] of project windows", "minute \"61\""];
    app.condition(WARNING, &texts).await;
    assert!(!world.exists::<ConfigMap>("settings").await);
    windows(&world, deny("0 0 1 1 *", "1s", false)).await;
    app.synced_to(&commit).await;
}
