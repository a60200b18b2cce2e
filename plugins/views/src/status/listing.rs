//! A page of Applications as the API server writes it, read for `status`: only what its lines are
//! made of. With a thousand applications, reading everything takes longer than asking for it.
//!
//! What is left out is left out on purpose: managed fields, older history, what a sync did well.

use std::collections::BTreeMap;

use gitops_api::operation::{Operation, OperationInitiator};
use gitops_api::status::{
    ApplicationCondition, HealthStatus, LiveRevision, OperationState, ResourceResult,
    RevisionHistory, StatusReason, SyncOperationResult, SyncStatus,
};
use gitops_api::sync_policy::{SyncPolicy, SyncPolicyAutomated};
use gitops_api::{
    Application, ApplicationDestination, ApplicationSource, ApplicationSpec, ApplicationStatus,
    OperationPhase, ResourceStatus, ResultCode, SyncStatusCode,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Where the next page begins; `None` on the last one. Found without reading the Applications, so
/// that the next page can be asked for at once.
pub fn next(page: &str) -> Result<Option<String>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Page {
        metadata: Option<Metadata>,
        #[serde(rename = "items")]
        _items: Option<IgnoredAny>,
    }
    #[derive(Deserialize)]
    struct Metadata {
        #[serde(rename = "continue")]
        next: Option<String>,
    }
    let page: Page = serde_json::from_str(page)?;
    let next = page.metadata.and_then(|metadata| metadata.next);
    Ok(next.filter(|token| !token.is_empty()))
}

/// The Applications of a page.
pub fn read(page: &str) -> Result<Vec<Application>, serde_json::Error> {
    #[derive(Deserialize)]
    struct Page {
        items: Option<Vec<Item>>,
    }
    let page: Page = serde_json::from_str(page)?;
    let items = page.items.unwrap_or_default();
    Ok(items.into_iter().map(Application::from).collect())
}

