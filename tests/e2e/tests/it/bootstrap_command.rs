//! `kubectl gitops bootstrap` and `uninstall`, each test on a cluster of its own: from nothing to an
//! agent that manages itself, interrupted, refused, and beside an Argo CD.

use gitops_api::Application;
use gitops_e2e::agent::Launch;
use gitops_e2e::application::{is_healthy, is_synced, revision};
use gitops_e2e::cluster::{Cluster, OwnServers, is_root};
use gitops_e2e::control_plane::ControlPlane;
use gitops_e2e::manifests::config_map;
use gitops_e2e::plugin::Outcome;
use gitops_e2e::repository::Transport;
use gitops_e2e::world::unique;
use gitops_e2e::{Agent, Environment, Person, Repo, http, image, wait};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret, ServiceAccount};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ManagedFieldsEntry;
use kube::Api;
use kube::api::ListParams;
use serde_json::json;
use tempfile::TempDir;

const FOLDER: &str = "clusters/test";

/// A cluster whose Pods are fake: the agent that its Deployment asks for is a process here.
struct Stage {
    cluster: Cluster,
    plane: ControlPlane,
    person: Person,
    repo: Repo,
    folder: TempDir,
}

impl Stage {
    async fn new(name: &str) -> Self {
        let cluster = Cluster::up("fake", &[]);
        let plane = ControlPlane::bare(&cluster.kubeconfig()).await;
        Self {
            person: Person::with_kubeconfig(&cluster.kubeconfig()),
            repo: Repo::create(&unique(name)),
            folder: tempfile::tempdir().unwrap(),
            cluster,
            plane,
        }
    }

    async fn bootstrap(&self, more: &[&str]) -> Outcome {
        let url = self.repo.url();
        let all = [&["bootstrap", "--repo", &url, "--path", FOLDER], more].concat();
        self.person.gitops(&all).run().await
    }

    /// Kills a bootstrap when it says a text.
    async fn killed_at(&self, text: &str) -> Outcome {
        let url = self.repo.url();
        let line = [
            "bootstrap",
            "--repo",
            &url,
            "--path",
            FOLDER,
            "--yes",
            "--timeout",
            "5s",
        ];
        let script = format!(
            "mkfifo said; \"$@\" >/dev/null 2>said & pid=$!
            while read -r line; do echo \"$line\"; case $line in *{text:?}*) kill -KILL $pid; echo killed; break;; esac; done <said
            rm -f said; wait $pid"
        );
        self.person.gitops(&line).in_script(&script).run().await
    }

    fn api<K>(&self) -> Api<K>
    where
        K: kube::Resource<Scope = kube::core::NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.plane.client.clone(), "argocd")
    }

    /// Starts the agent's process when its ServiceAccount is there, with that account's rights.
    async fn agent(&self) -> Agent {
        wait::until(self.api::<ServiceAccount>(), "gitops-agent", |account| {
            account.is_some()
        })
        .await
        .unwrap();
        let token = self.plane.token("argocd", "gitops-agent").await;
        let kubeconfig = self.folder.path().join("agent.kubeconfig");
        let config = self.plane.kubeconfig_of(&json!({"token": token}));
        std::fs::write(&kubeconfig, config.to_string()).unwrap();
        wait::until(self.api::<Deployment>(), "gitops-agent", |live| {
            live.is_some()
        })
        .await
        .unwrap();
        Agent::start(Launch {
            namespace: "argocd".into(),
            identity: "argocd-agent".into(),
            kubeconfig,
            cache: self.folder.path().join("cache"),
            poll_interval: "1s".into(),
            log_level: "info,gitops_agent=debug".into(),
        })
    }

    async fn is_untouched(&self) {
        let namespaces: Api<Namespace> = Api::all(self.plane.client.clone());
        assert!(namespaces.get_opt("argocd").await.unwrap().is_none());
    }

    async fn image(&self) -> String {
        let live = self.api::<Deployment>().get("gitops-agent").await.unwrap();
        image_of(&live)
    }
}

