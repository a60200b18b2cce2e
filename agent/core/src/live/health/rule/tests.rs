//! Tests of the language, and the smallest object for a line of it.

use serde_json::{Map, json};

use super::*;

impl Case {
    /// The smallest object of which all tests of this case hold; `None` for tests that no
    /// object can be made up for.
    pub(in crate::live::health) fn example(&self) -> Value {
        let mut object = json!({"status": {}});
        let mut conditions = Vec::new();
        for test in self.tests.iter().filter(|test| !test.negated) {
            match &test.what {
                What::Condition {
                    kind,
                    status,
                    reason,
                    severity,
                } => conditions.push(json!({"type": kind.replace('*', "A"),
                    "status": status.example(), "reason": reason.example(),
                    "severity": severity.example()})),
                What::Present(path) if path == &[Some("status"), Some("conditions")] => {
                    conditions.push(json!({"type": "Other", "status": "Other"}));
                }
                What::Present(path) => set(&mut object, path, json!("some")),
                What::Value(path, values) => set(&mut object, path, json!(values.example())),
                What::Numbers(left, comparison, right) => match (left, comparison, right) {
                    (Operand::Field(path), Comparison::Less, _) => {
                        set(&mut object, path, json!(-1));
                    }
                    (Operand::Number(least), Comparison::Less, Operand::Field(path)) => {
                        set(&mut object, path, json!(least + 1));
                    }
                    _ => {}
                },
            }
        }
        if !conditions.is_empty() {
            object["status"]["conditions"] = conditions.into();
        }
        for test in self.tests.iter().filter(|test| test.negated) {
            match &test.what {
                What::Present(path) if path.len() == 1 => {
                    object["status"] = Value::Null;
                }
                _ => {}
            }
        }
        object
    }

    pub(in crate::live::health) fn is_code(&self) -> bool {
        matches!(self.verdict, Verdict::By(_))
    }
}

impl OneOf {
    fn example(&self) -> String {
        if self.not {
            return "other".to_owned();
        }
        self.texts
            .first()
            .map_or("", |text| *text)
            .replace('*', "A")
    }
}

fn set(object: &mut Value, path: &[Option<&str>], value: Value) {
    let Some((step, rest)) = path.split_first() else {
        if object.is_null() {
            *object = value;
        }
        return;
    };
    if let Some(name) = step {
        if !object.is_object() {
            *object = Value::Object(Map::new());
        }
        set(&mut object[name], rest, value);
    } else {
        if !object.is_array() {
            *object = json!([null]);
        }
        set(&mut object[0], rest, value);
    }
}

fn judge(lines: &[&'static str], object: &Value) -> Option<(HealthStatusCode, String)> {
    let lines: Vec<(usize, &'static str)> = lines.iter().map(|line| (1, *line)).collect();
    let rule = Rule::parse(&lines, |_| None).unwrap();
    rule.judge(object)
        .0
        .map(|health| (health.status, health.message))
}

#[test]
fn tests_and_messages() {
    let object = json!({"kind": "Widget",
        "metadata": {"generation": 2, "annotations": {"a.b/c": "yes"}},
        "spec": {"replicas": 3, "suspend": false, "sha": "abc", "pools": [{"size": 2}, {"size": 2}]},
        "status": {"sha": "abc", "phase": "Running hot", "ready": 2, "nodes": [{"up": true}, {"up": false}],
            "statuses": {"a": {"state": "Rejected"}}, "errors": ["one", "two"],
            "conditions": [
                {"type": "Ready", "status": "False", "reason": "CreatingPods", "message": "soon", "severity": "Warning"},
                {"type": "Bare", "status": true, "reason": "Bare"},
                {"type": "Ready", "status": "Unknown", "reason": "Second"},
                {"type": "x.y/Z", "status": "True", "reason": "Zed"}]}});
    for (line, message) in [
        ("Degraded Ready=False", "soon"),
        ("Degraded Ready=False/Creating*|Other", "soon"),
        ("Degraded Ready=Unknown", "Second"),
        ("Degraded *=*/Zed", "Zed"),
        ("Degraded x.y/*=True", "Zed"),
        ("Degraded *ady=False|Unknown", "soon"),
        (
            "Degraded Ready=False/!Other -> so {Ready} and {x.y/Z} {kind}",
            "so soon and Zed Widget",
        ),
        ("Degraded status.phase=\"Cold|Running hot\"", "Running hot"),
        ("Degraded status.phase=Running*", "Running hot"),
        ("Degraded status.phase=!Cold -> {status.errors}", "one, two"),
        ("Degraded status.nodes[].up=false", "false"),
        ("Degraded status.phase", "Running hot"),
        ("Degraded status.statuses[].state=Rejected", "Rejected"),
        ("Degraded metadata.annotations[a.b/c]=yes", "yes"),
        ("Degraded !spec.suspend status.nodes !status.none", ""),
        ("Degraded status.ready<spec.replicas", ""),
        ("Degraded spec.replicas<spec.pools[].size", ""),
        ("Degraded spec.sha==status.sha !spec.sha==status.phase", ""),
        ("Degraded !spec.sha==status.none", ""),
        ("Degraded Ready=False@Warning", "soon"),
        ("Degraded Ready=*@!Error", "soon"),
        ("Degraded Bare=True", "Bare"),
        (
            "Degraded status.none==0 !status.ready==3 -> {status.none}none",
            "none",
        ),
        ("Degraded -> {open", "{open"),
    ] {
        let verdict = judge(&[line], &object);
        assert_eq!(
            verdict,
            Some((HealthStatusCode::Degraded, message.to_owned())),
            "{line}"
        );
    }
    for line in [
        "Degraded Ready=True",
        "Degraded Ready=False@Info|Error",
        "Degraded Ready=False/!CreatingPods",
        "Degraded Read=False",
        "Degraded !Ready=False",
        "Degraded status.phase=Running",
        "Degraded status.none=!Cold",
        "Degraded spec.suspend",
        "Degraded status.ready==spec.replicas",
        "none Ready=False",
    ] {
        assert_eq!(judge(&[line], &object), None, "{line}");
    }
}

#[test]
fn a_verdict_on_an_earlier_generation_is_none() {
    let object = |observed: Value, condition: Value| {
        json!({"metadata": {"generation": 3}, "spec": {"suspend": true},
            "status": {"observedGeneration": observed, "conditions": [
                {"type": "Ready", "status": "True", "observedGeneration": condition}]}})
    };
    let verdict =
        |lines: &[&'static str], object: &Value| judge(lines, object).map(|found| found.0);
    for (observed, condition, current) in [
        (json!(3), json!(3), true),
        (json!(null), json!(null), true),
        (json!("2"), json!(null), true),
        (json!(2), json!(null), false),
        (json!(3), json!(2), false),
    ] {
        let object = object(observed, condition);
        let expected = if current {
            HealthStatusCode::Healthy
        } else {
            HealthStatusCode::Progressing
        };
        assert_eq!(
            verdict(&["Healthy Ready=True"], &object),
            Some(expected),
            "{object}"
        );
        // Whoever is told to do nothing observes nothing.
        assert_eq!(
            verdict(&["Suspended spec.suspend=true"], &object),
            Some(HealthStatusCode::Suspended)
        );
    }
    let behind = object(json!(2), json!(null));
    assert_eq!(
        verdict(&["none"], &behind),
        Some(HealthStatusCode::Progressing)
    );
    assert_eq!(verdict(&["none"], &object(json!(3), json!(null))), None);
}
