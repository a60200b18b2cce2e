//! Fields that Git gives up: what the agent holds of an object and a manifest does not set any more.
//!
//! Server-side apply removes such a field only where nobody else holds it, and in the same moment. Both
//! are not always what giving up means, so before the apply this decides, from the object as it is,
//! who is to hold what:
//!
//! * Another manager holds the field only because it once sent the same object (`kubectl create`,
//!   `kubectl apply --server-side`, Terraform, another GitOps tool) or edited this value: it *shadows*
//!   Git, and the field goes.
//! * Another manager holds few fields of the object, this among them: a controller that keeps it. The
//!   field stays, and who keeps it is said.
//! * The number of replicas is let go and not removed: it would be 1 for a moment, whatever scales it.
//!   <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#migrating-deployments-and-statefulsets-to-horizontal-autoscaling>
//!
//! Never decides about fields that the agent does not hold.

use serde_json::{Map, Value, json};

use crate::live::ownership;
use crate::live::ownership::Entry;
use crate::live::takeover;

/// Maps whose keys people choose: of them a manager loses the keys that Git gives up, and keeps its own.
const FREE_MAPS: [&str; 9] = [
    "labels",
    "annotations",
    "data",
    "binaryData",
    "nodeSelector",
    "selector",
    "matchLabels",
    "limits",
    "requests",
];

/// Managers by which people change objects: their Update is a value, not a wish to keep it.
const PEOPLE: &str = "kubectl";

/// What is to be done before an apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GivenUp {
    /// The list of `managedFields` to write first; `None` when an apply alone does what is wanted.
    pub list: Option<Value>,
    /// Fields that stay, each with who keeps it.
    pub kept: Vec<Kept>,
}

/// A field that Git gave up and that stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The field, as people read it.
    pub field: String,
    /// The manager that holds it.
    pub manager: String,
}

/// Whether somebody else holds a field that `manager` holds, too: what Git gives up of it does not go by
/// an apply alone.
pub fn is_shared(object: &Value, manager: &str) -> bool {
    ownership::applied_fields(object, manager)
        .is_some_and(|own| others(object, manager).any(|entry| common(entry.fields, own).is_some()))
}

/// Whether `manager` holds the number of replicas, which an apply without it would reset.
pub fn holds_replicas(object: &Value, manager: &str) -> bool {
    ownership::applied_fields(object, manager).is_some_and(|own| replicas(own).is_some())
}

/// Decides about the fields that `manager` holds of a live object and `manifest` does not set.
pub fn of(live: &Value, manifest: &Value, manager: &str) -> GivenUp {
    let mut result = GivenUp::default();
    let Some(own) = ownership::applied_fields(live, manager) else {
        return result;
    };
    let Some(gone) = unset(own, manifest, true) else {
        return result;
    };
    let list = live.pointer("/metadata/managedFields");
    let Some(mut list) = list.and_then(Value::as_array).cloned() else {
        return result;
    };
    let mut changed = false;
    for raw in &mut list {
        let is_own = raw["manager"] == manager
            && raw["operation"] == "Apply"
            && raw["subresource"].as_str().unwrap_or_default().is_empty();
        if is_own {
            changed |= release_replicas(&mut raw["fieldsV1"], &gone);
        }
    }
    for entry in others(live, manager) {
        let Some(shared) = common(entry.fields, &gone) else {
            continue;
        };
        if shadows(&entry, own) {
            for raw in list.iter_mut().filter(|raw| is_of(raw, &entry)) {
                if let Some(left) = without(entry.fields, &gone, false) {
                    raw["fieldsV1"] = left;
                } else {
                    raw["fieldsV1"] = json!({});
                }
                changed = true;
            }
        } else {
            let fields = leaves(&shared, "");
            result.kept.extend(fields.into_iter().map(|field| Kept {
                field,
                manager: entry.manager.into(),
            }));
        }
    }
    list.retain(|raw| {
        raw["fieldsV1"]
            .as_object()
            .is_none_or(|fields| !fields.is_empty())
    });
    result.list = changed.then(|| list.into());
    result
}

/// Entries of other managers that name fields as the one of `manager` does.
fn others<'a>(object: &'a Value, manager: &'a str) -> impl Iterator<Item = Entry<'a>> {
    let version = ownership::entries(object)
        .find(|entry| is_own(entry, manager))
        .and_then(|entry| entry.version);
    ownership::entries(object)
        .filter(move |entry| !is_own(entry, manager) && entry.version == version)
        .filter(|entry| entry.subresource != Some("status"))
}

fn is_own(entry: &Entry<'_>, manager: &str) -> bool {
    entry.manager == manager && entry.operation == "Apply" && entry.subresource.is_none()
}

fn is_of(raw: &Value, entry: &Entry<'_>) -> bool {
    raw["manager"] == entry.manager
        && raw["operation"] == entry.operation
        && raw["subresource"].as_str().filter(|s| !s.is_empty()) == entry.subresource
        && raw["fieldsV1"] == *entry.fields
}

