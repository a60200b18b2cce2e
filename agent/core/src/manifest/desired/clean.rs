//! Manifests as they are sent: refused when they are no objects, without what only the API server
//! writes, with what it would fill in.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::{Map, Value};

use crate::manifest::object::{GroupVersionKind, Scope};

/// Whether a document is an object of Kubernetes that can be sent; else what is wrong with it.
pub(super) fn check(value: Value) -> Result<Value, String> {
    if !value.is_object() {
        return Err("the document is not a map; a manifest starts with apiVersion and kind".into());
    }
    for field in ["apiVersion", "kind"] {
        match value.get(field) {
            Some(Value::String(text)) if !text.is_empty() => {}
            Some(Value::String(_) | Value::Null) | None => {
                return Err(format!(
                    "{field} is missing; is this file a Kubernetes manifest?"
                ));
            }
            Some(_) => return Err(format!("{field} is not a string")),
        }
    }
    if !value.get("metadata").is_none_or(Value::is_object) {
        return Err("metadata is not a map".into());
    }
    for field in ["name", "namespace"] {
        let text = value
            .get("metadata")
            .and_then(|metadata| metadata.get(field)?.as_str());
        if let Some(text) = text
            && !is_path_segment(text)
        {
            return Err(format!("metadata.{field} {text:?} cannot be a name"));
        }
    }
    for field in ["annotations", "labels"] {
        let Some(map) = value
            .get("metadata")
            .and_then(|metadata| metadata.get(field))
        else {
            continue;
        };
        let Some(map) = map.as_object() else {
            if map.is_null() {
                continue;
            }
            return Err(format!("metadata.{field} is not a map"));
        };
        if let Some((name, wrong)) = map.iter().find(|(_, v)| !v.is_string() && !v.is_null()) {
            return Err(format!(
                "metadata.{field}[{name:?}] is {wrong}, not a string; put it in quotes"
            ));
        }
    }
    Ok(value)
}

/// Drops what only the API server writes, and says explicitly what it would fill in.
pub(super) fn clean(
    mut value: Value,
    gvk: &GroupVersionKind,
    scope: Option<Scope>,
    namespace: &str,
) -> Value {
    if let Some(root) = value.as_object_mut() {
        root.remove("status");
        let metadata = root
            .entry("metadata")
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(metadata) = metadata.as_object_mut() {
            for field in [
                "creationTimestamp",
                "managedFields",
                "resourceVersion",
                "uid",
                "generation",
                "selfLink",
            ] {
                metadata.remove(field);
            }
            match scope {
                Some(Scope::Cluster) => {
                    metadata.remove("namespace");
                }
                Some(Scope::Namespaced) => {
                    let unset = metadata
                        .get("namespace")
                        .is_none_or(|n| n.as_str().is_none_or(str::is_empty));
                    if unset && !namespace.is_empty() {
                        metadata.insert("namespace".into(), namespace.into());
                    }
                }
                None => {}
            }
            drop_nulls(metadata);
        }
    }
    // A null in a built-in kind means "not set" to every client; applied as it is, the API server
    // would record ownership of a field that does not exist.
    if is_built_in(&gvk.group)
        && let Some(root) = value.as_object_mut()
    {
        drop_nulls(root);
    }
    if gvk.group.is_empty() && gvk.kind == "Secret" {
        encode_string_data(&mut value);
    }
    value
}

fn is_built_in(group: &str) -> bool {
    !group.contains('.') || group.ends_with(".k8s.io")
}

fn drop_nulls(map: &mut Map<String, Value>) {
    map.retain(|_, value| !value.is_null());
    map.values_mut().for_each(drop_nulls_in);
}

fn drop_nulls_in(value: &mut Value) {
    match value {
        Value::Object(map) => drop_nulls(map),
        Value::Array(items) => items.iter_mut().for_each(drop_nulls_in),
        _ => {}
    }
}

/// `stringData` is write-only: the API server moves it to `data`, so the agent does it first and
/// the two stay comparable. What is not a string is left for the API server to refuse.
fn encode_string_data(secret: &mut Value) {
    let Some(root) = secret.as_object_mut() else {
        return;
    };
    let Some(Value::Object(plain)) = root.get("stringData") else {
        return;
    };
    if !plain.values().all(Value::is_string) {
        return;
    }
    let encoded: Vec<(String, Value)> = plain
        .iter()
        .filter_map(|(key, text)| {
            Some((key.clone(), BASE64_STANDARD.encode(text.as_str()?).into()))
        })
        .collect();
    root.remove("stringData");
    let data = root
        .entry("data")
        .or_insert_with(|| Value::Object(Map::new()));
    if let Some(data) = data.as_object_mut() {
        data.extend(encoded);
    }
}

/// Whether a name can be part of an address. Kubernetes allows no other either; each kind then has
/// rules of its own.
fn is_path_segment(name: &str) -> bool {
    let breaks =
        |c: char| c.is_control() || c.is_whitespace() || !c.is_ascii() || "/%?#".contains(c);
    name != "." && name != ".." && !name.contains(breaks)
}
