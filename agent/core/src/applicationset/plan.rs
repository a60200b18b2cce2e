//! What has to change in the cluster so that the Applications of a set are as generated: a set of
//! changes with their reasons, made of what was generated and what is there.

use std::collections::{BTreeMap, BTreeSet};

use gitops_api::constants::annotation;
use gitops_api::sync_policy::ResourceIgnoreDifferences;
use gitops_api::{Application, constants};
use serde_json::{Map, Value, json};

use super::validation::{Destinations, Invalid, UPDATE, VALIDATION, Validated, is_known};
use crate::manifest::object::ObjectKey;
use crate::report::status::merge_patch;
use crate::settings::ignore::{IgnoreRules, with_live_values};

/// What a set may do to its Applications besides creating them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Change those that exist.
    pub update: bool,
    /// Delete those that are not generated any more, and those of a set that is deleted.
    pub delete: bool,
}

impl Policy {
    /// The policy in force: the one of the installation, unless sets may have their own. The API
    /// server refuses other words in a set.
    /// Source: `DefaultPolicy` of cmd/argocd-applicationset-controller.
    pub fn of(of_set: Option<&str>, of_installation: &str, sets_decide: bool) -> Self {
        let word = match of_set {
            Some(word) if sets_decide => word,
            _ => of_installation,
        };
        Self {
            update: !matches!(word, "create-only" | "create-delete"),
            delete: !matches!(word, "create-only" | "create-update"),
        }
    }
}

/// The set, as its Applications name it as their owner.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SetIdentity {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

/// To whom an Application belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ownership {
    /// To the set. As in Argo CD the name counts: a set that is made anew takes its Applications back.
    Own,
    /// To nobody.
    Free,
    /// To something else, as it is shown.
    Other(String),
}

/// An Application there is.
#[derive(Clone, Debug, PartialEq)]
pub struct Existing {
    /// The object, without status.
    pub value: Value,
    /// It is being deleted.
    pub is_leaving: bool,
}

impl Existing {
    /// Reads an Application as a watch has it.
    pub fn of(application: &Application) -> Self {
        let mut value = serde_json::to_value(application).unwrap_or_default();
        if let Some(map) = value.as_object_mut() {
            map.remove("status");
        }
        Self {
            value,
            is_leaving: application.metadata.deletion_timestamp.is_some(),
        }
    }

    /// To whom it belongs, as seen by a set.
    pub fn ownership(&self, set: &str) -> Ownership {
        let owners = self.value["metadata"]["ownerReferences"].as_array();
        let controller = owners
            .into_iter()
            .flatten()
            .find(|one| one["controller"] == true);
        match controller {
            None => Ownership::Free,
            Some(one) if one["kind"] == "ApplicationSet" && one["name"] == set => Ownership::Own,
            Some(one) => Ownership::Other(format!(
                "{} {}",
                one["kind"].as_str().unwrap_or_default(),
                one["name"].as_str().unwrap_or_default()
            )),
        }
    }
}

/// Names of labels or annotations that are left as they are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// Annotations.
    pub annotations: BTreeSet<String>,
    /// Labels.
    pub labels: BTreeSet<String>,
}

/// What a plan is made of.
#[derive(Clone, Debug)]
pub struct PlanInput<'a> {
    /// The set.
    pub set: &'a SetIdentity,
    /// What it generated.
    pub validated: &'a Validated,
    /// The Applications of its namespace by name.
    pub existing: &'a BTreeMap<String, Existing>,
    /// What it may do.
    pub policy: Policy,
    /// What is left as it is.
    pub preserved: &'a Names,
    /// `ignoreApplicationDifferences`.
    pub ignored: &'a [Value],
    /// Clusters that are known.
    pub known: &'a Destinations,
    /// Other sets that generated a name, too.
    pub rivals: &'a BTreeMap<String, Vec<String>>,
    /// Somebody agreed to the deletions.
    pub is_approved: bool,
}

