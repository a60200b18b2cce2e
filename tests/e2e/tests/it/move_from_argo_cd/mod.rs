//! The move from Argo CD, on a cluster as a real one left it: the agent looks at everything and
//! changes nothing until Git changes or somebody asks.

mod back;
mod changes;

use std::collections::BTreeMap;

use gitops_api::{Application, SyncStatusCode};
use gitops_e2e::recorded::{Definitions, Recorded};
use gitops_e2e::{World, wait};
use k8s_openapi::api::core::v1::Service;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

/// What is said of each Application after the move, and whether an operation of Argo CD's goes on.
const STATES: [(&str, &str); 33] = [
    ("aoa-api", "Synced"),
    ("aoa-db", "Synced"),
    ("aoa-root", "Synced"),
    ("aoa-web", "Synced"),
    // Its hook failed, and its one retry was used up.
    ("bad-hook", "OutOfSync"),
    ("degraded", "Synced"),
    ("failed-manual", "OutOfSync"),
    ("helm-api", "Synced"),
    ("helm-obj", "Synced"),
    ("hooks-app", "Synced"),
    ("ignore-diff", "Synced"),
    // A hook of Argo CD's runs, and is waited for.
    ("inflight", "Synced"),
    ("jsonnet", "Synced"),
    ("keep-none", "OutOfSync"),
    ("kust-opts", "Synced"),
    ("kust-out", "Synced"),
    ("kust-shop", "Synced"),
    ("list-dev", "Synced"),
    ("list-prod", "Synced"),
    ("manual-behind", "OutOfSync"),
    ("manual-drift", "OutOfSync"),
    ("multi-src", "Synced"),
    // Six replicas and a hotfix, made by hand: without self-heal they stay.
    ("noheal-drift", "OutOfSync"),
    ("plain-rec", "Synced"),
    ("plain-web", "Synced"),
    ("prune-pending", "OutOfSync"),
    // Another cluster.
    ("remote", "Unknown"),
    ("replace-ssa", "Synced"),
    ("set-alpha", "Synced"),
    ("set-beta", "Synced"),
    // Its project wants signed commits.
    ("signed", "Unknown"),
    ("team-app", "Synced"),
    // A window denies syncs.
    ("windowed", "OutOfSync"),
];

struct Moved {
    recorded: Recorded,
    before: Vec<Value>,
    world: World,
}

impl Moved {
    async fn new(definitions: Definitions) -> Self {
        Self::load(definitions, |_| {}).await
    }

    async fn load(definitions: Definitions, change: impl Fn(&mut Value)) -> Self {
        let mut recorded = Recorded::load(definitions, change).await;
        let mut before = Vec::new();
        for object in recorded.objects.clone() {
            before.extend(recorded.live(&object).await);
        }
        let world = World::without_project(recorded.plane.clone(), "argocd".into()).await;
        Self {
            recorded,
            before,
            world,
        }
    }

    fn applications(&self) -> Api<Application> {
        Api::namespaced(self.recorded.plane.client.clone(), "argocd")
    }

    /// Waits until each Application was looked at, and then once more, so that whatever would have
    /// followed from the first look has begun.
    async fn looked_at(&self) {
        for (name, _) in STATES {
            let is_it = |object: &&Value| name_of(object) == format!("Application argocd/{name}");
            let recorded = self.recorded.objects.iter().find(is_it).unwrap();
            let recorded: Application = serde_json::from_value(recorded.clone()).unwrap();
            let recorded = recorded.status.and_then(|status| status.reconciled_at);
            self.until(name, "looked at", |app| {
                let now = app
                    .status
                    .as_ref()
                    .and_then(|status| status.reconciled_at.clone());
                now != recorded
            })
            .await;
        }
        self.refreshed().await;
        self.refreshed().await;
    }

    async fn refreshed(&self) {
        let api = self.applications();
        let refresh = "argocd.argoproj.io/refresh";
        for (name, _) in STATES {
            let patch = json!({"metadata": {"annotations": {refresh: "normal"}}});
            api.patch(name, &PatchParams::default(), &Patch::Merge(&patch))
                .await
                .unwrap();
        }
        for (name, _) in STATES {
            self.until(name, "refreshed", |app| {
                !app.annotations().contains_key(refresh)
            })
            .await;
        }
    }

    async fn until(
        &self,
        name: &str,
        what: &str,
        found: impl Fn(&Application) -> bool,
    ) -> Application {
        // Many Applications are looked at one after the other.
        const LIMITS: usize = 4;
        let mut last = String::new();
        for _ in 0..LIMITS {
            let found = wait::until(self.applications(), name, |app| app.is_some_and(&found)).await;
            match found {
                Ok(Some(app)) => return app,
                Ok(None) => panic!("{name} is gone"),
                Err(seen) => last = seen,
            }
        }
        panic!("{name} was not {what}\n{last}\n{}", self.world.agent_tail());
    }

    fn named(&self, name: &str) -> Value {
        let found = self
            .recorded
            .objects
            .iter()
            .find(|object| name_of(object) == name);
        found
            .unwrap_or_else(|| panic!("{name} is not recorded"))
            .clone()
    }

