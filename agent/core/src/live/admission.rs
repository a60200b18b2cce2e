//! Values that Git states and that admission made others of on their way in.
//!
//! Decides from what was applied and what the API server made of it. Applying again would change
//! nothing, so this is no drift and is not healed: it is said. Never takes another way of writing
//! the same value for a change, nor what admission added or left out.

use std::fmt;
use std::net::IpAddr;

use jiff::Timestamp;
use serde_json::Value;

use crate::compare::field::DriftedField;
use crate::compare::path::{Path, Segment};
use crate::compare::{diff, drift};
use crate::manifest::desired::DesiredObject;
use crate::{duration, listing};

/// Most fields that are named.
const NAMED: usize = 3;

/// What admission changed on an object, and who may have done it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MutatedByAdmission {
    /// Each field with both values, masked.
    pub fields: Vec<String>,
    /// Webhooks that are asked about objects of the kind.
    pub by: Vec<String>,
}

/// Whether admission left an object as Git states it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Admission {
    /// Not known: ownership alone was looked at.
    #[default]
    Unknown,
    /// It did.
    Kept,
    /// It did not.
    MutatedByAdmission(Box<MutatedByAdmission>),
}

impl From<MutatedByAdmission> for Admission {
    fn from(mutated_by_admission: MutatedByAdmission) -> Self {
        if mutated_by_admission.fields.is_empty() {
            Self::Kept
        } else {
            Self::MutatedByAdmission(Box::new(mutated_by_admission))
        }
    }
}

impl fmt::Display for MutatedByAdmission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = listing::shortened(&self.fields, NAMED, "; ");
        write!(f, "admission overrules Git: {fields}")?;
        if self.by.is_empty() {
            write!(f, "; check admission webhooks and policies")?;
        } else {
            write!(f, "; webhooks matching this kind: {}", self.by.join(", "))?;
        }
        write!(f, "; change that, or write its value into Git")
    }
}

