//! `templatePatch`: a strategic merge patch of the generated Application.
//!
//! As in Argo CD lists are replaced, but finalizers are joined; `null` deletes; `$patch` directives
//! count; the project and the namespace stay what they are. Maps of `valuesObject` are merged.

use gitops_api::Application;
use serde_json::{Map, Value, json};

/// Applies a patch to an Application; the answer names fields that no Application has.
///
/// # Errors
/// When the patch is no map, takes the spec away, or the result is no Application.
pub(super) fn apply(application: &mut Value, patch: &Value) -> Result<Vec<String>, String> {
    let Value::Object(patch) = patch else {
        if patch.is_null() {
            return Ok(Vec::new());
        }
        return Err("it is no map; write the fields of an Application that it changes".into());
    };
    if patch.get("spec").is_some_and(Value::is_null) {
        return Err(
            "spec is null, which would take the whole spec away; leave it out, or write what is \
             below it"
                .into(),
        );
    }
    let before = application.clone();
    let mut patched = before.clone();
    let mut unknown = Vec::new();
    for (key, value) in patch {
        match key.as_str() {
            "metadata" => metadata(&mut patched, value, &mut unknown)?,
            "spec" => merge(&mut patched["spec"], value),
            "operation" => merge(&mut patched["operation"], value),
            "apiVersion" | "kind" | "status" => {}
            other => unknown.push(other.to_owned()),
        }
    }
    patched["spec"]["project"] = before["spec"]["project"].clone();
    check(&patched)?;
    unknown.extend(take_unknown(&mut patched));
    *application = patched;
    Ok(unknown)
}

/// Whether an Application can be read; the text says which value cannot.
pub(super) fn check(application: &Value) -> Result<(), String> {
    let parts =
        json!({"metadata": {}, "spec": application["spec"], "operation": application["operation"]});
    serde_json::from_value::<Application>(parts)
        .map(|_| ())
        .map_err(|error| format!("the result is no Application: {error}"))
}

fn metadata(
    application: &mut Value,
    patch: &Value,
    unknown: &mut Vec<String>,
) -> Result<(), String> {
    let Value::Object(patch) = patch else {
        return Err("metadata is no map".into());
    };
    let metadata = &mut application["metadata"];
    for (key, value) in patch {
        match key.as_str() {
            "name" | "labels" | "annotations" => merge(&mut metadata[key], value),
            "finalizers" => {
                let there = metadata["finalizers"]
                    .as_array()
                    .cloned()
                    .unwrap_or_default();
                let Some(added) = value.as_array() else {
                    metadata["finalizers"] = json!([]);
                    continue;
                };
                let mut all = added.clone();
                all.extend(there.into_iter().filter(|one| !added.contains(one)));
                metadata["finalizers"] = Value::Array(all);
            }
            // The set decides about these.
            "namespace" | "ownerReferences" => {}
            other => unknown.push(format!("metadata.{other}")),
        }
    }
    for key in ["labels", "annotations"] {
        let texts = |map: &Map<String, Value>| map.values().all(Value::is_string);
        let value = &metadata[key];
        if !value.is_null() && !value.as_object().is_some_and(texts) {
            return Err(format!(
                "metadata.{key} is no map of texts; put its values in quotes"
            ));
        }
    }
    if !metadata["name"].is_string() {
        return Err("metadata.name is no text".into());
    }
    Ok(())
}

/// Merges a patch into a value: maps are merged, `null` deletes, all else is replaced.
/// Source: k8s.io/apimachinery/pkg/util/strategicpatch.
fn merge(value: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        value.clone_from(patch);
        return;
    };
    match patch.get("$patch").and_then(Value::as_str) {
        Some("delete") => {
            *value = Value::Null;
            return;
        }
        Some("replace") => *value = json!({}),
        _ => {}
    }
    if !value.is_object() {
        *value = json!({});
    }
    let Value::Object(map) = value else { return };
    for (key, patch) in patch {
        if key.starts_with('$') {
            continue;
        }
        if patch.is_null() {
            map.remove(key);
            continue;
        }
        let there = map.entry(key.clone()).or_insert(Value::Null);
        merge(there, patch);
        if there.is_null() {
            map.remove(key);
        }
    }
}

/// Takes fields out that no Application has, and names them.
fn take_unknown(application: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let Some(schema) = schema() else {
        return unknown;
    };
    prune(&mut application["spec"], schema, "spec", &mut unknown);
    unknown
}

fn schema() -> Option<&'static Value> {
    static SCHEMA: std::sync::OnceLock<Option<Value>> = std::sync::OnceLock::new();
    let schema = SCHEMA.get_or_init(|| {
        let all = gitops_api::crd::all();
        let is_application = |one: &&Value| one["spec"]["names"]["kind"] == "Application";
        let application = all.iter().find(is_application)?;
        let version = application["spec"]["versions"].get(0)?;
        let schema = &version["schema"]["openAPIV3Schema"]["properties"]["spec"];
        schema.is_object().then(|| schema.clone())
    });
    schema.as_ref()
}

