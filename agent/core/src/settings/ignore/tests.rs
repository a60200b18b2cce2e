use proptest::prelude::*;
use serde_json::json;

use super::*;

fn rules(list: Value) -> IgnoreRules {
    let list: Vec<ResourceIgnoreDifferences> = serde_json::from_value(list).unwrap();
    let (rules, problems) = IgnoreRules::compile(&list, "spec.ignoreDifferences");
    assert_eq!(problems, Vec::<String>::new());
    rules
}

fn key(group: &str, kind: &str, namespace: &str, name: &str) -> ObjectKey {
    ObjectKey {
        group: group.into(),
        kind: kind.into(),
        namespace: namespace.into(),
        name: name.into(),
    }
}

fn for_web(list: Value) -> Arc<ObjectRules> {
    let web = key("apps", "Deployment", "n", "web");
    rules(list).for_object(&web).unwrap()
}

#[test]
fn a_rule_whose_group_or_kind_cannot_be_read_is_left_out_and_named() {
    for unreadable in [
        "{a".to_owned(),
        "a".repeat(2000),
        "{}".repeat(100_000),
        format!("{}{}", "{".repeat(100_000), "}".repeat(100_000)),
    ] {
        for (group, kind, field) in [
            (unreadable.as_str(), "*", "group"),
            ("*", &unreadable, "kind"),
        ] {
            let rule = json!([
                {"group": group, "kind": kind, "jsonPointers": ["/spec"]},
                {"group": "apps", "kind": "Deployment", "jsonPointers": ["/status"]},
            ]);
            let list: Vec<ResourceIgnoreDifferences> = serde_json::from_value(rule).unwrap();
            let (rules, problems) = IgnoreRules::compile(&list, "spec.ignoreDifferences");
            assert_eq!(problems.len(), 1);
            let start = format!("spec.ignoreDifferences[0].{field} cannot be read: ");
            assert!(problems[0].starts_with(&start), "{}", problems[0]);
            let found = rules
                .for_object(&key("apps", "Deployment", "n", "web"))
                .unwrap();
            assert_eq!(found.fields.len(), 1, "the other rule holds");
        }
    }
}

#[test]
fn rules_apply_by_glob_of_group_and_kind_and_by_exact_name() {
    let rule = |fields: Value| {
        let mut rule = json!({"jsonPointers": ["/spec"]});
        rule.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        json!([rule])
    };
    let web = key("apps", "Deployment", "n", "web");
    let cases = [
        (json!({"group": "apps", "kind": "Deployment"}), true),
        (json!({"group": "*", "kind": "*"}), true),
        (json!({"group": "ap*", "kind": "Deploy*"}), true),
        (json!({"kind": "Deployment"}), false),
        (json!({"group": "apps", "kind": "StatefulSet"}), false),
        (
            json!({"group": "apps", "kind": "Deployment", "name": "web", "namespace": "n"}),
            true,
        ),
        (
            json!({"group": "apps", "kind": "Deployment", "name": "we*"}),
            false,
        ),
        (
            json!({"group": "apps", "kind": "Deployment", "namespace": "m"}),
            false,
        ),
        (json!({"group": "*.example.com", "kind": "*"}), false),
    ];
    for (fields, expected) in cases {
        let rules = rules(rule(fields.clone()));
        assert_eq!(rules.for_object(&web).is_some(), expected, "{fields}");
    }
}

