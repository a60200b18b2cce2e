mod hostile;
mod scripts;

use std::time::{Duration, Instant};

use serde_json::json;

use super::*;

const KEY: &str = "resource.customizations.health.example.org_Thing";
const CEL_KEY: &str = "resource.customizations.health.cel.example.org_Thing";

fn read(pairs: &[(&str, &str)]) -> (Customizations, Vec<String>) {
    let data = pairs
        .iter()
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect();
    let (rules, warnings) = Customizations::new(&data);
    (rules, warnings.iter().map(ToString::to_string).collect())
}

fn thing(status: &Value) -> Value {
    json!({"apiVersion": "example.org/v1", "kind": "Thing", "metadata": {"name": "a"},
        "spec": {"replicas": 3}, "status": status})
}

/// What a rule says of a thing, as `Status message`, `-` for no status, or the error.
fn judge(key: &str, rule: &str, status: &Value) -> String {
    let (rules, warnings) = read(&[(key, rule)]);
    assert_eq!(warnings, Vec::<String>::new(), "{rule}");
    match rules.health(&thing(status)).expect("a rule") {
        Ok(Some(health)) => format!("{} {}", health.status, health.message),
        Ok(None) => "-".into(),
        Err(error) => error.to_string(),
    }
}

fn lua(rule: &str) -> String {
    judge(KEY, rule, &json!({"phase": "Ready"}))
}

fn cel(rule: &str) -> String {
    judge(
        CEL_KEY,
        rule,
        &json!({"phase": "Ready", "conditions": [{"type": "Ready", "status": "True"}]}),
    )
}

#[test]
fn a_rule_whose_kinds_cannot_be_read_is_left_out_and_named() {
    for pattern in [
        "example.org/[".to_owned(),
        format!("*{}", "{}".repeat(17)),
        "example.org/{{{{{Thing}}}}}".to_owned(),
    ] {
        let map = json!({
            pattern: {"health.lua": "return {status = 'Degraded'}"},
            "example.*/Thing": {"health.lua": "return {status = 'Healthy'}"},
        });
        let (rules, warnings) = read(&[("resource.customizations", &map.to_string())]);
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert!(warnings[0].contains("cannot be read"), "{warnings:?}");
        let health = rules.health(&thing(&json!({}))).unwrap().unwrap().unwrap();
        assert_eq!(health.status, HealthStatusCode::Healthy);
    }
}

/// The value of an expression in Lua, as text.
fn lua_value(expression: &str) -> String {
    lua(&format!(
        "local function all(...) local t = {{}} for i = 1, select('#', ...) do \
         t[i] = tostring((select(i, ...))) end return table.concat(t, ' ') end \
         return {{status = 'Healthy', message = all({expression})}}"
    ))
    .trim_start_matches("Healthy ")
    .to_owned()
}

#[test]
fn expressions() {
    for (rule, expected) in [
        ("'Healthy'", "Healthy "),
        (
            "object.status.phase == 'Ready' ? 'Healthy' : 'Progressing'",
            "Healthy ",
        ),
        (
            "status.conditions.filter(c, c.type == 'Ready').all(c, c.status == 'True') ? 'Healthy' : 'Degraded'",
            "Healthy ",
        ),
        (
            "self.status.conditions.exists(c, c.type == 'Ready' && c.status == 'True') ? 'Healthy' : ''",
            "Healthy ",
        ),
        (
            "{'status': 'Degraded', 'message': 'phase ' + object.status.phase}",
            "Degraded phase Ready",
        ),
        (
            "object.spec.replicas > 2 ? {'status': 'Healthy', 'message': string(spec.replicas)} : {}",
            "Healthy 3",
        ),
        (
            "has(object.status.nothing) ? 'Healthy' : 'Progressing'",
            "Progressing ",
        ),
        (
            "object.metadata.name.matches('^a+$') ? 'Healthy' : ''",
            "Healthy ",
        ),
        ("null", "-"),
        ("''", "-"),
        ("{}", "-"),
        (
            "object.status.nothing == 1 ? 'Healthy' : ''",
            "there is no field nothing",
        ),
        ("true", "it gives a bool"),
        ("'Fine'", "\"Fine\" is no health status"),
        ("nothing == 1 ? 'Healthy' : ''", "nothing"),
        (
            "object.spec.replicas + 'x'",
            "add is not defined for int and string",
        ),
    ] {
        let said = cel(rule);
        assert!(said.contains(expected), "{rule}: {said}");
    }
}

