//! The command line as a person waits for it: `status` of many applications, and `--help`.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use serde::Serialize;
use serde_json::{Value, json};

use crate::Args;
use crate::cluster::Cluster;
use crate::percentile::Spread;

/// Namespace no agent looks into.
const NAMESPACE: &str = "bench-status";
/// How often each command is run.
const RUNS: usize = 20;

/// What the command line costs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct CommandLine {
    /// Number of Applications.
    pub(crate) applications: usize,
    /// Size of one, as JSON.
    pub(crate) bytes_each: usize,
    /// From start to end of `status` of all of them.
    pub(crate) status: Spread,
    /// The same of `--help`.
    pub(crate) help: Spread,
}

/// Makes the applications and runs the commands.
pub(crate) async fn measure(cluster: &Cluster, args: &Args) -> anyhow::Result<CommandLine> {
    cluster.namespace(NAMESPACE).await?;
    let manifests: Vec<Value> = (0..args.status_apps).map(application).collect();
    let bytes: usize = manifests.iter().map(|value| value.to_string().len()).sum();
    cluster
        .apply_all(NAMESPACE, &manifests, args.concurrency)
        .await?;
    let status = ["status", "--namespace", NAMESPACE, "--no-headers"];
    let status = runs(&args.plugin, &args.kubeconfig, &status, args.status_apps)?;
    let help = runs(&args.plugin, &args.kubeconfig, &["--help"], 1)?;
    Ok(CommandLine {
        applications: args.status_apps,
        bytes_each: bytes / args.status_apps.max(1),
        status,
        help,
    })
}

/// Runs a command again and again; it has to print at least so many lines.
fn runs(
    program: &Path,
    kubeconfig: &Path,
    arguments: &[&str],
    lines: usize,
) -> anyhow::Result<Spread> {
    let mut times: Vec<Duration> = Vec::new();
    for _ in 0..RUNS {
        let mut command = Command::new(program);
        command
            .args(arguments)
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null());
        let start = Instant::now();
        let output = command
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        times.push(start.elapsed());
        ensure!(
            output.status.success(),
            "{arguments:?} failed: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        let printed = String::from_utf8_lossy(&output.stdout).lines().count();
        ensure!(
            printed >= lines,
            "{arguments:?} printed {printed} lines, not {lines}"
        );
    }
    Spread::of(&times).context("nothing was run")
}

/// An Application as the agent leaves it: ten objects, eight deployments, the last sync. Every
/// tenth has drift, every 25th is broken.
fn application(number: usize) -> Value {
    let name = format!("app-{number:04}");
    let commit = format!("{number:040x}");
    let time = "2026-11-20T10:00:00Z";
    let source = json!({
        "repoURL": "https://git.example.com/acme/k8s-config.git",
        "path": format!("apps/{name}/overlays/prod"), "targetRevision": "main",
    });
    let destination = json!({"server": "https://kubernetes.default.svc", "namespace": name});
    let (drifted, broken) = (number.is_multiple_of(10), number.is_multiple_of(25));
    let kinds = [
        ("apps", "Deployment"),
        ("apps", "Deployment"),
        ("", "Service"),
        ("", "ConfigMap"),
        ("", "Secret"),
        ("", "ServiceAccount"),
        ("networking.k8s.io", "Ingress"),
        ("policy", "PodDisruptionBudget"),
        ("autoscaling", "HorizontalPodAutoscaler"),
        ("rbac.authorization.k8s.io", "RoleBinding"),
    ];
    let mut objects: Vec<Value> = kinds
        .iter()
        .enumerate()
        .map(|(index, (group, kind))| {
            json!({
                "group": group, "version": "v1", "kind": kind, "namespace": name,
                "name": format!("{name}-{index}"), "status": "Synced",
                "health": {"status": "Healthy"},
            })
        })
        .collect();
    if drifted {
        objects[0]["status"] = "OutOfSync".into();
        objects[0]["drift"] = json!([{
            "path": ".spec.replicas", "desired": "3", "live": "5", "manager": "kubectl-scale", "since": time,
        }]);
    }
    if broken {
        let message = "Deployment exceeded its progress deadline";
        objects[1]["health"] = json!({"status": "Degraded", "message": message});
    }
    let results: Vec<Value> = objects
        .iter()
        .map(|object| {
            json!({
                "group": object["group"], "version": "v1", "kind": object["kind"],
                "namespace": name, "name": object["name"], "status": "Synced",
                "message": "applied: changed in Git", "syncPhase": "Sync",
            })
        })
        .collect();
    let summary = json!({
        "revision": commit, "author": "Ana Diaz", "subject": "Bump the image of the web service",
        "time": time,
    });
    let history: Vec<Value> = (0..8)
        .map(|id| {
            json!({
                "id": id, "revision": commit, "deployedAt": time, "deployStartedAt": time,
                "source": source, "initiatedBy": {"automated": true}, "healthyAt": time,
                "desiredDigest": commit, "commit": summary,
            })
        })
        .collect();
    json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"team": "payments"}},
        "spec": {
            "project": "default", "source": source, "destination": destination,
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}},
        },
        "status": {
            "sync": {
                "status": if drifted { "OutOfSync" } else { "Synced" }, "revision": commit,
                "comparedTo": {"source": source, "destination": destination},
            },
            "health": {"status": if broken { "Degraded" } else { "Healthy" }},
            "resources": objects, "history": history, "reconciledAt": time,
            "controllerNamespace": "argocd", "sourceType": "Kustomize",
            "live": {"commit": summary, "behind": 0},
            "operationState": {
                "phase": "Succeeded", "startedAt": time, "finishedAt": time,
                "message": "applied 10 objects",
                "operation": {"sync": {"revision": commit}, "initiatedBy": {"automated": true}},
                "syncResult": {"revision": commit, "source": source, "resources": results},
            },
        },
    })
}
