//! The agent as people run it: a Pod of its own Deployment, from an image made here.

use std::{collections::BTreeSet, path::Path, process::Command};

use gitops_api::Application;
use gitops_e2e::{
    Environment, Repo,
    application::{is_healthy, is_synced, revision},
    cluster::{Cluster, OwnServers, is_root},
    control_plane::ControlPlane,
    manifests::config_map,
    wait, world,
};
use k8s_openapi::api::{
    apps::v1::Deployment,
    core::v1::{ConfigMap, Pod},
};
use kube::{Api, ResourceExt, api::ListParams};
use serde_json::json;

const IMAGE: &str = "ghcr.io/kubectl-gitops/gitops-agent:v0.1.0";

/// Writes an image of the agent and its worker, with the libraries they are linked against.
fn image(out: &Path) {
    let environment = Environment::get();
    let mut libraries = BTreeSet::new();
    for program in [&environment.agent, &environment.renderer] {
        // A static program has none, and ldd says so with an error.
        let listed = Command::new("ldd").arg(program).output().unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        libraries.extend(
            listed
                .split_whitespace()
                .filter(|word| word.starts_with('/') && word.contains(".so"))
                .map(str::to_owned),
        );
    }
    let mut command = Command::new(&environment.cluster);
    command.args(["image", "--name", IMAGE, "--out"]).arg(out);
    command
        .arg("--file")
        .arg(format!("{}:/gitops-agent", environment.agent.display()));
    command.arg("--file").arg(format!(
        "{}:/gitops-renderer",
        environment.renderer.display()
    ));
    for library in libraries {
        let real = std::fs::canonicalize(&library).unwrap();
        command
            .arg("--file")
            .arg(format!("{}:{library}", real.display()));
    }
    let output = command
        .args(["--entrypoint", "/gitops-agent"])
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[tokio::test]
async fn the_installed_agent_delivers() {
    if !is_root() {
        println!("skipped: needs root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("agent.tar");
    image(&archive);
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

    let servers = OwnServers::start(&cluster.host_address());
    let repo = Repo::create_on(&servers.servers, "config");
    let first = repo.write("a.yaml", &config_map("settings", "one"));
    let app = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": "shop", "namespace": "argocd"},
        "spec": {
            "project": "default",
            "source": {"repoURL": repo.url(), "path": ".", "targetRevision": "main"},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "syncPolicy": {
                "automated": {"prune": true, "selfHeal": true}, "syncOptions": ["CreateNamespace=true"],
            },
        },
    });
    plane.apply_value_as("gitops-e2e", app).await;
    synced(&plane, &first).await;
    let second = repo.write("a.yaml", &config_map("settings", "two"));
    let refresh = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
    let apps: Api<Application> = Api::namespaced(plane.client.clone(), "argocd");
    let params = kube::api::PatchParams::default();
    apps.patch("shop", &params, &kube::api::Patch::Merge(&refresh))
        .await
        .unwrap();
    synced(&plane, &second).await;
    let maps: Api<ConfigMap> = Api::namespaced(plane.client.clone(), "shop");
    let map = maps.get("settings").await.unwrap();
    assert_eq!(map.data.unwrap()["value"], "two");
}

async fn synced(plane: &ControlPlane, commit: &str) {
    let apps: Api<Application> = Api::namespaced(plane.client.clone(), "argocd");
    let done = wait::until(apps, "shop", |app| {
        app.is_some_and(|app| is_synced(app) && is_healthy(app) && revision(app) == commit)
    })
    .await;
    if let Err(last) = done {
        panic!("not synced to {commit}: {last}\n{}", logs(plane).await);
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
