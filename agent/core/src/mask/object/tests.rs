use proptest::prelude::*;
use serde_json::json;

use super::*;

fn masked(object: &Value) -> Value {
    Mask::default().object(object).into_value()
}

#[test]
fn secrets_are_hidden_wherever_they_are_nested() {
    let secret =
        json!({"kind": "Secret", "data": {"a": "s3cr3t"}, "stringData": {"b": ["s3cr3t"]}});
    let cases = [
        secret.clone(),
        json!({"kind": "Secret", "data": "s3cr3t", "stringData": null}),
        json!({"kind": "SecretList", "items": [{"data": {"a": "s3cr3t"}}]}),
        json!({"kind": "List", "items": [secret]}),
        json!({"kind": "Object", "spec": {"forProvider": {"manifest": secret}}}),
        json!({"kind": "ManifestWork", "spec": {"workload": {"manifests": [secret]}}}),
        json!({"kind": "SealedSecret", "spec": {"template": {"data": {"a": "s3cr3t"}}}}),
        json!({"kind": "ExternalSecret", "spec": {"target": {"template": {"data": {"a": "s3cr3t"}}}}}),
        json!({"kind": "HelmChart", "spec": {"valuesContent": "auth:\n  password: s3cr3t\n"}}),
        json!({"kind": "HelmChart", "spec": {"valuesContent": "auth:\n  password: |\n    s3cr3t\n"}}),
        json!({"kind": "HelmChart", "spec": {"valuesContent": "env:\n- name: A_TOKEN\n  value: s3cr3t\n"}}),
        json!({"kind": "ConfigMap", "data": {"x.yaml": "a: 1\n---\nkind: Secret\ndata:\n  k: s3cr3t\n"}}),
        json!({"kind": "ConfigMap", "data": {"x.json": secret.to_string()}}),
        json!({"kind": "ConfigMap", "data": {"x.json": json!({"inner": secret.to_string()}).to_string()}}),
        json!({"kind": "ConfigMap", "data": {"app.properties": "a=b\ndb.password=s3cr3t\n"}}),
        json!({"kind": "ConfigMap", "data": {"DB_PASSWORD": "s3cr3t", "tls.key": "s3cr3t"}}),
        json!({"kind": "ConfigMap", "data": {"key.pem": "-----BEGIN PRIVATE KEY-----\ns3cr3t\n"}}),
        json!({"kind": "ConfigMap", "data": {"url": "postgres://u:s3cr3t@db/x"}}),
        json!({"kind": "Deployment", "spec": {"containers": [
            {"name": "a", "env": [{"name": "DB_PASSWORD", "value": "s3cr3t"}],
             "args": ["--token=s3cr3t", "--password", "s3cr3t", "-H 'Authorization: Bearer s3cr3tS3CRET'"]}]}}),
        json!({"kind": "Application", "spec": {"source": {"helm": {
            "parameters": [{"name": "db.password", "value": "s3cr3t"}], "values": "password: s3cr3t"}}}}),
        json!({"kind": "Thing", "spec": {"password": "s3cr3t", "tokens": ["s3cr3t"], "apiKey": "s3cr3t"}}),
        json!({"kind": "Thing", "metadata": {"annotations": {
            LAST_APPLIED: json!({"kind": "Thing", "spec": {"password": "s3cr3t"}}).to_string()}}}),
        json!({"kind": "Secret", "metadata": {"annotations": {LAST_APPLIED: "{\"data\":{\"a\":\"s3cr3t\""}}}),
        json!({"kind": "Secret", "metadata": {"annotations": {
            LAST_APPLIED: r#"{"kind":"Sekret","data":{"a":"s3cr3t"}}"#}}}),
    ];
    for object in cases {
        let text = masked(&object).to_string();
        assert!(
            !text.contains("s3cr3t") && text.contains(PLACEHOLDER),
            "{object} {text}"
        );
    }
}

#[test]
fn what_is_no_secret_is_shown_as_it_is() {
    let object = json!({"kind": "Deployment", "metadata": {"name": "token", "labels": {"a": "b"}},
        "spec": {"replicas": 3, "automountServiceAccountToken": true,
            "volumes": [{"name": "x", "secret": {"secretName": "db"}}],
            "tolerations": [{"key": "dedicated", "value": "db"}],
            "env": [{"name": "MODE", "value": "a: b"},
                    {"name": "DB_PASSWORD", "valueFrom": {"secretKeyRef": {"name": "db", "key": "p"}}}],
            "args": ["--verbose", "x=y"], "text": "# a comment\nlist: [1, 2]\n"}});
    assert_eq!(masked(&object), object);
    let external = json!({"kind": "ExternalSecret",
        "spec": {"data": [{"remoteRef": {"key": "db"}}]}});
    assert_eq!(masked(&external), external);
}

#[test]
fn annotations_an_installation_names_are_hidden() {
    let mask = Mask::new(["acme.test/code".to_owned()]);
    let object = json!({"kind": "ConfigMap", "metadata": {"annotations": {"acme.test/code": "s3cr3t", "b": "c"}},
        "spec": {"template": {"metadata": {"annotations": {"acme.test/code": "s3cr3t"}}}}});
    let text = mask.object(&object).into_value().to_string();
    assert!(
        !text.contains("s3cr3t") && text.contains("\"b\":\"c\""),
        "{text}"
    );
}

#[test]
fn pairs_show_what_differs() {
    let old =
        json!({"kind": "Secret", "data": {"same": "YQ==", "changed": "YQ==", "gone": "YQ=="}});
    let new =
        json!({"kind": "Secret", "data": {"same": "YQ==", "changed": "Yg==", "added": "Yg=="}});
    let (before, after) = Mask::default().pair(Some(&old), Some(&new));
    assert_eq!(
        before.unwrap().into_value()["data"],
        json!({"same": "***", "changed": "*** (before)", "gone": "***"})
    );
    assert_eq!(
        after.unwrap().into_value()["data"],
        json!({"same": "***", "changed": "*** (after)", "added": "***"})
    );
    let (nothing, created) = Mask::default().pair(None, Some(&new));
    assert_eq!(nothing, None);
    assert_eq!(created.unwrap().into_value()["data"]["added"], "***");

    let text = |password: &str| json!({"data": {"x.conf": format!("a b\npassword={password}\ntoken=x\n[c]")}});
    let (before, after) = Mask::default().pair(Some(&text("one")), Some(&text("two")));
    let shown = |side: Option<Masked>| side.unwrap().into_value()["data"]["x.conf"].to_string();
    assert_eq!(
        shown(before),
        r#""a b\npassword=*** (before)\ntoken=***\n[c]""#
    );
    assert_eq!(
        shown(after),
        r#""a b\npassword=*** (after)\ntoken=***\n[c]""#
    );
}

#[test]
fn what_is_said_about_an_object_quotes_nothing_hidden_in_it() {
    let object = json!({"kind": "Deployment", "spec": {"env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}});
    let said = "spec.env[0].value: Invalid value: \"hunter2\": too short";
    let masked = Mask::default().message(said, &object);
    assert_eq!(
        masked,
        "spec.env[0].value: Invalid value: \"***\": too short"
    );
    let secret = json!({"kind": "Secret", "data": {"a": "aHVudGVyMg=="}});
    let masked = Mask::default().message("illegal: hunter2 aHVudGVyMg==", &secret);
    assert_eq!(masked, "illegal: *** ***");
}

/// Objects of all shapes, among them those that hold secrets.
fn any_object() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (0..3i64).prop_map(Value::from),
        "[ab]{0,2}".prop_map(Value::from),
        "(password|a)[=:] ?[ab]{1,2}".prop_map(Value::from),
        "(token|a): [ab]{1,2}\nb: [ab]".prop_map(Value::from),
        "\\{\"(token|a)\": \"[ab]\"\\}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        let name = "(kind|data|name|value|key|token|metadata|annotations|items|spec)";
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(name, inner.clone(), 0..4)
                .prop_map(|map| map.into_iter().collect()),
            prop::collection::btree_map(name, inner, 0..3).prop_map(|map| {
                let mut object: Value = map.into_iter().collect();
                object["kind"] = "Secret".into();
                object
            }),
        ]
    })
}

proptest! {
    #[test]
    fn masked_objects_differ_exactly_where_objects_do(old in any_object(), new in any_object()) {
        let changes = Mask::default().changes(&old, &new);
        prop_assert_eq!(changes.is_empty(), old == new, "{} {}", old, new);
        let alike = Mask::default().changes(&old, &old);
        prop_assert!(alike.is_empty());
    }
}
