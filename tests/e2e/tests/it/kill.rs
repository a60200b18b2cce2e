//! An agent that is killed in each phase of a sync and of a deletion: what it had begun goes on,
//! each hook runs once, and nothing is left behind.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use gitops_api::{Application, OperationPhase};
use gitops_e2e::application::status;
use gitops_e2e::manifests::{config_map, hook_job};
use gitops_e2e::{App, Repo, World};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod, Service};
use kube::ResourceExt;
use kube::api::{ListParams, Patch, PatchParams};
use kube::runtime::watcher::{self, watcher};
use serde_json::json;

const HELD: &str = "gitops-test.example.org/held";

/// A Job of a phase; one that hangs ends when the test says so.
pub(crate) fn hook(name: &str, phase: &str, outcome: &str) -> String {
    let annotations = format!(
        "argocd.argoproj.io/hook: {phase}\n    argocd.argoproj.io/hook-delete-policy: \
         HookSucceeded,HookFailed"
    );
    hook_job(name, &annotations, outcome)
}

/// Not healthy before the test gives it an address.
fn first_wave() -> &'static str {
    "apiVersion: v1\nkind: Service\nmetadata:\n  name: first\nspec:\n  type: LoadBalancer\n  \
     selector: {app: first}\n  ports: [{port: 80}]\n"
}

fn second_wave(value: &str) -> String {
    config_map("second", value).replace(
        "  name: second",
        "  name: second\n  annotations: {argocd.argoproj.io/sync-wave: \"1\"}",
    )
}

/// Kept by a finalizer of the test when it is deleted.
fn held() -> String {
    config_map("held", "1").replace(
        "  name: held",
        &format!("  name: held\n  finalizers: [{HELD}]"),
    )
}

/// Every Job that ever was in the target namespace: which objects had a name.
pub(crate) struct Runs {
    seen: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
    watching: tokio::task::JoinHandle<()>,
}

impl Runs {
    pub(crate) fn record(world: &World) -> Self {
        let seen: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>> = Arc::default();
        let (note, jobs) = (seen.clone(), world.api::<Job>());
        let watching = tokio::spawn(async move {
            let mut events = watcher(jobs, watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                if let Ok(
                    watcher::Event::Apply(job)
                    | watcher::Event::InitApply(job)
                    | watcher::Event::Delete(job),
                ) = event
                {
                    let mut seen = note.lock().unwrap();
                    let uid = job.uid().unwrap_or_default();
                    seen.entry(job.name_any()).or_default().insert(uid);
                }
            }
        });
        Self { seen, watching }
    }

    /// How often each ran so far, in the order of their names.
    fn counts(&self) -> Vec<(String, usize)> {
        let seen = self.seen.lock().unwrap();
        seen.iter()
            .map(|(name, uids)| (name.clone(), uids.len()))
            .collect()
    }

    pub(crate) fn are(&self, expected: &[(&str, usize)]) {
        let expected: Vec<_> = expected
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect();
        assert_eq!(self.counts(), expected);
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.watching.abort();
    }
}

/// Waits until a hook's Pod runs.
pub(crate) async fn runs(world: &World, name: &str) {
    world
        .object(name, "running", |job: &Job| {
            let status = job.status.as_ref();
            status.is_some_and(|status| status.active == Some(1))
        })
        .await;
}

/// Lets the Pod of a hook that hangs end.
pub(crate) async fn finish(world: &World, name: &str, phase: &str) {
    runs(world, name).await;
    let pods = world.api::<Pod>();
    let of_job = ListParams::default().labels(&format!("job-name={name}"));
    let pod = pods.list(&of_job).await.unwrap().items.remove(0).name_any();
    world
        .object(&pod, "started", |pod: &Pod| {
            let status = pod.status.as_ref();
            status.is_some_and(|status| status.container_statuses.is_some())
        })
        .await;
    let ended = json!({"status": {"phase": phase}});
    pods.patch_status(&pod, &PatchParams::default(), &Patch::Merge(&ended))
        .await
        .unwrap();
}