    /// An object as it is now; `None` when it is gone.
    async fn find(&mut self, name: &str) -> Option<Value> {
        let object = self.named(name);
        self.recorded.live(&object).await
    }

    async fn delete(&mut self, name: &str) {
        let object = self.named(name);
        let api = self.recorded.api(&object).await;
        let name = object["metadata"]["name"].as_str().unwrap();
        api.delete(name, &DeleteParams::default()).await.unwrap();
    }

    async fn until_there(&mut self, name: &str) {
        let object = self.named(name);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let namespace = text(&object["metadata"]["namespace"]);
        let api: Api<Service> = Api::namespaced(self.recorded.plane.client.clone(), &namespace);
        let there = wait::until(api, &text(&object["metadata"]["name"]), |found| {
            found.is_some()
        })
        .await;
        assert!(
            there.is_ok(),
            "{name} did not come back\n{}",
            self.world.agent_tail()
        );
    }

    /// Everything that was changed, but for `except`.
    async fn changes(&mut self, except: &[&str]) -> BTreeMap<String, Vec<String>> {
        let mut changes = BTreeMap::new();
        for before in self.before.clone() {
            let name = name_of(&before);
            if except.contains(&name.as_str()) {
                continue;
            }
            let found = match self.recorded.live(&before).await {
                None => vec!["it is gone".to_owned()],
                Some(after) => differences(&before, &after),
            };
            if !found.is_empty() {
                changes.insert(name, found);
            }
        }
        changes
    }
}

fn name_of(object: &Value) -> String {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let metadata = &object["metadata"];
    format!(
        "{} {}/{}",
        text(&object["kind"]),
        text(&metadata["namespace"]),
        text(&metadata["name"])
    )
}

fn differences(before: &Value, after: &Value) -> Vec<String> {
    let mut found = Vec::new();
    let mut compare = |name: &str, before: &Value, after: &Value| {
        if before != after {
            found.push(format!("{name}: {before} -> {after}"));
        }
    };
    let (old, new) = (&before["metadata"], &after["metadata"]);
    for field in [
        "uid",
        "labels",
        "finalizers",
        "ownerReferences",
        "deletionTimestamp",
    ] {
        compare(field, &old[field], &new[field]);
    }
    let is_application = before["kind"] == "Application";
    if is_application {
        compare("spec", &before["spec"], &after["spec"]);
        compare("operation", &before["operation"], &after["operation"]);
        compare(
            "history",
            &before["status"]["history"][0]["id"],
            &after["status"]["history"][0]["id"],
        );
        return found;
    }
    for field in ["spec", "data", "stringData", "binaryData"] {
        compare(field, &before[field], &after[field]);
    }
    compare("generation", &old["generation"], &new["generation"]);
    // Deployments get a revision from their controller.
    for mark in [
        "argocd.argoproj.io/tracking-id",
        "gitops-agent.io/desired-digest",
        "kubectl.kubernetes.io/last-applied-configuration",
    ] {
        compare(mark, &old["annotations"][mark], &new["annotations"][mark]);
    }
    let ours = |metadata: &Value| {
        let entries = metadata["managedFields"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        entries
            .iter()
            .any(|entry| entry["manager"] == "gitops-agent")
    };
    compare("held by the agent", &json!(ours(old)), &json!(ours(new)));
    found
}

fn sync_of(app: &Application) -> Option<SyncStatusCode> {
    Some(app.status.as_ref()?.sync.as_ref()?.status)
}

/// Another controller that comes up is noticed, whatever it is called, and nothing is written until
/// it is gone.
#[tokio::test]
async fn two_controllers_never_act_at_once() {
    let moved = Moved::new(Definitions::ArgoCd).await;
    moved.looked_at().await;
    let scale = |replicas: &'static str| {
        let replicas = format!("--replicas={replicas}");
        let line = [
            "scale",
            "statefulset",
            "argocd-application-controller",
            "-n",
            "argocd",
            &replicas,
        ];
        moved.recorded.plane.kubectl(&line).unwrap();
    };
    scale("1");
    moved.world.logged("stopped: Argo CD").await;
    let work = moved.recorded.checkout("config");
    let file = work.path().join("plain-web/all.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("level: \"info\"", "level: \"debug\"")).unwrap();
    let commit = moved.recorded.push(&work, "More");
    moved.world.logged("nothing is written").await;
    moved.world.logged("status could not be written").await;
    let app = moved.applications().get("plain-web").await.unwrap();
    assert_ne!(app.status.unwrap().sync.unwrap().revision, commit);
    // Beside a running one an agent that starts waits.
    moved.world.agent().restart();
    moved.world.logged("waiting: Argo CD").await;
    scale("0");
    moved.world.logged("the agent runs").await;
    moved
        .until("plain-web", "synced to the commit", |app| {
            let sync = app.status.as_ref().and_then(|status| status.sync.as_ref());
            sync.is_some_and(|sync| {
                sync.revision == commit && sync.status == SyncStatusCode::Synced
            })
        })
        .await;
}
