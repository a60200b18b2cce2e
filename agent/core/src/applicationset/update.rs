//! What has to change about one Application so that it is as generated.

use std::collections::{BTreeMap, BTreeSet};

use gitops_api::constants::annotation;
use gitops_api::sync_policy::ResourceIgnoreDifferences;
use gitops_api::{Application, constants};
use serde_json::{Map, Value, json};

use super::existing::{Existing, Names, SetIdentity};
use super::generate::Desired;
use crate::manifest::object::ObjectKey;
use crate::report::status::merge_patch;
use crate::settings::ignore::{IgnoreRules, with_live_values};

fn owner(set: &SetIdentity) -> Value {
    json!({
        "apiVersion": format!("{}/{}", constants::GROUP, constants::VERSION),
        "kind": "ApplicationSet",
        "name": set.name,
        "uid": set.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

pub(super) fn created(desired: &Value, set: &SetIdentity) -> Value {
    let mut object = desired.clone();
    object["apiVersion"] = json!(format!("{}/{}", constants::GROUP, constants::VERSION));
    object["kind"] = json!("Application");
    object["metadata"]["namespace"] = json!(set.namespace);
    object["metadata"]["ownerReferences"] = json!([owner(set)]);
    object
}

/// `ignoreApplicationDifferences`, read.
pub(super) struct Rules {
    rules: IgnoreRules,
    problem: Option<String>,
}

impl Rules {
    /// Reads them.
    pub(super) fn read(ignored: &[Value]) -> Self {
        let list = |field: &str| -> Vec<ResourceIgnoreDifferences> {
            let rules = ignored.iter().map(|rule| {
                let mut read = json!({"group": constants::GROUP, "kind": "Application"});
                for key in ["name", field] {
                    if let Some(value) = rule.get(key).filter(|value| !value.is_null()) {
                        read[key] = value.clone();
                    }
                }
                serde_json::from_value(read).unwrap_or_default()
            });
            rules.collect()
        };
        let from = "spec.ignoreApplicationDifferences";
        // A pointer that names nothing ignores nothing, as in Argo CD.
        let (mut rules, _) = IgnoreRules::compile(&list("jsonPointers"), from);
        let (expressions, problems) = IgnoreRules::compile(&list("jqPathExpressions"), from);
        rules.extend(expressions);
        Self {
            rules,
            problem: problems.into_iter().next(),
        }
    }
}

/// The Applications whose spec is not what is generated, by name.
pub fn new_specs<'a>(
    desired: &'a BTreeMap<String, Desired>,
    existing: &BTreeMap<String, Existing>,
    ignored: &[Value],
) -> BTreeSet<&'a str> {
    let rules = Rules::read(ignored);
    let is_new = |name: &str, desired: &Desired| {
        let Some(Existing { value: live, .. }) = existing.get(name) else {
            return false;
        };
        let wanted = json!({"metadata": live["metadata"], "spec": desired.value["spec"]});
        let namespace = live["metadata"]["namespace"].as_str().unwrap_or_default();
        let wanted = with_ignored(wanted, live, namespace, &rules);
        normalized(&live["spec"]) != normalized(&wanted["spec"])
    };
    let names = desired.iter().filter(|(name, one)| is_new(name, one));
    names.map(|(name, _)| name.as_str()).collect()
}

/// What is wanted, with what is live where that is ignored.
fn with_ignored(wanted: Value, live: &Value, namespace: &str, rules: &Rules) -> Value {
    let key = ObjectKey {
        group: constants::GROUP.into(),
        kind: "Application".into(),
        namespace: namespace.into(),
        name: live["metadata"]["name"].as_str().unwrap_or_default().into(),
    };
    match rules.rules.for_object(&key) {
        Some(rules) => with_live_values(&wanted, live, &rules),
        None => wanted,
    }
}

/// What has to change about an Application that exists; `keeps_spec` leaves its spec for later.
///
/// The answer is a JSON merge patch and what differs; `None` when it is as generated.
pub(super) fn patch(
    desired: &Value,
    existing: &Existing,
    set: &SetIdentity,
    preserved: &Names,
    rules: &Rules,
    keeps_spec: bool,
) -> Result<Option<(Value, String)>, String> {
    let live = &existing.value;
    let wanted = json!({
        "metadata": {
            "name": live["metadata"]["name"],
            "namespace": live["metadata"]["namespace"],
            "labels": kept(desired, live, "labels", |key| preserved.labels.contains(key)),
            "annotations": kept(desired, live, "annotations", |key| {
                preserved.annotations.contains(key) || is_always_preserved(key)
            }),
        },
        "spec": desired["spec"],
    });
    let wanted = with_ignored(wanted, live, &set.namespace, rules);
    let mut body = Map::new();
    let mut metadata = Map::new();
    let mut what = Vec::new();
    for part in ["labels", "annotations"] {
        let (before, after) = (
            object(&live["metadata"][part]),
            object(&wanted["metadata"][part]),
        );
        if let Some(change) = merge_patch(&before, &after) {
            metadata.insert(part.into(), change);
            what.push(format!("metadata.{part}"));
        }
    }
    let finalizers = finalizers(desired, live);
    if list(&live["metadata"]["finalizers"]) != finalizers {
        metadata.insert("finalizers".into(), Value::Array(finalizers));
        what.push("metadata.finalizers".into());
    }
    let owners = owners(live, set);
    if list(&live["metadata"]["ownerReferences"]) != owners {
        metadata.insert("ownerReferences".into(), Value::Array(owners));
        what.push("metadata.ownerReferences".into());
    }
    if !keeps_spec && normalized(&live["spec"]) != normalized(&wanted["spec"]) {
        // Empty groups are left as they are.
        let mut before = live["spec"].clone();
        without_empty(&mut before);
        if let Some(change) = merge_patch(&before, &wanted["spec"]) {
            what.extend(fields(&change, "spec"));
            body.insert("spec".into(), change);
        }
    }
    let asked = &desired["operation"];
    if !asked.is_null() && live["operation"].is_null() && !what.is_empty() {
        body.insert("operation".into(), asked.clone());
    }
    if what.is_empty() {
        return Ok(None);
    }
    if let Some(problem) = &rules.problem {
        return Err(format!("it differs in {}, but {problem}", what.join(", ")));
    }
    if metadata.contains_key("finalizers") || metadata.contains_key("ownerReferences") {
        // Lists are sent whole: nobody may have changed them meanwhile.
        let version = live["metadata"]["resourceVersion"].clone();
        metadata.insert("resourceVersion".into(), version);
    }
    if !metadata.is_empty() {
        body.insert("metadata".into(), Value::Object(metadata));
    }
    Ok(Some((Value::Object(body), what.join(", "))))
}

/// Fields that a merge patch changes.
fn fields(patch: &Value, place: &str) -> Vec<String> {
    match patch {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .flat_map(|(key, value)| fields(value, &format!("{place}.{key}")))
            .collect(),
        _ => vec![place.to_owned()],
    }
}

fn object(value: &Value) -> Value {
    if value.is_object() {
        value.clone()
    } else {
        json!({})
    }
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().cloned().unwrap_or_default()
}

/// Annotations nobody but their writers may change: requests, notes of notifications, and what the
/// agent and its commands keep on an Application.
fn is_always_preserved(key: &str) -> bool {
    [
        annotation::REFRESH,
        annotation::REFRESH_TIMESTAMP,
        annotation::HYDRATE,
        annotation::NOTIFIED,
        annotation::DELETION_APPROVED,
    ]
    .contains(&key)
        || key.starts_with("gitops-agent.io/")
}

/// Generated labels or annotations; of preserved names the live ones.
fn kept(desired: &Value, live: &Value, part: &str, is_preserved: impl Fn(&str) -> bool) -> Value {
    let mut map = match object(&desired["metadata"][part]) {
        Value::Object(map) => map,
        _ => Map::new(),
    };
    for (key, value) in live["metadata"][part].as_object().into_iter().flatten() {
        if is_preserved(key) {
            map.insert(key.clone(), value.clone());
        }
    }
    Value::Object(map)
}

/// Generated finalizers, and those for steps of a deletion that are there.
/// Source: applicationset/utils/createOrUpdate.go.
fn finalizers(desired: &Value, live: &Value) -> Vec<Value> {
    let mut all = list(&desired["metadata"]["finalizers"]);
    for prefix in [
        "pre-delete-finalizer.argocd.argoproj.io",
        "post-delete-finalizer.argocd.argoproj.io",
    ] {
        for finalizer in list(&live["metadata"]["finalizers"]) {
            let is_step = finalizer
                .as_str()
                .is_some_and(|text| text.starts_with(prefix));
            if is_step && !all.contains(&finalizer) {
                all.push(finalizer);
            }
        }
    }
    all
}

/// The owners with the set as the controller.
fn owners(live: &Value, set: &SetIdentity) -> Vec<Value> {
    let mut all = list(&live["metadata"]["ownerReferences"]);
    let own = owner(set);
    let is_own = |one: &Value| one["kind"] == "ApplicationSet" && one["name"] == set.name.as_str();
    match all.iter().position(is_own) {
        Some(place) => all[place] = own,
        None => all.push(own),
    }
    all
}

/// A spec without what says nothing: the type's empty values, empty groups, the default project.
/// Source: `NormalizeApplicationSpec` of util/argo.
fn normalized(spec: &Value) -> Value {
    let application = json!({"metadata": {}, "spec": spec});
    let mut normal = serde_json::from_value::<Application>(application)
        .ok()
        .and_then(|application| serde_json::to_value(application.spec).ok())
        .unwrap_or_else(|| spec.clone());
    without_empty(&mut normal);
    if normal["project"].as_str().unwrap_or_default().is_empty() {
        normal["project"] = json!(constants::DEFAULT_PROJECT);
    }
    normal
}

fn without_empty(value: &mut Value) {
    match value {
        Value::Object(map) => map.retain(|key, value| {
            if key == "valuesObject" {
                return true;
            }
            without_empty(value);
            // Automated sync is on by being there.
            key == "automated" || *value != json!({}) && !value.is_null()
        }),
        Value::Array(items) => items.iter_mut().for_each(without_empty),
        _ => {}
    }
}
