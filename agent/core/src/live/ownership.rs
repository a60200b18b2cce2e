//! Field ownership: what `metadata.managedFields` says about who set what.
//!
//! Ownership is how drift is noticed without a request: when somebody else changes a field the
//! agent applied, the API server takes it out of the agent's entry. This module reads entries; it
//! never decides what to do about them.
//! Source: <https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>.

use jiff::Timestamp;
use serde_json::Value;

use crate::compare::path;
use crate::compare::path::{Path, Segment};
use crate::manifest::digest;

/// One entry of `metadata.managedFields`, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// The manager's name, such as `kubectl-edit`.
    pub manager: &'a str,
    /// `Apply` or `Update`.
    pub operation: &'a str,
    /// The `apiVersion` whose names of fields it uses.
    pub version: Option<&'a str>,
    /// When the entry last changed, RFC 3339.
    pub time: Option<&'a str>,
    /// Set for `status` and `scale`.
    pub subresource: Option<&'a str>,
    /// The owned fields, `fieldsV1`.
    pub fields: &'a Value,
}

/// All entries of an object that carry fields.
pub fn entries(object: &Value) -> impl Iterator<Item = Entry<'_>> {
    object
        .get("metadata")
        .and_then(|metadata| metadata.get("managedFields"))
        .and_then(Value::as_array)
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter_map(|entry| {
            Some(Entry {
                manager: entry.get("manager")?.as_str()?,
                operation: entry.get("operation")?.as_str()?,
                version: entry.get("apiVersion").and_then(Value::as_str),
                time: entry.get("time").and_then(Value::as_str),
                subresource: entry
                    .get("subresource")
                    .and_then(Value::as_str)
                    .filter(|s| !s.is_empty()),
                fields: entry.get("fieldsV1")?,
            })
        })
}

/// The fields `manager` holds through server-side apply; `None` when it never applied the object
/// or has lost every field.
pub fn applied_fields<'a>(object: &'a Value, manager: &str) -> Option<&'a Value> {
    applied_entry(object, manager).map(|entry| entry.fields)
}

fn applied_entry<'a>(object: &'a Value, manager: &str) -> Option<Entry<'a>> {
    entries(object)
        .find(|e| e.manager == manager && e.operation == "Apply" && e.subresource.is_none())
}

/// Digest of the fields `manager` holds and of when it last changed one of them, because another
/// client may apply other values under its name; the empty string when it holds none.
pub fn applied_digest(object: &Value, manager: &str) -> String {
    let Some(entry) = applied_entry(object, manager) else {
        return String::new();
    };
    digest::of_value(&serde_json::json!([entry.fields, entry.time]))
}

/// When `manager` last changed a field by server-side apply, by the API server's clock.
pub fn applied_at(object: &Value, manager: &str) -> Option<Timestamp> {
    applied_entry(object, manager)?.time?.parse().ok()
}

/// Whether `fields` covers every field `desired` sets, that is: whether nobody has taken one away.
///
/// `apiVersion`, `kind`, `metadata.name` and `metadata.namespace` are never part of an entry. A
/// list element is found by its merge key; a key the manifest leaves to the API server's default
/// (a Service port's `protocol`) matches any value.
pub fn covers(desired: &Value, fields: &Value) -> bool {
    let Some(root) = desired.as_object() else {
        return false;
    };
    root.iter().all(|(name, value)| match name.as_str() {
        "apiVersion" | "kind" => true,
        "metadata" => value.as_object().is_some_and(|metadata| {
            metadata.iter().all(|(name, value)| {
                matches!(name.as_str(), "name" | "namespace")
                    || fields
                        .get("f:metadata")
                        .is_some_and(|fields| covers_field(name, value, fields))
            })
        }),
        _ => covers_field(name, value, fields),
    })
}

fn covers_field(name: &str, value: &Value, fields: &Value) -> bool {
    fields
        .get(format!("f:{name}"))
        .is_some_and(|child| covers_value(value, child))
}

fn covers_value(value: &Value, fields: &Value) -> bool {
    let Some(owned) = fields.as_object() else {
        return false;
    };
    if owned.is_empty() {
        return true; // a leaf, or a list or map that is atomic: owned as a whole
    }
    match value {
        Value::Object(map) => map
            .iter()
            .all(|(name, value)| covers_field(name, value, fields)),
        Value::Array(items) => items.iter().all(|item| {
            owned
                .iter()
                .any(|(key, child)| element_is(item, key) && covers_value(item, child))
        }),
        _ => true,
    }
}

