//! The measurements.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, WatchParams};
use serde::Serialize;
use serde_json::{Value, json};

use crate::agent::Agent;
use crate::cluster::{Cluster, until, watch_one};
use crate::percentile::Spread;
use crate::repository::Repository;
use crate::workload::{NAMESPACE, name};
use crate::{audit, workload};

/// Who makes drift.
const SOMEBODY: &str = "somebody";
/// Time without any render or request after which everything has settled.
const SETTLED: Duration = Duration::from_secs(3);

/// What commits cost.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Commits {
    /// From the end of `git push` to the changed object; the agent polls each second.
    pub(crate) polled: Spread,
    /// The same when the Application is asked to refresh at once, as a webhook does.
    pub(crate) asked: Spread,
    /// Renders per commit.
    pub(crate) renders: f64,
}

/// What idling costs.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Idle {
    /// Length of the measurement.
    pub(crate) seconds: u64,
    /// Requests by verb and resource.
    pub(crate) requests: BTreeMap<String, u64>,
    /// Of them, those that are neither a watch nor about the lease.
    pub(crate) other_requests: u64,
    /// Requests to the Git server.
    pub(crate) git_requests: f64,
}

/// Applies all objects of all applications as fast as the API server takes them.
pub(crate) async fn bare_loop(
    cluster: &Cluster,
    namespace: &str,
    apps: usize,
    concurrency: usize,
) -> anyhow::Result<Duration> {
    cluster.namespace(namespace).await?;
    let manifests: Vec<Value> = (0..apps).flat_map(|n| workload::manifests(n, 0)).collect();
    let start = Instant::now();
    cluster
        .apply_all(namespace, &manifests, concurrency)
        .await?;
    let took = start.elapsed();
    // Addresses of Services are few in a test cluster, and controllers should come to rest.
    for (version, kind) in [("v1", "Service"), ("apps/v1", "Deployment")] {
        let api = cluster.api(version, kind, namespace);
        if kind == "Service" {
            for index in 0..apps {
                api.delete(&name(index), &DeleteParams::default()).await?;
            }
        } else {
            api.delete_collection(&DeleteParams::default(), &ListParams::default())
                .await?;
        }
    }
    Ok(took)
}

/// From the first Application created to the last one synced.
pub(crate) async fn rollout(
    cluster: &Cluster,
    repository: &str,
    apps: usize,
    concurrency: usize,
) -> anyhow::Result<Duration> {
    cluster.namespace(NAMESPACE).await?;
    let applications = cluster.api("argoproj.io/v1alpha1", "Application", "argocd");
    let version = applications.list(&ListParams::default()).await?.metadata;
    let version = version.resource_version.unwrap_or_default();
    let events = applications
        .watch(&WatchParams::default(), &version)
        .await
        .context("cannot watch Applications")?;
    let manifests: Vec<Value> = (0..apps)
        .map(|index| workload::application(index, repository))
        .collect();
    let start = Instant::now();
    let mut synced = BTreeSet::new();
    let all = until("all Applications synced", events, |application, _| {
        if application.data["status"]["sync"]["status"] == "Synced" {
            synced.extend(application.metadata.name.clone());
        }
        synced.len() == apps
    });
    tokio::try_join!(cluster.apply_all("argocd", &manifests, concurrency), all)?;
    Ok(start.elapsed())
}

/// Commits, one after the other, each of one application.
pub(crate) async fn commits(
    cluster: &Cluster,
    repository: &Repository,
    agent: &Agent,
    apps: usize,
    count: usize,
) -> anyhow::Result<Commits> {
    settle(agent).await?;
    let before = agent
        .metric("gitops_agent_renders_total", "rendered")
        .await?;
    let (mut polled, mut asked) = (Vec::new(), Vec::new());
    let config_maps = cluster.api("v1", "ConfigMap", NAMESPACE);
    let applications = cluster.api("argoproj.io/v1alpha1", "Application", "argocd");
    for number in 0..count {
        let index = number * 7 % apps;
        let version = (number + 1).to_string();
        let events = watch_one(&config_maps, &name(index)).await?;
        repository.change(index, number + 1)?;
        repository.push()?;
        let start = Instant::now();
        let ask = number % 2 == 1;
        if ask {
            let refresh =
                json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": "normal"}}});
            applications
                .patch(
                    &name(index),
                    &PatchParams::default(),
                    &Patch::Merge(&refresh),
                )
                .await?;
        }
        until("a commit applied", events, |object, _| {
            object.data["data"]["version"] == version.as_str()
        })
        .await?;
        if ask { &mut asked } else { &mut polled }.push(start.elapsed());
    }
    settle(agent).await?;
    let after = agent
        .metric("gitops_agent_renders_total", "rendered")
        .await?;
    Ok(Commits {
        polled: Spread::of(&polled).context("--commits must be at least 2")?,
        asked: Spread::of(&asked).context("--commits must be at least 2")?,
        renders: (after - before) / count as f64,
    })
}

