#![allow(
    clippy::needless_pass_by_value,
    reason = "values are written where they are used"
)]

use serde_json::{Value, json};

use super::*;

const OLD: &str = "1111111111111111111111111111111111111111";
const NEW: &str = "2222222222222222222222222222222222222222";
const NEXT: &str = "3333333333333333333333333333333333333333";

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

fn app(automated: bool, status: Value) -> Application {
    let policy = if automated {
        json!({"automated": {}})
    } else {
        json!({})
    };
    serde_json::from_value(json!({
        "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"destination": {}, "syncPolicy": policy},
        "status": status,
    }))
    .unwrap()
}

fn status(sync: &str, revision: &str, health: &str) -> Value {
    json!({"sync": {"status": sync, "revision": revision}, "health": {"status": health}})
}

fn with(mut status: Value, more: Value) -> Value {
    for (key, value) in more.as_object().unwrap() {
        status[key] = value.clone();
    }
    status
}

fn goal(commit: Option<&str>) -> Goal {
    Goal {
        commit: commit.map(str::to_owned),
        synced: commit.is_none(),
        healthy: true,
        healthy_for: good::GOOD_AFTER,
    }
}

/// `wait …`, `done …`, `failed …` or `ask …`.
fn said(application: &Application, goal: &Goal, wait_state: &mut WaitState, now: i64) -> String {
    match judge(application, goal, wait_state, at(now)) {
        Judgement::Ask(revision) => format!("ask {revision}"),
        Judgement::Verdict(Verdict::Wait(text)) => format!("wait {text}"),
        Judgement::Verdict(Verdict::Done(text)) => format!("done {text}"),
        Judgement::Verdict(Verdict::Failed(text, status)) => {
            assert_eq!(status, ExitStatus::No);
            format!("failed {text}")
        }
        Judgement::Verdict(Verdict::Pause) => "pause".into(),
    }
}

fn first(application: &Application, commit: Option<&str>) -> String {
    let mut wait_state = WaitState::new(at(0));
    wait_state.note(OLD.into(), Containment::No, at(0));
    said(application, &goal(commit), &mut wait_state, 1)
}

#[test]
fn without_a_commit_synced_and_healthy_is_waited_for() {
    let failed_operation = json!({"operationState": {
        "phase": "Failed", "message": "no such kind", "operation": {}, "syncResult": {"revision": NEW},
    }});
    let running =
        json!({"operationState": {"phase": "Running", "message": "1 of 3", "operation": {}}});
    let table = vec![
        (
            app(true, status("Synced", NEW, "Healthy")),
            "done web: Synced, Healthy at 2222222",
        ),
        (
            app(true, status("Synced", NEW, "Progressing")),
            "wait web: Progressing",
        ),
        (
            app(true, status("OutOfSync", NEW, "Healthy")),
            "wait web: OutOfSync: differs from Git",
        ),
        (
            app(false, status("OutOfSync", NEW, "Healthy")),
            "failed web: OutOfSync, and nobody syncs it: automated sync is off (differs from Git; \
             sync is manual)",
        ),
        (
            app(false, with(status("OutOfSync", NEW, "Healthy"), running)),
            "wait web: syncing: 1 of 3",
        ),
        (
            app(
                true,
                with(status("OutOfSync", NEW, "Missing"), failed_operation),
            ),
            "failed web: sync failed: no such kind",
        ),
        (
            app(
                true,
                with(
                    status("Unknown", NEW, "Healthy"),
                    json!({"conditions": [{"type": "ComparisonError", "message": "a.yaml:3"}]}),
                ),
            ),
            "failed web: a.yaml:3",
        ),
    ];
    for (application, expected) in table {
        assert_eq!(first(&application, None), expected);
    }
}

#[test]
fn a_commit_is_waited_for_until_it_or_a_later_one_is_live() {
    let old = app(true, status("Synced", OLD, "Healthy"));
    assert_eq!(
        first(&old, Some(NEW)),
        "wait web: live is 1111111, waiting for 2222222"
    );
    assert_eq!(
        first(
            &app(true, status("Synced", NEW, "Healthy")),
            Some("2222222")
        ),
        "done web: Synced, Healthy at 2222222"
    );
    let later = app(true, status("Synced", NEXT, "Healthy"));
    let mut wait_state = WaitState::new(at(0));
    let goal = goal(Some(NEW));
    assert_eq!(
        said(&later, &goal, &mut wait_state, 1),
        format!("ask {NEXT}")
    );
    wait_state.note(NEXT.into(), Containment::Yes, at(1));
    assert_eq!(
        said(&later, &goal, &mut wait_state, 1),
        "done web: Synced, Healthy at 3333333, which contains 2222222"
    );
}

#[test]
fn what_the_agent_says_is_live_counts_before_what_was_compared() {
    let behind = app(
        true,
        with(
            status("OutOfSync", NEW, "Healthy"),
            json!({"live": {"commit": {"revision": OLD}, "behind": 1}}),
        ),
    );
    assert_eq!(
        first(&behind, Some(NEW)),
        "wait web: 2222222 is compared, waiting for it to be synced"
    );
}

