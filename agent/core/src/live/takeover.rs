//! Taking over the fields of an earlier tool: which of them become the agent's, so that what Git gives
//! up really goes, and which stay with whoever set them.
//!
//! A field is taken over when the manifest sets it, when Git is known to have held it, or when it is a
//! default beside one of them, without which no element of a list would go as a whole. What no
//! manifest ever had (settings of an installation, a status, a request, finalizers) is never taken
//! over: the next apply would remove it.

use gitops_api::constants::annotation;
use serde_json::{Map, Value};

use crate::live::ownership::{Entry, applied_fields, element_is, entries};
use crate::manifest::object;

/// Managers whose fields a first apply takes over: client-side `kubectl apply`, Argo CD and Helm
/// all meant "this is my desired state".
/// Fields set by `kubectl edit`, `scale` or controllers are deliberately not in the list.
const PREDECESSORS: [(&str, Option<&str>); 5] = [
    ("kubectl-client-side-apply", Some("Update")),
    ("kubectl-last-applied", None),
    (ARGO_CD_SYNC, None),
    (ARGO_CD_CONTROLLER, None),
    ("helm", None),
];
/// Field manager of what Argo CD applies.
pub(crate) const ARGO_CD_SYNC: &str = "argocd-controller";
/// Field manager of what Argo CD's application controller writes: statuses, and objects it replaces.
pub const ARGO_CD_CONTROLLER: &str = "argocd-application-controller";

/// Whether a field manager's fields are taken over by a first apply.
pub fn is_predecessor(manager: &str) -> bool {
    PREDECESSORS.iter().any(|(known, _)| *known == manager)
}

/// Whether Argo CD itself applied the object: a label alone may have been copied.
pub fn is_applied_by_argo_cd(object: &Value) -> bool {
    entries(object).any(|entry| {
        entry.subresource.is_none() && [ARGO_CD_SYNC, ARGO_CD_CONTROLLER].contains(&entry.manager)
    })
}

pub(crate) fn precedes(entry: &Entry<'_>) -> bool {
    entry.subresource.is_none()
        && PREDECESSORS.iter().any(|(manager, operation)| {
            *manager == entry.manager && operation.is_none_or(|o| o == entry.operation)
        })
}

/// Whether a first apply should take over fields of client-side apply, Argo CD or Helm.
pub fn needs_takeover(object: &Value, manager: &str) -> bool {
    applied_fields(object, manager).is_none() && entries(object).any(|e| precedes(&e))
}

/// The `managedFields` list in which `manager` holds, through server-side apply, what its
/// predecessors held and Git holds or held; `None` when there is nothing to take over. `tracked`:
/// the object was delivered for this application before, so that what was applied then is what Git
/// held.
///
/// Same effect as Kubernetes' own upgrade from client-side to server-side apply:
/// <https://kubernetes.io/docs/reference/using-api/server-side-apply/#migration-between-client-side-and-server-side-apply>.
pub fn taken_over(object: &Value, manager: &str, desired: &Value, tracked: bool) -> Option<Value> {
    if !needs_takeover(object, manager) {
        return None;
    }
    let wishes = last_applied(object);
    let held_before = wishes.as_ref().filter(|_| tracked);
    let held: Vec<&Value> = std::iter::once(desired).chain(held_before).collect();
    merged(object, manager, |entry| {
        if !precedes(entry) {
            return None;
        }
        // Who applied through the API server applied a manifest.
        let parts = if tracked && entry.operation == "Apply" {
            (Some(entry.fields.clone()), None)
        } else {
            split_object(entry.fields, &held, wishes.as_ref())
        };
        Some(guarded(parts))
    })
}

