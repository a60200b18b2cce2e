//! The CustomResourceDefinitions are structural, small, and in step with the files in
//! `manifests/`.

#[path = "../examples/crds/files.rs"]
mod files;

use std::fs;

use gitops_api::crd;
use serde_json::Value;

#[test]
fn generated_files_are_up_to_date() {
    for generate in [files::definitions, files::install] {
        for file in generate().unwrap() {
            let found = fs::read_to_string(&file.path).unwrap_or_default();
            assert!(
                found == file.content,
                "{} is stale: run `cargo run -p gitops-api --example crds`",
                file.path.display()
            );
        }
    }
}

/// `kubectl apply` stores the object in an annotation, and annotations may have 256 KiB.
#[test]
fn definitions_fit_an_annotation() {
    for definition in crd::all() {
        let size = definition.to_string().len();
        assert!(
            size < 200 * 1024,
            "{} has {size} bytes",
            definition["metadata"]["name"]
        );
    }
}

#[test]
fn every_node_is_structural() {
    for definition in crd::all() {
        let root = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
        for (name, schema) in root["properties"].as_object().unwrap() {
            check(
                &format!("{}.{name}", definition["spec"]["names"]["kind"]),
                schema,
            );
        }
    }
}

fn check(path: &str, schema: &Value) {
    const ALLOWED: [&str; 11] = [
        "additionalProperties",
        "description",
        "format",
        "items",
        "nullable",
        "properties",
        "required",
        "type",
        "x-kubernetes-int-or-string",
        "x-kubernetes-preserve-unknown-fields",
        "enum",
    ];
    let node = schema
        .as_object()
        .unwrap_or_else(|| panic!("{path}: not an object"));
    for keyword in node.keys() {
        assert!(ALLOWED.contains(&keyword.as_str()), "{path}: {keyword}");
    }
    let has_type = node.get("type").is_some_and(Value::is_string);
    let is_free = node.contains_key("x-kubernetes-preserve-unknown-fields")
        || node.contains_key("x-kubernetes-int-or-string");
    assert!(has_type || is_free, "{path}: no type");
    assert!(
        !(node.contains_key("properties") && node.contains_key("additionalProperties")),
        "{path}: properties and additionalProperties"
    );
    if let Some(properties) = node.get("properties").and_then(Value::as_object) {
        assert!(
            node.contains_key("x-kubernetes-preserve-unknown-fields"),
            "{path}: drops unknown fields"
        );
        for required in node
            .get("required")
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
        {
            assert!(
                required
                    .as_str()
                    .is_some_and(|name| properties.contains_key(name)),
                "{path}: {required}"
            );
        }
        for (name, property) in properties {
            check(&format!("{path}.{name}"), property);
        }
    }
    for keyword in ["items", "additionalProperties"] {
        if let Some(schema) = node.get(keyword) {
            check(&format!("{path}.{keyword}"), schema);
        }
    }
}