/// Whether a list element is the one an entry's key (`k:{…}` by merge key, `v:…` by value) names.
pub(crate) fn element_is(item: &Value, key: &str) -> bool {
    if let Some(json) = key.strip_prefix("k:") {
        let Ok(Value::Object(keys)) = serde_json::from_str::<Value>(json) else {
            return false;
        };
        return keys
            .iter()
            .all(|(name, value)| item.get(name).is_none_or(|set| set == value));
    }
    key.strip_prefix("v:")
        .and_then(|json| serde_json::from_str::<Value>(json).ok())
        .is_some_and(|value| value == *item)
}

/// Who owns the field at `path`, other than `except`: the newest entry that reaches deepest.
///
/// An entry names fields as the version it was written in does, and no other version can read it:
/// when nobody's entry in the object's version has a field that `except` lost, it is the one other
/// manager's that writes in another version.
pub fn owner_of<'a>(object: &'a Value, path: &Path, except: &str) -> Option<Entry<'a>> {
    entries(object)
        .filter(|entry| entry.manager != except)
        .filter_map(|entry| depth(entry.fields, path.segments()).map(|depth| (depth, entry)))
        .max_by(|(a, x), (b, y)| a.cmp(b).then_with(|| x.time.cmp(&y.time)))
        .map(|(_, entry)| entry)
        .or_else(|| owner_in_another_version(object, path, except))
}

fn owner_in_another_version<'a>(object: &'a Value, path: &Path, except: &str) -> Option<Entry<'a>> {
    let lost = applied_fields(object, except)
        .is_some_and(|fields| reaches(fields, object, path.segments()) == Reach::NotHeld);
    let version = object.get("apiVersion").and_then(Value::as_str);
    let mut others = entries(object).filter(|entry| {
        entry.manager != except
            && entry.subresource.is_none()
            && entry.version.is_some()
            && entry.version != version
    });
    let newest = others.next().filter(|_| lost)?;
    others.try_fold(newest, |newest, other| {
        (other.manager == newest.manager).then_some(if other.time > newest.time {
            other
        } else {
            newest
        })
    })
}

/// How many segments of `path` an entry follows before it owns the rest; `None` when it does not
/// own the field.
fn depth(fields: &Value, path: &[Segment]) -> Option<usize> {
    let Some((first, rest)) = path.split_first() else {
        return Some(0);
    };
    let owned = fields.as_object()?;
    if owned.is_empty() {
        return Some(0);
    }
    let child = match first {
        Segment::Field(name) => owned.get(&format!("f:{name}")),
        Segment::Key(name, value) => owned.iter().find_map(|(key, child)| {
            let keys = serde_json::from_str::<Value>(key.strip_prefix("k:")?).ok()?;
            (keys.get(name)? == value).then_some(child)
        }),
        Segment::Index(_) => None,
    }?;
    depth(child, rest).map(|depth| depth + 1)
}

/// Whether `manager` holds the field at `path` of the object, or a part of it.
pub fn holds(object: &Value, path: &Path, manager: &str) -> bool {
    entries(object)
        .filter(|entry| entry.manager == manager)
        .any(|entry| reaches(entry.fields, object, path.segments()) == Reach::Held)
}

/// How far an entry reaches along a path.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It holds the field, or part of it.
    Held,
    /// It does not.
    NotHeld,
    /// The element of a list cannot be told from the others.
    Unclear,
}

