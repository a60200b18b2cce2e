use std::collections::{BTreeSet, HashMap};

use gitops_api::operation::SyncOperationResource;
use gitops_api::status::OperationState;
use gitops_api::{OperationPhase, SyncPolicy};
use serde_json::json;

use super::*;
use crate::compare::comparison::{Comparison, State};
use crate::live::object::LiveObject;
use crate::manifest::desired::{Context, Manifest, Scope, prepare};
use crate::manifest::object::{ObjectKey, Origin};
use crate::report::size;
use crate::report::status::{Report, build};

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn delivery(revisions: &[String], second: i64) -> Delivery<'_> {
    Delivery {
        revisions,
        commit: None,
        digest: DesiredSet::default().digest().to_owned(),
        started: at(0),
        finished: at(second),
        initiated_by: OperationInitiator::default(),
    }
}

#[test]
fn history_keeps_the_newest_and_numbers_go_on() {
    let mut status = ApplicationStatus::default();
    let spec = ApplicationSpec {
        revision_history_limit: Some(2),
        sync_policy: Some(SyncPolicy::default()),
        ..ApplicationSpec::default()
    };
    for second in 0..4 {
        let revision = [format!("r{second}")];
        record_history(&mut status, &spec, delivery(&revision, second));
    }
    let entries: Vec<_> = status
        .history
        .iter()
        .map(|e| (e.id, e.revision.as_str()))
        .collect();
    assert_eq!(entries, [(2, "r2"), (3, "r3")]);
}

/// The status after a comparison whose only object is in this state.
fn next(previous: &ApplicationStatus, state: Option<State>, second: i64) -> ApplicationStatus {
    let key = ObjectKey {
        group: String::new(),
        kind: "ConfigMap".into(),
        namespace: "n".into(),
        name: "c".into(),
    };
    let comparison: Comparison = state
        .into_iter()
        .map(|state| (key.clone(), state))
        .collect();
    let desired = DesiredSet::default();
    let revisions = ["head".to_owned()];
    let compared = Compared {
        desired: &desired,
        hooks: &[],
        denied: &[],
        ignored: &HashMap::new(),
        comparison: &comparison,
        live: &HashMap::new(),
        revisions: &revisions,
        source_types: &[],
    };
    build(&Report {
        previous,
        spec: &ApplicationSpec::default(),
        compared: Some(compared),
        conditions: &BTreeSet::new(),
        reasons: &[],
        operation: None,
        live: None,
        tracked: None,
        namespace: "argocd",
        max_bytes: size::MAX_STATUS,
        now: at(second),
    })
}

#[test]
fn an_entry_is_good_once_it_was_synced_and_healthy() {
    let mut status = ApplicationStatus::default();
    let revisions = ["head".to_owned()];
    record_history(
        &mut status,
        &ApplicationSpec::default(),
        delivery(&revisions, 5),
    );
    let status = next(&status, Some(State::Missing), 6);
    assert_eq!(status.history[0].healthy_at, None);
    let status = next(&status, None, 7);
    assert_eq!(status.history[0].healthy_at, Some(seconds(at(7))));
    let status = next(&status, None, 8);
    assert_eq!(status.history[0].healthy_at, Some(seconds(at(7))));

    let mut other = status.clone();
    other.history[0].desired_digest = "another".into();
    other.history[0].healthy_at = None;
    assert_eq!(next(&other, None, 9).history[0].healthy_at, None);
}

/// A set of one ConfigMap with this value, and its live object as the agent applied it at a time.
fn delivered(value: &str, second: i64) -> (DesiredSet, HashMap<ObjectKey, LiveObject>) {
    let manifest = Manifest {
        value: json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "c", "namespace": "n"}, "data": {"x": value}}),
        origin: Origin::default(),
    };
    let context = Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    let desired = prepare(vec![manifest], context, |_| Some(Scope::Namespaced)).unwrap();
    let object = desired.objects.values().next().unwrap();
    let mut live = LiveObject::observe(&object.manifest(), false).unwrap();
    live.applied_at = Some(at(second));
    assert!(live.desired_digest.is_some(), "the mark is in the manifest");
    (desired.clone(), [(object.key.clone(), live)].into())
}

