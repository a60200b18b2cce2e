use gitops_api::sync_policy::ResourceIgnoreDifferences;
use proptest::prelude::*;
use proptest::{collection, option};
use serde_json::json;

use super::*;
use crate::manifest::desired;
use crate::manifest::object::Origin;
use crate::settings::ignore::IgnoreRules;

#[test]
fn names_field_values_culprit_and_time() {
    let live = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "resourceVersion": "9", "generation": 4, "managedFields": [
            {"manager": "kubectl-scale", "operation": "Update", "time": "2026-01-02T03:04:05Z",
             "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
        "spec": {"replicas": 5}, "status": {"replicas": 5}});
    let mut applied = live.clone();
    applied["spec"]["replicas"] = json!(3);
    applied["metadata"]["resourceVersion"] = json!("8");
    applied["metadata"]["labels"] = json!({"gitops-agent.io/managed-by": "argocd"});
    let drift = fields(&live, &applied, LONGEST_VALUE, &Mask::default());
    assert_eq!(drift.len(), 1);
    assert_eq!(
        describe(&drift[0]),
        ".spec.replicas is 5 instead of 3, by kubectl-scale"
    );
    assert_eq!(drift[0].since.as_deref(), Some("2026-01-02T03:04:05Z"));
}

fn desired(manifest: &Value, rules: Value) -> DesiredObject {
    let context = desired::Context {
        instance: "shop",
        destination_namespace: "n",
        managed_by: "argocd",
        tracking: None,
    };
    let manifest = desired::Manifest {
        value: manifest.clone(),
        origin: Origin::default(),
    };
    let set = desired::prepare(vec![manifest], context, |_| {
        Some(desired::Scope::Namespaced)
    });
    let rules: Vec<ResourceIgnoreDifferences> = serde_json::from_value(rules).unwrap();
    let (rules, problems) = IgnoreRules::compile(&rules, "rules");
    assert!(problems.is_empty(), "{problems:?}");
    let set = set.unwrap().ignoring(&rules);
    set.objects.values().next().unwrap().as_ref().clone()
}

fn paths(fields: &[DriftedField]) -> Vec<String> {
    fields.iter().map(|field| field.path.to_string()).collect()
}

#[test]
fn what_rules_name_is_set_apart_and_nothing_else() {
    let git = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 3, "paused": false, "list": [{"name": "a", "v": 1}, {"name": "b", "v": 1}]}});
    let mut live = git.clone();
    live["spec"] = json!({"replicas": 5, "paused": true, "list": [{"name": "a", "v": 2}, {"name": "b", "v": 2}]});
    live["metadata"]["managedFields"] = json!([
        {"manager": "scaler", "operation": "Update", "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        {"manager": "gitops-agent", "operation": "Apply", "fieldsV1": {"f:spec": {}}}]);
    let rule = |field: &str, value: &str| {
        let mut rule = json!({"group": "apps", "kind": "Deployment"});
        rule[field] = json!([value]);
        rule
    };
    let all = [
        ".spec.list[name=a].v",
        ".spec.list[name=b].v",
        ".spec.paused",
        ".spec.replicas",
    ];
    let cases = [
        (json!([]), vec![]),
        (
            json!([rule("jsonPointers", "/spec/replicas")]),
            vec![".spec.replicas"],
        ),
        (
            json!([rule("managedFieldsManagers", "scaler")]),
            vec![".spec.replicas"],
        ),
        (
            json!([
                rule(
                    "jqPathExpressions",
                    ".spec.list[] | select(.name == \"b\").v"
                ),
                rule("jsonPointers", "/spec/paused")
            ]),
            vec![".spec.list[name=b].v", ".spec.paused"],
        ),
        (json!([rule("jqPathExpressions", ".spec")]), all.to_vec()),
    ];
    for (rules, expected) in cases {
        let drift = compare(&live, &git, &desired(&git, rules.clone()));
        assert_eq!(paths(&drift.ignored), expected, "{rules}");
        let rest: Vec<_> = all.iter().filter(|path| !expected.contains(path)).collect();
        assert_eq!(
            paths(&drift.fields).iter().collect::<Vec<_>>(),
            rest,
            "{rules}"
        );
    }
}

#[test]
fn what_only_admission_would_add_is_no_difference_unless_it_is_asked_for() {
    let git = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "1"}});
    let mut live = git.clone();
    live["metadata"]["annotations"] = json!({"old": "x"});
    live["metadata"]["managedFields"] = json!([{"manager": "gitops-agent", "operation": "Apply",
        "fieldsV1": {"f:data": {"f:k": {}}, "f:metadata": {"f:annotations": {"f:old": {}}}}}]);
    let mut applied = git.clone();
    applied["metadata"]["labels"] = json!({"injected": "yes"});
    applied["data"]["k"] = json!("rewritten");
    let mut wanted = desired(&git, json!([]));
    // What Git sets counts whoever changed it, and what the agent held and Git dropped too.
    let drift = compare(&live, &applied, &wanted);
    assert_eq!(
        paths(&drift.fields),
        [".data.k", ".metadata.annotations.old"]
    );
    wanted.include_mutations = true;
    let drift = compare(&live, &applied, &wanted);
    assert_eq!(
        paths(&drift.fields),
        [
            ".data.k",
            ".metadata.labels.injected",
            ".metadata.annotations.old"
        ]
    );
}