#[derive(Deserialize)]
struct Item {
    metadata: Metadata,
    spec: Option<Spec>,
    status: Option<Status>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    name: Option<String>,
    namespace: Option<String>,
    annotations: Option<BTreeMap<String, String>>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    project: Option<String>,
    destination: Option<ApplicationDestination>,
    source: Option<Source>,
    sources: Option<Vec<Source>>,
    sync_policy: Option<Policy>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Source {
    #[serde(rename = "repoURL")]
    repo_url: Option<String>,
    path: Option<String>,
    chart: Option<String>,
    target_revision: Option<String>,
}

#[derive(Deserialize)]
struct Policy {
    automated: Option<SyncPolicyAutomated>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    resources: Option<Vec<ResourceStatus>>,
    sync: Option<Sync>,
    health: Option<HealthStatus>,
    history: Option<Vec<Deployment>>,
    conditions: Option<Vec<ApplicationCondition>>,
    reconciled_at: Option<Time>,
    operation_state: Option<State>,
    controller_namespace: Option<String>,
    live: Option<LiveRevision>,
    reasons: Option<Vec<StatusReason>>,
}

#[derive(Deserialize)]
struct Sync {
    status: Option<SyncStatusCode>,
    revision: Option<String>,
    revisions: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deployment {
    deployed_at: Option<Time>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    phase: Option<OperationPhase>,
    message: Option<String>,
    started_at: Option<Time>,
    finished_at: Option<Time>,
    retry_count: Option<i64>,
    operation: Option<Asked>,
    sync_result: Option<Done>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Asked {
    initiated_by: Option<OperationInitiator>,
}

#[derive(Deserialize)]
struct Done {
    revision: Option<String>,
    revisions: Option<Vec<String>>,
    resources: Option<Vec<ResourceResult>>,
}

impl From<Item> for Application {
    fn from(item: Item) -> Self {
        let Metadata {
            name,
            namespace,
            annotations,
            creation_timestamp,
            deletion_timestamp,
        } = item.metadata;
        Self {
            metadata: ObjectMeta {
                name,
                namespace,
                annotations,
                creation_timestamp,
                deletion_timestamp,
                ..ObjectMeta::default()
            },
            spec: item.spec.map(ApplicationSpec::from).unwrap_or_default(),
            operation: None,
            status: item.status.map(ApplicationStatus::from),
        }
    }
}

impl From<Spec> for ApplicationSpec {
    fn from(spec: Spec) -> Self {
        let sources = spec.sources.unwrap_or_default();
        Self {
            project: spec.project.unwrap_or_default(),
            destination: spec.destination.unwrap_or_default(),
            source: spec.source.map(ApplicationSource::from),
            sources: sources.into_iter().map(ApplicationSource::from).collect(),
            sync_policy: spec.sync_policy.map(|policy| SyncPolicy {
                automated: policy.automated,
                ..SyncPolicy::default()
            }),
            ..Self::default()
        }
    }
}

impl From<Source> for ApplicationSource {
    fn from(source: Source) -> Self {
        Self {
            repo_url: source.repo_url.unwrap_or_default(),
            path: source.path.unwrap_or_default(),
            chart: source.chart.unwrap_or_default(),
            target_revision: source.target_revision.unwrap_or_default(),
            ..Self::default()
        }
    }
}

impl From<Status> for ApplicationStatus {
    fn from(status: Status) -> Self {
        // Only when it was deployed last is told.
        let last = status.history.and_then(|mut history| history.pop());
        Self {
            resources: status.resources.unwrap_or_default(),
            sync: status.sync.map(|sync| SyncStatus {
                status: sync.status.unwrap_or_default(),
                revision: sync.revision.unwrap_or_default(),
                revisions: sync.revisions.unwrap_or_default(),
                ..SyncStatus::default()
            }),
            health: status.health,
            history: last
                .map(|entry| RevisionHistory {
                    deployed_at: entry.deployed_at,
                    ..RevisionHistory::default()
                })
                .into_iter()
                .collect(),
            conditions: status.conditions.unwrap_or_default(),
            reconciled_at: status.reconciled_at,
            operation_state: status.operation_state.map(OperationState::from),
            controller_namespace: status.controller_namespace.unwrap_or_default(),
            live: status.live,
            reasons: status.reasons.unwrap_or_default(),
            ..Self::default()
        }
    }
}

impl From<State> for OperationState {
    fn from(state: State) -> Self {
        Self {
            operation: Operation {
                initiated_by: state.operation.and_then(|asked| asked.initiated_by),
                ..Operation::default()
            },
            phase: state.phase.unwrap_or_default(),
            started_at: state.started_at,
            finished_at: state.finished_at,
            message: state.message.unwrap_or_default(),
            retry_count: state.retry_count.unwrap_or_default(),
            sync_result: state.sync_result.map(SyncOperationResult::from),
            ..Self::default()
        }
    }
}

impl From<Done> for SyncOperationResult {
    fn from(done: Done) -> Self {
        let mut resources = done.resources.unwrap_or_default();
        // What went well is not told in a line.
        resources.retain(|result| {
            result.status == Some(ResultCode::SyncFailed) || result.hook_phase.is_some()
        });
        Self {
            revision: done.revision.unwrap_or_default(),
            revisions: done.revisions.unwrap_or_default(),
            resources,
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use serde_json::{Value, json};

    use super::*;
    use crate::status::application::Summary;

    fn now() -> Timestamp {
        Timestamp::UNIX_EPOCH
    }

    /// Applications with about everything `status` looks at, as another controller might write them.
    fn applications() -> Vec<Value> {
        let time = "1970-01-01T00:00:00Z";
        let base = |name: &str, status: Value| {
            json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
                "metadata": {"name": name, "namespace": "argocd", "managedFields": [{"manager": "x"}],
                             "annotations": {"a": "b"}, "deletionTimestamp": if name == "going" { json!(time) } else { Value::Null }},
                "spec": {
                    "project": "payments", "destination": {"server": "https://kubernetes.default.svc", "namespace": name},
                    "sources": [{"repoURL": "https://git.example/a.git", "path": "x", "targetRevision": "main", "helm": {"values": "a: b"}},
                                {"repoURL": "https://charts.example", "chart": "web"}],
                    "syncPolicy": {"automated": {"prune": true}, "syncOptions": ["CreateNamespace=true"]}},
                "status": status,
            })
        };
        let result = |status: &str| json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "n", "name": "web", "status": status, "message": "refused"});
        let state = |phase: &str| {
            json!({"phase": phase, "startedAt": time, "finishedAt": time, "message": "m", "retryCount": 2,
                   "operation": {"sync": {}, "initiatedBy": {"username": "ana"}},
                   "syncResult": {"revision": "r", "resources": [result("Synced"), result("SyncFailed")]}})
        };
        let sync = json!({"status": "Synced", "revision": "91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687", "comparedTo": {"destination": {}}});
        let drift = json!([{"kind": "Deployment", "name": "web", "status": "OutOfSync", "drift": [{"path": ".spec.replicas", "live": "5"}]}]);
        let live = json!({"commit": {"revision": "4c1d88e0c2f5e1d4b3a29687f0e1d2c3b4a59687", "author": "ana"}, "behind": 2});
        vec![
            base("new", Value::Null),
            base("going", json!({})),
            base(
                "failed",
                json!({"sync": sync, "operationState": state("Failed")}),
            ),
            base(
                "running",
                json!({"sync": sync, "operationState": state("Running"), "health": {"status": "Progressing"}}),
            ),
            base(
                "drifted",
                json!({"sync": {"status": "OutOfSync", "revisions": ["a", "b"]}, "resources": drift, "live": live,
                "health": {"status": "Healthy"}, "history": [{"id": 1, "deployedAt": null, "revision": "x"}, {"id": 2, "deployedAt": time, "revision": "y"}]}),
            ),
            base(
                "broken",
                json!({"sync": null, "health": null, "history": null, "conditions": [{"type": "ComparisonError", "message": "no"}]}),
            ),
        ]
    }

    #[test]
    fn lines_are_the_same_as_of_whole_applications() {
        let applications = applications();
        let page =
            json!({"metadata": {"resourceVersion": "1", "continue": ""}, "items": applications})
                .to_string();
        let read = read(&page).unwrap_or_default();
        assert_eq!(read.len(), applications.len());
        for (slim, whole) in read.iter().zip(applications) {
            let whole: Application = serde_json::from_value(whole).unwrap_or_default();
            let (slim, whole) = (
                Summary::of(slim, now(), true),
                Summary::of(&whole, now(), true),
            );
            assert_eq!(slim, whole);
        }
    }

    #[test]
    fn the_next_page_is_found() {
        let next_of = |page: Value| next(&page.to_string()).ok().flatten();
        assert_eq!(
            next_of(json!({"items": [{"a": 1}], "metadata": {"continue": "token"}})).as_deref(),
            Some("token")
        );
        assert_eq!(
            next_of(json!({"items": [], "metadata": {"continue": ""}})),
            None
        );
        assert_eq!(next_of(json!({"items": null})), None);
        assert!(next("<html>").is_err() && read("<html>").is_err());
    }
}