#[test]
fn what_cannot_come_is_said_at_once() {
    let behind = |more: Value| {
        with(
            with(
                status("OutOfSync", NEW, "Healthy"),
                json!({"history": [{"id": 1, "revision": OLD, "deployedAt": null}]}),
            ),
            more,
        )
    };
    assert_eq!(
        first(&app(false, behind(json!({}))), Some(NEW)),
        "failed web: 2222222 is compared but not synced, and automated sync is off; sync it: \
         kubectl gitops sync web -n shop"
    );
    let failed = |revision: &str| {
        json!({"operationState": {
            "phase": "Failed", "message": "refused", "operation": {}, "syncResult": {"revision": revision},
        }})
    };
    assert_eq!(
        first(&app(true, behind(failed(NEW))), Some(NEW)),
        "failed web: sync of 2222222 failed: refused"
    );
    // The failure is of the revision before.
    assert_eq!(
        first(&app(true, behind(failed(OLD))), Some(NEW)),
        "wait web: 2222222 is compared, waiting for it to be synced"
    );
}

#[test]
fn errors_older_than_the_commit_get_time_to_pass() {
    let broken = |since: i64| {
        app(
            true,
            with(
                status("Unknown", OLD, "Healthy"),
                json!({"conditions": [{
                    "type": "ComparisonError", "message": "a.yaml:3",
                    "lastTransitionTime": at(since).to_string(),
                }]}),
            ),
        )
    };
    let mut wait_state = WaitState::new(at(0));
    wait_state.note(OLD.into(), Containment::No, at(0));
    let goal = goal(Some(NEW));
    let old = broken(-500);
    assert_eq!(
        said(&old, &goal, &mut wait_state, 1),
        "wait web: cannot be compared: a.yaml:3"
    );
    assert_eq!(
        said(&old, &goal, &mut wait_state, 62),
        "failed web: a.yaml:3"
    );
    assert_eq!(
        said(&broken(5), &goal, &mut wait_state, 6),
        "failed web: a.yaml:3"
    );
}

#[test]
fn degraded_counts_when_it_lasts() {
    let degraded = app(
        true,
        with(
            status("Synced", NEW, "Degraded"),
            json!({"resources": [{
                "kind": "Deployment", "name": "api",
                "health": {"status": "Degraded", "message": "image cannot be pulled"},
            }]}),
        ),
    );
    let healthy = app(true, status("Synced", NEW, "Healthy"));
    let mut wait_state = WaitState::new(at(0));
    let goal = goal(Some(NEW));
    let text = "web: Degraded: Deployment/api: image cannot be pulled";
    assert_eq!(
        said(&degraded, &goal, &mut wait_state, 1),
        format!("wait {text}")
    );
    assert_eq!(
        said(&degraded, &goal, &mut wait_state, 8),
        format!("wait {text}")
    );
    assert!(said(&healthy, &goal, &mut wait_state, 9).starts_with("done"));
    assert_eq!(
        said(&degraded, &goal, &mut wait_state, 12),
        format!("wait {text}")
    );
    assert_eq!(
        said(&degraded, &goal, &mut wait_state, 22),
        format!("failed {text}")
    );
}

#[test]
fn what_is_not_known_is_asked_again_and_not_for_ever() {
    let application = app(true, status("Synced", NEXT, "Healthy"));
    let mut wait_state = WaitState::new(at(0));
    let goal = goal(Some(NEW));
    let mut asked = 0;
    for now in 0..=59 {
        let said = said(&application, &goal, &mut wait_state, now);
        if said.starts_with("ask") {
            asked += 1;
            wait_state.note(
                NEXT.into(),
                Containment::Unknown("no such commit".into()),
                at(now),
            );
        } else {
            assert_eq!(
                said,
                "wait web: live is 3333333; is 2222222 part of it? no such commit"
            );
        }
    }
    assert_eq!(asked, 6);
    wait_state.note(
        NEXT.into(),
        Containment::Unknown("no such commit".into()),
        at(60),
    );
    assert!(
        said(&application, &goal, &mut wait_state, 61).starts_with("failed web: live is 3333333")
    );
}

#[test]
fn a_hold_against_the_commit_is_said() {
    let mut held = app(
        true,
        with(
            status("Synced", OLD, "Healthy"),
            json!({"conditions": [{"type": "HeldWarning", "message": "held at 1111111 by ana"}]}),
        ),
    );
    held.metadata.annotations = Some(
        [(
            annotation::HOLD.to_owned(),
            json!({"revision": OLD, "insteadOf": NEW}).to_string(),
        )]
        .into(),
    );
    assert_eq!(
        first(&held, Some(NEW)),
        "failed web: held back: held at 1111111 by ana"
    );
    assert!(first(&held, Some(NEXT)).starts_with("wait"));
}
