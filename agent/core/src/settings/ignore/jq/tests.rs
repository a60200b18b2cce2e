use serde_json::json;

use super::*;

fn deployment() -> Value {
    json!({
        "metadata": {"name": "web", "annotations": {"a.b/c": "1", "d": "2"}},
        "spec": {"replicas": 3, "template": {"spec": {"containers": [
            {"name": "app", "image": "app:1", "env": [{"name": "HTTP_PROXY", "value": "x"}]},
            {"name": "istio-proxy", "image": "p:1", "resources": {"limits": {"cpu": 1}}},
        ]}}},
        "webhooks": [{"clientConfig": {"caBundle": "x"}}, {"name": "b"}],
    })
}

fn named(expression: &str, object: &Value) -> Vec<String> {
    let paths = Expression::compile(expression)
        .unwrap_or_else(|error| panic!("{expression}: {error}"))
        .paths(object)
        .unwrap();
    let text = |step: &Step| match step {
        Step::Field(name) => name.clone(),
        Step::Index(index) => index.to_string(),
    };
    paths
        .iter()
        .map(|path| path.iter().map(text).collect::<Vec<_>>().join("/"))
        .collect()
}

#[test]
fn what_people_write_names_the_fields_they_mean() {
    let containers = "spec/template/spec/containers";
    let cases = [
        (".spec.replicas", vec!["spec/replicas".to_owned()]),
        (
            ".spec.replicas # the autoscaler's",
            vec!["spec/replicas".into()],
        ),
        (
            r#".metadata.annotations["a.b/c"]"#,
            vec!["metadata/annotations/a.b/c".into()],
        ),
        (
            r#".spec.template.spec.containers[] | select(.name == "istio-proxy")"#,
            vec![format!("{containers}/1")],
        ),
        (
            r#".spec.template.spec.containers[] | select(.name | startswith("istio")).resources.limits"#,
            vec![format!("{containers}/1/resources/limits")],
        ),
        (
            r#".spec.template.spec.containers[].env[]? | select(.name | test("_proxy$"; "i"))"#,
            vec![format!("{containers}/0/env/0")],
        ),
        (
            ".webhooks[]?.clientConfig.caBundle",
            vec![
                "webhooks/0/clientConfig/caBundle".into(),
                "webhooks/1/clientConfig/caBundle".into(),
            ],
        ),
        (
            r#".spec.replicas, (.metadata.annotations | .["d"])"#,
            vec!["spec/replicas".into(), "metadata/annotations/d".into()],
        ),
        (
            r#".. | select(type == "object" and has("caBundle")) | .caBundle"#,
            vec!["webhooks/0/clientConfig/caBundle".into()],
        ),
        (".spec.template.spec.containers | to_entries", vec![]),
        (
            ".spec as $spec | if $spec.replicas == 3 then .spec.replicas else empty end",
            vec!["spec/replicas".into()],
        ),
        (
            r#".spec.template.spec.containers[] | select(.name as $n | ["app", "x"] | any(. == $n)) | .image"#,
            vec![format!("{containers}/0/image")],
        ),
        ("first(.webhooks[])", vec!["webhooks/0".into()]),
        (".status.conditions[]", vec![]),
        (".spec.replicas[]", vec![]),
        (".spec.replicas, .spec.replicas[]", vec![]),
    ];
    for (expression, expected) in cases {
        assert_eq!(named(expression, &deployment()), expected, "{expression}");
    }
}

#[test]
fn what_cannot_be_used_is_refused_with_its_place() {
    let long = format!(".{}", "a".repeat(LONGEST));
    let deep = format!("{}.a{}", "(".repeat(40), ")".repeat(40));
    let cases = [
        ("", "it is empty"),
        (".spec.[", "expected at"),
        (".spec | ", "at the end"),
        (
            ".spec | select(.a ==",
            "closing parenthesis expected at the end",
        ),
        (".spec.a b", "at character 9 (b)"),
        (
            "del(.spec)",
            "filter del/1 cannot be used to name fields at character 1 (del)",
        ),
        (
            ".a | env",
            "filter env/0 cannot be used to name fields at character 6 (env)",
        ),
        ("def f: f; f", "a definition cannot be used"),
        ("reduce .[] as $x (.; .a)", "reduce cannot be used"),
        (".a = 1", "an assignment cannot be used"),
        (".a + 1", "arithmetic cannot be used"),
        (".a[1:]", "a slice such as .[1:] cannot be used"),
        ("repeat(.)", "filter repeat/1 cannot be used"),
        ("range(1000000000)", "filter range/1 cannot be used"),
        ("$x", "variable $x is not defined"),
        (long.as_str(), "longer than 1000 characters"),
        (deep.as_str(), "nested deeper than 32 at character 33"),
    ];
    for (expression, expected) in cases {
        let error = Expression::compile(expression).unwrap_err();
        assert!(error.contains(expected), "{expression}: {error}");
    }
}

/// What a test thread has of stack is what the agent's workers have.
#[test]
fn no_expression_breaks_the_agent_by_its_shape() {
    for (piece, count) in [
        ("-", 999),
        ("try ", 249),
        (".a|", 330),
        (".a//", 240),
        ("if . then ", 90),
        (".a,", 330),
        ("1-", 490),
        ("..|", 330),
        (". as $x|", 120),
    ] {
        let _ = Expression::compile(&piece.repeat(count));
        let whole = piece.repeat(count) + ".";
        if let Ok(expression) = Expression::compile(&whole) {
            let _ = expression.paths(&json!({"a": {"a": 1}}));
        }
    }
}

#[test]
fn what_costs_too_much_is_given_up() {
    let items: Vec<_> = (0..2000).map(|index| json!({"a": index})).collect();
    let object = json!({"items": items});
    let greedy = [
        ".. as $a | .. as $b | .items",
        "(..,..,..)|(..,..,..)|(..,..,..)",
        ".. as $a | .. as $b | .. as $c | select($a == 1 and $b == 2) | .items",
    ];
    for text in greedy {
        let expression = Expression::compile(text).unwrap();
        let answer = expression.paths(&object).map(|paths| paths.len());
        let error = answer.expect_err(text);
        assert!(error.contains("takes more than"), "{text}: {error}");
    }
    let doubling = format!("select({}|length == 1) | .items", "[.,.]|".repeat(60) + ".");
    assert!(
        Expression::compile(&doubling)
            .unwrap()
            .paths(&object)
            .map(|paths| paths.len())
            .is_err()
    );
    let doubling = format!(
        "select({}length == 1) | .items",
        r#""\(.)\(.)"|"#.repeat(60)
    );
    assert!(
        Expression::compile(&doubling)
            .unwrap()
            .paths(&object)
            .map(|paths| paths.len())
            .is_err()
    );
}
