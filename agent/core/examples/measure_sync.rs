//! Measures what one turn of a sync costs the core: `cargo run --release -p gitops-core --example
//! measure_sync`. One application with many objects and large CustomResourceDefinitions; nothing
//! of it is in the cluster yet.

#![allow(clippy::unwrap_used, clippy::print_stdout)] // a measurement that cannot go on has failed

use std::collections::HashMap;
use std::hint::black_box;
use std::time::Instant;

use gitops_core::compare::comparison::{Comparison, State};
use gitops_core::manifest::desired::{Context, DesiredSet, Manifest, Scope, prepare};
use gitops_core::manifest::hook::Run;
use gitops_core::manifest::object::Origin;
use gitops_core::manifest::options::AppOptions;
use gitops_core::sync::plan::{Policy, plan};
use gitops_core::sync::{Record, Situation, next, observe};
use serde_json::{Value, json};

const DEFINITIONS: usize = 100;
const FIELDS: usize = 1_000;
const OBJECTS: usize = 1_000;
const TURNS: u32 = 20;

fn definition(index: usize) -> Value {
    let fields: HashMap<String, Value> = (0..FIELDS)
        .map(|field| {
            let schema = json!({"type": "string", "description": "A field of some length, as generated schemas have it."});
            (format!("field{field}"), schema)
        })
        .collect();
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("things{index}.example.com")},
        "spec": {"group": "example.com", "scope": "Namespaced",
            "names": {"kind": format!("Thing{index}"), "plural": format!("things{index}")},
            "versions": [{"name": "v1", "schema": {"openAPIV3Schema": {"properties": fields}}}]}})
}

fn desired() -> DesiredSet {
    let namespace = |index| json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": format!("n{index}")}});
    let object = |index| {
        json!({"apiVersion": "example.com/v1", "kind": format!("Thing{}", index % DEFINITIONS),
            "metadata": {"name": format!("o{index}"), "namespace": format!("n{}", index % 10)}})
    };
    let manifests = (0..DEFINITIONS)
        .map(definition)
        .chain((0..10).map(namespace))
        .chain((0..OBJECTS).map(object))
        .map(|value| Manifest {
            value,
            origin: Origin::default(),
        });
    let context = Context {
        instance: "shop",
        destination_namespace: "n0",
        managed_by: "argocd",
        tracking: None,
    };
    prepare(manifests.collect(), context, |kind| {
        Some(match kind.kind.as_str() {
            "Namespace" | "CustomResourceDefinition" => Scope::Cluster,
            _ => Scope::Namespaced,
        })
    })
    .unwrap()
}

fn measure<T>(what: &str, work: impl Fn() -> T) {
    let started = Instant::now();
    for _ in 0..TURNS {
        black_box(work());
    }
    println!("{what:<12} {:>10.1?}", started.elapsed() / TURNS);
}

fn main() {
    let desired = desired();
    let comparison: Comparison = desired
        .objects
        .keys()
        .map(|key| (key.clone(), State::Missing))
        .collect();
    let policy = Policy::default();
    let made = || plan(&desired, &comparison, |_| None, &policy);
    let plan = made();
    let (live, record) = (HashMap::new(), Record::default());
    let run = Run {
        started: jiff::Timestamp::UNIX_EPOCH,
        revision: "0123456789".into(),
    };
    let situation = Situation {
        desired: &desired,
        comparison: &comparison,
        live: &live,
        live_hooks: &live,
        plan: &plan,
        complete: true,
        hooks: true,
        options: AppOptions::default(),
        record: &record,
        run: &run,
    };
    println!("{DEFINITIONS} definitions, {OBJECTS} objects; mean of {TURNS}");
    measure("plan", made);
    measure("turn", || (observe(&situation), next(&situation)));
    measure("digest", || desired.digest().len());
}