async fn running(app: &App<'_>, texts: &[&str]) {
    app.wait(&format!("a sync that waits: {texts:?}"), |app| {
        status(app).operation_state.is_some_and(|state| {
            state.phase == OperationPhase::Running
                && texts.iter().all(|text| state.message.contains(text))
        })
    })
    .await;
}

pub(crate) async fn ended(app: &App<'_>, commit: &str, phase: OperationPhase) -> Application {
    app.wait(&format!("a sync of {commit} that {phase}"), |app| {
        status(app).operation_state.is_some_and(|state| {
            let result = state.sync_result.unwrap_or_default();
            state.phase == phase && result.revision == commit && app.operation.is_none()
        })
    })
    .await
}

/// Asks for a sync, unless the application syncs by itself.
async fn begin(app: &App<'_>, automated: bool) {
    if !automated {
        let sync = json!({"operation": {"sync": {"prune": true}}});
        app.patch(sync).await;
    }
}

/// Kills the agent, starts it again, and waits until it has looked at the application.
async fn kill(world: &World, app: &App<'_>) {
    world.agent().restart();
    app.refresh("normal").await;
}

/// The same while it is being deleted.
async fn kill_while_deleted(world: &World) {
    world.agent().restart();
    world.logged("the agent runs").await;
}

async fn killed_everywhere(name: &str, automated: bool) {
    let world = World::new(name).await;
    let jobs = Runs::record(&world);
    let repo = world.repo("config");
    let commit = repo.commit(&[
        ("migrate.yaml", Some(&hook("migrate", "PreSync", "hang"))),
        ("first.yaml", Some(first_wave())),
        ("second.yaml", Some(&second_wave("1"))),
        ("held.yaml", Some(&held())),
        ("smoke.yaml", Some(&hook("smoke", "PostSync", "hang"))),
        ("alarm.yaml", Some(&hook("alarm", "SyncFail", "hang"))),
        ("drain.yaml", Some(&hook("drain", "PreDelete", "hang"))),
        ("report.yaml", Some(&hook("report", "PostDelete", "hang"))),
    ]);
    let mut app = world.app("shop").repo(&repo).cascading();
    if automated {
        app = app.set(
            "/spec/syncPolicy",
            json!({"automated": {"prune": true}, "retry": {"limit": 0}}),
        );
    }
    let app = app.create().await;
    app.compared_to(&commit).await;
    begin(&app, automated).await;
    first_sync(&world, &app, &jobs, &commit).await;
    prune(&world, &app, &jobs, &repo, automated).await;
    failure(&world, &app, &jobs, &repo, automated).await;
    deletion(&world, &app, &jobs).await;
}

/// PreSync, the first wave, PostSync.
async fn first_sync(world: &World, app: &App<'_>, jobs: &Runs, commit: &str) {
    // Created, and not yet written down.
    world.logged("hook created").await;
    kill(world, app).await;
    running(app, &["PreSync", "migrate"]).await;
    assert!(!world.exists::<Service>("first").await);
    // It ends while nobody looks.
    world.agent().kill();
    finish(world, "migrate", "Succeeded").await;
    world
        .object("migrate", "complete", |job: &Job| {
            let status = job.status.as_ref();
            status.is_some_and(|status| status.completion_time.is_some())
        })
        .await;
    world.agent().restart();

    world.object("first", "there", |_: &Service| true).await;
    kill(world, app).await;
    running(app, &["wave 0", "first"]).await;
    assert!(!world.exists::<ConfigMap>("second").await);
    world.agent().kill();
    let address = json!({"status": {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}}});
    let services = world.api::<Service>();
    services
        .patch_status("first", &PatchParams::default(), &Patch::Merge(&address))
        .await
        .unwrap();
    world.agent().restart();

    runs(world, "smoke").await;
    assert!(world.exists::<ConfigMap>("second").await);
    kill(world, app).await;
    running(app, &["PostSync", "smoke"]).await;
    finish(world, "smoke", "Succeeded").await;
    let done = ended(app, commit, OperationPhase::Succeeded).await;
    assert_eq!(status(&done).history.len(), 1);
    jobs.are(&[("migrate", 1), ("smoke", 1)]);
    world.object_gone::<Job>("migrate").await;
    world.object_gone::<Job>("smoke").await;
}

