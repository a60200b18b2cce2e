//! Applications are read as leniently as Argo CD reads them and written without loss.

#![allow(clippy::expect_used, reason = "helpers of tests may panic")]

use gitops_api::{Application, HealthStatusCode, OperationPhase, SyncStatusCode};
use serde_json::{Value, json};

fn read(value: &Value) -> Application {
    serde_json::from_value(value.clone()).expect("readable")
}

#[test]
fn what_is_read_is_written_again() {
    let document = json!({
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Application",
        "metadata": {"name": "payments-prod", "namespace": "argocd", "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
        "spec": {
            "project": "payments",
            "sources": [
                {"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": "1.x",
                 "helm": {"valueFiles": ["$values/prod.yaml"], "valuesObject": {"replicas": 3, "ratio": 0.5},
                          "parameters": [{"name": "a.b", "value": "1", "forceString": true}], "futureOption": {"x": [1]}}},
                {"repoURL": "git@example.com:acme/config.git", "targetRevision": "main", "ref": "values"},
                {"repoURL": "https://example.com/c.git", "path": "p",
                 "kustomize": {"replicas": [{"name": "web", "count": "5"}, {"name": "api", "count": 2}],
                               "patches": [{"patch": "- op: remove", "target": {"kind": "Deployment"}, "options": {"allowNameChange": true}}]}},
                {"repoURL": "https://example.com/c.git", "path": "d",
                 "directory": {"recurse": true, "exclude": "{a,b}.yaml", "jsonnet": {"tlas": [{"name": "n", "value": "v", "code": true}]}}},
                {"repoURL": "https://example.com/c.git", "path": "e", "plugin": {"name": "cdk", "parameters": [{"name": "l", "array": []}]}, "someday": 1}
            ],
            "destination": {"name": "in-cluster", "namespace": "payments"},
            "syncPolicy": {"automated": {"prune": true, "enabled": false}, "retry": {"limit": -1, "backoff": {"duration": "10s", "factor": 2}}, "novel": "kept"},
            "ignoreDifferences": [{"kind": "Deployment", "group": "apps", "jsonPointers": ["/spec/replicas"]}],
            "revisionHistoryLimit": 0
        },
        "operation": {"sync": {"revision": "abc", "syncStrategy": {"hook": {}}, "prune": true}, "initiatedBy": {"username": "ana"}, "later": true},
        "status": {
            "sync": {"status": "OutOfSync", "revision": "abc", "comparedTo": {"destination": {"name": "in-cluster"}, "source": {"repoURL": "x"}}},
            "health": {"status": "Degraded", "lastTransitionTime": "2026-11-21T05:00:00Z"},
            "operationState": {"operation": {"sync": {}}, "phase": "Failed", "startedAt": "2026-11-21T05:00:00Z", "retryCount": 2},
            "history": [{"id": 3, "deployedAt": "2026-11-21T05:00:00Z", "revision": "abc"}],
            "resources": [{"kind": "Deployment", "group": "apps", "version": "v1", "namespace": "payments", "name": "web", "status": "OutOfSync",
                           "health": {"status": "Degraded", "message": "no"}, "syncWave": -1,
                           "drift": [{"path": ".spec.replicas", "desired": "3", "live": "5", "manager": "kubectl-scale", "since": "2026-11-21T05:00:00Z"}]}],
            "conditions": [{"type": "SyncError", "message": "m", "lastTransitionTime": "2026-11-21T05:00:00Z"}],
            "summary": {"images": ["web:1"], "externalURLs": ["https://x"]},
            "newInANewerVersion": {"a": 1}
        }
    });
    let application = read(&document);
    assert_eq!(
        serde_json::to_value(&application).expect("writable"),
        document
    );
    assert!(
        application
            .spec
            .sync_policy
            .expect("set")
            .automation()
            .is_none()
    );
}

#[test]
fn null_and_missing_are_empty() {
    let application = read(&json!({
        "metadata": {"name": "a"},
        "spec": {"project": null, "source": {"repoURL": "x", "helm": {"valueFiles": null, "parameters": null, "skipCrds": null}},
                 "sources": null, "destination": null, "syncPolicy": {"syncOptions": null, "automated": null}, "ignoreDifferences": null},
        "operation": null,
        "status": {"resources": null, "history": null, "sync": {"status": "Novel", "revisions": null},
                   "health": {}, "operationState": {"phase": ""}, "summary": {"images": null}}
    }));
    assert_eq!(application.spec.effective_project(), "default");
    assert_eq!(application.spec.effective_sources().len(), 1);
    let status = application.status.expect("there");
    assert_eq!(status.sync.expect("there").status, SyncStatusCode::Unknown);
    assert_eq!(
        status.health.expect("there").status,
        HealthStatusCode::Unknown
    );
    assert_eq!(
        status.operation_state.expect("there").phase,
        OperationPhase::Unknown
    );
}

#[test]
fn required_parts_are_written_even_when_empty() {
    let written = serde_json::to_value(Application::default()).expect("writable");
    assert_eq!(
        written,
        json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application", "metadata": {},
               "spec": {"project": "", "destination": {}}})
    );
}

#[test]
fn another_kind_is_refused() {
    let error = serde_json::from_value::<Application>(json!({"apiVersion": "v1", "kind": "Pod"}))
        .expect_err("a Pod");
    assert_eq!(
        error.to_string(),
        r#"apiVersion is "v1", expected "argoproj.io/v1alpha1""#
    );
}
