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
        approval: false,
        only: None,
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
        ..
    } = end
    else {
        panic!("{end:?}");
    };
    let failure = failure.to_string();
    assert!(failure.contains("n/bad: refused"), "{failure}");
    assert!(failure.contains("n/beside: refused, too"), "{failure}");
}
