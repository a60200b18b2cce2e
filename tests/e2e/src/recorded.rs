//! A cluster as Argo CD left it: its objects with statuses and managers as they were recorded, under
//! Argo CD's definitions or ours, and the repositories of exactly those commits.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Patch, PatchParams, PostParams};
use kube::core::{DynamicObject, GroupVersionKind};
use kube::discovery::{ApiResource, Scope, pinned_kind};
use kube::{Api, Client};
use serde_json::{Value, json};

use crate::cluster::Cluster;
use crate::control_plane::ControlPlane;
use crate::repository::git;
use crate::world::unique;
use crate::{Environment, must, wait};

/// Definitions of the kinds that are installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Definitions {
    /// As Argo CD has them: what this project adds to a status is dropped.
    ArgoCd,
    /// This project's.
    Own,
}

/// A recorded cluster that was loaded.
pub struct Recorded {
    /// Its control plane.
    pub plane: ControlPlane,
    /// What was recorded, with the addresses of this run.
    pub objects: Vec<Value>,
    prefix: String,
    kinds: BTreeMap<(String, String), (ApiResource, Scope)>,
    cluster: Cluster,
}

impl Recorded {
    /// Loads the cluster of `tests/fixtures/move`, with Argo CD's own controllers stopped.
    pub async fn load(definitions: Definitions, change: impl Fn(&mut Value)) -> Self {
        let cluster = Cluster::up("fake", &[]);
        let plane = ControlPlane::bare(&cluster.kubeconfig()).await;
        let folder = fixture();
        let prefix = unique("move");
        for name in ["charts", "config", "fleet", "team", "values"] {
            let bundle = folder.join(format!("git/{name}.bundle"));
            let bare = bare(&prefix, name);
            let (bundle, target) = (bundle.to_string_lossy(), bare.to_string_lossy());
            git(Path::new("/"), &["clone", "-q", "--bare", &bundle, &target]);
            git(&bare, &["config", "uploadpack.allowAnySHA1InWant", "true"]);
            // A bundle does not always say which branch is the first.
            git(&bare, &["symbolic-ref", "HEAD", "refs/heads/main"]);
        }
        // The version that `multi-src` names; a bundle of a branch has no tags.
        git(&bare(&prefix, "charts"), &["tag", "v1.0.0", "main"]);
        install(&plane, definitions, &cluster.kubeconfig());
        let text = must(
            std::fs::read_to_string(folder.join("cluster.json")),
            "read it",
        );
        // The children of the app of apps name their repository: it is where this run has it.
        let work = must(
            tempfile::TempDir::with_prefix("gitops-e2e-"),
            "make a folder",
        );
        let config = bare(&prefix, "config");
        let recorded = git(&config, &["rev-parse", "main"]);
        git(
            work.path(),
            &["clone", "-q", &config.to_string_lossy(), "."],
        );
        for child in ["api", "db", "web"] {
            let file = work.path().join(format!("aoa/{child}.yaml"));
            let child = must(std::fs::read_to_string(&file), "read a child");
            let child = child.replace("http://127.0.0.1:21050/config.git", &url(&prefix, "config"));
            must(std::fs::write(&file, child), "write a child");
        }
        git(
            work.path(),
            &["commit", "-q", "-a", "-m", "Ahead, and broken"],
        );
        git(work.path(), &["push", "-q", "origin", "main"]);
        let commit = git(work.path(), &["rev-parse", "HEAD"]);
        let mut text = text.replace(&recorded, &commit);
        for name in ["charts", "config", "fleet", "team", "values"] {
            let url = url(&prefix, name);
            text = text.replace(&format!("GIT/{name}.git"), &url);
        }
        let list: Value = must(serde_json::from_str(&text), "read the recorded cluster");
        let mut objects = list["items"].as_array().cloned().unwrap_or_default();
        objects.iter_mut().for_each(change);
        let mut recorded = Self {
            plane,
            objects,
            prefix,
            kinds: BTreeMap::new(),
            cluster,
        };
        recorded.create_all().await;
        recorded
    }

    /// The folder of a bare repository, such as `config`.
    pub fn repository(&self, name: &str) -> PathBuf {
        bare(&self.prefix, name)
    }

    /// The address of a repository.
    pub fn url(&self, name: &str) -> String {
        url(&self.prefix, name)
    }