fn image_of(live: &Deployment) -> String {
    let template = live
        .spec
        .as_ref()
        .and_then(|spec| spec.template.spec.as_ref());
    template
        .and_then(|spec| spec.containers[0].image.clone())
        .unwrap_or_default()
}

#[tokio::test]
async fn from_nothing_to_an_agent_that_manages_itself() {
    let stage = Stage::new("bootstrap").await;
    let (repo, person) = (&stage.repo, &stage.person);
    repo.write("README.md", "# Fleet\n");

    // Nothing is changed by looking, without a confirmation, or when the branch accepts no push.
    let before = repo.branch("main");
    let plan = stage.bootstrap(&["--dry-run", "--show"]).await;
    plan.exits(0)
        .prints("+ Deployment argocd/gitops-agent")
        .prints("+ clusters/test/root.yaml")
        .prints("targetRevision: main")
        .is_plain();
    let unasked = stage.bootstrap(&[]).await;
    unasked.exits(4).says("--yes");
    repo.protect("main");
    let refused = stage.bootstrap(&["--yes"]).await;
    refused.exits(4).says("nothing was changed").says("--pr");
    repo.no_hook();
    repo.write("clusters/test/compose.yaml", "services: {}\n");
    let unfit = stage.bootstrap(&["--yes"]).await;
    unfit.exits(4).says("clusters/test/compose.yaml");
    let head = repo.remove("clusters/test/compose.yaml");
    assert_ne!(before.as_deref(), Some(head.as_str()));
    assert_eq!(repo.branch("main").as_deref(), Some(head.as_str()));
    stage.is_untouched().await;

    // Killed at one step after the other; somebody else pushes in between.
    repo.race(1);
    for step in [
        "pushing to main",
        "pushed to main",
        "applying CustomResourceDefinition appprojects",
        " CRDs",
        "applying ClusterRole ",
        "waiting for the agent",
    ] {
        stage.killed_at(step).await.prints("\nkilled\n");
    }
    repo.pull();
    repo.write("other.txt", "other\n");
    let agent = stage.agent().await;
    for step in ["applying the root", "waiting for Application root"] {
        stage.killed_at(step).await;
    }
    let done = stage.bootstrap(&["--yes"]).await;
    done.exits(0)
        .says("Application gitops-agent is Synced and Healthy")
        .is_plain();
    let subjects = repo.bare(&["log", "--format=%s", "main"]);
    assert_eq!(subjects.matches("gitops-agent").count(), 1, "{subjects}");

    // Again: nothing to do, no commit, nobody is asked.
    let head = repo.branch("main");
    let again = stage.bootstrap(&[]).await;
    again.exits(0).prints("Nothing to change");
    assert_eq!(repo.branch("main"), head);

    // The agent is upgraded by a commit, and what is in the folder is delivered.
    repo.pull();
    let patched = "resources: [install.yaml]
images:
  - name: ghcr.io/kubectl-gitops/gitops-agent
    newName: mirror.example/gitops-agent
";
    let upgrade = repo.commit(&[
        (
            "clusters/test/gitops-agent/kustomization.yaml",
            Some(patched),
        ),
        (
            "clusters/test/settings.yaml",
            Some(&config_map("settings", "one")),
        ),
    ]);
    let upgraded = stage.bootstrap(&[]).await;
    upgraded.exits(0).prints("kept as you changed it");
    let upgraded = wait::until(stage.api::<Deployment>(), "gitops-agent", |live| {
        live.is_some_and(|live| image_of(live).starts_with("mirror.example/"))
    });
    upgraded.await.unwrap();
    assert_eq!(repo.branch("main").as_deref(), Some(upgrade.as_str()));
    let delivered = wait::until(stage.api::<ConfigMap>(), "settings", |map| map.is_some());
    delivered.await.unwrap();

    // What an administrator broke is repaired, without undoing the patch.
    stage
        .plane
        .kubectl(&["delete", "clusterrolebinding", "gitops-agent"])
        .unwrap();
    let repaired = stage.bootstrap(&["--yes"]).await;
    repaired
        .exits(0)
        .prints("+ ClusterRoleBinding gitops-agent");
    assert!(stage.image().await.starts_with("mirror.example/"));

    // A proposal: one branch, one pull request, however often.
    let forge = Environment::get().servers.forge().to_owned();
    let token = Environment::get().servers.token.clone();
    let choice = format!("gitea={forge}");
    for _ in 0..2 {
        let url = repo.url();
        let line = [
            "bootstrap",
            "--repo",
            &url,
            "--path",
            FOLDER,
            "--pr",
            "--yes",
        ];
        let image = ["--image", "other.example/agent:v9", "--forge", &choice];
        let proposed = person
            .gitops(&[&line[..], &image[..]].concat())
            .with("GITEA_TOKEN", &token);
        let proposed = proposed.run().await;
        proposed.exits(0).says("/pulls/1").never_shows(&token);
    }
    assert_eq!(repo.branch("main").as_deref(), Some(upgrade.as_str()));
    let asked = http::request("GET", &format!("{forge}/control/forge/{}", repo.name()));
    let asked: serde_json::Value = serde_json::from_str(&asked).unwrap();
    assert_eq!(asked["pulls"].as_array().map(Vec::len), Some(1), "{asked}");

    // Away with it: the Pods are fake, so that the process has to be ended here.
    drop(agent);
    let removed = person
        .gitops(&["uninstall", "--confirm", "prod-eu1"])
        .run()
        .await;
    removed.exits(0).says("stays").is_plain();
    let applications = stage
        .api::<Application>()
        .list(&ListParams::default())
        .await
        .unwrap();
    assert!(applications.items.is_empty());
    assert!(
        stage
            .api::<Deployment>()
            .get_opt("gitops-agent")
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        stage
            .api::<ConfigMap>()
            .get_opt("settings")
            .await
            .unwrap()
            .is_some()
    );
    let nothing = person.gitops(&["uninstall", "--yes"]).run().await;
    nothing.fails(2).says("there is no agent");
    drop(stage.cluster);
}

