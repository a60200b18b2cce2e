//! Hook Jobs whose Pods really run: one that succeeds, one that fails and says why, one that takes
//! too long, one that somebody ends.

use std::path::Path;

use gitops_api::constants::finalizer;
use gitops_api::status::OperationState;
use gitops_api::{Application, OperationPhase};
use gitops_e2e::application::status;
use gitops_e2e::cluster::OwnServers;
use gitops_e2e::control_plane::ControlPlane;
use gitops_e2e::manifests::config_map;
use gitops_e2e::{Person, Repo, wait};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Event, Pod};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::logs;

/// In a Secret of the application, and in the log of its hook.
const SECRET: &str = "correct-horse-battery";
/// Written into the log without being in any Secret.
const WRITTEN: &str = "staple-9";

/// A Job of the image that each node has. Little grace: what is told to end before it has begun
/// does not hear it.
fn job(name: &str, hook: &str, more: &str, arguments: &Value) -> String {
    format!(
        "apiVersion: batch/v1\nkind: Job\nmetadata:\n  name: {name}\n  annotations:\n    \
         argocd.argoproj.io/hook: {hook}\n    argocd.argoproj.io/hook-delete-policy: \
         BeforeHookCreation,HookFailed\nspec:\n  backoffLimit: 0\n{more}  template:\n    spec:\n      \
         terminationGracePeriodSeconds: 1\n      restartPolicy: Never\n      containers:\n        - \
         name: work\n          image: \
         gitops.test/workload:1\n          args: {arguments}\n"
    )
}

/// The migration of the examples, whose image this node does not have.
fn migration(arguments: &Value) -> Value {
    let patch = json!([
        {"op": "add", "path": "/spec/backoffLimit", "value": 0},
        {"op": "add", "path": "/spec/template/spec/containers/0/args", "value": arguments},
        {"op": "add", "path": "/spec/template/spec/containers/0/env", "value": [
            {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "database", "key": "password"}}},
        ]},
    ]);
    json!({
        "resources": ["job.yaml", "database.yaml", "settings.yaml"],
        "images": [{"name": "acme/payments-migrate", "newName": "gitops.test/workload", "newTag": "1"}],
        "patches": [{"target": {"kind": "Job", "name": "payments-migrate"}, "patch": patch.to_string()}],
    })
}

fn database() -> String {
    format!(
        "apiVersion: v1\nkind: Secret\nmetadata:\n  name: database\n  annotations:\n    \
         argocd.argoproj.io/hook: PreSync\n    argocd.argoproj.io/sync-wave: \"-2\"\nstringData:\n  \
         password: {SECRET}\n"
    )
}

fn repository(servers: &OwnServers) -> Repo {
    let repo = Repo::create_on(&servers.servers, "hooks");
    let example = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../fixtures/examples/000-payments-migration-job.yaml");
    let example = std::fs::read_to_string(example).unwrap();
    let works = migration(&json!(["echo", "migrated"]));
    let mut lines = vec![json!("exit"), json!("1")];
    lines.extend((1..=7).map(|line| json!(format!("step {line} of the migration"))));
    lines.push(json!("connecting as shop with $(PASSWORD)"));
    lines.push(json!(format!("DB_PASSWORD={WRITTEN}")));
    lines.push(json!("relation \"payments\" does not exist"));
    let fails = migration(&json!(lines));
    let (works, fails, database) = (works.to_string(), fails.to_string(), database());
    let settings = config_map("settings", "1");
    let smoke = job("smoke", "PostSync", "", &json!(["echo", "fine"]));
    let drain = job("drain", "PreDelete", "", &json!(["echo", "drained"]));
    let hangs = job("migrate", "PreSync", "", &json!([]));
    let late = job(
        "migrate",
        "PreSync",
        "  activeDeadlineSeconds: 2\n",
        &json!([]),
    );
    repo.commit(&[
        ("works/kustomization.yaml", Some(works.as_str())),
        ("works/job.yaml", Some(&example)),
        ("works/database.yaml", Some(&database)),
        (
            "works/settings.yaml",
            Some(&(settings.clone() + "---\n" + &smoke + "---\n" + &drain)),
        ),
        ("fails/kustomization.yaml", Some(&fails)),
        ("fails/job.yaml", Some(&example)),
        ("fails/database.yaml", Some(&database)),
        ("fails/settings.yaml", Some(&settings)),
        ("late/job.yaml", Some(&late)),
        ("late/settings.yaml", Some(&settings)),
        ("hangs/job.yaml", Some(&hangs)),
        ("hangs/settings.yaml", Some(&settings)),
    ]);
    repo
}

struct Node<'a> {
    plane: &'a ControlPlane,
    apps: Api<Application>,
}

impl Node<'_> {
    fn api<K>(&self, namespace: &str) -> Api<K>
    where
        K: kube::Resource<Scope = k8s_openapi::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.plane.client.clone(), namespace)
    }

    /// Waits until the sync of an application stands like this.
    async fn sync(&self, name: &str, found: impl Fn(&OperationState) -> bool) -> OperationState {
        let until = wait::until(self.apps.clone(), name, |app| {
            app.is_some_and(|app| {
                status(app)
                    .operation_state
                    .is_some_and(|state| found(&state))
            })
        });
        match until.await {
            Ok(app) => status(&app.unwrap()).operation_state.unwrap(),
            Err(last) => panic!("{name}: {last}\n{}", logs(self.plane).await),
        }
    }

    async fn ended(&self, name: &str, phase: OperationPhase) -> OperationState {
        let state = self.sync(name, |state| state.phase.is_completed()).await;
        assert_eq!(state.phase, phase, "{name}: {}", state.message);
        state
    }

    /// Waits until the Pods of a Job are gone, and the Job with them.
    async fn job_gone(&self, namespace: &str, name: &str) {
        let gone = wait::until(self.api::<Job>(namespace), name, |job| job.is_none());
        gone.await.unwrap();
        let of_job = ListParams::default().labels(&format!("job-name={name}"));
        let pods = self.api::<Pod>(namespace).list(&of_job).await.unwrap();
        for pod in pods {
            let name = pod.name_any();
            let gone = wait::until(self.api::<Pod>(namespace), &name, |pod| pod.is_none());
            gone.await.unwrap();
        }
    }

    async fn delivered(&self, namespace: &str) -> bool {
        let maps = self.api::<ConfigMap>(namespace);
        maps.get_opt("settings").await.unwrap().is_some()
    }
}