/// The fields of an object whose value in the API server's answer is not the one that was sent.
pub fn fields(sent: &Value, answer: &Value, desired: &DesiredObject) -> Vec<String> {
    let mut found = Vec::new();
    for (name, value) in sent.as_object().into_iter().flatten() {
        let path = Path::from_fields(&[name]);
        match (name.as_str(), answer.get(name)) {
            ("metadata", Some(answer)) => {
                for map in ["labels", "annotations"] {
                    if let (Some(sent), Some(answer)) = (value.get(map), answer.get(map)) {
                        walk(
                            &path.child(Segment::Field(map.into())),
                            sent,
                            answer,
                            &mut found,
                        );
                    }
                }
            }
            ("apiVersion" | "kind" | "status", _) | (_, None) => {}
            (_, Some(answer)) => walk(&path, value, answer, &mut found),
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    if let Some(rules) = desired.ignore.as_deref() {
        let counted = (rules.stripped(sent), rules.stripped(answer));
        let mut rest = Vec::new();
        for (name, value) in counted.0.as_object().into_iter().flatten() {
            if let Some(answer) = counted.1.get(name) {
                walk(&Path::from_fields(&[name]), value, answer, &mut rest);
            }
        }
        found.retain(|path| rest.contains(path));
    }
    let (Some(sent), Some(answer)) = desired.mask.pair(Some(sent), Some(answer)) else {
        return Vec::new();
    };
    found
        .iter()
        .map(|path| {
            let ((path, sent), (_, answer)) = (sent.at(path), answer.at(path));
            drift::describe(&DriftedField {
                path,
                desired: Some(sent.shown(drift::LONGEST_VALUE)),
                live: Some(answer.shown(drift::LONGEST_VALUE)),
                manager: None,
                since: None,
            })
        })
        .collect()
}

/// Paths to the values that are not what was sent.
fn walk(path: &Path, sent: &Value, answer: &Value, found: &mut Vec<Path>) {
    match (sent, answer) {
        (Value::Object(sent), Value::Object(answer)) => {
            for (name, value) in sent {
                if let Some(answer) = answer.get(name) {
                    walk(
                        &path.child(Segment::Field(name.clone())),
                        value,
                        answer,
                        found,
                    );
                }
            }
        }
        (Value::Array(sent), Value::Array(answer)) => walk_list(path, sent, answer, found),
        _ if is_same(sent, answer) => {}
        _ => found.push(path.clone()),
    }
}

/// Elements are the same when their merge keys are. Without merge keys one that is there somewhere
/// is unchanged, whatever its place; and where their number is not the same, nothing tells which
/// became which.
fn walk_list(path: &Path, sent: &[Value], answer: &[Value], found: &mut Vec<Path>) {
    if let Some(key) = diff::merge_key(sent, answer) {
        for item in sent {
            if let Some(other) = answer.iter().find(|other| other.get(key) == item.get(key)) {
                let segment = Segment::Key(key.into(), item[key].clone());
                walk(&path.child(segment), item, other, found);
            }
        }
    } else if sent.len() == answer.len() {
        for (index, (item, other)) in sent.iter().zip(answer).enumerate() {
            let mut changes = Vec::new();
            walk(
                &path.child(Segment::Index(index)),
                item,
                other,
                &mut changes,
            );
            let is_elsewhere = |other: &Value| {
                let mut changes = Vec::new();
                walk(path, item, other, &mut changes);
                changes.is_empty()
            };
            if !changes.is_empty() && !answer.iter().any(is_elsewhere) {
                found.append(&mut changes);
            }
        }
    }
}

/// Whether two values say the same, written differently: the API server writes quantities,
/// durations, times and addresses its own way, and defaults what is empty.
fn is_same(sent: &Value, answer: &Value) -> bool {
    match (sent, answer) {
        (Value::Null, _) => true,
        (Value::String(sent), _) if sent.is_empty() => true,
        (Value::String(sent), Value::String(answer)) => is_same_text(sent, answer),
        (Value::Number(sent), Value::Number(answer)) => sent.as_f64() == answer.as_f64(),
        (Value::String(text), other) | (other, Value::String(text)) => {
            is_same_text(text, &other.to_string())
        }
        _ => sent == answer || is_container(sent) || is_container(answer),
    }
}

fn is_container(value: &Value) -> bool {
    value.is_object() || value.is_array()
}

fn is_same_text(a: &str, b: &str) -> bool {
    fn both<T: PartialEq>(a: &str, b: &str, read: impl Fn(&str) -> Option<T>) -> bool {
        read(a).is_some_and(|value| read(b) == Some(value))
    }
    // Base64 may be broken into lines.
    let compact = |text: &'_ str| -> String { text.split_whitespace().collect() };
    a == b
        || compact(a).eq_ignore_ascii_case(&compact(b))
        || both(a, b, |text| text.parse::<Timestamp>().ok())
        || both(a, b, |text| text.parse::<IpAddr>().ok())
        || both(a, b, |text| duration::parse(text).ok())
        || quantity(a)
            .zip(quantity(b))
            .is_some_and(|(a, b)| (a - b).abs() <= 1e-9 * a.abs().max(b.abs()))
}

/// A quantity as a number:
/// <https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/>.
fn quantity(text: &str) -> Option<f64> {
    const SUFFIXES: [(&str, f64); 15] = [
        ("Ki", 1024.0),
        ("Mi", 1_048_576.0),
        ("Gi", 1_073_741_824.0),
        ("Ti", 1_099_511_627_776.0),
        ("Pi", 1_125_899_906_842_624.0),
        ("Ei", 1_152_921_504_606_846_976.0),
        ("n", 1e-9),
        ("u", 1e-6),
        ("m", 1e-3),
        ("k", 1e3),
        ("M", 1e6),
        ("G", 1e9),
        ("T", 1e12),
        ("P", 1e15),
        ("E", 1e18),
    ];
    let (number, factor) = SUFFIXES
        .iter()
        .find_map(|(suffix, factor)| Some((text.strip_suffix(suffix)?, *factor)))
        .unwrap_or((text, 1.0));
    let begins = |c: char| c.is_ascii_digit() || matches!(c, '.' | '+' | '-');
    let number = number.strip_prefix(begins).and(Some(number))?;
    Some(number.parse::<f64>().ok()? * factor)
}

/// The webhooks among `MutatingWebhookConfiguration`s that are asked about a resource.
pub fn suspects<'a>(
    configurations: impl IntoIterator<Item = &'a Value>,
    (group, version, resource): (&str, &str, &str),
    namespace: &str,
) -> Vec<String> {
    let names = |rule: &Value, field: &str, name: &str| {
        let list = rule[field].as_array();
        list.is_some_and(|list| list.iter().any(|item| item == name || item == "*"))
    };
    let mut found = Vec::new();
    for configuration in configurations {
        let name = configuration["metadata"]["name"]
            .as_str()
            .unwrap_or_default();
        for webhook in configuration["webhooks"].as_array().into_iter().flatten() {
            let asked = webhook["rules"]
                .as_array()
                .into_iter()
                .flatten()
                .any(|rule| {
                    names(rule, "apiGroups", group)
                        && names(rule, "apiVersions", version)
                        && (names(rule, "resources", resource) || names(rule, "resources", "*/*"))
                });
            let only = &webhook["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"];
            if asked && only.as_str().is_none_or(|only| only == namespace) {
                let own = webhook["name"].as_str().unwrap_or_default();
                found.push(format!(
                    "webhook {own} of MutatingWebhookConfiguration {name}"
                ));
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::manifest::desired::{Context, Manifest, Scope, prepare};
    use crate::manifest::object::Origin;

    fn changes(sent: &Value, answer: &Value) -> Vec<String> {
        let context = Context {
            instance: "shop",
            destination_namespace: "n",
            managed_by: "argocd",
            tracking: None,
        };
        let manifest = Manifest {
            value: sent.clone(),
            origin: Origin::default(),
        };
        let prepared = prepare(vec![manifest], context, |_| Some(Scope::Namespaced)).unwrap();
        fields(sent, answer, prepared.objects.values().next().unwrap())
    }

    #[test]
    fn another_value_counts_and_another_way_to_write_it_does_not() {
        let object = |spec: Value| {
            json!({"apiVersion": "example.com/v1", "kind": "Thing",
                "metadata": {"name": "a", "labels": {"team": "a"}}, "spec": spec})
        };
        let same = [
            (json!({"cpu": "1000m"}), json!({"cpu": "1"})),
            (json!({"cpu": 0.5}), json!({"cpu": "500m"})),
            (json!({"memory": "1024Mi"}), json!({"memory": "1Gi"})),
            (json!({"wait": "90s"}), json!({"wait": "1m30s"})),
            (
                json!({"at": "2026-01-02T03:04:05+00:00"}),
                json!({"at": "2026-01-02T03:04:05Z"}),
            ),
            (json!({"ip": "::0001"}), json!({"ip": "::1"})),
            (json!({"protocol": ""}), json!({"protocol": "TCP"})),
            (json!({"port": "80"}), json!({"port": 80})),
            (json!({"a": null, "b": 1}), json!({"a": 5, "b": 1, "c": 7})),
            (
                json!({"c": [{"name": "a"}]}),
                json!({"c": [{"name": "sidecar"}, {"name": "a", "image": "x"}]}),
            ),
            (json!({"args": ["a"]}), json!({"args": ["a", "b"]})),
            (json!({"args": ["a", "b"]}), json!({"args": ["b", "a"]})),
            (json!({"data": "YWJj\nZGVm\n"}), json!({"data": "YWJjZGVm"})),
            (
                json!({"p": [{"port": 53, "by": "TCP"}, {"port": 53, "by": "UDP"}]}),
                json!({"p": [{"port": 53, "by": "UDP", "node": 1}, {"port": 53, "by": "TCP"}]}),
            ),
        ];
        for (sent, answer) in same {
            let found = changes(&object(sent.clone()), &object(answer.clone()));
            assert!(found.is_empty(), "{sent} {answer}: {found:?}");
        }
        let other = [
            (
                json!({"cpu": "1"}),
                json!({"cpu": "2"}),
                r#".spec.cpu is "2" instead of "1""#,
            ),
            (
                json!({"args": ["a", "b"]}),
                json!({"args": ["a", "c"]}),
                r#".spec.args[1] is "c" instead of "b""#,
            ),
            (
                json!({"on": true}),
                json!({"on": false}),
                ".spec.on is false instead of true",
            ),
            (
                json!({"c": [{"name": "a", "image": "x:1"}]}),
                json!({"c": [{"name": "b"}, {"name": "a", "image": "mirror/x:1"}]}),
                r#".spec.c[name=a].image is "mirror/x:1" instead of "x:1""#,
            ),
        ];
        for (sent, answer, expected) in other {
            assert_eq!(changes(&object(sent), &object(answer)), [expected]);
        }
        let mut answer = object(json!({}));
        answer["metadata"]["labels"]["team"] = json!("b");
        answer["metadata"]["resourceVersion"] = json!("9");
        let labels = changes(&object(json!({})), &answer);
        assert_eq!(labels, [r#".metadata.labels.team is "b" instead of "a""#]);
    }

    #[test]
    fn values_of_secrets_are_not_shown() {
        let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": value}});
        let found = changes(&secret("aHVudGVyMg=="), &secret("c3dvcmRmaXNo"));
        let text = MutatedByAdmission {
            fields: found,
            by: vec![],
        }
        .to_string();
        assert!(text.contains(".data.k"), "{text}");
        assert!(
            !text.contains("aHVudGVyMg") && !text.contains("c3dvcmRmaXNo"),
            "{text}"
        );
    }

    #[test]
    fn webhooks_that_are_asked_are_named() {
        let configuration = |namespace: &str, groups: Value, resources: Value| {
            json!({"metadata": {"name": "policy"}, "webhooks": [{"name": "w.test",
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
                "rules": [{"apiGroups": groups, "apiVersions": ["v1"], "resources": resources}]}]})
        };
        let by = |configuration: &Value| suspects([configuration], ("", "v1", "configmaps"), "n");
        let named = ["webhook w.test of MutatingWebhookConfiguration policy"];
        assert_eq!(
            by(&configuration("n", json!([""]), json!(["configmaps"]))),
            named
        );
        assert_eq!(by(&configuration("n", json!(["*"]), json!(["*/*"]))), named);
        let none: [&str; 0] = [];
        assert_eq!(
            by(&configuration("m", json!([""]), json!(["configmaps"]))),
            none
        );
        assert_eq!(by(&configuration("n", json!(["apps"]), json!(["*"]))), none);
        assert_eq!(by(&json!({"webhooks": 3})), none);
    }
}
