//! The screens of `status`, kept as snapshots: wide and narrow, plain and colored.

#![allow(clippy::expect_used, reason = "helpers of tests may panic")]

use gitops_api::Application;
use gitops_kit::terminal::View;
use gitops_views::pods::tree::Workloads;
use gitops_views::status::agent::Agent;
use gitops_views::status::application::Summary;
use jiff::Timestamp;
use kubectl_gitops::commands::status::{detail, document, list};
use serde_json::{Value, json};

const COMMIT: &str = "91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687";

const PIPE: View = View {
    width: None,
    color: false,
    unicode: true,
    interactive: false,
};
const TERMINAL: View = View {
    width: Some(100),
    color: false,
    unicode: true,
    interactive: true,
};
const NARROW: View = View {
    width: Some(60),
    ..TERMINAL
};
const ASCII: View = View {
    unicode: false,
    ..TERMINAL
};
const COLOR: View = View {
    color: true,
    ..TERMINAL
};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().expect("a time")
}

fn agent() -> Agent {
    Agent::Running {
        renewed: "2026-11-21T11:59:57Z".parse().expect("a time"),
    }
}

fn application(name: &str, status: Value) -> Application {
    let mut document = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
        "metadata": {"name": name, "namespace": "argocd"},
        "spec": {
            "project": "payments",
            "source": {"repoURL": "https://github.com/acme/k8s-config.git", "targetRevision": "main",
                       "path": format!("apps/{name}/overlays/prod")},
            "destination": {"server": "https://kubernetes.default.svc", "namespace": name},
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true}}
        }
    });
    document["status"] = status;
    serde_json::from_value(document).expect("an Application")
}

fn status(sync: &str, health: &str) -> Value {
    json!({
        "sync": {"status": sync, "revision": COMMIT},
        "health": {"status": health},
        "reconciledAt": "2026-11-21T11:59:48Z",
        "operationState": {
            "phase": "Succeeded", "startedAt": "2026-11-21T11:47:57Z", "finishedAt": "2026-11-21T11:48:00Z",
            "operation": {"sync": {}, "initiatedBy": {"automated": true}},
            "syncResult": {"revision": COMMIT}
        }
    })
}

fn merged(mut base: Value, more: &Value) -> Value {
    for (name, value) in more.as_object().expect("an object") {
        base[name] = value.clone();
    }
    base
}

fn drifted() -> Application {
    application(
        "web",
        merged(
            status("OutOfSync", "Healthy"),
            &json!({"resources": [
                {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "web", "name": "web", "status": "OutOfSync",
                 "health": {"status": "Healthy"},
                 "drift": [
                    {"path": ".spec.replicas", "desired": "3", "live": "5", "manager": "kubectl-scale", "since": "2026-11-21T11:58:00Z"},
                    {"path": ".spec.template.spec.containers[name=\"web\"].image", "desired": "\"registry.example.com/acme/web:1.9.2\"",
                     "live": "\"registry.example.com/acme/team/web-with-a-long-name:1.9.1-hotfix\"", "manager": "kubectl-set", "since": "2026-11-21T11:51:00Z"},
                    {"path": ".metadata.labels.team", "desired": "\"payments\""}
                 ]},
                {"version": "v1", "kind": "Service", "namespace": "web", "name": "web", "status": "Synced", "health": {"status": "Healthy"}},
                {"version": "v1", "kind": "ConfigMap", "namespace": "web", "name": "web-env", "status": "Synced"},
                {"version": "v1", "kind": "ConfigMap", "namespace": "web", "name": "old", "status": "OutOfSync", "requiresPruning": true},
                {"group": "rbac.authorization.k8s.io", "version": "v1", "kind": "RoleBinding", "namespace": "monitoring", "name": "scrape-web", "status": "Synced"}
            ]}),
        ),
    )
}

fn degraded() -> Application {
    application(
        "checkout",
        merged(
            status("Synced", "Degraded"),
            &json!({"resources": [
                {"version": "v1", "kind": "Service", "namespace": "checkout", "name": "api", "status": "Synced", "health": {"status": "Healthy"}},
                {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "checkout", "name": "api", "status": "Synced",
                 "health": {"status": "Degraded", "message": "Deployment \"api\" exceeded its progress deadline\nReplicaSet api-6d9f: ImagePullBackOff"}}
            ]}),
        ),
    )
}