    /// A work clone of a repository.
    pub fn checkout(&self, name: &str) -> tempfile::TempDir {
        let work = must(
            tempfile::TempDir::with_prefix("gitops-e2e-"),
            "make a folder",
        );
        let bare = self.repository(name);
        git(work.path(), &["clone", "-q", &bare.to_string_lossy(), "."]);
        work
    }

    /// Commits what was changed in a work clone and pushes it; gives the commit.
    pub fn push(&self, work: &tempfile::TempDir, subject: &str) -> String {
        git(work.path(), &["commit", "-q", "-a", "-m", subject]);
        git(work.path(), &["push", "-q", "origin", "main"]);
        git(work.path(), &["rev-parse", "HEAD"])
    }

    /// Kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.cluster.kubeconfig()
    }

    async fn create_all(&mut self) {
        let mut owners: BTreeMap<String, String> = BTreeMap::new();
        for pass in [
            &["Namespace"][..],
            &[
                "AppProject",
                "Secret",
                "ConfigMap",
                "ApplicationSet",
                "Service",
            ],
            &[],
        ] {
            let rest = pass.is_empty();
            let objects: Vec<Value> = self
                .objects
                .iter()
                .filter(|object| {
                    let kind = object["kind"].as_str().unwrap_or_default();
                    let early = [
                        "Namespace",
                        "AppProject",
                        "Secret",
                        "ConfigMap",
                        "ApplicationSet",
                        "Service",
                    ];
                    pass.contains(&kind) || (rest && !early.contains(&kind))
                })
                .cloned()
                .collect();
            for object in objects {
                let created = self.create(&object, &owners).await;
                if object["kind"] == "ApplicationSet" {
                    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                    owners.insert(
                        text(&object["metadata"]["name"]),
                        text(&created["metadata"]["uid"]),
                    );
                }
            }
            // The API server takes no Pod template before the account is there; nor does a test.
            if pass.contains(&"Namespace") {
                let accounts: Api<ServiceAccount> =
                    Api::namespaced(self.plane.client.clone(), "argocd");
                let made = wait::until(accounts, "default", |account| account.is_some()).await;
                must(made.map_err(|_| "it is not there"), "wait for the account");
            }
        }
    }

    async fn create(&mut self, recorded: &Value, owners: &BTreeMap<String, String>) -> Value {
        let name = recorded["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        let mut object = recorded.clone();
        let fields = object["metadata"]
            .as_object_mut()
            .and_then(|metadata| metadata.remove("managedFields"));
        for owner in object["metadata"]["ownerReferences"]
            .as_array_mut()
            .into_iter()
            .flatten()
        {
            let known = owner["name"].as_str().and_then(|name| owners.get(name));
            owner["uid"] = known.cloned().unwrap_or_default().into();
        }
        as_created(&mut object);
        let api = self.api(recorded).await;
        let typed: DynamicObject = must(serde_json::from_value(object), "read a recorded object");
        let what = format!("{} {name}", recorded["kind"]);
        if recorded["kind"] == "Namespace" && must(api.get_opt(&name).await, "look").is_some() {
            return Value::Null;
        }
        let created = must(
            api.create(&PostParams::default(), &typed).await,
            &format!("create {what}"),
        );
        // As other controllers left it.
        let patch = json!({"metadata": {"managedFields": fields}});
        let written = must(
            api.patch(&name, &PatchParams::default(), &Patch::Merge(&patch))
                .await,
            &format!("write down who holds which field of {what}"),
        );
        drop(created);
        must(serde_json::to_value(written), "read the answer")
    }

    /// The object as it is now; `None` when it is gone.
    pub async fn live(&mut self, object: &Value) -> Option<Value> {
        let api = self.api(object).await;
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let found = must(api.get_opt(name).await, "read an object");
        found.map(|found| must(serde_json::to_value(found), "read the answer"))
    }

    /// The API of an object's kind, in its namespace.
    pub async fn api(&mut self, object: &Value) -> Api<DynamicObject> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let key = (text(&object["apiVersion"]), text(&object["kind"]));
        if !self.kinds.contains_key(&key) {
            let (group, version) = key.0.split_once('/').unwrap_or(("", &key.0));
            let gvk = GroupVersionKind::gvk(group, version, &key.1);
            let found = pinned_kind(&self.plane.client, &gvk).await;
            let (resource, capabilities) = must(found, &format!("find kind {}", key.1));
            self.kinds
                .insert(key.clone(), (resource, capabilities.scope));
        }
        let (resource, scope) = &self.kinds[&key];
        let client: Client = self.plane.client.clone();
        match scope {
            Scope::Cluster => Api::all_with(client, resource),
            Scope::Namespaced => {
                Api::namespaced_with(client, &text(&object["metadata"]["namespace"]), resource)
            }
        }
    }
}

