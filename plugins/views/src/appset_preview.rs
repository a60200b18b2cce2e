//! What an ApplicationSet would do to its Applications: those it would create, change field by field, delete with what they
//! would prune, and those that are wrong. Made of the agent's own plan.

use std::collections::BTreeMap;

use gitops_api::Application;
use gitops_api::constants::finalizer;
use gitops_core::applicationset::{Plan, Verb};
use serde::Serialize;
use serde_json::{Map, Value};

/// What would be done to one Application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Action {
    /// It is left alone, because something is wrong with it.
    Invalid,
    /// It would be deleted once somebody agrees.
    Held,
    /// It would be deleted.
    Delete,
    /// It would be changed.
    Change,
    /// It would be created.
    Create,
    /// It stays as it is.
    Keep,
}

/// A field that would change.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Field {
    /// Where it is: `spec.source.targetRevision`.
    pub path: String,
    /// What it is now; nothing when it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<Value>,
    /// What it would be; nothing when it would be gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<Value>,
}

/// One Application.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Row {
    /// Its name.
    pub name: String,
    /// What would be done.
    pub action: Action,
    /// Why, one line or more.
    pub why: String,
    /// The fields that would change; of one that would be created what it delivers and where to.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// How many objects its deletion would take from the cluster; none where it would take none.
    #[serde(skip_serializing_if = "is_zero")]
    pub prunes: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde hands a reference
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// All of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Preview {
    /// The Applications: what is wrong first, what stays last.
    pub applications: Vec<Row>,
    /// Why deletions would wait for an approval; empty when none would.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub held: String,
    /// What the owner of the set should know.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
}

impl Preview {
    /// What a plan means for the Applications there are.
    pub fn of(
        plan: &Plan,
        existing: &BTreeMap<String, Application>,
        warnings: Vec<String>,
    ) -> Self {
        let value = |name: &str| {
            let found = existing.get(name);
            found.map_or(Value::Null, |one| {
                serde_json::to_value(one).unwrap_or_default()
            })
        };
        let prunes = |name: &str| existing.get(name).map_or(0, pruned);
        let mut rows = Vec::new();
        for invalid in &plan.invalid {
            rows.push(Row {
                name: invalid.name.clone(),
                action: Action::Invalid,
                why: invalid.message.clone(),
                fields: Vec::new(),
                prunes: 0,
            });
        }
        for name in &plan.held {
            rows.push(Row {
                name: name.clone(),
                action: Action::Held,
                why: "nothing gives it any more".to_owned(),
                fields: Vec::new(),
                prunes: prunes(name),
            });
        }
        for change in &plan.changes {
            let (action, fields, prunes) = match &change.verb {
                Verb::Create(object) => (Action::Create, main_fields(object), 0),
                Verb::Update(patch) => {
                    let mut fields = Vec::new();
                    compare("", &value(&change.name), patch, &mut fields);
                    (Action::Change, fields, 0)
                }
                Verb::Delete => (Action::Delete, Vec::new(), prunes(&change.name)),
                Verb::Keep => (Action::Keep, Vec::new(), 0),
            };
            rows.push(Row {
                name: change.name.clone(),
                action,
                why: change.why.clone(),
                fields,
                prunes,
            });
        }
        rows.sort_by(|one, other| (one.action, &one.name).cmp(&(other.action, &other.name)));
        Self {
            applications: rows,
            held: plan.held_why.clone(),
            warnings,
        }
    }

    /// How many there are of an action.
    pub fn count(&self, action: Action) -> usize {
        let rows = self.applications.iter();
        rows.filter(|row| row.action == action).count()
    }

    /// Whether anything would be done, or is wrong.
    pub fn is_different(&self) -> bool {
        self.applications
            .iter()
            .any(|row| row.action != Action::Keep)
    }
}

/// How many objects go when an Application is deleted: what it delivered, if it deletes that at all.
fn pruned(application: &Application) -> usize {
    let finalizers = application.metadata.finalizers.iter().flatten();
    let mut finalizers = finalizers.map(String::as_str);
    if !finalizers.any(|one| one.starts_with(finalizer::RESOURCES)) {
        return 0;
    }
    let status = application.status.iter();
    status.map(|status| status.resources.len()).sum()
}

/// What a new Application delivers, and where to.
fn main_fields(object: &Value) -> Vec<Field> {
    let mut fields = Vec::new();
    let mut add = |path: String, value: &Value| {
        if !value.is_null() && value != "" {
            fields.push(Field {
                path,
                before: None,
                after: Some(value.clone()),
            });
        }
    };
    let spec = &object["spec"];
    add("spec.project".to_owned(), &spec["project"]);
    let single = [("spec.source".to_owned(), &spec["source"])];
    let several = spec["sources"].as_array().into_iter().flatten();
    let several = several
        .enumerate()
        .map(|(index, source)| (format!("spec.sources[{index}]"), source));
    for (path, source) in single.into_iter().chain(several) {
        for key in ["repoURL", "path", "chart", "targetRevision"] {
            add(format!("{path}.{key}"), &source[key]);
        }
    }
    for key in ["name", "server", "namespace"] {
        add(format!("spec.destination.{key}"), &spec["destination"][key]);
    }
    fields
}

