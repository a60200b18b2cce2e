//! What is on record, and what goes only after it is: faults that once made hooks run twice, lost a
//! deployment, or left the agent's own finalizer on objects nobody works on.

use std::time::Duration;

use gitops_api::constants::finalizer;
use gitops_api::{Application, OperationPhase};
use gitops_e2e::application::{is_synced, status};
use gitops_e2e::fault_proxy::{Fault, Requests, Verb};
use gitops_e2e::manifests::config_map;
use gitops_e2e::{App, World};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams, PropagationPolicy};
use serde_json::json;

use crate::kill::{Runs, ended, finish, hook, runs};

/// Writes of the Application `shop`.
fn reports() -> Requests {
    Requests::of(Verb::Patch)
        .resource("applications")
        .name("shop")
}

fn revisions(app: &Application) -> Vec<String> {
    let history = status(app).history.into_iter();
    history.map(|entry| entry.revision).collect()
}

async fn recorded(app: &App<'_>, commits: &[&String]) -> Application {
    app.wait(&format!("a history of {commits:?}"), |app| {
        let last = status(app).operation_state.is_some_and(|state| {
            let result = state.sync_result.unwrap_or_default();
            state.phase == OperationPhase::Succeeded && Some(&&result.revision) == commits.last()
        });
        last && is_synced(app) && revisions(app).iter().eq(commits.iter().copied())
    })
    .await
}

/// What may a deployment have been when the agent is killed between its last write and the report:
/// the first one, one that changes objects, one that only deletes, one whose first attempt failed.
#[tokio::test]
async fn a_deployment_is_on_record_though_the_agent_was_killed_before_it_could_say_so() {
    let world = World::behind_proxy("unreported").await;
    let (repo, proxy) = (world.repo("config"), world.proxy());
    let first = repo.commit(&[
        ("a.yaml", Some(&config_map("a", "1"))),
        ("b.yaml", Some(&config_map("b", "1"))),
    ]);
    let held = proxy.on(reports(), Fault::Pause);
    let app = world.app("shop").repo(&repo).automated();
    let app = app
        .set(
            "/spec/syncPolicy/retry",
            json!({"limit": 5, "backoff": {"duration": "1s"}}),
        )
        .create()
        .await;
    world.config_map_is("b", "1").await;
    held.hit(1).await;
    world.agent().kill();
    proxy.heal();
    world.agent().restart();
    recorded(&app, &[&first]).await;

    let held = proxy.on(reports(), Fault::Pause);
    let second = repo.write("a.yaml", &config_map("a", "2"));
    world.config_map_is("a", "2").await;
    held.hit(1).await;
    world.agent().kill();
    proxy.heal();
    world.agent().restart();
    recorded(&app, &[&first, &second]).await;

    // It begins with an announcement, because what was deleted bears no mark.
    let held = proxy.on(reports().from(2), Fault::Pause);
    let third = repo.remove("b.yaml");
    world.object_gone::<ConfigMap>("b").await;
    held.hit(1).await;
    world.agent().kill();
    proxy.heal();
    world.agent().restart();
    recorded(&app, &[&first, &second, &third]).await;

    // The first attempt is refused and said to have failed, the second goes well and is not reported.
    let maps = Requests::of(Verb::Patch).resource("configmaps").name("a");
    let refused = proxy.on(maps, Fault::status(403));
    let fourth = repo.write("a.yaml", &config_map("a", "4"));
    ended(&app, &fourth, OperationPhase::Failed).await;
    let held = proxy.on(reports(), Fault::Pause);
    refused.lift();
    world.config_map_is("a", "4").await;
    held.hit(1).await;
    world.agent().kill();
    proxy.heal();
    world.agent().restart();
    recorded(&app, &[&first, &second, &third, &fourth]).await;
}

/// Hooks that go when they have succeeded, and whose success cannot be said for a while.
#[tokio::test]
async fn hooks_run_once_though_the_status_after_them_cannot_be_written() {
    let world = World::behind_proxy("unsaid").await;
    let (repo, proxy, jobs) = (world.repo("config"), world.proxy(), Runs::record(&world));
    let commit = repo.commit(&[
        ("pre.yaml", Some(&hook("migrate", "PreSync", ""))),
        ("map.yaml", Some(&config_map("a", "1"))),
        ("post.yaml", Some(&hook("smoke", "PostSync", ""))),
    ]);
    let refused = proxy.on(reports().from(2), Fault::status(429));
    let app = world.app("shop").repo(&repo).automated().create().await;
    world.object("migrate", "complete", complete).await;
    refused.hit(2).await;
    proxy.heal();
    let done = ended(&app, &commit, OperationPhase::Succeeded).await;
    assert_eq!(revisions(&done), [commit]);
    jobs.are(&[("migrate", 1), ("smoke", 1)]);
    world.object_gone::<Job>("migrate").await;
    world.object_gone::<Job>("smoke").await;
}