/// What the API server makes itself and takes from nobody.
fn as_created(object: &mut Value) {
    fn remove_names(labels: &mut Value) {
        if let Some(labels) = labels.as_object_mut() {
            labels
                .retain(|name, _| !name.contains("controller-uid") && !name.ends_with("job-name"));
        }
    }
    match object["kind"].as_str().unwrap_or_default() {
        "Job" => {
            remove_names(&mut object["metadata"]["labels"]);
            remove_names(&mut object["spec"]["template"]["metadata"]["labels"]);
            if let Some(spec) = object["spec"].as_object_mut() {
                spec.remove("selector");
            }
        }
        "Namespace" => {
            if let Some(object) = object.as_object_mut() {
                object.remove("spec");
            }
        }
        _ => {}
    }
    let metadata = &object["metadata"];
    let controller = metadata["labels"]["app.kubernetes.io/component"].as_str();
    let stopped = ["application-controller", "applicationset-controller"];
    if metadata["namespace"] == "argocd" && controller.is_some_and(|name| stopped.contains(&name)) {
        let has_replicas = object["spec"]["replicas"].is_number();
        if has_replicas {
            let before = "gitops-agent.io/replicas-before-adoption";
            object["metadata"]["annotations"][before] = json!("1");
            object["spec"]["replicas"] = json!(0);
        }
    }
}

fn fixture() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/move")
}

fn bare(prefix: &str, name: &str) -> PathBuf {
    let root = &Environment::get().servers.git_root;
    root.join(format!("{prefix}-{name}.git"))
}

fn url(prefix: &str, name: &str) -> String {
    format!("{}/{prefix}-{name}.git", Environment::get().servers.git)
}

/// Definitions and the agent's ClusterRole.
fn install(plane: &ControlPlane, definitions: Definitions, beside: &Path) {
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests");
    let files = [
        "application-crd",
        "applicationset-crd",
        "appproject-crd",
        "preview-crd",
    ];
    for name in files {
        let path = manifests.join(format!("crds/{name}.yaml"));
        let text = must(std::fs::read_to_string(&path), "read a definition");
        let mut definition: Value = must(serde_saphyr::from_str(&text), "read a definition");
        if definitions == Definitions::ArgoCd && name == "application-crd" {
            let versions = &mut definition["spec"]["versions"];
            let schema = &mut versions[0]["schema"]["openAPIV3Schema"]["properties"]["status"];
            without_additions(schema);
        }
        let file = beside.with_extension(format!("{name}.json"));
        must(
            std::fs::write(&file, definition.to_string()),
            "write a definition",
        );
        let applied = plane.kubectl(&["apply", "--server-side", "-f", &file.to_string_lossy()]);
        must(applied, "apply a definition");
    }
    for name in ["cluster-role", "preview-policy"] {
        let path = manifests.join(format!("base/{name}.yaml"));
        let applied = plane.kubectl(&["apply", "--server-side", "-f", &path.to_string_lossy()]);
        must(applied, "apply a manifest of the installation");
    }
    let waited = plane.kubectl(&[
        "wait",
        "--for=condition=Established",
        "--timeout=60s",
        "crd/applications.argoproj.io",
        "crd/appprojects.argoproj.io",
        "crd/applicationsets.argoproj.io",
        "crd/previews.gitops-agent.io",
    ]);
    must(waited, "wait for the definitions");
}

/// What Argo CD's definition of a status does not know is gone, and dropped from objects.
fn without_additions(schema: &mut Value) {
    const ADDITIONS: [&str; 16] = [
        "live",
        "tracked",
        "healthySince",
        "lostAt",
        "lostBecause",
        "heals",
        "reasons",
        "desiredDigest",
        "hooksDigest",
        "commit",
        "healthyAt",
        "degradedAt",
        "degradedBecause",
        "drift",
        "ignoredFields",
        "reason",
    ];
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties.retain(|name, _| !ADDITIONS.contains(&name.as_str()));
        properties.values_mut().for_each(without_additions);
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("x-kubernetes-preserve-unknown-fields");
        }
    }
    if let Some(items) = schema.get_mut("items") {
        without_additions(items);
    }
}