/// Rules that never end, or want everything: each ends soon, saying which limit it ran into.
#[test]
fn which_rule_is_for_a_kind() {
    let (rules, warnings) = read(&[
        (
            "resource.customizations",
            r#"
"*.crossplane.io/*":
  health.lua: return {status = "Healthy", message = "any"}
"*.aws.crossplane.io/*":
  health.lua: return {status = "Healthy", message = "aws"}
"*/Queue":
  health.lua: return {status = "Healthy", message = "queue"}
s3.aws.crossplane.io/Bucket:
  health.lua: return {status = "Healthy", message = "bucket"}
  health.lua.useOpenLibs: true
  ignoreDifferences: |
    jsonPointers: [/spec]
example.org/Both:
  health.lua: return {status = "Healthy", message = "map"}
ConfigMap:
  health.cel: "{'status': 'Healthy', 'message': 'cel'}"
example.org/None:
  actions: x
"#,
        ),
        (
            "resource.customizations.health.example.org_Both",
            "return {status = 'Healthy', message = 'key'}",
        ),
        (
            "resource.customizations.health.Service",
            "return {status = 'Healthy', message = 'service'}",
        ),
        (
            "resource.customizations.ignoreDifferences.all",
            "jsonPointers: []",
        ),
    ]);
    assert_eq!(warnings, Vec::<String>::new());
    for (api_version, kind, expected) in [
        ("db.gcp.crossplane.io/v1", "Sql", Some("any")),
        ("ec2.aws.crossplane.io/v1beta1", "Vpc", Some("aws")),
        ("s3.aws.crossplane.io/v1", "Bucket", Some("bucket")),
        ("example.org/v1", "Both", Some("key")),
        ("example.org/v2", "Queue", Some("queue")),
        ("v1", "ConfigMap", Some("cel")),
        ("v1", "Service", Some("service")),
        ("example.org/v1", "None", None),
        ("v1", "Secret", None),
    ] {
        let object = json!({"apiVersion": api_version, "kind": kind});
        let said = rules.health(&object).map(|outcome| {
            let health = outcome.expect("a verdict");
            health.expect("a status").message
        });
        assert_eq!(said.as_deref(), expected, "{api_version} {kind}");
    }
}

#[test]
fn keys_that_cannot_be_read_are_told_and_harm_no_other() {
    let (rules, warnings) = read(&[
        ("resource.customizations", "- a\n- b"),
        ("resource.customizations.health.a_b_C", "return {}"),
        ("resource.customizations.health._Thing", "return {}"),
        (KEY, "return {status = 'Healthy'}"),
        (CEL_KEY, "'Degraded'"),
    ]);
    assert_eq!(
        warnings,
        [
            "argocd-cm key resource.customizations: it is no map from <group>/<Kind> to customizations",
            "argocd-cm key resource.customizations.health._Thing: \"_Thing\" is not <group>_<Kind>, \
             or <Kind> for the core group",
            "argocd-cm key resource.customizations.health.a_b_C: \"a_b_C\" is not <group>_<Kind>, \
             or <Kind> for the core group",
            "argocd-cm key resource.customizations.health.example.org_Thing: \
             resource.customizations.health.cel.example.org_Thing is a rule for example.org/Thing \
             too, and is used",
        ]
    );
    let health = rules
        .health(&thing(&json!({})))
        .expect("a rule")
        .expect("a verdict");
    assert_eq!(health.expect("a status").status, HealthStatusCode::Degraded);
    let (_, warnings) = read(&[("resource.customizations", "a: [")]);
    assert_eq!(warnings.len(), 1);
}

#[test]
fn shared_between_threads() {
    let (rules, _) = read(&[(
        KEY,
        "return {status = 'Healthy', message = obj.status.phase}",
    )]);
    std::thread::scope(|scope| {
        for number in 0..4 {
            let rules = &rules;
            scope.spawn(move || {
                for _ in 0..50 {
                    let object = thing(&json!({"phase": number.to_string()}));
                    let health = rules.health(&object).expect("a rule").expect("a verdict");
                    assert_eq!(health.expect("a status").message, number.to_string());
                }
            });
        }
    });
}

/// Prints what a run costs: `cargo test --release -p gitops-customizations -- --ignored
/// --nocapture`.
#[test]
#[ignore = "a measurement"]
fn cost_of_a_run() {
    let (rules, _) = read(&[
        (
            KEY,
            "return {status = 'Healthy', message = obj.status.phase}",
        ),
        (
            "resource.customizations.health.cel.Other",
            "{'status': 'Healthy', 'message': object.status.phase}",
        ),
    ]);
    let other = json!({"apiVersion": "v1", "kind": "Other", "status": {"phase": "x"}});
    for object in [&thing(&json!({"phase": "x"})), &other] {
        let begin = Instant::now();
        for _ in 0..1_000 {
            assert!(rules.health(object).expect("a rule").is_ok());
        }
        println!("{}: {:?}", object["kind"], begin.elapsed() / 1_000);
    }
}