/// What an agent finds that was killed, or after one was: which of it was a deployment that
/// nobody recorded.
#[test]
fn a_delivery_that_could_not_be_reported_is_found_by_its_marks() {
    use OperationPhase::{Failed, Running, Succeeded};
    let (old, _) = delivered("old", 0);
    let (desired, live) = delivered("new", 20);
    let synced: Comparison = [(live.keys().next().unwrap().clone(), State::Synced)].into();
    let changed: Comparison = [(live.keys().next().unwrap().clone(), State::Changed)].into();
    let recorded = |digest: &DesiredSet, second| {
        let mut status = ApplicationStatus::default();
        let revisions = ["r".to_owned()];
        let delivery = Delivery {
            digest: digest.digest().to_owned(),
            ..delivery(&revisions, second)
        };
        record_history(&mut status, &ApplicationSpec::default(), delivery);
        status
    };
    let operation = |phase, digest: &DesiredSet, partial: bool| {
        let mut state = OperationState {
            phase,
            ..OperationState::default()
        };
        let result = state.sync_result.get_or_insert_default();
        let digest = Value::from(digest.digest());
        result.extra.insert(DESIRED_DIGEST.into(), digest);
        if partial {
            let sync = state.operation.sync.get_or_insert_default();
            sync.resources.push(SyncOperationResource::default());
        }
        state
    };
    let with = |mut status: ApplicationStatus, state| {
        status.operation_state = Some(state);
        status
    };
    let none = ApplicationStatus::default();
    let mut unmarked = live.clone();
    for live in unmarked.values_mut() {
        live.desired_digest = None;
    }
    let mut others = live.clone();
    for live in others.values_mut() {
        live.desired_digest = old.objects.values().next().map(|o| o.digest.clone());
    }
    let table = [
        ("killed in the first sync", &none, &synced, &live, true),
        (
            "killed in the second",
            &recorded(&old, 10),
            &synced,
            &live,
            true,
        ),
        (
            "it is on record",
            &recorded(&desired, 10),
            &synced,
            &live,
            false,
        ),
        (
            "it is not done",
            &recorded(&old, 10),
            &changed,
            &live,
            false,
        ),
        (
            "applied before what is on record",
            &recorded(&old, 30),
            &synced,
            &live,
            false,
        ),
        (
            "somebody else applied the same",
            &recorded(&old, 10),
            &synced,
            &unmarked,
            false,
        ),
        (
            "the mark is of other manifests",
            &recorded(&old, 10),
            &synced,
            &others,
            false,
        ),
        (
            "the first attempt failed, the second was not reported",
            &with(recorded(&old, 10), operation(Failed, &desired, false)),
            &synced,
            &live,
            true,
        ),
        (
            "a sync of single objects did it",
            &with(recorded(&old, 10), operation(Succeeded, &desired, true)),
            &synced,
            &live,
            false,
        ),
        (
            "a sync is under way",
            &with(recorded(&old, 10), operation(Running, &desired, false)),
            &synced,
            &live,
            false,
        ),
        (
            "the operation on record is of the manifests before",
            &with(recorded(&old, 10), operation(Succeeded, &old, false)),
            &synced,
            &live,
            true,
        ),
    ];
    for (what, status, comparison, live, expected) in table {
        let compared = Compared {
            desired: &desired,
            hooks: &[],
            denied: &[],
            ignored: &HashMap::new(),
            comparison,
            live,
            revisions: &[],
            source_types: &[],
        };
        let found = unrecorded_delivery(status, Some(at(1)), compared);
        assert_eq!(found.is_some(), expected, "{what}");
        assert_eq!(found, expected.then(|| at(20)), "{what}");
        let later = unrecorded_delivery(status, Some(at(21)), compared);
        assert_eq!(later, None, "{what}: by an Application of the name before");
    }
}

#[test]
fn what_is_live_is_what_was_synced_last_until_all_is_synced_again() {
    let comparison = |state: State| -> Comparison {
        let key = ObjectKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: "n".into(),
            name: "c".into(),
        };
        [(key, state)].into()
    };
    let mut status = ApplicationStatus::default();
    let synced_then = ["old".to_owned()];
    record_history(
        &mut status,
        &ApplicationSpec::default(),
        delivery(&synced_then, 5),
    );
    let desired = DesiredSet::default();
    let live = HashMap::new();
    let revisions = ["head".to_owned()];
    let of = |comparison: &Comparison, status: &ApplicationStatus| {
        let compared = Compared {
            desired: &desired,
            hooks: &[],
            denied: &[],
            ignored: &HashMap::new(),
            comparison,
            live: &live,
            revisions: &revisions,
            source_types: &[],
        };
        live_commit(status, compared, 0)
    };
    assert_eq!(
        of(&comparison(State::Synced), &status).as_deref(),
        Some("head")
    );
    assert_eq!(
        of(&comparison(State::Changed), &status).as_deref(),
        Some("old")
    );
    let never = ApplicationStatus::default();
    assert_eq!(of(&comparison(State::Changed), &never), None);
}