fn failed() -> Application {
    application(
        "payments-prod",
        merged(
            status("OutOfSync", "Missing"),
            &json!({
                "operationState": {
                    "phase": "Failed", "startedAt": "2026-11-21T11:55:00Z", "finishedAt": "2026-11-21T11:56:30Z", "retryCount": 5,
                    "message": "one or more objects failed to apply",
                    "operation": {"initiatedBy": {"username": "ana"}},
                    "syncResult": {"revision": COMMIT, "resources": [
                        {"group": "", "version": "v1", "kind": "Service", "namespace": "p", "name": "api", "status": "Synced", "message": "created"},
                        {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "p", "name": "api", "status": "SyncFailed",
                         "message": "Deployment.apps \"api\" is invalid: spec.selector: field is immutable"}]}
                },
                "conditions": [
                    {"type": "SyncError", "message": "Failed sync attempt to 91be07a", "lastTransitionTime": "2026-11-21T11:56:30Z"},
                    {"type": "RepeatedResourceWarning", "message": "ConfigMap/env appears 2 times among application resources.", "lastTransitionTime": "2026-11-20T11:56:30Z"}
                ]
            }),
        ),
    )
}

fn broken() -> Application {
    application(
        "ingress",
        merged(
            status("Unknown", "Healthy"),
            &json!({"conditions": [{"type": "ComparisonError", "lastTransitionTime": "2026-11-21T09:00:00Z",
                "message": "cannot fetch https://github.com/acme/k8s-config.git: authentication required\n(Secret argocd/repo-config)"}]}),
        ),
    )
}

fn manual() -> Application {
    let mut application = application(
        "batch",
        merged(
            status("OutOfSync", "Healthy"),
            &json!({"resources": [{"kind": "ConfigMap", "version": "v1", "name": "a", "namespace": "batch", "status": "OutOfSync"},
                                 {"kind": "ConfigMap", "version": "v1", "name": "b", "namespace": "batch", "status": "OutOfSync", "requiresPruning": true}]}),
        ),
    );
    application.spec.sync_policy = None;
    application
}

fn new() -> Application {
    application("fresh", Value::Null)
}

fn fine(name: &str) -> Application {
    application(name, status("Synced", "Healthy"))
}

fn all() -> Vec<Application> {
    vec![
        fine("api"),
        drifted(),
        degraded(),
        failed(),
        broken(),
        manual(),
        new(),
        fine("zoo"),
    ]
}

fn listed(
    applications: &[Application],
    change: impl FnOnce(&mut list::List),
    view: View,
) -> String {
    let mut list = list::List {
        applications: applications
            .iter()
            .map(|application| Summary::of(application, now(), view.unicode))
            .collect(),
        agent: agent(),
        place: "prod-eu1".into(),
        all_namespaces: false,
        wide: false,
        headings: true,
        height: None,
        must_fit: false,
        now: now(),
    };
    change(&mut list);
    list::screen(&list, &view)
}

fn detailed(application: &Application, view: View) -> String {
    detail::screen(
        &detail::Detail {
            application,
            agent: agent(),
            workloads: &Workloads::default(),
            now: now(),
        },
        &view,
    )
}

#[test]
fn lists() {
    insta::assert_snapshot!("list_pipe", listed(&all(), |_| {}, PIPE));
    insta::assert_snapshot!("list_terminal", listed(&all(), |_| {}, TERMINAL));
    insta::assert_snapshot!("list_narrow", listed(&all(), |_| {}, NARROW));
    insta::assert_snapshot!("list_ascii", listed(&all(), |_| {}, ASCII));
    insta::assert_snapshot!("list_color", listed(&all(), |_| {}, COLOR));
    insta::assert_snapshot!(
        "list_wide_all_namespaces",
        listed(
            &all(),
            |list| {
                list.wide = true;
                list.all_namespaces = true;
                list.headings = false;
            },
            PIPE
        )
    );
    insta::assert_snapshot!(
        "list_all_fine",
        listed(
            &["api", "zoo"].map(fine),
            |list| list.agent = Agent::Stale {
                renewed: "2026-11-21T09:00:00Z".parse().expect("a time")
            },
            TERMINAL
        )
    );
}

#[test]
fn details() {
    insta::assert_snapshot!("detail_drift", detailed(&drifted(), TERMINAL));
    insta::assert_snapshot!("detail_drift_pipe", detailed(&drifted(), PIPE));
    insta::assert_snapshot!(
        "detail_drift_ascii_narrow",
        detailed(
            &drifted(),
            View {
                width: Some(60),
                ..ASCII
            }
        )
    );
    insta::assert_snapshot!("detail_degraded", detailed(&degraded(), TERMINAL));
    insta::assert_snapshot!("detail_failed", detailed(&failed(), TERMINAL));
    insta::assert_snapshot!("detail_failed_color", detailed(&failed(), COLOR));
    insta::assert_snapshot!("detail_broken", detailed(&broken(), TERMINAL));
    insta::assert_snapshot!("detail_new", detailed(&new(), TERMINAL));
}

