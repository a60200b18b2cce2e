//! The screens of `diff`, kept as snapshots: wide and narrow, plain and colored.

#![allow(clippy::expect_used, reason = "helpers of tests may panic")]

use gitops_api::preview::PreviewStatus;
use gitops_kit::terminal::View;
use kubectl_gitops::commands::diff::document;
use kubectl_gitops::commands::diff::screen::{Diff, screen};
use serde_json::{Value, json};

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
    width: Some(50),
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

fn answer(status: Value) -> PreviewStatus {
    serde_json::from_value(status).expect("a Preview's status")
}

fn text(lines: &[&str]) -> String {
    Value::from(lines.join("\n") + "\n").to_string()
}

fn everything() -> PreviewStatus {
    let nginx = |port: &str, extra: &[&str]| {
        let head = [
            "server {",
            "  listen 80;",
            "  root /srv;",
            "  index a.html;",
            "  gzip on;",
        ];
        let port = format!("  proxy_pass http://web:{port};");
        let mut lines: Vec<&str> = head.into_iter().chain([port.as_str()]).collect();
        lines.extend(extra);
        lines.push("}");
        text(&lines)
    };
    answer(json!({
        "phase": "Succeeded",
        "revisions": ["91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687"],
        "counts": {"create": 1, "change": 3, "prune": 1, "equal": 14, "refuse": 1, "ignored": 3},
        "objects": [
            {"group": "batch", "version": "v1", "kind": "CronJob", "namespace": "team-a", "name": "web-sweep",
             "action": "Prune", "live": {"apiVersion": "batch/v1", "kind": "CronJob", "spec": {"schedule": "@daily"}}},
            {"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "team-a", "name": "web",
             "action": "Change", "origin": "apps/web/deploy.yaml:9", "fields": [
                {"path": ".spec.replicas", "desired": "3", "live": "5", "manager": "kubectl-edit", "since": "2026-11-21T11:48:00Z"},
                {"path": ".spec.template.spec.containers[name=web].image", "desired": "\"registry.example/acme/web:1.9.2\"",
                 "live": "\"registry.example/acme/web:1.9.1-hotfix\"", "manager": "kubectl-set", "since": "2026-11-21T11:51:00Z"},
                {"path": ".spec.template.spec.containers[name=sidecar]",
                 "desired": "{\"image\":\"proxy:1\",\"name\":\"sidecar\",\"ports\":[{\"containerPort\":9090}]}"},
                {"path": ".metadata.labels.team", "live": "\"nobody\"", "manager": "kubectl-label"},
                {"path": ".metadata.labels.tier", "live": "\"web\"", "desired": "\"front\"", "since": "2026-11-21T11:51:00Z"}
             ]},
            {"group": "", "version": "v1", "kind": "Secret", "namespace": "team-a", "name": "web-db",
             "action": "Change", "origin": "apps/web/secret.enc.yaml:1", "fields": [
                {"path": ".data.password", "desired": "***", "live": "***"},
                {"path": ".data.token", "desired": "***"}
             ]},
            {"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "team-a", "name": "nginx",
             "action": "Change", "origin": "apps/web/nginx/kustomization.yaml", "fields": [
                {"path": ".data[\"site.conf\"]", "desired": nginx("8080", &[]), "live": nginx("80", &["  # \u{1b}[31mtuned by hand"]),
                 "manager": "kubectl-edit", "since": "2026-11-21T11:48:00Z"}
             ]},
            {"group": "", "version": "v1", "kind": "Service", "namespace": "team-a", "name": "web",
             "action": "Refuse", "origin": "apps/web/service.yaml:1",
             "message": "Service \"web\" is invalid: spec.ports[0].port: Invalid value: 99999: must be between 1 and 65535, inclusive"},
            {"group": "policy", "version": "v1", "kind": "PodDisruptionBudget", "namespace": "team-a", "name": "web",
             "action": "Create", "origin": "apps/web/pdb.yaml:1",
             "merged": {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "spec": {"minAvailable": 1}}}
        ],
        "cautions": [{"code": "Immutable", "object": "StatefulSet/db", "message": "spec.serviceName cannot be changed in place"}],
        "truncated": 2
    }))
}

fn shown(answer: &PreviewStatus, change: impl FnOnce(&mut Diff<'_>), view: &View) -> String {
    let mut diff = Diff {
        application: "web",
        live: "prod-eu1",
        git: "Git main@91be07a \"Bump web to 1.9.2\" by ana 2d ago",
        answer,
        whole: false,
        headings: true,
        next: Some("kubectl gitops sync web -n team-a"),
        now: "2026-11-21T12:00:00Z".parse().expect("a time"),
    };
    change(&mut diff);
    screen(&diff, view)
}

#[test]
fn differences() {
    let everything = everything();
    let at = |view: &View| shown(&everything, |_| {}, view);
    insta::assert_snapshot!("diff_pipe", at(&PIPE));
    insta::assert_snapshot!("diff_terminal", at(&TERMINAL));
    insta::assert_snapshot!("diff_narrow", at(&NARROW));
    insta::assert_snapshot!("diff_ascii", at(&ASCII));
    insta::assert_snapshot!("diff_color", at(&COLOR));
    insta::assert_snapshot!(
        "diff_whole",
        shown(&everything, |diff| diff.whole = true, &TERMINAL)
    );
    insta::assert_json_snapshot!("diff_document", document::of("team-a", "web", &everything));
}

#[test]
fn nothing_differs() {
    let equal = answer(json!({
        "phase": "Succeeded", "counts": {"equal": 14, "ignored": 1}
    }));
    insta::assert_snapshot!("diff_equal", shown(&equal, |_| {}, &TERMINAL));
    let document = document::of("team-a", "web", &equal);
    assert_eq!(document["different"], false);
}

#[test]
fn no_line_made_of_names_is_wider_than_the_terminal() {
    let mut everything = everything();
    for object in &mut everything.objects {
        object.fields.clear();
    }
    for width in 50..120 {
        let view = View {
            width: Some(width),
            ..TERMINAL
        };
        for line in shown(&everything, |diff| diff.git = "Git main", &view).lines() {
            assert!(gitops_kit::text::width(line) <= width, "{width}: {line}");
        }
    }
}

#[test]
fn terminals_are_told_nothing_by_a_cluster() {
    let text = shown(&everything(), |_| {}, &TERMINAL);
    assert!(
        text.chars().all(|c| c == '\n' || !c.is_control()),
        "{text:?}"
    );
}