#[test]
fn what_a_controller_keeps_in_a_selector_is_no_difference_whoever_holds_it() {
    let git = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
        "spec": {"selector": {"app": "web"}}});
    for (manager, operation) in [("rollouts-controller", "Update"), ("gitops-agent", "Apply")] {
        let mut live = git.clone();
        live["spec"]["selector"] =
            json!({"app": "web", "tier": "x", "rollouts-pod-template-hash": "abc"});
        live["metadata"]["managedFields"] = json!([
            {"manager": "gitops-agent", "operation": "Apply", "fieldsV1": {"f:metadata": {}}},
            {"manager": manager, "operation": operation, "fieldsV1": {"f:spec": {"f:selector": {}}}}]);
        if manager == "gitops-agent" {
            live["metadata"]["managedFields"]
                .as_array_mut()
                .unwrap()
                .remove(0);
        }
        let drift = compare(&live, &git, &desired(&git, json!([])));
        // What the agent itself put there and Git gave up is one.
        let expected: &[&str] = match manager {
            "gitops-agent" => &[".spec.selector.tier"],
            _ => &[],
        };
        assert_eq!(paths(&drift.fields), expected, "{manager}");
        live["spec"]["selector"]["app"] = json!("other");
        let drift = compare(&live, &git, &desired(&git, json!([])));
        assert_eq!(paths(&drift.fields)[0], ".spec.selector.app", "{manager}");
    }
}

#[test]
fn secret_values_are_never_shown() {
    let live = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                      "data": {"password": "aHVudGVyMg=="}});
    let mut applied = live.clone();
    applied["data"]["password"] = json!("c3dvcmRmaXNo");
    let drift = fields(&live, &applied, LONGEST_VALUE, &Mask::default());
    let shown = format!("{drift:?}");
    assert!(
        !shown.contains("aHVudGVyMg") && !shown.contains("c3dvcmRmaXNo"),
        "{shown}"
    );
    assert_eq!(drift.len(), 1);
}

#[test]
fn long_values_are_cut_at_a_character() {
    let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "ä".repeat(999)}});
    let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "x"}});
    for (found, length) in [
        (
            fields(&live, &applied, LONGEST_VALUE, &Mask::default()),
            257,
        ),
        (
            fields(&live, &applied, LONGEST_WHOLE_VALUE, &Mask::default()),
            1001,
        ),
    ] {
        assert_eq!(
            found[0].live.as_ref().unwrap().to_string().chars().count(),
            length
        );
    }
}
#[test]
fn bookkeeping_among_annotations_of_one_side_only_is_no_drift() {
    let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
    let mut annotated = bare.clone();
    annotated["metadata"]["annotations"] =
        json!({constants::annotation::LAST_APPLIED: "{}", "note": "n"});
    for (live, applied) in [(&annotated, &bare), (&bare, &annotated)] {
        let drift = fields(live, applied, LONGEST_VALUE, &Mask::default());
        let paths: Vec<String> = drift.iter().map(|field| field.path.to_string()).collect();
        assert_eq!(paths, [".metadata.annotations.note"]);
    }
}

