//! AppProjects and ApplicationSets are written as they were read.

use gitops_api::{AppProject, ApplicationSet};
use serde_json::json;

#[test]
fn an_empty_whitelist_is_not_a_missing_one() {
    let read = |whitelist: serde_json::Value| -> AppProject {
        serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "payments"},
            "spec": {"namespaceResourceWhitelist": whitelist}
        }))
        .unwrap()
    };
    assert_eq!(read(json!(null)).spec.namespace_resource_whitelist, None);
    let nothing_allowed = read(json!([]));
    assert_eq!(
        nothing_allowed.spec.namespace_resource_whitelist,
        Some(Vec::new())
    );
    let written = serde_json::to_value(nothing_allowed).unwrap();
    assert_eq!(written["spec"], json!({"namespaceResourceWhitelist": []}));
}

#[test]
fn a_project_is_written_as_it_was_read() {
    let document = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": "payments", "namespace": "argocd"},
        "spec": {
            "sourceRepos": ["https://github.com/acme/*", "!https://github.com/acme/secret"],
            "destinations": [{"server": "*", "namespace": "payments*"}],
            "clusterResourceWhitelist": [{"group": "", "kind": "Namespace", "name": "payments-*"}],
            "syncWindows": [{"kind": "deny", "schedule": "0 22 * * *", "duration": "1h",
                             "applications": ["*"], "manualSync": true, "andOperator": true}],
            "orphanedResources": {"warn": false, "ignore": [{"kind": "ConfigMap"}]},
            "roles": [{"name": "ci", "jwtTokens": [{"iat": 1}]}],
            "destinationServiceAccounts": [{"server": "*", "namespace": "payments", "defaultServiceAccount": "deployer"}],
            "sourceIntegrity": {"git": {"policies": [{"repos": [{"url": "*"}], "gpg": {"mode": "head", "keys": ["A"]}}]}},
            "addedLater": 1
        }
    });
    let project: AppProject = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(serde_json::to_value(project).unwrap(), document);
}

#[test]
fn a_set_is_written_as_it_was_read() {
    let document = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
        "metadata": {"name": "payments"},
        "spec": {
            "goTemplate": true,
            "generators": [
                {"matrix": {"generators": [
                    {"clusters": {"selector": {"matchLabels": {"env": "prod"}}}},
                    {"list": {"elements": [{"env": "staging", "n": 1}]}}
                ]}},
                {"git": {"repoURL": "https://example.com/c.git", "revision": "main",
                         "directories": [{"path": "apps/*"}, {"path": "apps/x", "exclude": true}]},
                 "selector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
                {"pullRequest": {"github": {"owner": "acme", "repo": "web"}, "requeueAfterSeconds": 60}}
            ],
            "template": {"metadata": {"name": "{{.name}}", "finalizers": ["x"]},
                         "spec": {"destination": {"server": "{{.server}}"}, "project": "payments",
                                  "source": {"repoURL": "{{.repo}}", "path": "p"}}},
            "strategy": {"type": "RollingSync", "rollingSync": {"steps": [
                {"matchExpressions": [{"key": "env", "operator": "In", "values": ["dev"]}], "maxUpdate": "10%"}]}},
            "syncPolicy": {"applicationsSync": "create-only"}
        }
    });
    let set: ApplicationSet = serde_json::from_value(document.clone()).unwrap();
    assert_eq!(serde_json::to_value(set).unwrap(), document);
}
