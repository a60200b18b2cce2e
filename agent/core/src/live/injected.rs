//! Entries that a controller keeps in a map of an object it does not own.
//!
//! Argo Rollouts sends traffic to a version by adding `rollouts-pod-template-hash` to the selector
//! of the Services a Rollout names. Server-side apply knows such a selector only as a whole: whoever
//! adds an entry takes all of it, and whoever applies it again throws the entry away. So these
//! entries are named here: they are no difference, and an apply sends them along.
//!
//! Git counts more: an entry that the manifest sets itself is treated like any other field. What is
//! not in this table is never kept, because nothing tells it from an entry that Git gave up.

use serde_json::Value;

use crate::compare::path::Path;
use crate::manifest::object::GroupVersionKind;

/// An entry and where it is.
struct Entry {
    group: &'static str,
    kind: &'static str,
    map: &'static [&'static str],
    name: &'static str,
}

/// <https://argo-rollouts.readthedocs.io/en/stable/features/traffic-management/#how-does-argo-rollouts-enable-traffic-management>
const ENTRIES: [Entry; 1] = [Entry {
    group: "",
    kind: "Service",
    map: &["spec", "selector"],
    name: "rollouts-pod-template-hash",
}];

fn entries_of(object: &Value) -> impl Iterator<Item = &'static Entry> + use<> {
    let gvk = GroupVersionKind::of(object);
    ENTRIES.iter().filter(move |entry| {
        gvk.as_ref()
            .is_some_and(|gvk| gvk.group == entry.group && gvk.kind == entry.kind)
    })
}

impl Entry {
    fn map_in<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.map
            .iter()
            .try_fold(object, |place, name| place.get(name))
    }

    fn value_in<'a>(&self, object: &'a Value) -> Option<&'a Value> {
        self.map_in(object)?.get(self.name)
    }

    fn path(&self) -> Path {
        Path::from_fields(&[self.map, &[self.name]].concat())
    }
}

/// Whether an object of the cluster has such entries.
pub fn has_entries(live: &Value) -> bool {
    entries_of(live).any(|entry| entry.value_in(live).is_some())
}

/// Whether the field at `path` is such an entry, and not set by the manifest.
pub fn is_entry(manifest: &Value, path: &Path) -> bool {
    entries_of(manifest).any(|entry| entry.path() == *path && entry.value_in(manifest).is_none())
}

/// Adds to what is to be applied the entries of the live object that it does not set, and makes it
/// apply to this very state of the object only. Says whether there were any.
pub fn keep(sent: &mut Value, live: &Value) -> bool {
    let mut kept = false;
    for entry in entries_of(sent) {
        // A map that Git does not set is not touched by an apply.
        let Some(value) = entry.value_in(live) else {
            continue;
        };
        if entry.map_in(sent).is_some_and(Value::is_object) && entry.value_in(sent).is_none() {
            entry.path().put(sent, Some(value.clone()));
            kept = true;
        }
    }
    if kept && let Some(version) = live.pointer("/metadata/resourceVersion") {
        sent["metadata"]["resourceVersion"] = version.clone();
    }
    kept
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const HASH: &str = "rollouts-pod-template-hash";

    fn service(selector: Value) -> Value {
        let mut service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "web", "resourceVersion": "7"}, "spec": {"ports": []}});
        if !selector.is_null() {
            service["spec"]["selector"] = selector;
        }
        service
    }

    #[test]
    fn entries_of_controllers_are_kept_unless_git_sets_them() {
        let live = service(json!({"app": "old", "tier": "x", HASH: "abc"}));
        assert!(has_entries(&live));
        let cases = [
            (
                json!({"app": "new"}),
                Some(json!({"app": "new", HASH: "abc"})),
            ),
            (json!({"app": "new", HASH: "own"}), None),
            (json!({}), Some(json!({HASH: "abc"}))),
            (json!(null), None),
        ];
        for (selector, expected) in cases {
            let manifest = service(selector.clone());
            let mut sent = manifest.clone();
            sent["metadata"]
                .as_object_mut()
                .unwrap()
                .remove("resourceVersion");
            assert_eq!(keep(&mut sent, &live), expected.is_some(), "{selector}");
            assert_eq!(
                sent["spec"].get("selector"),
                expected.as_ref().or(manifest["spec"].get("selector")),
                "{selector}"
            );
            let version = sent["metadata"].get("resourceVersion");
            assert_eq!(version.is_some(), expected.is_some(), "{selector}");
        }
        assert!(!keep(
            &mut service(json!({"app": "a"})),
            &service(json!({"app": "b"}))
        ));
    }

    #[test]
    fn only_what_the_table_names_is_such_an_entry() {
        let path = Path::from_fields(&["spec", "selector", HASH]);
        assert!(is_entry(&service(json!({"app": "a"})), &path));
        assert!(!is_entry(&service(json!({HASH: "a"})), &path));
        let other = Path::from_fields(&["spec", "selector", "tier"]);
        assert!(!is_entry(&service(json!({"app": "a"})), &other));
        let mut knative = service(json!({HASH: "abc"}));
        knative["apiVersion"] = json!("serving.knative.dev/v1");
        assert!(!has_entries(&knative));
        assert!(!is_entry(&knative, &path));
    }
}
