use std::collections::HashMap;

use gitops_api::status::ResourceResult;
use jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::compare::comparison::State;
use crate::manifest::desired::{Context, Manifest, Scope, prepare};
use crate::manifest::object::{GroupKind, Origin};
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
            _ if !object.kind_known => State::UnknownKind,
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
        automated: false,
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

/// An object of a kind that the cluster does not serve fails a sync; all else is applied, and what is to
/// follow a sync that was done does not run.
#[test]
fn an_unserved_kind_fails_a_sync_without_what_would_follow_it() {
    let hook = |phase: &str| json!({"argocd.argoproj.io/hook": phase});
    let context = Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    let manifests = vec![
        manifest("Widget", "unserved", &json!({})),
        manifest("ConfigMap", "a", &json!({})),
        manifest(
            "ConfigMap",
            "later",
            &json!({"argocd.argoproj.io/sync-wave": "1"}),
        ),
        manifest("ConfigMap", "post", &hook("PostSync")),
    ];
    let scope = |kind: &GroupKind| (kind.kind != "Widget").then_some(Scope::Namespaced);
    let desired = prepare(manifests, context, scope).unwrap();
    let mut done: Vec<(&str, Outcome)> = Vec::new();
    for expected in ["a", "later"] {
        let Next::Act(actions) = next_after(&desired, &done) else {
            panic!("{expected} is not applied");
        };
        assert_eq!(actions.len(), 1);
        assert_eq!(actions[0].key.name, expected);
        done.push((expected, Outcome::Applied));
    }
    let Next::Ended {
        failure: Some(failure),
    } = next_after(&desired, &done)
    else {
        panic!("the sync did not fail");
    };
    let said = failure.to_string();
    assert!(
        said.contains("unserved") && said.contains("does not serve"),
        "{said}"
    );
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

/// What is next, of objects that are applied and as they are in the cluster.
fn next_among(desired: &DesiredSet, cluster: &[Value], extra: &[(&LiveObject, bool)]) -> Next {
    let mut live: HashMap<ObjectKey, LiveObject> = cluster
        .iter()
        .filter_map(|object| LiveObject::observe(object, false))
        .map(|live| (live.key.clone(), live))
        .collect();
    let mut record = Record::default();
    let mut put = |key: &ObjectKey, outcome: Outcome| {
        let result = ResourceResult {
            group: key.group.clone(),
            kind: key.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            ..ResourceResult::default()
        };
        record.put(outcome, result);
    };
    let mut comparison = Comparison::new();
    for key in desired.objects.keys() {
        let there = live.contains_key(key);
        let state = if there { State::Synced } else { State::Missing };
        comparison.insert(key.clone(), state);
        if there {
            put(key, Outcome::Applied);
        }
    }
    for (object, leaving) in extra {
        let mut object = (*object).clone();
        object.deleting = *leaving;
        if *leaving {
            put(&object.key, Outcome::Pruned);
        }
        comparison.insert(object.key.clone(), State::Extra);
        live.insert(object.key.clone(), object);
    }
    let policy = Policy {
        prune: true,
        ..Policy::default()
    };
    let plan = plan(desired, &comparison, |key| live.get(key), &policy);
    next(&Situation {
        desired,
        comparison: &comparison,
        live: &live,
        live_hooks: &HashMap::new(),
        plan: &plan,
        complete: true,
        hooks: true,
        options: policy.options,
        record: &record,
        run: &Run {
            started: Timestamp::UNIX_EPOCH,
            revision: "abc".into(),
        },
    })
}

/// Question: what does an operator need while it cleans up? Itself, its account and its roles: all that
/// goes after its resources. What does not need anything is not held up: the same kind, and other waves
/// when this one is done.
#[test]
fn what_others_need_goes_after_them() {
    let extra = |group: &str, kind: &str, name: &str| {
        live(&ObjectKey {
            group: group.into(),
            kind: kind.into(),
            namespace: "n".into(),
            name: name.into(),
        })
    };
    let tank = extra("example.com", "Tank", "one");
    let other = extra("example.com", "Tank", "two");
    let operator = extra("apps", "Deployment", "operator");
    let account = extra("", "ServiceAccount", "operator");
    // Without any object left nothing would be pruned.
    let stays = json!({"apiVersion": "v1", "kind": "ConfigMap",
        "metadata": {"name": "stays", "namespace": "n", "uid": "u", "resourceVersion": "1"}});
    let desired = desired(vec![Manifest {
        value: stays.clone(),
        origin: Origin::default(),
    }]);
    let cluster = [stays];
    let deleted = |extra: &[(&LiveObject, bool)]| match next_among(&desired, &cluster, extra) {
        Next::Act(actions) => actions.into_iter().map(|action| action.key.name).collect(),
        Next::Wait { reason } => vec![format!("wait: {reason}")],
        Next::Ended { .. } => vec![],
    };
    assert_eq!(
        deleted(&[
            (&tank, false),
            (&other, false),
            (&operator, false),
            (&account, false)
        ]),
        ["one", "two"]
    );
    let waits = deleted(&[(&tank, true), (&operator, false), (&account, false)]);
    assert!(
        waits[0].starts_with("wait:") && waits[0].contains("one"),
        "{waits:?}"
    );
    assert_eq!(
        deleted(&[(&operator, false), (&account, false)]),
        ["operator"]
    );
    assert_eq!(deleted(&[(&account, false)]), ["operator"]);
}

fn workload(wave: &str, status: &Value) -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "namespace": "n", "uid": "u", "resourceVersion": "1", "generation": 1,
            "annotations": {"argocd.argoproj.io/sync-wave": wave}},
        "spec": {"replicas": 1, "template": {"spec": {"containers": [
            {"name": "web", "envFrom": [{"configMapRef": {"name": "late"}}]}]}}},
        "status": status})
}