#[test]
fn a_bad_rule_says_which_and_leaves_the_others_alone() {
    let list = json!([
        {"group": "apps", "kind": "Deployment", "jsonPointers": ["spec", "/a~2b", "", "/spec/replicas"],
         "jqPathExpressions": [".spec | select(", ".metadata.labels"]},
        {"kind": "", "group": "x"},
    ]);
    let list: Vec<ResourceIgnoreDifferences> = serde_json::from_value(list).unwrap();
    let (rules, problems) = IgnoreRules::compile(&list, "spec.ignoreDifferences");
    assert_eq!(problems.len(), 5, "{problems:#?}");
    assert!(problems[0].starts_with("spec.ignoreDifferences[0].jsonPointers[0] \"spec\": "));
    let jq = "spec.ignoreDifferences[0].jqPathExpressions[0] \".spec | select(\": ";
    assert!(problems[3].starts_with(jq), "{problems:#?}");
    assert!(problems[4].contains("spec.ignoreDifferences[1] names no kind"));
    let web = rules
        .for_object(&key("apps", "Deployment", "n", "web"))
        .unwrap();
    let object =
        json!({"spec": {"replicas": 1, "paused": true}, "metadata": {"labels": {}, "name": "x"}});
    assert_eq!(
        web.stripped(&object),
        json!({"spec": {"paused": true}, "metadata": {"name": "x"}})
    );
}

#[test]
fn pointers_and_expressions_remove_what_they_name_and_nothing_else() {
    let object = json!({"metadata": {"annotations": {"a/b": "1", "c~d": "2", "e": "3"}},
        "spec": {"list": [{"name": "a", "x": 1}, {"name": "b", "x": 2}, {"name": "c", "x": 3}]}});
    let cases = [
        (
            json!({"jsonPointers": ["/metadata/annotations/a~1b", "/metadata/annotations/c~0d", "/spec"]}),
            json!({"metadata": {"annotations": {"e": "3"}}}),
        ),
        (
            json!({"jsonPointers": ["/metadata", "/spec/list/0", "/spec/list/2/x", "/spec/list/9", "/spec/list/-", "/nothing/here"]}),
            json!({"spec": {"list": [{"name": "b", "x": 2}, {"name": "c"}]}}),
        ),
        (
            json!({"jsonPointers": ["/metadata"], "jqPathExpressions": [".spec.list[] | select(.x > 1)", ".spec.list[2].x", ".spec.list[-1]"]}),
            json!({"spec": {"list": [{"name": "a", "x": 1}]}}),
        ),
        (
            json!({"jsonPointers": ["/metadata"], "jqPathExpressions": ["."]}),
            json!({"spec": {"list": [{"name": "a", "x": 1}, {"name": "b", "x": 2}, {"name": "c", "x": 3}]}}),
        ),
    ];
    for (fields, expected) in cases {
        let mut rule = json!({"group": "apps", "kind": "Deployment"});
        rule.as_object_mut()
            .unwrap()
            .extend(fields.as_object().unwrap().clone());
        assert_eq!(
            for_web(json!([rule])).stripped(&object),
            expected,
            "{fields}"
        );
    }
}

fn managed(fields: &Value) -> Value {
    json!([{"manager": "gitops-agent", "operation": "Apply", "fieldsV1": fields}])
}

fn live() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "resourceVersion": "7", "annotations": {"note": "theirs"},
            "managedFields": [
                {"manager": "gitops-agent", "operation": "Apply", "fieldsV1": {"f:spec": {"f:paused": {}}}},
                {"manager": "scaler", "operation": "Update", "subresource": "scale",
                 "fieldsV1": {"f:spec": {"f:replicas": {}, "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {"f:nodePort": {}}}}}}]},
        "spec": {"replicas": 5, "paused": true, "list": [{"name": "injected", "v": 0}, {"name": "a", "v": 9}],
                 "ports": [{"name": "http", "port": 80, "protocol": "TCP", "nodePort": 3}]}})
}

fn manifest() -> Value {
    json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "web", "labels": {"gitops-agent.io/managed-by": "argocd"},
            "annotations": {"gitops-agent.io/desired-digest": "d", "argocd.argoproj.io/tracking-id": "t"}},
        "spec": {"replicas": 3, "list": [{"name": "a", "v": 1}], "gone": 1,
                 "ports": [{"name": "http", "port": 80, "nodePort": 4}]}})
}

