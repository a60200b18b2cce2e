//! Which fields of an object differ from Git, by the API server's own judgement.
//!
//! Compares the live object with the answer to a dry-run apply of what Git holds, so that
//! defaults, quantities and admission need no table here. Values are masked before they leave.

use gitops_api::constants;
use serde_json::{Map, Value};

use crate::{
    compare::DriftedField,
    desired::DesiredObject,
    diff, injected, mask,
    ownership::{self, Reach},
    path::{self, Path, Segment},
};

/// Longest text of a value that is kept; the rest is cut, because status is read by people.
const LONGEST_VALUE: usize = 256;
/// The same where people compare the whole values: files in ConfigMaps are long.
const LONGEST_WHOLE_VALUE: usize = 64 << 10;

/// How an object differs from what an apply would make of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// Fields that differ and count.
    pub fields: Vec<DriftedField>,
    /// Fields that differ and do not count, by `ignoreDifferences`.
    pub ignored: Vec<DriftedField>,
    /// Rules that could not be followed on this object.
    pub problems: Vec<String>,
}

/// Compares a live object with the answer to a dry-run apply of what Git holds.
///
/// Differences that the rules name are set apart. What an admission webhook would add to an object
/// that nobody asked for is no difference: it comes by itself with the next change
/// (`IncludeMutationWebhook=true` counts it). Neither is what a controller keeps in maps of the
/// object ([`injected`]), whoever holds the map.
pub fn compare(live: &Value, applied: &Value, desired: &DesiredObject) -> Drift {
    judge(live, applied, desired, LONGEST_VALUE)
}

/// The same with values in full, as far as anybody reads them: for a diff, not for a status.
pub fn compare_in_full(live: &Value, applied: &Value, desired: &DesiredObject) -> Drift {
    judge(live, applied, desired, LONGEST_WHOLE_VALUE)
}

fn judge(live: &Value, applied: &Value, desired: &DesiredObject, longest: usize) -> Drift {
    let all = fields(live, applied, longest);
    if all.is_empty() {
        return Drift::default();
    }
    let rules = desired.ignore.as_deref();
    let mut counted = match rules {
        Some(rules) => fields(&rules.stripped(live), &rules.stripped(applied), longest),
        None => all.clone(),
    };
    if let Some(rules) = rules {
        counted.retain(|field| !rules.is_managed(live, &field.path));
    }
    let ignored = all
        .into_iter()
        .filter(|field| counted.iter().all(|other| other.path != field.path))
        .collect();
    if !counted.is_empty() {
        let manifest = desired.manifest();
        counted.retain(|field| {
            !injected::is_entry(&manifest, &field.path)
                && (desired.include_mutations || !is_mutation(live, &manifest, &field.path))
        });
    }
    Drift {
        fields: counted,
        ignored,
        problems: rules.map_or_else(Vec::new, |rules| rules.problems(live)),
    }
}

/// Whether a field is neither in Git nor held by the agent, so that only admission can have it
/// different.
fn is_mutation(live: &Value, manifest: &Value, path: &Path) -> bool {
    let by_position = |segment: &Segment| matches!(segment, Segment::Index(_));
    if path.segments().iter().any(by_position) {
        return false;
    }
    let in_git = path
        .segments()
        .iter()
        .try_fold(manifest, |place, segment| match segment {
            Segment::Field(name) => place.get(name),
            _ => place.get(path::position(place, segment)?),
        });
    in_git.is_none()
        && ownership::applied_fields(live, constants::FIELD_MANAGER).is_some_and(|fields| {
            ownership::reaches(fields, live, path.segments()) == Reach::NotHeld
        })
}

/// Fields that an apply of what Git holds would change. Empty when it would change nothing but
/// bookkeeping (`managedFields`, versions, the agent's own marks, `status`).
fn fields(live: &Value, applied: &Value, longest: usize) -> Vec<DriftedField> {
    let secret = mask::is_secret(live) || mask::is_secret(applied);
    // Masked before they are compared, so that no path, no part of a map and no list key can carry
    // a value out.
    let changes = match secret.then(|| mask::mask_pair(Some(live), Some(applied))) {
        Some((Some(live), Some(applied))) => diff::fields(&applied, &live),
        Some(_) => Vec::new(),
        None => diff::fields(applied, live),
    };
    let shown = |value: &Value| match value.as_str() {
        Some(mask::PLACEHOLDER | mask::BEFORE | mask::AFTER) if secret => {
            mask::PLACEHOLDER.to_owned()
        }
        _ => text(value, longest),
    };
    changes
        .into_iter()
        .flat_map(split_maps)
        .filter(|change| !is_bookkeeping(&change.path))
        .map(|change| {
            let owner = ownership::owner_of(live, &change.path, constants::FIELD_MANAGER);
            DriftedField {
                desired: change.left.as_ref().map(shown),
                live: change.right.as_ref().map(shown),
                manager: owner.map(|entry| entry.manager.to_owned()),
                since: owner.and_then(|entry| entry.time).map(Into::into),
                path: change.path,
            }
        })
        .collect()
}