fn complete(job: &Job) -> bool {
    let status = job.status.as_ref();
    status.is_some_and(|status| status.completion_time.is_some())
}

/// The agent is killed when all hooks have ended and nothing says so yet.
#[tokio::test]
async fn hooks_are_there_until_their_end_is_on_record() {
    let world = World::behind_proxy("recordfirst").await;
    let (repo, proxy, jobs) = (world.repo("config"), world.proxy(), Runs::record(&world));
    let commit = repo.commit(&[
        ("map.yaml", Some(&config_map("a", "1"))),
        ("post.yaml", Some(&hook("smoke", "PostSync", "hang"))),
        ("alarm.yaml", Some(&hook("alarm", "SyncFail", ""))),
    ]);
    let app = world.app("shop").repo(&repo).automated().create().await;
    runs(&world, "smoke").await;
    app.wait("a hook that runs", |app| {
        let state = status(app).operation_state;
        state.is_some_and(|state| state.message.contains("smoke"))
    })
    .await;
    let held = proxy.on(reports(), Fault::Pause);
    finish(&world, "smoke", "Succeeded").await;
    held.hit(1).await;
    world.agent().kill();
    assert!(world.exists::<Job>("smoke").await);
    proxy.heal();
    world.agent().restart();
    let done = ended(&app, &commit, OperationPhase::Succeeded).await;
    assert_eq!(revisions(&done), [commit]);
    world.object_gone::<Job>("smoke").await;
    jobs.are(&[("smoke", 1)]);
}

/// A refusal of a moment must not leave for ever what a policy deletes.
#[tokio::test]
async fn a_hook_that_could_not_be_deleted_is_deleted_later() {
    let world = World::behind_proxy("cleanup").await;
    let (repo, proxy) = (world.repo("config"), world.proxy());
    let commit = repo.commit(&[
        ("map.yaml", Some(&config_map("a", "1"))),
        ("post.yaml", Some(&hook("smoke", "PostSync", ""))),
    ]);
    let deletes = Requests::of(Verb::Delete).resource("jobs").name("smoke");
    let refused = proxy.on(deletes, Fault::status(500));
    let app = world.app("shop").repo(&repo).automated().create().await;
    ended(&app, &commit, OperationPhase::Succeeded).await;
    refused.hit(2).await;
    assert!(world.exists::<Job>("smoke").await);
    proxy.heal();
    world.object_gone::<Job>("smoke").await;
}

/// The watch of Applications is behind what the agent itself took off them.
#[tokio::test]
async fn hooks_of_a_deletion_run_once_though_the_watch_is_late() {
    let world = World::behind_proxy("latewatch").await;
    let (repo, proxy, jobs) = (world.repo("config"), world.proxy(), Runs::record(&world));
    let commit = repo.commit(&[
        ("map.yaml", Some(&config_map("a", "1"))),
        ("pre.yaml", Some(&hook("drain", "PreDelete", ""))),
        ("post.yaml", Some(&hook("report", "PostDelete", ""))),
    ]);
    let app = world.app("shop").repo(&repo).automated();
    let app = app.cascading();
    let app = app.create().await;
    app.synced_to(&commit).await;
    proxy.delay_watches("applications", Duration::from_secs(2));
    app.delete().await;
    app.gone().await;
    world.object_gone::<Job>("drain").await;
    world.object_gone::<Job>("report").await;
    // The last of what the watch has to tell is told.
    proxy.delay_watches("applications", Duration::ZERO);
    let other = world.app("other").repo(&repo).create().await;
    other.compared_to(&commit).await;
    jobs.are(&[("drain", 1), ("report", 1)]);
    assert!(!world.exists::<Job>("report").await);
}