#[test]
fn what_is_applied_keeps_live_values_only_where_they_are_ignored() {
    let rules = for_web(json!([
        {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas", "/spec/gone", "/spec/paused"],
         "jqPathExpressions": [".spec.list[] | select(.name == \"a\") | .v"]},
    ]));
    let (sent, ignored) = respected(&manifest(), &live(), &rules).unwrap();
    let mut expected = manifest();
    expected["spec"] = json!({"replicas": 5, "paused": true, "list": [{"name": "a", "v": 9}],
        "ports": [{"name": "http", "port": 80, "nodePort": 4}]});
    expected["metadata"]["resourceVersion"] = json!("7");
    expected["metadata"]["annotations"]["gitops-agent.io/desired-digest"] = json!("d~");
    assert_eq!(sent, expected);
    assert_eq!(
        ignored,
        [
            ".spec.gone",
            ".spec.list[name=a].v",
            ".spec.replicas",
            ".spec.paused"
        ]
    );
}

#[test]
fn fields_of_a_trusted_manager_are_kept_even_in_lists_with_several_keys() {
    let rules = for_web(json!([
        {"group": "apps", "kind": "Deployment", "managedFieldsManagers": ["scaler"]},
    ]));
    let (sent, ignored) = respected(&manifest(), &live(), &rules).unwrap();
    assert_eq!(sent["spec"]["replicas"], 5);
    assert_eq!(sent["spec"]["ports"][0]["nodePort"], 3);
    assert_eq!(sent["spec"]["list"][0]["v"], 1, "not the scaler's");
    assert_eq!(
        ignored,
        [".spec.ports[name=http].nodePort", ".spec.replicas"]
    );
}

#[test]
fn ignoring_all_annotations_and_labels_keeps_the_agents_marks() {
    let rules = for_web(json!([
        {"group": "apps", "kind": "Deployment", "jsonPointers": ["/metadata/annotations", "/metadata/labels"]},
    ]));
    let (sent, _) = respected(&manifest(), &live(), &rules).unwrap();
    assert_eq!(
        sent["metadata"]["annotations"],
        json!({"note": "theirs", "gitops-agent.io/desired-digest": "d~", "argocd.argoproj.io/tracking-id": "t"})
    );
    assert_eq!(sent["metadata"]["labels"], manifest()["metadata"]["labels"]);
}

#[test]
fn nothing_to_keep_means_an_ordinary_apply() {
    let rules = for_web(json!([
        {"group": "apps", "kind": "Deployment", "jsonPointers": ["/spec/replicas"], "managedFieldsManagers": ["nobody"]},
    ]));
    let mut live = live();
    live["spec"]["replicas"] = json!(3);
    live["metadata"]["managedFields"] = managed(&json!({}));
    assert_eq!(respected(&manifest(), &live, &rules), None);
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        (0..3i64).prop_map(Value::from),
        "[a-c~/]{0,2}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("(name|spec|[0-2]|metadata)", inner, 0..4)
                .prop_map(|map| map.into_iter().collect()),
        ]
    })
}

fn any_rule() -> impl Strategy<Value = Value> {
    let pointer = "(/(name|spec|[0-2]|-|metadata)){1,3}";
    let expression = prop::sample::select(vec![
        ".spec",
        ".spec[]?",
        ".. | .name?",
        ".spec.name",
        ".[]?[]?",
        ".metadata[-1]?",
        "..",
    ]);
    (prop::collection::vec(pointer, 0..3), prop::collection::vec(expression, 0..3)).prop_map(
        |(pointers, expressions)| json!([{"group": "*", "kind": "*", "jsonPointers": pointers, "jqPathExpressions": expressions, "managedFieldsManagers": ["m"]}]),
    )
}

proptest! {
    #[test]
    fn no_object_and_no_rule_breaks_anything(live in any_json(), manifest in any_json(), rule in any_rule()) {
        let rules = for_web(rule);
        let stripped = rules.stripped(&live);
        prop_assert!(stripped.to_string().len() <= live.to_string().len());
        if let Some((sent, ignored)) = respected(&manifest, &live, &rules) {
            prop_assert!(!ignored.is_empty());
            prop_assert_ne!(sent, manifest);
        }
    }
}
