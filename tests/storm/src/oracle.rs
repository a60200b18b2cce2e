//! What has to be true after each round, whatever happened in it.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use gitops_api::{Application, OperationPhase, SyncStatusCode};
use gitops_e2e::application::status;
use gitops_e2e::fault_proxy::Request;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;
use tokio::time::sleep;

use crate::inject;
use crate::workload::{HOOKS, Workload};

/// The end state has to be there after this time; a request that is never answered costs most of it.
const LIMIT: Duration = Duration::from_mins(4);
/// So long nothing but the lease is written when all is done.
const QUIET: Duration = Duration::from_secs(2);

/// What is wrong, nothing when all is as promised.
pub(crate) async fn judge(workload: &mut Workload) -> Vec<String> {
    let began = Instant::now();
    let mut asked = Instant::now();
    request(workload).await;
    loop {
        inject::revive(workload);
        let wrong = unfinished(workload).await;
        if wrong.is_empty() {
            break;
        }
        if began.elapsed() > LIMIT {
            return wrong;
        }
        // A person would ask again for what ended without success.
        if asked.elapsed() > Duration::from_secs(10) {
            asked = Instant::now();
            request(workload).await;
        }
        sleep(Duration::from_millis(300)).await;
    }
    let mut wrong = std::mem::take(&mut workload.wrong);
    wrong.extend(left(workload).await);
    wrong.extend(runs(workload));
    wrong.extend(noise(workload).await);
    wrong
}

fn applications(workload: &Workload) -> Api<Application> {
    let client = workload.world.plane.client.clone();
    Api::namespaced(client, &workload.world.namespace)
}

/// Asks for the sync of the Application that does not sync by itself, unless it is there.
async fn request(workload: &Workload) {
    let apps = applications(workload);
    let Ok(asked) = apps.get("asked").await else {
        return;
    };
    if asked.operation.is_some() || difference(workload, "asked", &asked).is_none() {
        return;
    }
    let sync = json!({"operation": {"sync": {"prune": true}, "retry": {"limit": 20,
        "backoff": {"duration": "1s", "maxDuration": "5s"}}}});
    let patch = Patch::Merge(&sync);
    let _ = apps.patch("asked", &PatchParams::default(), &patch).await;
}

/// What is not yet as the commit says.
async fn unfinished(workload: &Workload) -> Vec<String> {
    let mut wrong = Vec::new();
    let apps = match applications(workload).list(&ListParams::default()).await {
        Ok(apps) => apps.items,
        Err(error) => return vec![format!("cannot list Applications: {error}")],
    };
    let expected: BTreeSet<&str> = workload.applications().into_iter().collect();
    for app in &apps {
        if !expected.contains(app.name_any().as_str()) {
            wrong.push(format!("{} is still there", app.name_any()));
        }
    }
    for name in expected {
        match apps.iter().find(|app| app.name_any() == name) {
            None => wrong.push(format!("{name} is not there")),
            Some(app) => wrong.extend(difference(workload, name, app)),
        }
    }
    let maps: Api<ConfigMap> = workload.world.api();
    let mut found: BTreeSet<String> = BTreeSet::new();
    for map in maps
        .list(&ListParams::default())
        .await
        .into_iter()
        .flatten()
    {
        let name = map.name_any();
        let value = map.data.unwrap_or_default().remove("value");
        if name == "kube-root-ca.crt" {
            continue;
        }
        if value.as_deref() != Some(workload.count.to_string().as_str()) {
            wrong.push(format!(
                "ConfigMap {name} has {value:?} instead of {}",
                workload.count
            ));
        }
        found.insert(name);
    }
    let wanted: BTreeSet<String> = workload.config_maps().into_iter().collect();
    for missing in wanted.difference(&found) {
        wrong.push(format!("ConfigMap {missing} is not there"));
    }
    for extra in found.difference(&wanted) {
        wrong.push(format!("ConfigMap {extra} is still there"));
    }
    wrong
}

/// What is wrong with the status of an Application.
fn difference(workload: &Workload, name: &str, app: &Application) -> Option<String> {
    let status = status(app);
    let code = status.sync.as_ref().map(|sync| sync.status);
    if code != Some(SyncStatusCode::Synced) {
        return Some(format!("{name} is {code:?}: {:?}", status.conditions));
    }
    let last = status.history.last().map(|entry| entry.revision.as_str());
    if !workload
        .commits
        .iter()
        .any(|commit| Some(commit.as_str()) == last)
    {
        return Some(format!(
            "the last deployment of {name} on record is {last:?}"
        ));
    }
    let revisions: Vec<&str> = status
        .history
        .iter()
        .map(|entry| entry.revision.as_str())
        .collect();
    let distinct: BTreeSet<&str> = revisions.iter().copied().collect();
    if distinct.len() != revisions.len() {
        return Some(format!(
            "the history of {name} has a deployment twice: {revisions:?}"
        ));
    }
    let Some(state) = status.operation_state else {
        return Some(format!("{name} has no operation on record"));
    };
    (state.phase != OperationPhase::Succeeded || app.operation.is_some()).then(|| {
        format!(
            "the last sync of {name} is {}: {}",
            state.phase, state.message
        )
    })
}

/// What was left behind: hooks that succeeded, and finalizers.
async fn left(workload: &Workload) -> Vec<String> {
    let jobs: Api<Job> = workload.world.api();
    let began = Instant::now();
    loop {
        let list = jobs.list(&ListParams::default()).await;
        let left: Vec<String> = list
            .into_iter()
            .flatten()
            .filter(|job| {
                let held = job.finalizers().iter().any(|name| name.contains("argocd"));
                held || HOOKS.contains(&job.name_any().as_str())
            })
            .map(|job| {
                format!(
                    "Job {} is left, with finalizers {:?}",
                    job.name_any(),
                    job.finalizers()
                )
            })
            .collect();
        // What was refused is tried again after a pause.
        if left.is_empty() || began.elapsed() > LIMIT {
            return left;
        }
        sleep(Duration::from_millis(300)).await;
    }
}

/// Every hook once per sync, and none left out.
fn runs(workload: &Workload) -> Vec<String> {
    let seen = workload.runs.seen();
    let mut wrong: Vec<String> = seen
        .iter()
        .filter(|(_, uids)| uids.len() > 1)
        .map(|((name, run), uids)| format!("hook {name} ran {} times in sync {run}", uids.len()))
        .collect();
    for hook in HOOKS {
        if !seen.keys().any(|(name, _)| name == hook) {
            wrong.push(format!("hook {hook} did not run"));
        }
    }
    wrong
}

/// Whether the agent goes on writing although there is nothing to do.
async fn noise(workload: &Workload) -> Vec<String> {
    let proxy = workload.world.proxy();
    let writes = |requests: Vec<Request>| -> Vec<String> {
        let others = requests.into_iter().filter(|request| {
            request.verb.writes() && !request.dry_run && request.resource != "leases"
        });
        others
            .map(|request| format!("{:?} {} {}", request.verb, request.resource, request.name))
            .collect()
    };
    let began = Instant::now();
    loop {
        proxy.forget();
        sleep(QUIET).await;
        let written = writes(proxy.requests());
        if written.is_empty() {
            return Vec::new();
        }
        if began.elapsed() > Duration::from_mins(1) {
            return vec![format!("it is not quiet: {written:?}")];
        }
    }
}