/// Whether Git held fields before that it gave up since, while a predecessor of `manager` still has
/// them: an apply alone would leave them.
pub fn has_given_up(object: &Value, manager: &str, desired: &Value) -> bool {
    if !needs_takeover(object, manager) {
        return false;
    }
    let held_before = last_applied(object);
    let held: Vec<&Value> = held_before.iter().collect();
    entries(object).filter(precedes).any(|entry| {
        let parts = if entry.operation == "Apply" {
            (Some(entry.fields.clone()), None)
        } else {
            split(entry.fields, &held, Unheld::Stay)
        };
        let (taken, _) = guarded(parts);
        let rest = |taken: Value| split(&taken, &[desired], Unheld::Stay).1;
        let given_up = taken.and_then(rest);
        given_up.is_some_and(|mut given_up| {
            without_marks(&mut given_up);
            has_leaves(&given_up)
        })
    })
}

/// What client-side apply, or Argo CD, last applied.
fn last_applied(object: &Value) -> Option<Value> {
    serde_json::from_str(object::annotation(object, annotation::LAST_APPLIED)?).ok()
}

/// The `managedFields` list in which `manager` holds all that anybody set, so that its next apply
/// leaves nothing but its manifest; `None` when nobody else holds anything.
///
/// What a replacement with `kubectl replace` does, except that finalizers and owners that others
/// set stay: whoever set them still counts on them.
pub fn taken_over_from_all(object: &Value, manager: &str) -> Option<Value> {
    let others = entries(object).any(|entry| {
        entry.subresource.is_none() && (entry.manager != manager || entry.operation != "Apply")
    });
    if !others {
        return None;
    }
    merged(object, manager, |entry| {
        let all = (Some(entry.fields.clone()), None);
        entry.subresource.is_none().then(|| guarded(all))
    })
}

/// Fields of one entry: those that are taken over, and those that stay with its manager.
type Parts = (Option<Value>, Option<Value>);

/// What is never taken over stays with whoever set it: a status, a request, finalizers, owners.
fn guarded((mut taken, mut kept): Parts) -> Parts {
    let mut leave = |path: &[&str]| {
        let Some((last, parents)) = path.split_last() else {
            return;
        };
        let parent = parents
            .iter()
            .try_fold(taken.as_mut(), |place, name| {
                place.map(|place| place.get_mut(name))
            })
            .flatten();
        let Some(left) = parent
            .and_then(Value::as_object_mut)
            .and_then(|parent| parent.remove(*last))
        else {
            return;
        };
        let mut whole = left;
        for name in path.iter().rev() {
            whole = Value::Object(Map::from_iter([((*name).to_owned(), whole)]));
        }
        union(
            kept.get_or_insert_with(|| Value::Object(Map::new())),
            &whole,
        );
    };
    leave(&["f:status"]);
    leave(&["f:operation"]);
    leave(&["f:metadata", "f:finalizers"]);
    leave(&["f:metadata", "f:ownerReferences"]);
    (taken, kept)
}

/// What becomes of fields that no manifest sets.
#[derive(Clone, Copy)]
enum Unheld<'a> {
    /// They stay.
    Stay,
    /// They are defaults, unless somebody applied them, and go with what is around them.
    Defaults(Option<&'a Value>),
}

