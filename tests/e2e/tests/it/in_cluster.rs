//! The agent as people run it: a Pod of its own Deployment, from an image made here.

mod hooks;

use std::path::Path;

use gitops_api::Application;
use gitops_e2e::application::{is_healthy, is_synced, revision};
use gitops_e2e::cluster::{Cluster, OwnServers, is_root};
use gitops_e2e::control_plane::ControlPlane;
use gitops_e2e::manifests::config_map;
use gitops_e2e::repository::Transport;
use gitops_e2e::{Repo, image, wait, world};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::json;

#[tokio::test]
async fn the_installed_agent_delivers() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("agent.tar");
    image::write(&archive, image::NAME, false);
    let cluster = Cluster::up("real", &[&archive]);
    let plane = ControlPlane::connect(&cluster.kubeconfig()).await;
    let manifests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests");
    let install = manifests.join("install.yaml");
    plane
        .kubectl(&["apply", "--server-side", "-f", &install.to_string_lossy()])
        .unwrap();
    plane.apply(&world::default_project("argocd")).await;
    let deployments: Api<Deployment> = Api::namespaced(plane.client.clone(), "argocd");
    let ready = wait::until(deployments, "gitops-agent", |live| {
        live.and_then(|live| live.status.as_ref()?.ready_replicas) == Some(1)
    })
    .await;
    if let Err(last) = ready {
        panic!(
            "the agent's Pod is not ready: {last}\n{}",
            logs(&plane).await
        );
    }

    // A real node is slow to start: whatever needs one happens on this, at the same time.
    let servers = OwnServers::start(&cluster.host_address());
    tokio::join!(delivers(&plane, &servers), hooks::run(&plane, &servers));
}

async fn delivers(plane: &ControlPlane, servers: &OwnServers) {
    let repo = Repo::create_on(&servers.servers, "config");
    let first = repo.write("a.yaml", &config_map("settings", "one"));
    let app = |name: &str, url: &str| {
        json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": {
                "project": "default",
                "source": {"repoURL": url, "path": ".", "targetRevision": "main"},
                "destination": {"server": "https://kubernetes.default.svc", "namespace": name},
                "syncPolicy": {
                    "automated": {"prune": true, "selfHeal": true},
                    "syncOptions": ["CreateNamespace=true"],
                },
            },
        })
    };
    let url = repo.url();
    plane.apply_value_as("gitops-e2e", app("shop", &url)).await;
    synced(plane, "shop", &first).await;

    // The image has what ssh needs, and nothing of it is written to.
    let url = repo.url_over(Transport::Ssh);
    let read = |path: &Path| std::fs::read_to_string(path).unwrap();
    let (key, known) = (
        read(&servers.servers.client_key),
        read(&servers.servers.known_hosts),
    );
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {
            "name": "over-ssh", "namespace": "argocd",
            "labels": {"argocd.argoproj.io/secret-type": "repository"},
        },
        "stringData": {"url": url, "sshPrivateKey": key},
    });
    let hosts = json!({
        "apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "argocd-ssh-known-hosts-cm", "namespace": "argocd"},
        "data": {"ssh_known_hosts": known},
    });
    for object in [secret, hosts, app("over-ssh", &url)] {
        plane.apply_value_as("gitops-e2e", object).await;
    }
    synced(plane, "over-ssh", &first).await;

    let second = repo.write("a.yaml", &config_map("settings", "two"));
    let refresh = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
    let apps: Api<Application> = Api::namespaced(plane.client.clone(), "argocd");
    let params = kube::api::PatchParams::default();
    apps.patch("shop", &params, &kube::api::Patch::Merge(&refresh))
        .await
        .unwrap();
    synced(plane, "shop", &second).await;
    let maps: Api<ConfigMap> = Api::namespaced(plane.client.clone(), "shop");
    let map = maps.get("settings").await.unwrap();
    assert_eq!(map.data.unwrap()["value"], "two");
}

async fn synced(plane: &ControlPlane, name: &str, commit: &str) {
    let apps: Api<Application> = Api::namespaced(plane.client.clone(), "argocd");
    let done = wait::until(apps, name, |app| {
        app.is_some_and(|app| is_synced(app) && is_healthy(app) && revision(app) == commit)
    })
    .await;
    if let Err(last) = done {
        panic!(
            "{name} not synced to {commit}: {last}\n{}",
            logs(plane).await
        );
    }
}

async fn logs(plane: &ControlPlane) -> String {
    let pods: Api<Pod> = Api::namespaced(plane.client.clone(), "argocd");
    let listed = pods
        .list(&ListParams::default())
        .await
        .map(|list| list.items)
        .unwrap_or_default();
    let names: Vec<_> = listed.iter().map(ResourceExt::name_any).collect();
    let mut text = format!(
        "Pods: {}\n",
        serde_json::to_string_pretty(&listed).unwrap_or_default()
    );
    for name in names {
        let read = plane.kubectl(&["logs", "-n", "argocd", &name, "--tail=50"]);
        text += &read.unwrap_or_else(|error| error);
    }
    text
}