/// A map that is wholly absent on one side is reported entry by entry, so that the agent's marks
/// and other bookkeeping among its entries can be told from the rest.
fn split_maps(change: diff::FieldChange) -> Vec<diff::FieldChange> {
    let is_metadata_map = change.path.starts_with(&["metadata", "labels"])
        || change.path.starts_with(&["metadata", "annotations"]);
    let split = |map: &Map<String, Value>, desired: bool| {
        map.iter()
            .map(|(name, value)| diff::FieldChange {
                path: change.path.child(Segment::Field(name.clone())),
                left: desired.then(|| value.clone()),
                right: (!desired).then(|| value.clone()),
            })
            .collect()
    };
    match (&change.left, &change.right) {
        (Some(Value::Object(map)), None) if is_metadata_map => split(map, true),
        (None, Some(Value::Object(map))) if is_metadata_map => split(map, false),
        _ => vec![change],
    }
}

/// Both objects masked and without what nobody writes into a manifest, as people compare them.
pub fn for_display(
    live: Option<&Value>,
    applied: Option<&Value>,
) -> (Option<Value>, Option<Value>) {
    let (live, applied) = mask::mask_pair(live, applied);
    (
        live.map(without_bookkeeping),
        applied.map(without_bookkeeping),
    )
}

fn without_bookkeeping(mut object: Value) -> Value {
    let Some(map) = object.as_object_mut() else {
        return object;
    };
    map.remove("status");
    let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) else {
        return object;
    };
    for field in [
        "managedFields",
        "resourceVersion",
        "generation",
        "uid",
        "creationTimestamp",
    ] {
        metadata.remove(field);
    }
    for (map, own) in [
        (
            "annotations",
            [
                constants::annotation::TRACKING_ID,
                constants::annotation::DESIRED_DIGEST,
                constants::annotation::LAST_APPLIED,
            ]
            .as_slice(),
        ),
        ("labels", &[constants::label::MANAGED_BY]),
    ] {
        if let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) {
            entries.retain(|name, _| !own.contains(&name.as_str()));
            if entries.is_empty() {
                metadata.remove(map);
            }
        }
    }
    object
}

fn is_bookkeeping(path: &Path) -> bool {
    const FIELDS: [&[&str]; 7] = [
        &["status"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
        &["metadata", "generation"],
        &[
            "metadata",
            "annotations",
            constants::annotation::TRACKING_ID,
        ],
        &[
            "metadata",
            "annotations",
            constants::annotation::DESIRED_DIGEST,
        ],
        &["metadata", "labels", constants::label::MANAGED_BY],
    ];
    FIELDS.iter().any(|field| path.starts_with(field))
        || path.starts_with(&[
            "metadata",
            "annotations",
            constants::annotation::LAST_APPLIED,
        ])
        || path.starts_with(&[
            "metadata",
            "annotations",
            "deployment.kubernetes.io/revision",
        ])
}

fn text(value: &Value, longest: usize) -> String {
    let full = value.to_string();
    match full.char_indices().nth(longest) {
        Some((end, _)) => format!("{}…", &full[..end]),
        None => full,
    }
}

/// One line for people: `.spec.replicas is 5 instead of 3, by kubectl-scale`.
pub fn describe(field: &DriftedField) -> String {
    let values = match (&field.desired, &field.live) {
        (Some(desired), Some(live)) => format!("is {live} instead of {desired}"),
        (Some(desired), None) => format!("is missing, should be {desired}"),
        (None, Some(live)) => format!("is {live}, which is not in Git"),
        (None, None) => "differs".into(),
    };
    let manager = field
        .manager
        .as_ref()
        .map(|m| format!(", by {m}"))
        .unwrap_or_default();
    format!("{} {values}{manager}", field.path)
}

#[cfg(test)]
mod tests {
    use gitops_api::sync_policy::ResourceIgnoreDifferences;
    use proptest::{collection, option, prelude::*};
    use serde_json::json;

    use super::*;
    use crate::{desired, ignore::IgnoreRules, object::Origin};

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
        let drift = fields(&live, &applied, LONGEST_VALUE);
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
        let drift = fields(&live, &applied, LONGEST_VALUE);
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
            (fields(&live, &applied, LONGEST_VALUE), 257),
            (fields(&live, &applied, LONGEST_WHOLE_VALUE), 1001),
        ] {
            assert_eq!(found[0].live.as_ref().unwrap().chars().count(), length);
        }
    }
    #[test]
    fn bookkeeping_among_annotations_of_one_side_only_is_no_drift() {
        let bare = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}});
        let mut annotated = bare.clone();
        annotated["metadata"]["annotations"] =
            json!({constants::annotation::LAST_APPLIED: "{}", "note": "n"});
        for (live, applied) in [(&annotated, &bare), (&bare, &annotated)] {
            let drift = fields(live, applied, LONGEST_VALUE);
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
            let drift = fields(&live, &applied, LONGEST_VALUE);
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
}