impl<'a> Unheld<'a> {
    fn inside(self, key: &str) -> Self {
        match self {
            Self::Stay => Self::Stay,
            Self::Defaults(wishes) => {
                Self::Defaults(wishes.and_then(|wishes: &'a Value| step(wishes, key)))
            }
        }
    }

    fn is_default(self, key: &str) -> bool {
        match self {
            Self::Stay => false,
            Self::Defaults(wishes) => wishes.and_then(|wishes| step(wishes, key)).is_none(),
        }
    }
}

/// Splits the fields of a whole object. In maps of free keys nothing is a default.
fn split_object(fields: &Value, held: &[&Value], wishes: Option<&Value>) -> Parts {
    const FREE: [&str; 4] = ["f:metadata", "f:data", "f:stringData", "f:binaryData"];
    let (mut taken, mut kept) = (Map::new(), Map::new());
    for (key, child) in fields.as_object().into_iter().flatten() {
        let inside: Vec<&Value> = held.iter().filter_map(|place| step(place, key)).collect();
        let unheld = if FREE.contains(&key.as_str()) {
            Unheld::Stay
        } else {
            Unheld::Defaults(wishes).inside(key)
        };
        let (mine, others) = split(
            child,
            &inside,
            if inside.is_empty() {
                Unheld::Stay
            } else {
                unheld
            },
        );
        taken.extend(mine.map(|mine| (key.clone(), mine)));
        kept.extend(others.map(|others| (key.clone(), others)));
    }
    let part = |map: Map<String, Value>| (!map.is_empty()).then_some(Value::Object(map));
    (part(taken), part(kept))
}

/// The fields that one of `held` sets, and the others.
fn split(fields: &Value, held: &[&Value], unheld: Unheld<'_>) -> Parts {
    if held.is_empty() {
        return (None, Some(fields.clone()));
    }
    let Some(owned) = fields.as_object().filter(|owned| !owned.is_empty()) else {
        return (Some(fields.clone()), None);
    };
    let (mut taken, mut kept) = (Map::new(), Map::new());
    for (key, child) in owned.iter().filter(|(key, _)| *key != ".") {
        let inside: Vec<&Value> = held.iter().filter_map(|place| step(place, key)).collect();
        if inside.is_empty() && unheld.is_default(key) {
            taken.insert(key.clone(), child.clone());
            continue;
        }
        let (mine, others) = split(child, &inside, unheld.inside(key));
        taken.extend(mine.map(|mine| (key.clone(), mine)));
        kept.extend(others.map(|others| (key.clone(), others)));
    }
    // The list or map itself belongs to everybody who has something in it.
    if let Some(itself) = owned.get(".") {
        if !kept.is_empty() {
            kept.insert(".".into(), itself.clone());
        }
        if !taken.is_empty() || kept.is_empty() {
            taken.insert(".".into(), itself.clone());
        }
    }
    let part = |map: Map<String, Value>| (!map.is_empty()).then_some(Value::Object(map));
    (part(taken), part(kept))
}

/// The part of a manifest that a key of an entry names.
fn step<'a>(place: &'a Value, key: &str) -> Option<&'a Value> {
    if let Some(name) = key.strip_prefix("f:") {
        return place.get(name);
    }
    place.as_array()?.iter().find(|item| element_is(item, key))
}

fn without_marks(fields: &mut Value) {
    if let Some(annotations) = fields
        .get_mut("f:metadata")
        .and_then(|metadata| metadata.get_mut("f:annotations"))
        .and_then(Value::as_object_mut)
    {
        for mark in [annotation::TRACKING_ID, annotation::LAST_APPLIED] {
            annotations.remove(&format!("f:{mark}"));
        }
    }
}

/// Whether a field is held, besides the maps and lists around it.
fn has_leaves(fields: &Value) -> bool {
    fields.as_object().is_some_and(|owned| {
        owned
            .iter()
            .any(|(key, child)| key != "." && (is_leaf(child) || has_leaves(child)))
    })
}

fn is_leaf(fields: &Value) -> bool {
    fields.as_object().is_none_or(Map::is_empty)
}