/// A workload of Argo CD, as its own manifests make it.
fn controller(kind: &str, name: &str) -> serde_json::Value {
    let labels = json!({"app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "argocd"});
    let mut object = json!({
        "apiVersion": "apps/v1", "kind": kind,
        "metadata": {"name": name, "namespace": "argocd", "labels": labels},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app.kubernetes.io/name": name}},
            "template": {
                "metadata": {"labels": {"app.kubernetes.io/name": name}},
                "spec": {"containers": [{"name": "x", "image": "quay.io/argoproj/argocd:v3.4.1"}]},
            },
        },
    });
    if kind == "StatefulSet" {
        object["spec"]["serviceName"] = json!(name);
    }
    object
}

#[tokio::test]
async fn argo_cd_hands_over_and_takes_back() {
    let stage = Stage::new("adopt").await;
    let plane = &stage.plane;
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests/crds");
    for name in ["application", "applicationset", "appproject"] {
        let text = std::fs::read_to_string(folder.join(format!("{name}-crd.yaml"))).unwrap();
        let theirs = text.replace("part-of: gitops-agent", "part-of: argocd");
        plane.apply_as("argocd", &theirs).await;
    }
    plane
        .kubectl(&[
            "wait",
            "--for=condition=Established",
            "crd/applications.argoproj.io",
        ])
        .unwrap();
    plane.namespace("argocd").await;
    for object in [
        controller("StatefulSet", "argocd-application-controller"),
        controller("Deployment", "argocd-applicationset-controller"),
        controller("Deployment", "argocd-server"),
    ] {
        plane.apply_value_as("argocd", object).await;
    }
    let hosts = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "argocd-ssh-known-hosts-cm", "namespace": "argocd"},
        "data": {"ssh_known_hosts": "git.example ssh-ed25519 AAAA\n"},
    });
    plane.apply_value_as("argocd", hosts).await;
    // Settings as people leave them: by client-side apply, which has no conflict with anybody.
    for (name, key) in [("argocd-cm", "url"), ("argocd-tls-certs-cm", "git.example")] {
        let text = json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": name, "namespace": "argocd",
                "labels": {"app.kubernetes.io/part-of": "argocd"}},
            "data": {key: "theirs"},
        });
        let file = stage.folder.path().join(format!("{name}.json"));
        std::fs::write(&file, text.to_string()).unwrap();
        plane
            .kubectl(&["apply", "-f", &file.to_string_lossy()])
            .unwrap();
    }
    // An app of apps that is called as the agent's own would be.
    let mine = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "root", "namespace": "argocd"},
        "spec": {
            "project": "default", "source": {"repoURL": stage.repo.url(), "path": "mine"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "argocd"},
        },
    });
    plane.apply_value_as("kubectl", mine).await;
    let nothing = stage.person.gitops(&["uninstall", "--dry-run"]).run().await;
    nothing
        .fails(2)
        .says("there is no agent in namespace argocd");
    stage.repo.write("mine/README.md", "# Mine\n");
    let refused = stage.bootstrap(&["--adopt", "--yes"]).await;
    refused.fails(4).says("give yours another one first");
    plane
        .kubectl(&["delete", "application", "root", "-n", "argocd"])
        .unwrap();
    let far = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "far", "namespace": "argocd"},
        "spec": {
            "project": "default", "source": {"repoURL": stage.repo.url(), "path": "far"},
            "destination": {"server": "https://elsewhere.example", "namespace": "x"},
        },
    });
    plane.apply_value_as("argocd", far).await;
    stage.repo.write("README.md", "# Fleet\n");

    let refused = stage.bootstrap(&["--yes"]).await;
    refused
        .fails(4)
        .says("StatefulSet/argocd-application-controller")
        .says("--adopt");
    let beside = stage.bootstrap(&["--dry-run", "-n", "gitops-system"]).await;
    beside.exits(0).prints("Argo CD in argocd goes on");

    // The agent reads a private repository with a token that people do not see again.
    let servers = &Environment::get().servers;
    let url = stage.repo.url_over(Transport::Private);
    let address = servers
        .git_private
        .split_once("://")
        .map_or("", |(_, rest)| rest);
    let host = address.split('/').next().unwrap_or_default();
    stage.person.writes(
        ".git-credentials",
        &format!("http://{}:{}@{host}\n", servers.username, servers.password),
    );
    let line = ["git", "config", "--global", "credential.helper", "store"];
    stage.person.types(&line).run().await.exits(0);
    let line = [
        "bootstrap",
        "--repo",
        &url,
        "--path",
        FOLDER,
        "--adopt",
        "--yes",
    ];
    let without = stage.person.gitops(&line).run().await;
    without.exits(2).says("--token-stdin");
    let token = ["--token-stdin", "--username", servers.username.as_str()];
    let adopt = [&line[..], &token[..]].concat();
    let wrong = stage.person.gitops(&adopt).input("wrong\n").run().await;
    wrong.exits(3).says("the token given");
    let running = tokio::join!(
        stage.person.gitops(&adopt).input(&servers.password).run(),
        stage.agent()
    );
    let (adopted, _agent) = running;
    adopted
        .exits(0)
        .prints("StatefulSet/argocd-application-controller in argocd: 1 replica -> 0")
        .prints("in another cluster, where this agent does not deliver; run one there: far")
        .prints("somebody else's, used as it is")
        .never_shows(&servers.password);
    let sets = stage.api::<StatefulSet>();
    let replicas = |set: &StatefulSet| set.spec.as_ref().and_then(|spec| spec.replicas);
    let set = sets.get("argocd-application-controller").await.unwrap();
    assert_eq!(replicas(&set), Some(0));
    let server = stage
        .api::<Deployment>()
        .get("argocd-server")
        .await
        .unwrap();
    assert_eq!(server.spec.and_then(|spec| spec.replicas), Some(1));
    let maps = stage.api::<ConfigMap>();
    let known = maps.get("argocd-ssh-known-hosts-cm").await.unwrap();
    assert_eq!(
        known.data.unwrap()["ssh_known_hosts"],
        "git.example ssh-ed25519 AAAA\n"
    );
    for (name, key) in [("argocd-cm", "url"), ("argocd-tls-certs-cm", "git.example")] {
        let map = maps.get(name).await.unwrap();
        assert_eq!(map.data.unwrap()[key], "theirs", "{name}");
        let fields = map.metadata.managed_fields.unwrap_or_default();
        let ours = |entry: &ManagedFieldsEntry| entry.manager.as_deref() == Some("gitops-agent");
        assert!(!fields.iter().any(ours), "{name} was taken over");
    }
    let secrets = stage
        .api::<Secret>()
        .list(&ListParams::default())
        .await
        .unwrap();
    let made = secrets.items.iter().filter(|secret| {
        let labels = secret.metadata.labels.as_ref();
        labels.is_some_and(|labels| labels.contains_key("argocd.argoproj.io/secret-type"))
    });
    assert_eq!(made.count(), 1);
    let text = stage.repo.bare(&["show", "main", "--"]);
    assert!(!text.contains(&servers.password) && !text.contains("CustomResourceDefinition\nmetadata:\n  annotations:\n    argocd.argoproj.io/sync-options: Prune=false,Delete=false\n  labels:\n    app.kubernetes.io/name: applications"));

    let back = stage
        .person
        .gitops(&["uninstall", "--restore-argocd", "--yes"]);
    back.run()
        .await
        .exits(0)
        .says("started StatefulSet/argocd-application-controller");
    let set = sets.get("argocd-application-controller").await.unwrap();
    assert_eq!(replicas(&set), Some(1));
    assert!(
        stage
            .api::<Application>()
            .get_opt("far")
            .await
            .unwrap()
            .is_some()
    );
}