/// What is done to one Application.
#[derive(Clone, Debug, PartialEq)]
pub enum Verb {
    /// Create it; the object.
    Create(Value),
    /// Change it; a JSON merge patch.
    Update(Value),
    /// Delete it.
    Delete,
    /// Nothing, because it is as it should be.
    Keep,
}

/// One change and why.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The Application.
    pub name: String,
    /// What is done.
    pub verb: Verb,
    /// Why.
    pub why: String,
}

/// What has to be done, in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Creations and changes by name, then deletions by name.
    pub changes: Vec<Change>,
    /// What is left alone because something is wrong with it.
    pub invalid: Vec<Invalid>,
    /// Applications whose deletion waits for an approval.
    pub held: Vec<String>,
    /// Why it waits.
    pub held_why: String,
    /// Names of the Applications that are the set's afterwards.
    pub owned: BTreeSet<String>,
}

/// At least so many deletions are looked at as a share.
const MIN_DELETIONS: usize = 3;

/// Plans the changes for one set.
pub fn plan(input: &PlanInput<'_>) -> Plan {
    let mut plan = Plan {
        invalid: input.validated.invalid.clone(),
        ..Plan::default()
    };
    let rules = Rules::read(input.ignored);
    for (name, desired) in &input.validated.good {
        if let Some(rivals) = input.rivals.get(name) {
            plan.invalid.push(Invalid {
                name: name.clone(),
                reason: VALIDATION,
                message: format!(
                    "Application {name:?} ({}) is also generated by the ApplicationSet {}; it stays as \
                     it is until only one of them has it",
                    desired.from,
                    rivals.join(", ")
                ),
            });
        }
        let existing = input.existing.get(name);
        let ownership = existing.map_or(Ownership::Free, |one| one.ownership(&input.set.name));
        if let Ownership::Other(owner) = &ownership {
            if !input.rivals.contains_key(name) {
                plan.invalid.push(Invalid {
                    name: name.clone(),
                    reason: UPDATE,
                    message: format!(
                        "Application {name:?} ({}) belongs to the {owner}; it stays there",
                        desired.from
                    ),
                });
            }
            continue;
        }
        // Of two sets that claim it the one that has it goes on; when it is nobody's, nobody begins.
        if input.rivals.contains_key(name) && ownership != Ownership::Own {
            continue;
        }
        plan.owned.insert(name.clone());
        match existing {
            None => plan.changes.push(Change {
                name: name.clone(),
                verb: Verb::Create(created(&desired.value, input.set)),
                why: format!("{} gives it", desired.from),
            }),
            // It comes back when it is gone.
            Some(existing) if existing.is_leaving => {}
            Some(_) if !input.policy.update => plan.changes.push(Change {
                name: name.clone(),
                verb: Verb::Keep,
                why: "applicationsSync allows no updates".into(),
            }),
            Some(existing) => match patch(&desired.value, existing, input, &rules) {
                Ok(change) => plan.changes.push(Change {
                    name: name.clone(),
                    ..change
                }),
                Err(why) => plan.invalid.push(Invalid {
                    name: name.clone(),
                    reason: UPDATE,
                    message: format!("Application {name:?}: {why}"),
                }),
            },
        }
    }
    deletions(input, &mut plan);
    plan
}