/// The report of an agent that was cut off arrives after another agent has written its own.
#[tokio::test]
async fn a_late_report_changes_nothing_that_another_agent_recorded() {
    let world = World::behind_proxy("latereport").await;
    let (repo, proxy) = (world.repo("config"), world.proxy());
    let first = repo.write("a.yaml", &config_map("a", "1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    recorded(&app, &[&first]).await;
    let held = proxy.on(reports(), Fault::Pause);
    let second = repo.write("a.yaml", &config_map("a", "2"));
    held.hit(1).await;
    let other = json!({"status": {"operationState": {
        "message": "recorded by the other agent", "phase": "Succeeded", "syncResult": {"revision": second}}}});
    app.patch(other).await;
    proxy.heal();
    world.logged("written by another client meanwhile").await;
    // What the other agent said counts for what it says; the rest is found out anew, and once.
    let seen = recorded(&app, &[&first, &second]).await;
    let state = status(&seen).operation_state.unwrap();
    assert!(
        state.message.contains("found in place"),
        "{}",
        state.message
    );
}

/// A report is not lost because somebody changes labels, and does not answer what was asked since.
#[tokio::test]
async fn a_report_stands_when_only_something_else_was_changed() {
    let world = World::behind_proxy("conflict").await;
    let (repo, proxy) = (world.repo("config"), world.proxy());
    let first = repo.write("a.yaml", &config_map("a", "1"));
    let app = world.app("shop").repo(&repo).automated().create().await;
    recorded(&app, &[&first]).await;
    let held = proxy.on(reports(), Fault::Pause);
    let second = repo.write("a.yaml", &config_map("a", "2"));
    held.hit(1).await;
    app.patch(json!({"metadata": {"labels": {"team": "shop"}}}))
        .await;
    proxy.heal();
    let seen = recorded(&app, &[&first, &second]).await;
    assert_eq!(seen.metadata.labels.unwrap()["team"], "shop");
}

/// Deletes a Job as `kubectl delete` does.
async fn delete(jobs: &Api<Job>, name: &str) {
    let params = DeleteParams {
        propagation_policy: Some(PropagationPolicy::Background),
        ..DeleteParams::default()
    };
    jobs.delete(name, &params).await.unwrap();
}

/// The agent's own finalizer must hold nobody hostage: an Application that goes while its hook runs,
/// seen or not seen by the agent.
#[tokio::test]
async fn a_hook_of_an_application_that_is_gone_can_be_deleted() {
    for unseen in [false, true] {
        let world = World::new("orphanhook").await;
        let repo = world.repo("config");
        repo.commit(&[
            ("pre.yaml", Some(&hook("migrate", "PreSync", "hang"))),
            ("map.yaml", Some(&config_map("a", "1"))),
        ]);
        let app = world.app("shop").repo(&repo).automated().create().await;
        runs(&world, "migrate").await;
        if unseen {
            world.agent().kill();
        }
        app.delete().await;
        app.gone().await;
        if unseen {
            world.agent().restart();
        }
        delete(&world.api::<Job>(), "migrate").await;
        world.object_gone::<Job>("migrate").await;
    }
}

/// What an earlier Application of the name left in the middle of its deletion does not stop the next.
#[tokio::test]
async fn a_hook_that_was_left_holds_up_no_deletion() {
    let world = World::new("lefthook").await;
    let repo = world.repo("config");
    let commit = repo.commit(&[("map.yaml", Some(&config_map("a", "1")))]);
    let app = world.app("shop").repo(&repo).automated();
    let app = app.cascading();
    let app = app.create().await;
    app.synced_to(&commit).await;
    world.agent().kill();
    let jobs: Api<Job> = world.api();
    let manifest = hook("report", "PostDelete", "hang");
    let mut left: serde_json::Value = serde_saphyr::from_str(&manifest).unwrap();
    let metadata = &mut left["metadata"];
    metadata["namespace"] = json!(world.target);
    metadata["finalizers"] = json!([finalizer::HOOK]);
    metadata["labels"] = json!({"gitops-agent.io/managed-by": world.namespace});
    metadata["annotations"]["gitops-agent.io/operation"] = json!("1000-postdelete");
    metadata["annotations"]["argocd.argoproj.io/tracking-id"] =
        json!(format!("shop:batch/Job:{}/report", world.target));
    let apply = PatchParams::apply("gitops-e2e").force();
    jobs.patch("report", &apply, &Patch::Apply(&left))
        .await
        .unwrap();
    delete(&jobs, "report").await;
    app.delete().await;
    world.agent().restart();
    app.gone().await;
    world.object_gone::<Job>("report").await;
}