#[tokio::test]
async fn an_agent_in_a_pod_is_bootstrapped_and_upgrades_itself() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("agent.tar");
    image::write(&archive, image::NAME, false);
    let cluster = Cluster::up("real", &[&archive]);
    let plane = ControlPlane::bare(&cluster.kubeconfig()).await;
    let servers = OwnServers::start(&cluster.host_address());
    let repo = Repo::create_on(&servers.servers, "fleet");
    let person = Person::with_kubeconfig(&cluster.kubeconfig());
    let url = repo.url();
    let line = ["bootstrap", "--repo", &url, "--path", FOLDER, "--yes"];
    person.gitops(&line).run().await.exits(0);
    repo.pull();
    let first = repo.head();
    person
        .gitops(&line)
        .run()
        .await
        .exits(0)
        .prints("Nothing to change");
    assert_eq!(repo.branch("main").as_deref(), Some(first.as_str()));

    let patched = "resources: [install.yaml]
patches:
  - target: {kind: Deployment, name: gitops-agent}
    patch: |-
      - {op: add, path: /spec/template/spec/containers/0/args/-, value: --poll-interval=5s}
";
    let upgrade = repo.write("clusters/test/gitops-agent/kustomization.yaml", patched);
    let refresh = "argocd.argoproj.io/refresh=normal";
    plane
        .kubectl(&[
            "annotate",
            "-n",
            "argocd",
            "application",
            "gitops-agent",
            refresh,
        ])
        .unwrap();
    let deployments: Api<Deployment> = Api::namespaced(plane.client.clone(), "argocd");
    let rolled_out = wait::until(deployments, "gitops-agent", |live| {
        live.is_some_and(|live| {
            let text = serde_json::to_string(live).unwrap_or_default();
            let status = live.status.clone().unwrap_or_default();
            text.contains("--poll-interval=5s")
                && status.observed_generation == live.metadata.generation
                && status.updated_replicas == Some(1)
                && status.ready_replicas == Some(1)
        })
    });
    rolled_out.await.unwrap();
    let applications: Api<Application> = Api::namespaced(plane.client.clone(), "argocd");
    let settled = wait::until(applications, "gitops-agent", |app| {
        app.is_some_and(|app| is_synced(app) && is_healthy(app) && revision(app) == upgrade)
    });
    settled.await.unwrap();
    let removed = person
        .gitops(&["uninstall", "--delete-crds", "--yes"])
        .run()
        .await;
    removed.exits(0);
    let left = plane.kubectl(&["get", "crd", "-o", "name"]).unwrap();
    assert!(!left.contains("argoproj.io"), "{left}");
}