/// Question: what can never be waited for? Answer: what needs a later object of the same Application, a
/// claim that waits for its first Pod, what ended and is gone. What needs something that is there, or that
/// nobody brings, is waited for as before.
#[test]
fn nothing_waits_for_what_comes_only_after_it() {
    let manifest = |value: Value| Manifest {
        value,
        origin: Origin::default(),
    };
    let map = |name: &str, wave: &str| {
        manifest(
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name,
            "annotations": {"argocd.argoproj.io/sync-wave": wave}}}),
        )
    };
    let progressing = json!({"observedGeneration": 1, "replicas": 1, "unavailableReplicas": 1});
    let web = workload("0", &progressing);
    let names = |next: Next| match next {
        Next::Act(actions) => actions
            .into_iter()
            .map(|a| format!("{}: {}", a.key.name, a.reason))
            .collect(),
        Next::Wait { reason } => vec![reason.to_string()],
        Next::Ended { failure } => vec![format!("{failure:?}")],
    };
    let set = desired(vec![manifest(web.clone()), map("late", "1")]);
    let found: Vec<String> = names(next_among(&set, std::slice::from_ref(&web), &[]));
    assert!(
        found[0].starts_with("late: ") && found[0].contains("waits for it"),
        "{found:?}"
    );
    // Another one is waited for.
    let set = desired(vec![manifest(web.clone()), map("other", "1")]);
    let found = names(next_among(&set, std::slice::from_ref(&web), &[]));
    assert!(found[0].contains("n/web"), "{found:?}");
    // A claim, as the API server shows it; a bound class is not waited for by what `claims` takes away.
    let claim = json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim",
        "metadata": {"name": "data", "namespace": "n", "uid": "u", "resourceVersion": "1"},
        "spec": {"storageClassName": "late"}, "status": {"phase": "Pending"}});
    let set = desired(vec![manifest(claim.clone()), map("other", "1")]);
    let found = names(next_among(&set, &[claim], &[]));
    assert!(found[0].starts_with("other: "), "{found:?}");
}