/// Begins every value that must stay hidden.
const HIDDEN: &str = "s3cr3t";

fn secret_value() -> impl Strategy<Value = Value> {
    let value = "[a-zA-Z0-9+/=\\\\\"{}]{0,8}".prop_map(|rest| json!(format!("{HIDDEN}{rest}")));
    value.prop_recursive(2, 6, 3, |inner| {
        prop_oneof![
            collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            inner.prop_map(|value| json!({"name": value})),
        ]
    })
}

/// Mostly maps, as the API server has them, but anything else too.
fn values() -> impl Strategy<Value = Value> {
    prop_oneof![
        6 => collection::btree_map("[a-c]", secret_value(), 0..3).prop_map(|map| json!(map)),
        1 => secret_value(),
        1 => collection::vec(secret_value().prop_map(|v| json!({"name": v})), 1..3)
            .prop_map(Value::from),
        1 => Just(Value::Null),
    ]
}

fn last_applied() -> impl Strategy<Value = String> {
    (values(), any::<bool>(), 0..60_usize).prop_map(|(data, whole, end)| {
        let text = json!({"kind": "Secret", "data": data, "stringData": data}).to_string();
        if whole {
            text
        } else {
            text.chars().take(end).collect()
        }
    })
}

fn secret() -> impl Strategy<Value = Value> {
    let group = prop_oneof![4 => Just("v1"), 1 => Just("example.com/v1")];
    let annotations = (option::of(last_applied()), option::of("[a-z]{1,3}"));
    (
        group,
        option::of(values()),
        option::of(values()),
        option::of(any::<bool>()),
        option::of(annotations),
        option::of("[a-z]{1,3}"),
    )
        .prop_map(
            |(api_version, data, string_data, immutable, annotations, kind)| {
                let mut object = json!({"apiVersion": api_version, "kind": "Secret",
                                    "metadata": {"name": "s"}});
                let fields = [
                    ("data", data),
                    ("stringData", string_data),
                    ("immutable", immutable.map(Value::from)),
                    ("type", kind.map(Value::from)),
                ];
                for (field, value) in fields {
                    if let Some(value) = value {
                        object[field] = value;
                    }
                }
                if let Some((applied, note)) = annotations {
                    object["metadata"]["annotations"] = json!({});
                    let map = &mut object["metadata"]["annotations"];
                    if let Some(applied) = applied {
                        map[constants::annotation::LAST_APPLIED] = applied.into();
                    }
                    if let Some(note) = note {
                        map["note"] = note.into();
                    }
                }
                object
            },
        )
}

proptest! {
    #[test]
    fn no_value_of_a_secret_leaves(live in secret(), applied in secret()) {
        let drift = fields(&live, &applied, LONGEST_VALUE, &Mask::default());
        for field in &drift {
            let shown = format!("{field:?} {}", describe(field));
            prop_assert!(!shown.contains(HIDDEN), "{shown}");
        }
        let paths: Vec<String> = drift.iter().map(|field| field.path.to_string()).collect();
        for field in ["data", "stringData"] {
            let (Some(ours), Some(theirs)) = (live[field].as_object(), applied[field].as_object())
            else {
                continue;
            };
            for name in ours.keys().chain(theirs.keys()) {
                prop_assert_eq!(
                    paths.contains(&format!(".{field}.{name}")),
                    ours.get(name) != theirs.get(name),
                    "{} {}: {:?}", field, name, paths
                );
            }
        }
        for field in ["immutable", "type"] {
            prop_assert_eq!(
                paths.contains(&format!(".{field}")),
                live.get(field) != applied.get(field)
            );
        }
    }
}