fn prune(value: &mut Value, schema: &Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            let Some(properties) = schema["properties"].as_object() else {
                return;
            };
            map.retain(|key, value| {
                let place = format!("{path}.{key}");
                let schema = properties.get(key);
                if let Some(schema) = schema {
                    prune(value, schema, &place, unknown);
                } else {
                    unknown.push(place);
                }
                schema.is_some()
            });
        }
        Value::Array(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                prune(item, &schema["items"], &format!("{path}[{index}]"), unknown);
            }
        }
        _ => {}
    }
}

/// Puts the set's template under a generator's own: what the generator says wins field by field, but
/// an empty value says nothing; lists and `valuesObject` are replaced.
/// Source: dario.cat/mergo as applicationset/controllers/template uses it.
pub(super) fn over(generator: &Value, set: &Value) -> Value {
    let (Value::Object(own), Value::Object(other)) = (generator, set) else {
        return if is_empty(generator) {
            set.clone()
        } else {
            generator.clone()
        };
    };
    let mut merged = other.clone();
    for (key, value) in own {
        let value = match other.get(key) {
            Some(below) if key != "valuesObject" => over(value, below),
            Some(below) if is_empty(value) => below.clone(),
            _ => value.clone(),
        };
        merged.insert(key.clone(), value);
    }
    Value::Object(merged)
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(value) => !value,
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn application() -> Value {
        json!({
            "metadata": {"name": "a", "labels": {"l": "1"}, "finalizers": ["resources-finalizer.argocd.argoproj.io"]},
            "spec": {
                "project": "default",
                "source": {"repoURL": "r", "helm": {"valuesObject": {"a": 1}, "valueFiles": ["x", "y"]}},
                "destination": {"server": "s"},
                "syncPolicy": {"automated": {"prune": true}},
            },
        })
    }

    #[test]
    fn patches_merge_maps_and_replace_lists() {
        let mut patched = application();
        let patch = json!({
            "metadata": {"name": "b", "namespace": "elsewhere", "labels": {"l": null, "m": "2"},
                "finalizers": ["own/f"], "ownerReferences": []},
            "spec": {"project": "other", "source": {"helm": {"valuesObject": {"b": 2}, "valueFiles": ["z"]}},
                "syncPolicy": {"$patch": "delete"}, "nonsense": 1},
            "operation": {"sync": {}},
            "other": 1,
        });
        let unknown = apply(&mut patched, &patch).unwrap();
        assert_eq!(unknown, ["other", "spec.nonsense"]);
        assert_eq!(
            patched,
            json!({
                "metadata": {"name": "b", "labels": {"m": "2"},
                    "finalizers": ["own/f", "resources-finalizer.argocd.argoproj.io"]},
                "spec": {
                    "project": "default",
                    "source": {"repoURL": "r", "helm": {"valuesObject": {"a": 1, "b": 2}, "valueFiles": ["z"]}},
                    "destination": {"server": "s"},
                },
                "operation": {"sync": {}},
            })
        );
    }

    #[test]
    fn what_is_no_application_afterwards_is_refused() {
        for patch in [
            json!({"spec": null}),
            json!([]),
            json!("x"),
            json!({"metadata": 1}),
            json!({"spec": {"revisionHistoryLimit": "many"}}),
            json!({"metadata": {"labels": {"a": 1}}}),
            json!({"metadata": {"name": null}}),
        ] {
            let mut patched = application();
            assert!(apply(&mut patched, &patch).is_err(), "{patch}");
            assert_eq!(patched, application());
        }
        assert_eq!(apply(&mut application(), &Value::Null), Ok(vec![]));
    }

    #[test]
    fn a_generators_template_wins_where_it_says_something() {
        let set = json!({"metadata": {"name": "s", "labels": {"a": "1", "b": "1"}},
            "spec": {"project": "p", "source": {"path": "x", "helm": {"valuesObject": {"a": 1}}},
                "syncPolicy": {"automated": {"prune": true}}}});
        let own = json!({"metadata": {"labels": {"a": "2"}},
            "spec": {"project": "", "source": {"path": "y", "helm": {"valuesObject": {"b": 1}}},
                "syncPolicy": {"automated": {"prune": false}}}});
        assert_eq!(
            over(&own, &set),
            json!({"metadata": {"name": "s", "labels": {"a": "2", "b": "1"}},
            "spec": {"project": "p", "source": {"path": "y", "helm": {"valuesObject": {"b": 1}}},
                "syncPolicy": {"automated": {"prune": true}}}})
        );
    }
}
