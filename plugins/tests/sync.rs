//! What `sync` shows and how it judges, from Applications as the agent writes them.

#![allow(clippy::unwrap_used, reason = "helpers of tests may panic")]

use gitops_api::Application;
use gitops_kit::exit::ExitStatus;
use gitops_kit::progress::Mark;
use gitops_kit::terminal::View;
use jiff::Timestamp;
use kubectl_gitops::cluster::follow::Verdict;
use kubectl_gitops::commands::sync::operation::{Selector, SyncRequest};
use kubectl_gitops::commands::sync::plan::Plan;
use kubectl_gitops::commands::sync::{operation, plan, verdict};
use serde_json::{Value, json};

const COMMIT: &str = "91be07a0c2f5e1d4b3a29687f0e1d2c3b4a59687";

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn app(more: &Value) -> Application {
    let mut app = json!({
        "metadata": {"name": "web", "namespace": "argocd"},
        "spec": {
            "destination": {},
            "source": {"repoURL": "https://git.example/fleet", "targetRevision": "main"},
        },
        "status": {
            "sync": {"status": "OutOfSync", "revision": COMMIT},
            "health": {"status": "Healthy"},
            "reconciledAt": "2026-11-21T11:59:48Z",
            "resources": [
                {"group": "apps", "kind": "Deployment", "name": "web", "status": "OutOfSync", "drift": [
                    {"path": ".spec.replicas", "desired": "3", "live": "5", "manager": "kubectl-edit",
                     "since": "2026-11-21T11:48:00Z"},
                    {"path": ".spec.paused", "live": "true"}]},
                {"kind": "Service", "name": "web", "status": "Synced"},
                {"kind": "ConfigMap", "name": "env", "status": "OutOfSync",
                 "health": {"status": "Missing"}},
                {"kind": "ConfigMap", "name": "old", "status": "OutOfSync", "requiresPruning": true},
                {"group": "batch", "kind": "Job", "name": "migrate", "status": "OutOfSync", "hook": true},
            ],
        },
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        app[key] = value.clone();
    }
    serde_json::from_value(app).unwrap()
}

fn view(width: Option<usize>) -> View {
    View {
        width,
        color: false,
        unicode: false,
        interactive: false,
    }
}

fn shown(request: &SyncRequest, width: Option<usize>) -> String {
    let plan = Plan::of(&app(&json!({})), request, now(), false);
    plan::screen(&plan, now(), &view(width))
}

#[test]
fn the_plan_names_every_object_and_what_becomes_of_it() {
    insta::assert_snapshot!(shown(&SyncRequest::default(), None), @r"
    web: sync to main at 91be07a
      ~ Deployment/web  .spec.replicas 5 != 3 by kubectl-edit 12m ago (+1 more)
      + ConfigMap/env   not in the cluster
        ConfigMap/old   no longer in Git; stays without --prune
      1 to create, 1 to change, 1 to leave that Git no longer has, compared 12s ago
    ");
    let prune = SyncRequest {
        prune: true,
        ..SyncRequest::default()
    };
    insta::assert_snapshot!(shown(&prune, Some(40)), @r"
    web: sync to main at 91be07a
      ~ Deployment/web  .spec.replicas 5 !..
      + ConfigMap/env   not in the cluster
      - ConfigMap/old   no longer in Git
      1 to create, 1 to change, 1 to delet..
    ");
    let plan = Plan::of(&app(&json!({})), &prune, now(), false);
    assert_eq!(
        plan.question().as_deref(),
        Some("web: delete ConfigMap/old?")
    );
}

#[test]
fn a_selection_and_another_revision_have_their_own_plans() {
    let one = SyncRequest {
        only: vec![Selector::parse("ConfigMap/env").unwrap()],
        ..SyncRequest::default()
    };
    insta::assert_snapshot!(shown(&one, None), @r"
    web: sync to main at 91be07a
      + ConfigMap/env  not in the cluster
      1 to create, compared 12s ago
    ");
    let other = SyncRequest {
        revision: Some("v1.4.2".into()),
        prune: true,
        ..SyncRequest::default()
    };
    insta::assert_snapshot!(shown(&other, None), @r"
    web: sync to v1.4.2
      what it changes was not compared yet; see it with: kubectl gitops diff web --revision v1.4.2
    ");
}

/// The Application with an operation of this id in its status.
fn operated(id: &str, phase: &str, more: &Value) -> Application {
    let mut state = json!({
        "operation": operation::request(&SyncRequest::default(), Vec::new(), "ana", id),
        "phase": phase,
        "startedAt": "2026-11-21T11:59:00Z",
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        state[key] = value.clone();
    }
    let mut app = app(&json!({}));
    let mut status = serde_json::to_value(app.status.unwrap()).unwrap();
    status["operationState"] = state;
    app.status = serde_json::from_value(status).unwrap();
    app
}

fn judged(app: &Application) -> Verdict {
    verdict::of_sync(app, "7", false, &mut None, now())
}

#[test]
fn a_sync_is_followed_from_request_to_health() {
    let pending = operation::request(&SyncRequest::default(), Vec::new(), "ana", "7");
    let asked = app(&json!({"operation": pending}));
    assert_eq!(
        judged(&asked),
        Verdict::Wait("web: waiting for the agent to begin".into())
    );
    let running = operated("7", "Running", &json!({"message": "1 of 3 objects"}));
    assert_eq!(
        judged(&running),
        Verdict::Wait("web: syncing: 1 of 3 objects".into())
    );
    let failed = operated(
        "7",
        "Failed",
        &json!({"message": "Service/web: refused\u{1b}[2J"}),
    );
    assert_eq!(
        judged(&failed),
        Verdict::Failed(
            "web: sync failed: Service/web: refused [2J".into(),
            ExitStatus::No
        )
    );
    let ended = json!({"message": "successfully synced (all tasks run): applied 2 objects",
        "finishedAt": "2026-11-21T11:59:07Z"});
    assert_eq!(
        judged(&operated("7", "Succeeded", &ended)),
        Verdict::Done("web: OutOfSync, Healthy (applied 2 objects in 7s)".into())
    );
}

#[test]
fn what_was_pruned_may_take_a_moment_to_go() {
    let pruned = json!([{"group": "", "version": "v1", "kind": "ConfigMap", "namespace": "",
        "name": "old", "status": "Pruned", "message": "pruned"}]);
    let result = json!({"revision": COMMIT, "resources": pruned});
    let ended = |second: u32| {
        let finished = format!("2026-11-21T11:59:{second}Z");
        let more =
            json!({"message": "pruned 1 object", "finishedAt": finished, "syncResult": result});
        let mut app = operated("7", "Succeeded", &more);
        let listed = json!([{"version": "v1", "kind": "ConfigMap", "name": "old",
            "status": "OutOfSync", "requiresPruning": true}]);
        app.status.as_mut().unwrap().resources = serde_json::from_value(listed).unwrap();
        app
    };
    assert_eq!(
        judged(&ended(55)),
        Verdict::Wait("web: 1 pruned object is still on its way out".into())
    );
    assert!(matches!(judged(&ended(40)), Verdict::Done(_)));
    let mut gone = ended(55);
    gone.status.as_mut().unwrap().resources.clear();
    assert!(matches!(judged(&gone), Verdict::Done(_)));
}

#[test]
fn somebody_elses_sync_is_not_taken_for_ones_own() {
    let other = operation::request(&SyncRequest::default(), Vec::new(), "bob", "8");
    let is_failed = |app: &Application| matches!(judged(app), Verdict::Failed(_, ExitStatus::No));
    assert!(is_failed(&app(&json!({"operation": other}))));
    assert!(is_failed(&operated("8", "Succeeded", &json!({}))));
    assert!(is_failed(&app(&json!({}))));
}

#[test]
fn degraded_counts_when_it_lasts() {
    let mut app = operated("7", "Succeeded", &json!({}));
    let status = app.status.as_mut().unwrap();
    status.health = serde_json::from_value(json!({"status": "Degraded"})).unwrap();
    let mut since = None;
    let at = |seconds: i64| Timestamp::from_second(now().as_second() + seconds).unwrap();
    let mut judge = |seconds| verdict::of_sync(&app, "7", false, &mut since, at(seconds));
    assert!(matches!(judge(0), Verdict::Wait(_)));
    assert!(matches!(judge(9), Verdict::Wait(_)));
    assert!(matches!(judge(10), Verdict::Failed(_, ExitStatus::No)));
}

#[test]
fn results_are_told_once_each() {
    let results = |results: Value| {
        let app = operated(
            "7",
            "Running",
            &json!({"syncResult": {"revision": COMMIT, "resources": results}}),
        );
        app.status.unwrap().operation_state.unwrap()
    };
    let result = |kind: &str, status: &str, message: &str| {
        json!({"group": "", "version": "v1", "kind": kind, "namespace": "", "name": "web",
               "status": status, "message": message})
    };
    let first = results(json!([result("Service", "Synced", "service/web created")]));
    let second = results(json!([
        result("Service", "Synced", "service/web created"),
        result("Deployment", "SyncFailed", "refused"),
        result("ConfigMap", "PruneSkipped", "kept"),
    ]));
    let mut told = Vec::new();
    assert_eq!(
        verdict::news(&first, &mut told),
        [(Mark::Done, "Service/web created".to_owned())]
    );
    assert_eq!(
        verdict::news(&second, &mut told),
        [
            (Mark::Failed, "Deployment/web refused".to_owned()),
            (Mark::Warning, "ConfigMap/web kept".to_owned())
        ]
    );
}