/// Drifts, one after the other: a value changed, a Deployment scaled, a Service deleted.
pub(crate) async fn heals(
    cluster: &Cluster,
    apps: usize,
    count: usize,
) -> anyhow::Result<BTreeMap<&'static str, Spread>> {
    ensure!(
        count <= apps * 3,
        "--heals must be at most three times --apps: an object that drifts again at once is \
         healed less eagerly"
    );
    let config_maps = cluster.api("v1", "ConfigMap", NAMESPACE);
    let deployments = cluster.api("apps/v1", "Deployment", NAMESPACE);
    let services = cluster.api("v1", "Service", NAMESPACE);
    let params = PatchParams {
        field_manager: Some(SOMEBODY.into()),
        ..PatchParams::default()
    };
    let mut samples: BTreeMap<&'static str, Vec<Duration>> = BTreeMap::new();
    for number in 0..count {
        let name = name(number / 3);
        let (kind, start) = match number % 3 {
            0 => {
                let events = watch_one(&config_maps, &name).await?;
                let start = Instant::now();
                let patch = Patch::Merge(json!({"data": {"log.level": "debug"}}));
                config_maps.patch(&name, &params, &patch).await?;
                until("a healed ConfigMap", events, |object, _| {
                    object.data["data"]["log.level"] == "info"
                })
                .await?;
                ("value changed", start)
            }
            1 => {
                let events = watch_one(&deployments, &name).await?;
                let start = Instant::now();
                let patch = Patch::Merge(json!({"spec": {"replicas": 1}}));
                deployments.patch(&name, &params, &patch).await?;
                until("a healed Deployment", events, |object, _| {
                    object.data["spec"]["replicas"] == 0 && object.metadata.generation > Some(2)
                })
                .await?;
                ("scaled", start)
            }
            _ => {
                let events = watch_one(&services, &name).await?;
                let start = Instant::now();
                services.delete(&name, &DeleteParams::default()).await?;
                let mut gone = false;
                until("a healed Service", events, |_, deleted| {
                    gone |= deleted;
                    gone && !deleted
                })
                .await?;
                ("deleted", start)
            }
        };
        let took = start.elapsed();
        samples.entry(kind).or_default().push(took);
        samples.entry("all").or_default().push(took);
    }
    Ok(samples
        .into_iter()
        .filter_map(|(kind, sample)| Some((kind, Spread::of(&sample)?)))
        .collect())
}

/// Nothing changes: what does the agent ask for?
pub(crate) async fn idle(agent: &Agent, log: &Path, length: Duration) -> anyhow::Result<Idle> {
    settle(agent).await?;
    let position = audit::position(log)?;
    let git = "gitops_agent_git_requests_total";
    let before = agent.metric(git, "").await?;
    tokio::time::sleep(length).await;
    let after = agent.metric(git, "").await?;
    let requests = audit::requests(log, position)?;
    let other_requests = requests
        .iter()
        .filter(|(what, _)| !what.starts_with("watch ") && !what.ends_with(" leases"))
        .map(|(_, count)| count)
        .sum();
    Ok(Idle {
        seconds: length.as_secs(),
        requests,
        other_requests,
        git_requests: after - before,
    })
}

/// Waits until the agent has nothing left to do.
async fn settle(agent: &Agent) -> anyhow::Result<()> {
    let mut last = f64::NAN;
    loop {
        let now = agent.metric("gitops_agent_api_requests_total", "").await?;
        if (now - last).abs() < f64::EPSILON {
            return Ok(());
        }
        last = now;
        tokio::time::sleep(SETTLED).await;
    }
}