/// On a cluster with an agent and a real node.
pub(super) async fn run(plane: &ControlPlane, servers: &OwnServers) {
    let repo = repository(servers);
    let node = Node {
        plane,
        apps: Api::namespaced(plane.client.clone(), "argocd"),
    };
    for name in ["works", "fails", "late", "hangs"] {
        let app = json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd", "finalizers": [finalizer::RESOURCES]},
            "spec": {
                "project": "default",
                "source": {"repoURL": repo.url(), "path": name, "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": name},
                "syncPolicy": {
                    "automated": {"prune": true}, "retry": {"limit": 0},
                    "syncOptions": ["CreateNamespace=true"],
                },
            },
        });
        plane.apply_value_as("gitops-e2e", app).await;
    }
    tokio::join!(works(&node), fails(&node), late(&node), hangs(&node));
}

async fn works(node: &Node<'_>) {
    node.ended("works", OperationPhase::Succeeded).await;
    assert!(node.delivered("works").await);
    node.job_gone("works", "payments-migrate").await;
    let jobs = node.api::<Job>("works");
    let smoke = jobs.get("smoke").await.unwrap();
    assert_eq!(smoke.status.unwrap().succeeded, Some(1));
    let log = ["logs", "-n", "works", "job/smoke"];
    assert_eq!(node.plane.kubectl(&log).unwrap(), "fine\n");
    let person = Person::with_kubeconfig(node.plane.kubeconfig()).in_namespace("argocd");
    let read = person.gitops(&["logs", "works", "--tail", "5"]).run().await;
    read.exits(0).prints("fine").is_plain();
    let nothing = person
        .gitops(&["logs", "works", "-c", "nobody"])
        .run()
        .await;
    nothing
        .exits(0)
        .prints_nothing()
        .says("with a container nobody");
    let agent = person
        .gitops(&["logs", "--agent", "--tail", "200"])
        .run()
        .await;
    agent.exits(0).prints("works");
    node.apps
        .delete("works", &DeleteParams::default())
        .await
        .unwrap();
    let gone = wait::until(node.apps.clone(), "works", |app| app.is_none());
    gone.await.unwrap();
    // What ran before its objects went has gone with them.
    assert!(jobs.get_opt("drain").await.unwrap().is_none());
    assert!(!node.delivered("works").await);
}

async fn fails(node: &Node<'_>) {
    let state = node.ended("fails", OperationPhase::Failed).await;
    for text in [
        "payments-migrate",
        "last log lines: step 4 of the migration | ",
        "connecting as shop with *** | DB_PASSWORD=*** | relation \"payments\" does not exist | \
         ending with code 1",
    ] {
        assert!(state.message.contains(text), "{text}: {}", state.message);
    }
    assert!(!node.delivered("fails").await);
    let who = Person::with_kubeconfig(node.plane.kubeconfig()).in_namespace("argocd");
    let read = who.gitops(&["logs", "fails"]).run().await;
    read.exits(0).prints("step 4 of the migration");
    // Who looks at it reads that, and nobody reads what is secret, wherever it was told.
    let person = Person::with_kubeconfig(node.plane.kubeconfig()).in_namespace("argocd");
    for line in [["status", "fails"], ["explain", "fails"]] {
        let shown = person.gitops(&line).run().await;
        shown
            .prints("does not exist")
            .never_shows(SECRET)
            .never_shows(WRITTEN);
    }
    let app = node.apps.get("fails").await.unwrap();
    let events = node.api::<Event>("argocd");
    let events = events.list(&ListParams::default()).await.unwrap().items;
    let told = serde_json::to_string(&(app, events)).unwrap() + &logs(node.plane).await;
    assert!(!told.contains(SECRET) && !told.contains(WRITTEN));
}

async fn late(node: &Node<'_>) {
    let state = node.ended("late", OperationPhase::Failed).await;
    let message = state.message;
    assert!(
        message.contains("migrate") && message.contains("deadline"),
        "{message}"
    );
    node.job_gone("late", "migrate").await;
    assert!(!node.delivered("late").await);
}

async fn hangs(node: &Node<'_>) {
    let runs = |state: &OperationState| {
        state.phase == OperationPhase::Running && state.message.contains("migrate")
    };
    node.sync("hangs", runs).await;
    let started = wait::until(node.api::<Job>("hangs"), "migrate", |job| {
        job.and_then(|job| job.status.as_ref()?.ready) == Some(1)
    });
    started.await.unwrap();
    let end = json!({"status": {"operationState": {"phase": "Terminating"}}});
    node.apps
        .patch("hangs", &PatchParams::default(), &Patch::Merge(&end))
        .await
        .unwrap();
    let state = node.ended("hangs", OperationPhase::Failed).await;
    assert_eq!(state.message, "operation terminated");
    node.job_gone("hangs", "migrate").await;
    assert!(!node.delivered("hangs").await);
}