/// Whether a manager holds what `own` holds only because it sent the same object, or edited it.
///
/// Whoever sent the object holds at least half of the fields that the agent holds of it. Metadata
/// does not count where there is anything else: the agent's own marks are in it.
fn shadows(entry: &Entry<'_>, own: &Value) -> bool {
    if entry.subresource.is_some() {
        return false;
    }
    if entry.manager.starts_with(PEOPLE) || takeover::precedes(entry) {
        return true;
    }
    let content = |fields: &Value| -> Value {
        let mut fields = fields.clone();
        if let Some(map) = fields.as_object_mut()
            && map.len() > 1
        {
            map.remove("f:metadata");
        }
        fields
    };
    let own = content(own);
    let all = leaves(&own, "").len();
    let held = common(&own, entry.fields).map_or(0, |shared| leaves(&shared, "").len());
    held * 2 >= all
}

/// What two sets of fields have in common; `None` for nothing.
fn common(a: &Value, b: &Value) -> Option<Value> {
    let (Some(a_map), Some(b_map)) = (a.as_object(), b.as_object()) else {
        return None;
    };
    if a_map.is_empty() {
        return Some(b.clone());
    }
    if b_map.is_empty() {
        return Some(a.clone());
    }
    let shared: Map<String, Value> = a_map
        .iter()
        .filter(|(name, _)| *name != ".")
        .filter_map(|(name, child)| Some((name.clone(), common(child, b_map.get(name)?)?)))
        .collect();
    (!shared.is_empty()).then_some(Value::Object(shared))
}

/// The fields of an entry that a manifest does not set; `None` for none. What is gone as a whole ends
/// in an empty map, and so does what is atomic.
fn unset(fields: &Value, manifest: &Value, is_root: bool) -> Option<Value> {
    let owned = fields.as_object()?;
    let mut gone = Map::new();
    for (key, child) in owned.iter().filter(|(key, _)| *key != ".") {
        let found = match key.strip_prefix("f:") {
            Some(name) => manifest.get(name),
            None => manifest
                .as_array()
                .and_then(|items| items.iter().find(|item| ownership::element_is(item, key))),
        };
        let is_free = |key: &str| {
            key.strip_prefix("f:")
                .is_some_and(|name| FREE_MAPS.contains(&name))
        };
        match found {
            // The API server keeps it whatever is applied.
            None if is_root && key == "f:status" => {}
            // Of a map of free keys each one counts by itself, of everything else the whole.
            None if is_free(key) && !child.as_object().is_none_or(Map::is_empty) => {
                gone.extend(unset(child, &Value::Null, false).map(|inner| (key.clone(), inner)));
            }
            None => {
                gone.insert(key.clone(), json!({}));
            }
            Some(value) => {
                gone.extend(unset(child, value, false).map(|inner| (key.clone(), inner)));
            }
        }
    }
    (!gone.is_empty()).then_some(Value::Object(gone))
}

/// The fields without those that are gone; `None` when nothing is left.
fn without(fields: &Value, gone: &Value, inside: bool) -> Option<Value> {
    let (Some(owned), Some(gone)) = (fields.as_object(), gone.as_object()) else {
        return Some(fields.clone());
    };
    if inside && gone.is_empty() {
        return None;
    }
    let left: Map<String, Value> = owned
        .iter()
        .filter_map(|(key, child)| {
            let child = match gone.get(key) {
                Some(gone) => without(child, gone, true)?,
                None => child.clone(),
            };
            Some((key.clone(), child))
        })
        .collect();
    // The map itself, of which nothing else is left, is not held for its own sake.
    let only_itself = left.keys().all(|key| key == ".");
    (!only_itself).then_some(Value::Object(left))
}

fn replicas(fields: &Value) -> Option<&Value> {
    fields.get("f:spec")?.get("f:replicas")
}

/// Lets the number of replicas go, when Git gives it up: nobody holds it, and it stays.
fn release_replicas(own: &mut Value, gone: &Value) -> bool {
    replicas(gone).is_some()
        && own
            .get_mut("f:spec")
            .and_then(Value::as_object_mut)
            .is_some_and(|spec| spec.remove("f:replicas").is_some())
}

/// The fields of a set one by one, as people read them.
fn leaves(fields: &Value, at: &str) -> Vec<String> {
    let Some(map) = fields.as_object().filter(|map| !map.is_empty()) else {
        return vec![at.to_owned()];
    };
    map.iter()
        .filter(|(key, _)| *key != ".")
        .flat_map(|(key, child)| leaves(child, &format!("{at}{}", step(key))))
        .collect()
}

/// One step of a set, as people read it.
fn step(key: &str) -> String {
    if let Some(name) = key.strip_prefix("f:") {
        return if name.contains(['.', '/']) {
            format!("[{name:?}]")
        } else {
            format!(".{name}")
        };
    }
    let keys = key.strip_prefix("k:").unwrap_or(key);
    match serde_json::from_str::<Value>(keys) {
        Ok(Value::Object(keys)) => {
            let pairs = keys.iter().map(|(name, value)| match value {
                Value::String(text) => format!("{name}={text}"),
                other => format!("{name}={other}"),
            });
            format!("[{}]", pairs.collect::<Vec<_>>().join(","))
        }
        _ => format!("[{}]", key.trim_start_matches("v:")),
    }
}

#[cfg(test)]
mod tests;