fn deletions(input: &PlanInput<'_>, plan: &mut Plan) {
    let generated = input.validated.names();
    let own = |one: &Existing| one.ownership(&input.set.name) == Ownership::Own;
    let own: Vec<(&String, &Existing)> =
        input.existing.iter().filter(|(_, one)| own(one)).collect();
    plan.owned
        .extend(own.iter().map(|(name, _)| (*name).clone()));
    let surplus: Vec<(&String, &Existing)> = own
        .iter()
        .filter(|(name, one)| !generated.contains(name.as_str()) && !one.is_leaving)
        .copied()
        .collect();
    if surplus.is_empty() || input.validated.has_unnamed {
        return;
    }
    if !input.policy.delete {
        plan.changes.extend(surplus.iter().map(|(name, _)| Change {
            name: (*name).clone(),
            verb: Verb::Keep,
            why: "nothing gives it any more, and applicationsSync allows no deletions".into(),
        }));
        return;
    }
    let total = own.iter().filter(|(_, one)| !one.is_leaving).count();
    let (count, none_left) = (surplus.len(), generated.is_empty());
    let is_many = none_left || count >= MIN_DELETIONS && count * 2 > total;
    for (name, one) in &surplus {
        let is_lost = !is_known(&one.value["spec"], input.known);
        if (is_many || is_lost) && !input.is_approved {
            plan.held.push((*name).clone());
            continue;
        }
        plan.changes.push(Change {
            name: (*name).clone(),
            verb: Verb::Delete,
            why: "nothing gives it any more".into(),
        });
    }
    if !plan.held.is_empty() {
        plan.held_why = if none_left {
            format!("nothing is generated any more, and all {total} Applications would be deleted")
        } else if is_many {
            format!("{count} of {total} Applications would be deleted")
        } else {
            "the cluster they are delivered to is not known any more, so what they delivered could not \
             be deleted"
                .into()
        };
    }
}

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

fn created(desired: &Value, set: &SetIdentity) -> Value {
    let mut object = desired.clone();
    object["apiVersion"] = json!(format!("{}/{}", constants::GROUP, constants::VERSION));
    object["kind"] = json!("Application");
    object["metadata"]["namespace"] = json!(set.namespace);
    object["metadata"]["ownerReferences"] = json!([owner(set)]);
    object
}

/// `ignoreApplicationDifferences`, read.
struct Rules {
    rules: IgnoreRules,
    problem: Option<String>,
}

impl Rules {
    fn read(ignored: &[Value]) -> Self {
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

/// What has to change about an Application that exists.
fn patch(
    desired: &Value,
    existing: &Existing,
    input: &PlanInput<'_>,
    rules: &Rules,
) -> Result<Change, String> {
    let live = &existing.value;
    let mut wanted = json!({
        "metadata": {
            "name": live["metadata"]["name"],
            "namespace": live["metadata"]["namespace"],
            "labels": kept(desired, live, "labels", |key| input.preserved.labels.contains(key)),
            "annotations": kept(desired, live, "annotations", |key| {
                input.preserved.annotations.contains(key) || is_always_preserved(key)
            }),
        },
        "spec": desired["spec"],
    });
    let key = ObjectKey {
        group: constants::GROUP.into(),
        kind: "Application".into(),
        namespace: input.set.namespace.clone(),
        name: desired["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .into(),
    };
    if let Some(rules) = rules.rules.for_object(&key) {
        wanted = with_live_values(&wanted, live, &rules);
    }
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
    let owners = owners(live, input.set);
    if list(&live["metadata"]["ownerReferences"]) != owners {
        metadata.insert("ownerReferences".into(), Value::Array(owners));
        what.push("metadata.ownerReferences".into());
    }
    if normalized(&live["spec"]) != normalized(&wanted["spec"]) {
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
        return Ok(Change {
            name: String::new(),
            verb: Verb::Keep,
            why: "it is as generated".into(),
        });
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
    Ok(Change {
        name: String::new(),
        verb: Verb::Update(Value::Object(body)),
        why: format!("{} differs", what.join(", ")),
    })
}

/// Fields that a merge patch changes.
fn fields(patch: &Value, path: &str) -> Vec<String> {
    match patch {
        Value::Object(map) if !map.is_empty() => map
            .iter()
            .flat_map(|(key, value)| fields(value, &format!("{path}.{key}")))
            .collect(),
        _ => vec![path.to_owned()],
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

#[cfg(test)]
mod tests;
