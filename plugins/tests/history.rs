//! `history`: what is read of a status, and its screens.

#![allow(clippy::expect_used, reason = "helpers of tests may panic")]

use gitops_api::Application;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::history::History;
use jiff::Zoned;
use jiff::tz::TimeZone;
use kubectl_gitops::commands::history::document;
use kubectl_gitops::commands::history::screen::{Form, screen};
use serde_json::{Value, json};

const NEWEST: &str = "91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687";
const GOOD: &str = "4c1d88e0c2f5e1d4b3a29687f0e1d2c3b4a59687";
const OLD: &str = "09fe33b0c2f5e1d4b3a29687f0e1d2c3b4a59687";
const FAILED: &str = "d02b6f40c2f5e1d4b3a29687f0e1d2c3b4a59687";

const TERMINAL: View = View {
    width: Some(120),
    color: false,
    unicode: true,
    interactive: true,
};
const PIPE: View = View {
    width: None,
    interactive: false,
    ..TERMINAL
};

fn now() -> Zoned {
    let now: jiff::Timestamp = "2026-11-21T14:05:00Z".parse().expect("a time");
    now.to_zoned(TimeZone::UTC)
}

fn form(wide: bool) -> Form {
    Form {
        wide,
        headings: true,
        now: now(),
        flags: " -n team-a".into(),
    }
}

fn application(status: Value) -> Application {
    let mut document = json!({
        "metadata": {"name": "web", "namespace": "team-a"},
        "spec": {"project": "default", "destination": {"server": "https://kubernetes.default.svc"},
                 "source": {"repoURL": "https://git.example/acme/config.git", "path": "apps/web"}},
    });
    document["status"] = status;
    serde_json::from_value(document).expect("an Application")
}

fn history() -> Value {
    json!([
        {"id": 11, "revision": OLD, "deployedAt": "2025-11-12T08:31:00Z", "initiatedBy": {"username": "ana"},
         "commit": {"revision": OLD, "author": "ana", "subject": "Add probe"}, "desiredDigest": "a"},
        {"id": 12, "revision": GOOD, "deployStartedAt": "2026-11-15T17:39:58Z", "deployedAt": "2026-11-15T17:40:00Z",
         "initiatedBy": {"automated": true}, "healthyAt": "2026-11-15T17:40:41Z",
         "commit": {"revision": GOOD, "author": "bob", "subject": "Raise web memory\u{1b}[2J", "time": "2026-11-15T17:30:00Z"}},
        {"id": 13, "revision": NEWEST, "deployedAt": "2026-11-19T09:13:00Z", "initiatedBy": {"automated": true},
         "healthyAt": "2026-11-19T09:14:00Z", "degradedAt": "2026-11-21T14:02:00Z",
         "degradedBecause": "Deployment/web: 2 of 5 Pods are available",
         "commit": {"revision": NEWEST, "author": "ana", "subject": "Bump web to 1.9.2"}},
    ])
}

fn degraded() -> Application {
    application(json!({
        "sync": {"status": "Synced", "revision": NEWEST}, "health": {"status": "Degraded"}, "history": history(),
        "operationState": {"phase": "Succeeded", "startedAt": "2026-11-19T09:12:58Z", "finishedAt": "2026-11-19T09:13:00Z", "operation": {}},
    }))
}

/// A sync failed after the last deployment.
fn failed() -> Application {
    application(json!({
        "sync": {"status": "OutOfSync", "revision": FAILED}, "health": {"status": "Healthy"}, "history": history(),
        "operationState": {"phase": "Failed", "startedAt": "2026-11-21T14:03:00Z", "finishedAt": "2026-11-21T14:03:30Z",
            "operation": {"initiatedBy": {"username": "eve"}}, "syncResult": {"revision": FAILED},
            "message": "Deployment/web: spec.selector: field is immutable (apps/web/deploy.yaml:7)"},
    }))
}

/// What other controllers write.
fn plain() -> Application {
    application(json!({
        "sync": {"status": "Synced", "revision": NEWEST}, "health": {"status": "Healthy"},
        "history": [
            {"id": 0, "revision": GOOD, "deployedAt": "2026-11-15T17:40:00Z", "initiatedBy": {"username": "admin"}},
            {"id": 1, "revisions": ["1.9.2", NEWEST], "deployedAt": "2026-11-19T09:13:00Z", "initiatedBy": {}},
        ],
    }))
}

