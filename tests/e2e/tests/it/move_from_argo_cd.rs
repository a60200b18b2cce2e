//! The move from Argo CD, on a cluster as a real one left it: the agent looks at everything and
//! changes nothing until Git changes or somebody asks.

use std::collections::BTreeMap;

use gitops_api::{Application, OperationPhase, SyncStatusCode};
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
    // It needs build options that are not followed.
    ("kust-out", "Unknown"),
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

/// The way back: what Argo CD goes by is as it needs it.
#[tokio::test]
async fn the_way_back_gives_argo_cd_what_it_needs() {
    let mut moved = Moved::new(Definitions::ArgoCd).await;
    moved.looked_at().await;
    let work = moved.recorded.checkout("config");
    let file = work.path().join("plain-web/all.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("level: \"info\"", "level: \"debug\"")).unwrap();
    moved.recorded.push(&work, "More");
    moved.world.logged("syncing").await;
    moved.refreshed().await;
    let map = "ConfigMap plain-web/web-config";
    assert_eq!(moved.find(map).await.unwrap()["data"]["level"], "debug");
    assert!(moved.world.stop().await);
    let back = moved
        .world
        .person()
        .gitops(&["uninstall", "--restore-argocd", "--yes"])
        .run()
        .await;
    back.exits(0).says("with their finalizers");
    let live = moved.find(map).await.unwrap();
    let metadata = &live["metadata"];
    let managers = metadata["managedFields"].as_array().unwrap();
    assert!(
        managers
            .iter()
            .all(|entry| entry["manager"] != "gitops-agent"),
        "{managers:?}"
    );
    assert!(metadata["labels"]["gitops-agent.io/managed-by"].is_null());
    let applied = metadata["annotations"]["kubectl.kubernetes.io/last-applied-configuration"]
        .as_str()
        .unwrap();
    let applied: Value = serde_json::from_str(applied).unwrap();
    assert_eq!(
        applied["data"],
        json!({"level": "debug", "url": "http://api"})
    );
    let tracking = "plain-web:/ConfigMap:plain-web/web-config";
    assert_eq!(
        applied["metadata"]["annotations"]["argocd.argoproj.io/tracking-id"],
        tracking
    );
    let changes = moved
        .changes(&[
            map,
            "Deployment argocd/argocd-applicationset-controller",
            "StatefulSet argocd/argocd-application-controller",
        ])
        .await;
    assert!(changes.is_empty(), "{changes:#?}");
    for (name, _) in STATES {
        let app = moved.applications().get(name).await.unwrap();
        assert!(
            !app.annotations().contains_key("gitops-agent.io/memory"),
            "{name}"
        );
    }
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
