use std::collections::HashMap;

use gitops_api::status::ResourceResult;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::compare::comparison::State;
use crate::manifest::desired::{Context, Manifest, Scope, prepare};
use crate::manifest::object::Origin;
use crate::sync::budget::Budget;
use crate::sync::plan::{Policy, plan};

fn manifest(kind: &str, name: &str, annotations: &Value) -> Manifest {
    let version = if kind == "ConfigMap" { "v1" } else { "apps/v1" };
    Manifest {
        value: json!({"apiVersion": version, "kind": kind,
            "metadata": {"name": name, "annotations": annotations}}),
        origin: Origin::default(),
    }
}

fn desired(manifests: Vec<Manifest>) -> DesiredSet {
    let context = Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    prepare(manifests, context, |_| Some(Scope::Namespaced)).unwrap()
}

/// What is next when nothing is in the cluster yet and these were tried.
fn next_after(desired: &DesiredSet, done: &[(&str, Outcome)]) -> Next {
    let mut record = Record::default();
    let mut comparison = Comparison::new();
    for (key, object) in &desired.objects {
        let known = done.iter().find(|(name, _)| *name == key.name);
        let state = match known {
            Some((_, Outcome::Applied)) => State::Synced,
            _ => State::Missing,
        };
        comparison.insert(key.clone(), state);
        if let Some((_, outcome)) = known {
            let result = ResourceResult {
                group: object.key.group.clone(),
                kind: key.kind.clone(),
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                ..ResourceResult::default()
            };
            record.put(outcome.clone(), result);
        }
    }
    let options = AppOptions::default();
    let policy = Policy {
        prune: false,
        allow_empty: false,
        options,
        budget: Budget::default(),
        guests: guests::Guests::default(),
        guests: Guests::default(),
    };
    let live = HashMap::new();
    let plan = plan(desired, &comparison, |_| None, &policy);
    next(&Situation {
        desired,
        comparison: &comparison,
        live: &live,
        live_hooks: &live,
        plan: &plan,
        complete: true,
        hooks: true,
        options,
        record: &record,
        run: &Run {
            started: Timestamp::UNIX_EPOCH,
            revision: "abc".into(),
        },
    })
}

#[test]
fn a_wave_is_tried_to_its_end_when_an_object_is_refused_and_the_next_one_is_not() {
    let later = json!({"argocd.argoproj.io/sync-wave": "1"});
    let desired = desired(vec![
        manifest("ConfigMap", "bad", &json!({})),
        manifest("Deployment", "beside", &json!({})),
        manifest("StatefulSet", "after", &json!({})),
        manifest("ConfigMap", "later", &later),
    ]);
    let names = |next: Next| match next {
        Next::Act(actions) => actions
            .into_iter()
            .map(|action| action.key.name)
            .collect::<Vec<_>>(),
        other => panic!("{other:?}"),
    };
    let bad = || ("bad", Outcome::Failed("refused".into()));
    assert_eq!(names(next_after(&desired, &[])), ["bad"]);
    assert_eq!(names(next_after(&desired, &[bad()])), ["beside"]);
    let tried = [bad(), ("beside", Outcome::Failed("refused, too".into()))];
    assert_eq!(names(next_after(&desired, &tried)), ["after"]);
    let [first, second] = tried;
    let end = next_after(&desired, &[first, second, ("after", Outcome::Applied)]);
    let Next::Ended {
        failure: Some(failure),
    } = end
    else {
        panic!("{end:?}");
    };
    let failure = failure.to_string();
    assert!(failure.contains("n/bad: refused"), "{failure}");
    assert!(failure.contains("n/beside: refused, too"), "{failure}");
}

/// An object of the cluster that nothing judges the health of.
fn live(key: &ObjectKey) -> LiveObject {
    let object = json!({"apiVersion": "v1", "kind": key.kind,
        "metadata": {"name": key.name, "namespace": key.namespace, "uid": "u1", "resourceVersion": "1"}});
    let mut live = LiveObject::observe(&object, false).unwrap();
    live.key = key.clone();
    live.health = None;
    live
}