/// The list with what `takes` takes of each entry merged into one of `manager`, which comes first;
/// an entry of which it says nothing stays as it is.
fn merged(
    object: &Value,
    manager: &str,
    takes: impl Fn(&Entry<'_>) -> Option<Parts>,
) -> Option<Value> {
    let list = object.get("metadata")?.get("managedFields")?.as_array()?;
    let mut kept = Vec::with_capacity(list.len());
    let mut merged: Option<Value> = None;
    for raw in list {
        let parts = entry_of(raw).and_then(|entry| takes(&entry));
        let Some((own, left)) = parts else {
            kept.push(raw.clone());
            continue;
        };
        if let Some(left) = left {
            let mut entry = raw.clone();
            entry["fieldsV1"] = left;
            kept.push(entry);
        }
        let Some(own) = own else { continue };
        match &mut merged {
            None => {
                let mut entry = raw.clone();
                entry["manager"] = manager.into();
                entry["operation"] = "Apply".into();
                entry["fieldsV1"] = own;
                merged = Some(entry);
            }
            Some(entry) => union(&mut entry["fieldsV1"], &own),
        }
    }
    kept.insert(0, merged?);
    Some(Value::Array(kept))
}

fn entry_of(raw: &Value) -> Option<Entry<'_>> {
    Some(Entry {
        manager: raw.get("manager")?.as_str()?,
        operation: raw.get("operation")?.as_str()?,
        version: None,
        time: None,
        subresource: raw
            .get("subresource")
            .and_then(Value::as_str)
            .filter(|s| !s.is_empty()),
        fields: raw.get("fieldsV1")?,
    })
}