/// Somebody scaled it by hand again and again, and somebody deleted an object.
fn healed() -> Application {
    let mut application = degraded();
    let field = |path: &str, live: &str| json!({"path": path, "desired": "2", "live": live, "manager": "kubectl-scale", "since": "2026-11-21T14:01:00Z"});
    let heals = json!([
        {"kind": "ConfigMap", "name": "settings", "namespace": "shop", "healedAt": "2026-11-20T02:00:00Z", "revision": NEWEST},
        {"group": "apps", "kind": "Deployment", "name": "web", "namespace": "shop", "healedAt": "2026-11-21T14:01:01Z",
         "revision": NEWEST, "repeated": 3, "fields": [field(".spec.replicas", "5"), field(".spec.paused", "true")]},
    ]);
    let status = application.status.as_mut().expect("a status");
    status.heals = serde_json::from_value(heals).expect("heals");
    application
}

fn draw(application: &Application, wide: bool, view: View) -> String {
    screen(
        &History::of(application, now().timestamp()),
        &form(wide),
        &view,
    )
}

#[test]
fn screens() {
    insta::assert_snapshot!("degraded", draw(&degraded(), false, TERMINAL));
    insta::assert_snapshot!("failed", draw(&failed(), false, TERMINAL));
    insta::assert_snapshot!("failed_pipe", draw(&failed(), false, PIPE));
    insta::assert_snapshot!("wide_pipe", draw(&degraded(), true, PIPE));
    insta::assert_snapshot!("other_controllers", draw(&plain(), false, TERMINAL));
    insta::assert_snapshot!("healed", draw(&healed(), false, TERMINAL));
    let narrow = View {
        width: Some(80),
        unicode: false,
        ..TERMINAL
    };
    insta::assert_snapshot!("narrow_ascii", draw(&failed(), false, narrow));
}

#[test]
fn documents() {
    insta::assert_json_snapshot!(
        "document",
        document::of(&History::of(&failed(), now().timestamp()))
    );
    let taken_back = &document::of(&History::of(&healed(), now().timestamp()))["heals"];
    assert_eq!(taken_back[0]["name"], "web", "newest first");
    assert_eq!(taken_back[0]["fields"][0]["manager"], "kubectl-scale");
    insta::assert_json_snapshot!(
        "document_plain",
        document::of(&History::of(&plain(), now().timestamp()))
    );
}

#[test]
fn the_last_good_one_is_the_newest_that_worked() {
    let good = |application: &Application| {
        let history = History::of(application, now().timestamp());
        history.last_good().map(|entry| entry.id)
    };
    assert_eq!(good(&degraded()), Some(12), "the current one is degraded");
    assert_eq!(
        good(&failed()),
        Some(12),
        "the current one broke, and nobody saw it work for long since"
    );
    assert_eq!(good(&plain()), None, "nobody recorded how long it worked");
    let mut broken = plain();
    let status = broken.status.as_mut().expect("a status");
    status.health = serde_json::from_value(json!({"status": "Degraded"})).expect("health");
    assert_eq!(
        good(&broken),
        None,
        "nobody recorded the earlier one's health"
    );
}

#[test]
fn an_attempt_is_shown_only_when_it_is_newer_than_what_is_deployed() {
    let attempt = |phase: &str, finished: &str| {
        let mut application = failed();
        let status = application.status.as_mut().expect("a status");
        let state =
            json!({"phase": phase, "startedAt": finished, "finishedAt": finished, "operation": {}});
        status.operation_state = serde_json::from_value(state).expect("a state");
        History::of(&application, now().timestamp())
            .attempt
            .is_some()
    };
    assert!(attempt("Failed", "2026-11-21T14:03:00Z"));
    assert!(attempt("Running", "2026-11-21T14:03:00Z"));
    assert!(!attempt("Failed", "2026-11-18T14:03:00Z"));
    assert!(!attempt("Succeeded", "2026-11-21T14:03:00Z"));
    assert!(
        History::of(&application(Value::Null), now().timestamp())
            .entries
            .is_empty()
    );
}

#[test]
fn screens_keep_to_the_terminal() {
    for width in 40..160 {
        for unicode in [true, false] {
            let view = View {
                width: Some(width),
                unicode,
                ..TERMINAL
            };
            for make in [degraded as fn() -> Application, failed, plain, healed] {
                let application = make();
                let screen = draw(&application, false, view);
                assert!(!screen.contains('\u{1b}'));
                assert!(unicode || screen.is_ascii(), "{screen}");
                for line in screen.lines() {
                    assert!(text::width(line) <= width, "{width}: {line}");
                }
            }
        }
    }
}