/// An object that is on its way out holds up what comes after, and the hooks after the sync.
async fn prune(world: &World, app: &App<'_>, jobs: &Runs, repo: &Repo, automated: bool) {
    let commit = repo.commit(&[
        ("migrate.yaml", Some(&hook("migrate", "PreSync", ""))),
        ("smoke.yaml", Some(&hook("smoke", "PostSync", ""))),
        ("second.yaml", Some(&second_wave("2"))),
        ("held.yaml", None),
    ]);
    app.compared_to(&commit).await;
    begin(app, automated).await;
    world
        .object("held", "on its way out", |map: &ConfigMap| {
            map.metadata.deletion_timestamp.is_some()
        })
        .await;
    kill(world, app).await;
    running(app, &["held"]).await;
    jobs.are(&[("migrate", 2), ("smoke", 1)]);
    world.agent().kill();
    let nothing = Patch::Merge(json!({"metadata": {"finalizers": null}}));
    let maps = world.api::<ConfigMap>();
    maps.patch("held", &PatchParams::default(), &nothing)
        .await
        .unwrap();
    world.agent().restart();
    let done = ended(app, &commit, OperationPhase::Succeeded).await;
    assert_eq!(status(&done).history.len(), 2);
    jobs.are(&[("migrate", 2), ("smoke", 2)]);
    world.object_gone::<Job>("smoke").await;
}

/// A failed hook, and the one that says so.
async fn failure(world: &World, app: &App<'_>, jobs: &Runs, repo: &Repo, automated: bool) {
    let commit = repo.commit(&[
        ("migrate.yaml", Some(&hook("migrate", "PreSync", "fail"))),
        ("second.yaml", Some(&second_wave("3"))),
    ]);
    app.compared_to(&commit).await;
    begin(app, automated).await;
    runs(world, "alarm").await;
    kill(world, app).await;
    running(app, &["SyncFail", "alarm"]).await;
    world.agent().kill();
    finish(world, "alarm", "Succeeded").await;
    world.agent().restart();
    let failed = ended(app, &commit, OperationPhase::Failed).await;
    let message = status(&failed).operation_state.unwrap().message;
    assert!(message.contains("migrate"), "{message}");
    assert_eq!(status(&failed).history.len(), 2);
    world.config_map_is("second", "2").await;
    world.object_gone::<Job>("migrate").await;
    world.object_gone::<Job>("alarm").await;
    // A new agent does not take the failed attempt for one that was never made.
    kill(world, app).await;
    jobs.are(&[("alarm", 1), ("migrate", 3), ("smoke", 2)]);
}

/// PreDelete and PostDelete.
async fn deletion(world: &World, app: &App<'_>, jobs: &Runs) {
    app.delete().await;
    runs(world, "drain").await;
    kill_while_deleted(world).await;
    app.condition("DeletionWarning", &["PreDelete", "drain"])
        .await;
    assert!(world.exists::<Service>("first").await && world.exists::<ConfigMap>("second").await);
    world.agent().kill();
    finish(world, "drain", "Succeeded").await;
    world.agent().restart();
    runs(world, "report").await;
    assert!(!world.exists::<Service>("first").await && !world.exists::<ConfigMap>("second").await);
    kill_while_deleted(world).await;
    app.condition("DeletionWarning", &["PostDelete", "report"])
        .await;
    world.agent().kill();
    finish(world, "report", "Succeeded").await;
    world.agent().restart();
    app.gone().await;
    jobs.are(&[
        ("alarm", 1),
        ("drain", 1),
        ("migrate", 3),
        ("report", 1),
        ("smoke", 2),
    ]);
    for (name, _) in jobs.counts() {
        world.object_gone::<Job>(&name).await;
    }
}

#[tokio::test]
async fn a_sync_by_itself_goes_on_after_a_kill_in_any_phase() {
    killed_everywhere("killauto", true).await;
}

#[tokio::test]
async fn a_sync_on_request_goes_on_after_a_kill_in_any_phase() {
    killed_everywhere("killasked", false).await;
}