#[test]
fn several_sources_are_shown_with_their_revisions() {
    let application: Application = serde_json::from_value(json!({
        "metadata": {"name": "multi", "namespace": "team-a"},
        "spec": {
            "sources": [
                {"repoURL": "https://charts.example.com", "chart": "web", "targetRevision": "1.x", "helm": {"valueFiles": ["$values/prod.yaml"]}},
                {"repoURL": "git@example.com:acme/config.git", "ref": "values"}
            ],
            "destination": {"name": "prod-eu1", "namespace": "web"}, "project": "default"
        },
        "status": {"sync": {"status": "Synced", "revisions": ["1.9.2", COMMIT]}, "health": {"status": "Progressing"},
                   "operationState": {"phase": "Running", "startedAt": "2026-11-21T11:59:30Z", "message": "waiting for healthy state of apps/Deployment/web"},
                   "resources": [{"kind": "Deployment", "name": "web", "namespace": "web", "health": {"status": "Progressing", "message": "1 of 3 updated"}},
                                 {"kind": "Job", "name": "migrate", "namespace": "web", "hook": true, "health": {"status": "Healthy"}}]}
    }))
    .expect("an Application");
    insta::assert_snapshot!("detail_multi", detailed(&application, TERMINAL));
}

#[test]
fn no_screen_is_wider_than_the_terminal() {
    for width in 30..140 {
        for unicode in [true, false] {
            let view = View {
                width: Some(width),
                unicode,
                ..TERMINAL
            };
            let screens = all()
                .iter()
                .map(|application| detailed(application, view))
                .collect::<Vec<_>>();
            for line in screens
                .iter()
                .flat_map(|screen| screen.lines())
                .chain(listed(&all(), |_| {}, view).lines())
            {
                assert!(gitops_kit::text::width(line) <= width, "{width}: {line}");
            }
        }
    }
}

#[test]
fn an_object_that_nobody_can_judge_is_named() {
    let health = json!({"status": "Unknown", "message": "the health rule ran too long"});
    let resources = json!([{"kind": "Widget", "group": "example.org", "version": "v1", "name": "a",
        "namespace": "web", "status": "Synced", "health": health}]);
    let odd = application(
        "web",
        merged(
            status("Synced", "Unknown"),
            &json!({"resources": resources}),
        ),
    );
    let reason = Summary::of(&odd, now(), true).reason.expect("a reason");
    assert_eq!(reason.text, "the health rule ran too long");
}

#[test]
fn a_refused_request_is_no_reason_once_all_is_well() {
    let refused = json!({"operationState": {"phase": "Error", "message": "manual sync not allowed",
        "startedAt": "2026-11-21T11:55:00Z", "operation": {}}});
    let reason = |sync: &str| {
        let app = application("web", merged(status(sync, "Healthy"), &refused));
        Summary::of(&app, now(), true)
            .reason
            .map(|reason| reason.text)
    };
    assert_eq!(
        reason("OutOfSync").as_deref(),
        Some("manual sync not allowed")
    );
    assert_eq!(reason("Synced"), None);
}

#[test]
fn nothing_beyond_ascii_without_utf8() {
    let screens: String = all()
        .iter()
        .map(|application| detailed(application, ASCII))
        .collect();
    assert!((screens + &listed(&all(), |_| {}, ASCII)).is_ascii());
}

#[test]
fn messages_cannot_draw_on_the_terminal() {
    let mut application = broken();
    let status = application.status.as_mut().expect("a status");
    status.conditions[0].message = "\u{1b}[2J\u{1b}]0;owned\u{7}text".into();
    for screen in [
        detailed(&application, TERMINAL),
        listed(&[application.clone()], |_| {}, TERMINAL),
    ] {
        assert!(
            !screen.contains('\u{1b}') && !screen.contains('\u{7}'),
            "{screen:?}"
        );
    }
}

#[test]
fn documents() {
    let applications = vec![drifted(), fine("api"), new()];
    let document = document::of(&applications, &agent(), true, now());
    insta::assert_json_snapshot!("document", document);
}

#[test]
fn only_what_is_synced_and_works_is_fine() {
    let fine: Vec<bool> = all()
        .iter()
        .map(|application| Summary::of(application, now(), true).is_fine())
        .collect();
    assert_eq!(fine, [true, false, false, false, false, false, false, true]);
}

#[test]
fn a_thousand_applications_are_drawn_at_once() {
    let many: Vec<Application> = (0..1_000)
        .map(|number| fine(&format!("app-{number}")))
        .collect();
    let screen = listed(&many, |_| {}, TERMINAL);
    assert_eq!(screen.lines().count(), 1_003);
}