/// Follows a path through an object and the fields of an entry at the same time, because only the
/// object says by which keys an element of a list is known.
pub(crate) fn reaches(fields: &Value, object: &Value, path: &[Segment]) -> Reach {
    let Some((first, rest)) = path.split_first() else {
        return Reach::Held;
    };
    let Some(owned) = fields.as_object() else {
        return Reach::NotHeld;
    };
    if owned.is_empty() {
        return Reach::Held;
    }
    if let Segment::Field(name) = first {
        return match owned.get(&format!("f:{name}")) {
            Some(child) => reaches(child, object.get(name).unwrap_or(&Value::Null), rest),
            None => Reach::NotHeld,
        };
    }
    let Some(element) = path::position(object, first).and_then(|index| object.get(index)) else {
        return Reach::Unclear;
    };
    let mut found = owned.iter().filter(|(key, _)| element_is(element, key));
    match found.next() {
        Some((_, child)) => reaches(child, element, rest),
        None => Reach::NotHeld,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn fields() -> Value {
        json!({
            "f:metadata": {"f:labels": {"f:app": {}}},
            "f:spec": {
                "f:replicas": {},
                "f:selector": {},
                "f:ports": {"k:{\"port\":80,\"protocol\":\"TCP\"}": {".": {}, "f:port": {}}},
                "f:finalizers": {"v:\"a\"": {}},
            }
        })
    }

    #[test]
    fn coverage_follows_maps_merge_keys_sets_and_atomic_values() {
        let base = json!({
            "apiVersion": "v1", "kind": "X",
            "metadata": {"name": "x", "namespace": "y", "labels": {"app": "a"}},
            "spec": {"replicas": 1, "selector": {"any": {"thing": 1}},
                     "ports": [{"port": 80}], "finalizers": ["a"]}
        });
        assert!(covers(&base, &fields()));
        let cases: [(&str, Value); 5] = [
            ("/metadata/labels", json!({"app": "a", "tier": "b"})),
            ("/spec/replicas", json!(null)),
            ("/spec/ports", json!([{"port": 81}])),
            ("/spec/ports", json!([{"port": 80, "name": "http"}])),
            ("/spec/finalizers", json!(["a", "b"])),
        ];
        for (pointer, value) in cases {
            let mut changed = base.clone();
            *changed.pointer_mut(pointer).unwrap() = value;
            let mut fields = fields();
            if pointer == "/spec/replicas" {
                fields["f:spec"]
                    .as_object_mut()
                    .unwrap()
                    .remove("f:replicas");
            }
            assert!(!covers(&changed, &fields), "{pointer}");
        }
    }

    #[test]
    fn culprit_is_the_other_manager_that_holds_the_field() {
        let object = json!({"metadata": {"managedFields": [
            {"manager": "gitops-agent", "operation": "Apply", "time": "2026-01-01T00:00:00Z", "fieldsV1": fields()},
            {"manager": "kubectl-edit", "operation": "Update", "time": "2026-01-02T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:replicas": {}, "f:template": {"f:spec": {"f:containers": {
                 "k:{\"name\":\"app\"}": {"f:image": {}}}}}}}},
            {"manager": "old", "operation": "Update", "time": "2025-01-02T00:00:00Z",
             "fieldsV1": {"f:spec": {"f:replicas": {}}}},
        ]}});
        let who = |path: Path| owner_of(&object, &path, "gitops-agent").map(|e| e.manager);
        assert_eq!(
            who(Path::from_fields(&["spec", "replicas"])),
            Some("kubectl-edit")
        );
        let image = Path::from_fields(&["spec", "template", "spec", "containers"])
            .child(Segment::Key("name".into(), "app".into()))
            .child(Segment::Field("image".into()));
        assert_eq!(who(image), Some("kubectl-edit"));
        assert_eq!(who(Path::from_fields(&["metadata", "labels", "app"])), None);
    }

    #[test]
    fn who_writes_in_another_version_is_found_when_it_can_be_nobody_else() {
        let entry = |manager: &str, version: &str, field: &str| {
            json!({"manager": manager, "operation": "Update", "apiVersion": version,
                "time": "2026-01-02T00:00:00Z", "fieldsV1": {"f:spec": {field: {}}}})
        };
        let mut agent = entry("gitops-agent", "x/v1alpha1", "f:color");
        agent["operation"] = json!("Apply");
        let object = |others: &[Value]| {
            let mut list = vec![agent.clone()];
            list.extend_from_slice(others);
            json!({"apiVersion": "x/v1alpha1", "spec": {"size": 5, "color": "red"},
                "metadata": {"managedFields": list}})
        };
        let who = |others: &[Value], field: &str| {
            let path = Path::from_fields(&["spec", field]);
            let object = object(others);
            owner_of(&object, &path, "gitops-agent").map(|entry| entry.manager.to_owned())
        };
        let edit = entry("kubectl-edit", "x/v1", "f:replicas");
        let one = std::slice::from_ref(&edit);
        assert_eq!(who(one, "size").as_deref(), Some("kubectl-edit"));
        assert_eq!(who(one, "color"), None, "the agent has it");
        let another = entry("operator", "x/v1", "f:other");
        assert_eq!(who(&[edit.clone(), another], "size"), None);
        let same = entry("operator", "x/v1alpha1", "f:other");
        assert_eq!(who(&[edit, same], "size").as_deref(), Some("kubectl-edit"));
    }
}