/// Carries all of a sync out, with success, and says in which order.
fn order_of(desired: &DesiredSet, extra: Vec<LiveObject>) -> Vec<String> {
    let mut record = Record::default();
    let mut order = Vec::new();
    let mut live: HashMap<ObjectKey, LiveObject> = HashMap::new();
    live.extend(extra.into_iter().map(|live| (live.key.clone(), live)));
    let mut comparison: Comparison = live.keys().map(|key| (key.clone(), State::Extra)).collect();
    comparison.extend(
        desired
            .objects
            .keys()
            .map(|key| (key.clone(), State::Missing)),
    );
    let policy = Policy {
        prune: true,
        ..Policy::default()
    };
    let run = Run {
        started: Timestamp::UNIX_EPOCH,
        revision: "abc".into(),
    };
    loop {
        let plan = plan(desired, &comparison, |key| live.get(key), &policy);
        let next = next(&Situation {
            desired,
            comparison: &comparison,
            live: &live,
            live_hooks: &HashMap::new(),
            plan: &plan,
            complete: true,
            hooks: true,
            options: policy.options,
            record: &record,
            run: &run,
        });
        let actions = match next {
            Next::Act(actions) => actions,
            Next::Ended { failure: None } => return order,
            next => panic!("{next:?} after {order:?}"),
        };
        for Action { key, verb, .. } in actions {
            order.push(format!("{verb:?} {key}"));
            let outcome = if verb == Verb::Apply {
                comparison.insert(key.clone(), State::Synced);
                live.insert(key.clone(), self::live(&key));
                Outcome::Applied
            } else {
                comparison.remove(&key);
                live.remove(&key);
                Outcome::Pruned
            };
            let result = ResourceResult {
                group: key.group.clone(),
                kind: key.kind.clone(),
                namespace: key.namespace.clone(),
                name: key.name.clone(),
                ..ResourceResult::default()
            };
            record.put(outcome, result);
        }
    }
}

#[test]
fn applies_follow_waves_then_kinds_and_prunes_run_last_in_reverse() {
    let in_wave = |kind: &str, name: &str, wave: i64| Manifest {
        value: json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name,
            "annotations": {"argocd.argoproj.io/sync-wave": wave.to_string()}}}),
        origin: Origin::default(),
    };
    let desired = desired(vec![
        in_wave("Service", "o0", 0),
        in_wave("Deployment", "o1", -1),
        in_wave("ConfigMap", "o2", 0),
        in_wave("Deployment", "o3", 0),
    ]);
    let extra = |kind: &str| ObjectKey {
        group: String::new(),
        kind: kind.into(),
        namespace: "n".into(),
        name: "x".into(),
    };
    let gone = ["ConfigMap", "Deployment"].map(|kind| live(&extra(kind)));
    assert_eq!(
        order_of(&desired, gone.into()),
        [
            "Apply Deployment n/o1",
            "Apply ConfigMap n/o2",
            "Apply Service n/o0",
            "Apply Deployment n/o3",
            "Delete { uid: \"u1\", propagation: Foreground } Deployment n/x",
            "Delete { uid: \"u1\", propagation: Foreground } ConfigMap n/x",
        ]
    );
}

#[test]
fn a_definition_and_a_namespace_come_before_what_needs_them_whatever_their_waves() {
    let in_wave = |mut value: Value, wave: i64| {
        value["metadata"]["annotations"] =
            json!({"argocd.argoproj.io/sync-wave": wave.to_string()});
        Manifest {
            value,
            origin: Origin::default(),
        }
    };
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition", "metadata": {"name": "things.example.com"},
        "spec": {"group": "example.com", "names": {"kind": "Thing"}, "scope": "Namespaced"}});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "n"}});
    let thing = json!({"apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "a", "namespace": "n"}});
    let context = Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    let manifests = vec![
        in_wave(definition, 2),
        in_wave(namespace, 1),
        in_wave(thing, -1),
    ];
    let desired = prepare(manifests, context, |kind| match kind.kind.as_str() {
        "Namespace" | "CustomResourceDefinition" => Some(Scope::Cluster),
        _ => None,
    })
    .unwrap();
    assert_eq!(
        order_of(&desired, vec![]),
        [
            "Apply Namespace n",
            "Apply apiextensions.k8s.io/CustomResourceDefinition things.example.com",
            "Apply example.com/Thing n/a",
        ]
    );
}