pub(crate) fn union(into: &mut Value, from: &Value) {
    let Some(from) = from.as_object() else { return };
    if !into.is_object() {
        *into = Value::Object(Map::new());
    }
    if let Some(into) = into.as_object_mut() {
        for (key, value) in from {
            union(
                into.entry(key.clone())
                    .or_insert_with(|| Value::Object(Map::new())),
                value,
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn update(manager: &str, fields: &Value) -> Value {
        json!({"manager": manager, "operation": "Update", "apiVersion": "v1",
            "fieldsType": "FieldsV1", "fieldsV1": fields})
    }

    fn with(entries: &[Value]) -> Value {
        json!({"metadata": {"managedFields": entries}})
    }

    #[test]
    fn predecessors_fields_are_united_under_the_new_manager() {
        let object = with(&[
            update("kubectl-client-side-apply", &json!({"f:data": {"f:a": {}}})),
            update("kubectl-edit", &json!({"f:data": {"f:z": {}}})),
            update("helm", &json!({"f:data": {"f:b": {}}})),
        ]);
        let desired = json!({"data": {"a": "1", "b": "2"}});
        let list = taken_over(&object, "gitops-agent", &desired, false).unwrap();
        assert_eq!(list.as_array().unwrap().len(), 2);
        assert_eq!(list[0]["manager"], "gitops-agent");
        assert_eq!(list[0]["operation"], "Apply");
        assert_eq!(
            list[0]["fieldsV1"],
            json!({"f:data": {"f:a": {}, "f:b": {}}})
        );
        assert_eq!(list[1]["manager"], "kubectl-edit");

        let mut adopted = object.clone();
        adopted["metadata"]["managedFields"] = list;
        assert!(
            !needs_takeover(&adopted, "gitops-agent"),
            "a second time there is nothing to do"
        );
    }

    #[test]
    fn what_no_manifest_had_stays_with_whoever_set_it() {
        // argocd-cm as `kubectl apply` or Helm left it, delivered by a manifest without data.
        let settings = update(
            "kubectl-client-side-apply",
            &json!({"f:data": {".": {}, "f:url": {}}, "f:metadata": {"f:labels": {".": {}, "f:x": {}}}}),
        );
        let mut object = with(&[settings]);
        object["metadata"]["annotations"] =
            json!({annotation::LAST_APPLIED: "{\"data\":{\"url\":\"u\"}}"});
        let desired = json!({"metadata": {"labels": {"x": "y"}}});
        let list = taken_over(&object, "gitops-agent", &desired, false).unwrap();
        assert_eq!(
            list[0]["fieldsV1"],
            json!({"f:metadata": {"f:labels": {".": {}, "f:x": {}}}})
        );
        assert_eq!(
            list[1]["fieldsV1"],
            json!({"f:data": {".": {}, "f:url": {}}}),
            "the settings stay"
        );

        // The same of an object that was delivered for this application: Git held it.
        assert!(has_given_up(&object, "gitops-agent", &desired));
        let list = taken_over(&object, "gitops-agent", &desired, true).unwrap();
        assert_eq!(list.as_array().unwrap().len(), 1);
        assert_eq!(list[0]["fieldsV1"]["f:data"], json!({".": {}, "f:url": {}}));
    }

    #[test]
    fn a_status_a_request_and_finalizers_are_never_taken_over() {
        let fields = json!({
            "f:metadata": {"f:finalizers": {".": {}, "v:\"a\"": {}}, "f:labels": {"f:x": {}}},
            "f:spec": {"f:project": {}},
            "f:status": {"f:sync": {"f:status": {}}},
            "f:operation": {"f:sync": {}},
        });
        let object = with(&[update(ARGO_CD_CONTROLLER, &fields)]);
        let desired = json!({"metadata": {"labels": {"x": "y"}, "finalizers": ["a"]},
            "spec": {"project": "default"}, "status": {"sync": {"status": "Synced"}}});
        let taken = json!({"f:metadata": {"f:labels": {"f:x": {}}}, "f:spec": {"f:project": {}}});
        let left = json!({"f:metadata": {"f:finalizers": {".": {}, "v:\"a\"": {}}},
            "f:status": {"f:sync": {"f:status": {}}}, "f:operation": {"f:sync": {}}});
        for list in [
            taken_over(&object, "gitops-agent", &desired, true).unwrap(),
            taken_over_from_all(&object, "gitops-agent").unwrap(),
        ] {
            assert_eq!(list[0]["fieldsV1"], taken);
            assert_eq!(list[1]["fieldsV1"], left);
            assert_eq!(list[1]["manager"], ARGO_CD_CONTROLLER);
        }
    }

    #[test]
    fn what_git_gave_up_is_seen_in_lists_too() {
        let containers = |names: &[&str]| -> Vec<Value> {
            names
                .iter()
                .map(|name| json!({"name": name, "ports": [{"containerPort": 80}]}))
                .collect()
        };
        let element = |name: &str| {
            (
                format!("k:{{\"name\":\"{name}\"}}"),
                json!({".": {}, "f:name": {}, "f:imagePullPolicy": {}, "f:ports": {
                    "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {"f:containerPort": {}, "f:protocol": {}}}}),
            )
        };
        let held: Map<String, Value> = [element("a"), element("b")].into_iter().collect();
        let mut object = with(&[update(
            ARGO_CD_SYNC,
            &json!({"f:spec": {"f:containers": held}}),
        )]);
        let last = json!({"spec": {"containers": containers(&["a", "b"])}});
        object["metadata"]["annotations"] = json!({annotation::LAST_APPLIED: last.to_string()});
        let both = json!({"spec": {"containers": containers(&["a", "b"])}});
        let one = json!({"spec": {"containers": containers(&["a"])}});
        assert!(
            !has_given_up(&object, "gitops-agent", &both),
            "defaults are nobody's wish"
        );
        assert!(has_given_up(&object, "gitops-agent", &one));

        // Nothing of the element stays with the predecessor: it can go as a whole.
        let taken = taken_over(&object, "gitops-agent", &one, true).unwrap();
        assert_eq!(taken.as_array().unwrap().len(), 1, "{taken:#}");
        // Of one that was never delivered for this application, what Git never had stays.
        let taken = taken_over(&object, "gitops-agent", &one, false).unwrap();
        let stays = &taken[1]["fieldsV1"]["f:spec"]["f:containers"];
        assert_eq!(stays.as_object().unwrap().len(), 1);
        assert!(stays.get("k:{\"name\":\"b\"}").is_some());
        let goes = &taken[0]["fieldsV1"]["f:spec"]["f:containers"]["k:{\"name\":\"a\"}"];
        assert!(goes.get("f:imagePullPolicy").is_some());
    }
}