/// The fields that a merge patch changes.
fn compare(place: &str, before: &Value, patch: &Value, fields: &mut Vec<Field>) {
    match (before, patch) {
        (_, Value::Object(patch)) if !patch.is_empty() && !matches!(before, Value::Array(_)) => {
            let none = Map::new();
            let before = before.as_object().unwrap_or(&none);
            for (key, patch) in patch {
                let place = joined(place, key);
                let before = before.get(key).unwrap_or(&Value::Null);
                compare(&place, before, patch, fields);
            }
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            // A list is replaced as a whole; what is the same in it is not shown.
            for (index, (before, after)) in before.iter().zip(after).enumerate() {
                differences(&format!("{place}[{index}]"), before, after, fields);
            }
        }
        (before, after) if before != after => fields.push(Field {
            path: place.to_owned(),
            before: Some(before.clone()).filter(|value| !value.is_null()),
            after: Some(after.clone()).filter(|value| !value.is_null()),
        }),
        _ => {}
    }
}

/// The fields in which two values differ.
fn differences(place: &str, before: &Value, after: &Value, fields: &mut Vec<Field>) {
    if let (Value::Object(one), Value::Object(other)) = (before, after) {
        let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
        for key in keys {
            let get = |map: &Map<String, Value>| map.get(key).cloned().unwrap_or_default();
            differences(&joined(place, key), &get(one), &get(other), fields);
        }
    } else {
        let patch = after.clone();
        compare(place, before, &patch, fields);
    }
}

fn joined(place: &str, key: &str) -> String {
    let is_plain = key
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
    match (place.is_empty(), is_plain) {
        (true, _) => key.to_owned(),
        (false, true) => format!("{place}.{key}"),
        (false, false) => format!("{place}[{key:?}]"),
    }
}

#[cfg(test)]
mod tests {
    use gitops_core::applicationset::{Change, Invalid};
    use serde_json::json;

    use super::*;

    fn change(name: &str, verb: Verb) -> Change {
        Change {
            name: name.into(),
            verb,
            why: "because".into(),
        }
    }

    fn application(name: &str, finalizers: &[&str]) -> Application {
        serde_json::from_value(json!({
            "metadata": {"name": name, "finalizers": finalizers, "labels": {"a.b/c": "1"}},
            "spec": {
                "project": "default", "destination": {"namespace": "shop"},
                "sources": [{"repoURL": "r", "targetRevision": "v1"}, {"repoURL": "s"}],
            },
            "status": {"resources": [{"kind": "A", "name": "a"}, {"kind": "B", "name": "b"}]},
        }))
        .unwrap()
    }

    #[test]
    fn what_is_wrong_comes_first_and_each_says_what_would_change() {
        let patch = json!({
            "metadata": {"labels": {"a.b/c": null, "d": "2"}},
            "spec": {"sources": [{"repoURL": "r", "targetRevision": "v2"}, {"repoURL": "s"}], "project": "shop"},
        });
        let created = json!({"spec": {
            "project": "default", "source": {"repoURL": "r", "path": "p"}, "destination": {"name": "c", "namespace": "n"},
        }});
        let plan = Plan {
            changes: vec![
                change("same", Verb::Keep),
                change("new", Verb::Create(created)),
                change("changed", Verb::Update(patch)),
                change("old", Verb::Delete),
                change("orphan", Verb::Delete),
            ],
            invalid: vec![Invalid {
                name: "Bad_Name".into(),
                reason: "ApplicationValidationError",
                message: "no name".into(),
            }],
            held: vec!["many".into()],
            held_why: "3 of 4 would be deleted".into(),
            ..Plan::default()
        };
        let deletes = ["resources-finalizer.argocd.argoproj.io"];
        let existing = ["changed", "old", "orphan", "many"].map(|name| {
            let finalizers: &[&str] = if matches!(name, "old" | "many") {
                &deletes
            } else {
                &[]
            };
            Box::new(application(name, finalizers))
        });
        let existing = existing
            .into_iter()
            .map(|one| (one.metadata.name.clone().unwrap(), *one));
        let existing = existing.collect();
        let preview = Preview::of(&plan, &existing, Vec::new());
        let shown: Vec<_> = preview
            .applications
            .iter()
            .map(|row| (row.name.as_str(), row.action, row.prunes))
            .collect();
        assert_eq!(
            shown,
            [
                ("Bad_Name", Action::Invalid, 0),
                ("many", Action::Held, 2),
                ("old", Action::Delete, 2),
                ("orphan", Action::Delete, 0),
                ("changed", Action::Change, 0),
                ("new", Action::Create, 0),
                ("same", Action::Keep, 0),
            ]
        );
        let fields = |index: usize| -> Vec<String> {
            let fields = preview.applications[index].fields.iter();
            let shown = |value: &Option<Value>| value.clone().map_or("-".into(), |v| v.to_string());
            fields
                .map(|one| format!("{} {} {}", one.path, shown(&one.before), shown(&one.after)))
                .collect()
        };
        assert_eq!(
            fields(4),
            [
                "metadata.labels[\"a.b/c\"] \"1\" -",
                "metadata.labels.d - \"2\"",
                "spec.project \"default\" \"shop\"",
                "spec.sources[0].targetRevision \"v1\" \"v2\"",
            ]
        );
        assert_eq!(
            fields(5),
            [
                "spec.project - \"default\"",
                "spec.source.repoURL - \"r\"",
                "spec.source.path - \"p\"",
                "spec.destination.name - \"c\"",
                "spec.destination.namespace - \"n\"",
            ]
        );
        assert!(preview.is_different());
        assert_eq!(preview.count(Action::Delete), 2);
        let same = Plan {
            changes: vec![change("same", Verb::Keep)],
            ..Plan::default()
        };
        assert!(!Preview::of(&same, &existing, Vec::new()).is_different());
    }
}
