//! The walk through an object, or through two at once, that hides secret values.
//!
//! Two objects are masked so that equal values look equal and different values look different
//! ([`BEFORE`], [`AFTER`]): whoever compares the masked ones finds a difference exactly where there
//! is one.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gitops_api::constants::annotation::LAST_APPLIED;
use serde_json::{Map, Value};

use super::embedded::Document;
use super::output::{is_telling_flag, mask_written};
use super::shown::{Masked, MaskedChange};
use super::{AFTER, BEFORE, PLACEHOLDER, is_secret_kind, mask_text, names};
use crate::compare::diff;

/// Fields of a Secret that hold values.
const VALUE_FIELDS: [&str; 2] = ["data", "stringData"];
/// Documents inside strings of documents inside strings that are looked into.
const MAX_EMBEDDED: usize = 4;

/// What is hidden of objects: secret values, and the annotations an installation names besides.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mask {
    annotations: Arc<[String]>,
}

/// One value on both sides of a comparison; `None`: it is not there.
type Sides<'a> = [Option<&'a Value>; 2];

impl Mask {
    /// Hides these annotations too: `resource.sensitive.mask.annotations` of argocd-cm.
    pub fn new(annotations: impl IntoIterator<Item = String>) -> Self {
        Self {
            annotations: annotations.into_iter().collect(),
        }
    }

    /// An object without secret values.
    pub fn object(&self, object: &Value) -> Masked {
        let [masked, _] = Walk::new(self).both([Some(object), None], &Place::default());
        Masked::new(masked.unwrap_or(Value::Null))
    }

    /// Both sides of a comparison without secret values. `None` stands for an object that does not
    /// exist.
    pub fn pair(
        &self,
        old: Option<&Value>,
        new: Option<&Value>,
    ) -> (Option<Masked>, Option<Masked>) {
        let [old, new] = Walk::new(self).both([old, new], &Place::default());
        (old.map(Masked::new), new.map(Masked::new))
    }

    /// Every field in which two objects differ, without secret values. Masked before they are
    /// compared, so that no path, no part of a map and no list key can carry a value out.
    pub fn changes(&self, left: &Value, right: &Value) -> Vec<MaskedChange> {
        let [Some(left), Some(right)] =
            Walk::new(self).both([Some(left), Some(right)], &Place::default())
        else {
            return Vec::new();
        };
        let changes = diff::fields(&left, &right).into_iter();
        changes
            .map(|change| MaskedChange {
                path: change.path,
                left: change.left.map(Masked::new),
                right: change.right.map(Masked::new),
            })
            .collect()
    }

    /// What somebody says about an object, without the values that are hidden in it: an API server
    /// or a webhook may quote what it refuses.
    pub fn message(&self, text: &str, object: &Value) -> String {
        let mut walk = Walk::new(self);
        walk.both([Some(object), None], &Place::default());
        mask_text(text, &walk.hidden)
    }
}

/// What becomes of a value, by where it is.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Treatment {
    /// It is looked into.
    #[default]
    Open,
    /// Text and numbers are hidden, the rest is looked into: `token: x`, but not `token: {...}` nor
    /// `automountServiceAccountToken: true`.
    Scalars,
    /// Each entry is hidden; what is no map is hidden whole.
    Entries,
    /// It is hidden.
    Whole,
}

/// Where a value is.
#[derive(Clone, Copy, Default)]
struct Place<'a> {
    treatment: Treatment,
    /// A map is a Secret, whatever its kind says.
    is_secret: bool,
    /// Elements of a list are Secrets.
    of_secrets: bool,
    /// Inside an object of a kind that holds secrets.
    in_secret_kind: bool,
    /// `metadata`.
    is_metadata: bool,
    /// `metadata.annotations`.
    is_annotations: bool,
    /// The last-applied manifest of a Secret.
    is_last_applied_secret: bool,
    /// Name of the field, for the elements of a list.
    name: &'a str,
    /// How many strings it is inside of.
    embedded: usize,
}

struct Walk<'m> {
    mask: &'m Mask,
    /// What was hidden, as it is written and decoded.
    hidden: Vec<String>,
}

impl<'m> Walk<'m> {
    fn new(mask: &'m Mask) -> Self {
        Self {
            mask,
            hidden: Vec::new(),
        }
    }

    /// Both sides masked. Differs exactly when the sides do.
    fn both(&mut self, sides: Sides<'_>, place: &Place<'_>) -> [Option<Value>; 2] {
        let mut masked = match (place.treatment, sides) {
            (Treatment::Whole, _) => sides.map(|side| Some(self.hide(side?))),
            (treatment, [Some(Value::Object(old)), Some(Value::Object(new))]) => {
                self.maps([Some(old), Some(new)], treatment, place)
            }
            (treatment, [Some(Value::Object(map)), None]) => {
                self.maps([Some(map), None], treatment, place)
            }
            (treatment, [None, Some(Value::Object(map))]) => {
                self.maps([None, Some(map)], treatment, place)
            }
            // A Secret with anything else than a map: invalid, and not to be shown either.
            (Treatment::Entries, _) => sides.map(|side| match side? {
                Value::Null => Some(Value::Null),
                Value::Object(map) => {
                    let [masked, _] = self.maps([Some(map), None], Treatment::Entries, place);
                    masked
                }
                other => Some(self.hide(other)),
            }),
            (_, [Some(Value::Array(old)), Some(Value::Array(new))]) => {
                self.lists([Some(old), Some(new)], place)
            }
            (_, [Some(Value::Array(list)), None]) => self.lists([Some(list), None], place),
            (_, [None, Some(Value::Array(list))]) => self.lists([None, Some(list)], place),
            (Treatment::Scalars, _) => sides.map(|side| match side? {
                value @ (Value::String(_) | Value::Number(_)) => Some(self.hide(value)),
                value @ (Value::Object(_) | Value::Array(_)) => self.alone(value, place),
                value @ (Value::Null | Value::Bool(_)) => Some(value.clone()),
            }),
            (_, [Some(Value::String(old)), Some(Value::String(new))]) => {
                self.texts([Some(old), Some(new)], place)
            }
            (_, [Some(Value::String(text)), None]) => self.texts([Some(text), None], place),
            (_, [None, Some(Value::String(text))]) => self.texts([None, Some(text)], place),
            (_, [Some(_), Some(_)]) => sides.map(|side| self.alone(side?, place)),
            (_, sides) => sides.map(Option::<&Value>::cloned),
        };
        if let ([Some(old), Some(new)], [Some(shown_old), Some(shown_new)]) = (sides, &mut masked)
            && old != new
            && shown_old == shown_new
        {
            tell_apart([old, new], [shown_old, shown_new]);
        }
        masked
    }

    /// A value that is of another type than the other side's.
    fn alone(&mut self, value: &Value, place: &Place<'_>) -> Option<Value> {
        let [masked, _] = self.both([Some(value), None], place);
        masked
    }

    fn hide(&mut self, value: &Value) -> Value {
        match value {
            Value::String(text) => {
                let decoded = STANDARD.decode(text).ok();
                self.hidden
                    .extend(decoded.and_then(|bytes| String::from_utf8(bytes).ok()));
                self.hidden.push(text.clone());
            }
            Value::Number(number) => self.hidden.push(number.to_string()),
            Value::Array(list) => list.iter().for_each(|value| drop(self.hide(value))),
            Value::Object(map) => map.values().for_each(|value| drop(self.hide(value))),
            Value::Null | Value::Bool(_) => {}
        }
        PLACEHOLDER.into()
    }

    fn maps(
        &mut self,
        sides: [Option<&Map<String, Value>>; 2],
        treatment: Treatment,
        place: &Place<'_>,
    ) -> [Option<Value>; 2] {
        let text = |name: &str| {
            let found = sides.into_iter().flatten();
            found
                .filter_map(|map| map.get(name)?.as_str())
                .collect::<Vec<_>>()
        };
        let kinds = text("kind");
        let is_secret = place.is_secret || kinds.contains(&"Secret");
        let around = Around {
            is_secret,
            in_secret_kind: place.in_secret_kind
                || is_secret
                || kinds.iter().any(|kind| is_secret_kind(kind)),
            is_secret_list: kinds.contains(&"SecretList"),
            is_named_secret: ["name", "key"]
                .iter()
                .any(|field| text(field).into_iter().any(names::of_field)),
        };
        let mut masked = sides.map(|side| side.map(|_| Map::new()));
        let all: BTreeSet<&String> = sides.into_iter().flatten().flat_map(Map::keys).collect();
        for name in all {
            let values = sides.map(|map| map?.get(name));
            let inner = if treatment == Treatment::Entries {
                Place {
                    treatment: Treatment::Whole,
                    ..Place::default()
                }
            } else {
                self.place_of(name, values, &around, place)
            };
            let values = self.both(values, &inner);
            for (map, value) in masked.iter_mut().zip(values) {
                if let (Some(map), Some(value)) = (map, value) {
                    map.insert(name.clone(), value);
                }
            }
        }
        masked.map(|map| map.map(Value::Object))
    }

    fn place_of<'n>(
        &self,
        name: &'n str,
        values: Sides<'_>,
        around: &Around,
        place: &Place<'_>,
    ) -> Place<'n> {
        let holds_values = VALUE_FIELDS.contains(&name)
            && (around.is_secret
                || (around.in_secret_kind
                    && values.iter().flatten().any(|value| !value.is_array())));
        let is_named = place.is_annotations && self.mask.annotations.iter().any(|n| n == name);
        let is_last_applied = place.is_annotations && name == LAST_APPLIED;
        let treatment = if is_named {
            Treatment::Whole
        } else if holds_values {
            Treatment::Entries
        } else if (name == "value" && around.is_named_secret) || names::of_field(name) {
            Treatment::Scalars
        } else {
            Treatment::Open
        };
        Place {
            treatment,
            is_secret: false,
            of_secrets: around.is_secret_list && name == "items",
            in_secret_kind: around.in_secret_kind,
            is_metadata: name == "metadata",
            is_annotations: place.is_metadata && name == "annotations",
            is_last_applied_secret: is_last_applied && around.in_secret_kind,
            name,
            embedded: place.embedded,
        }
    }

    fn lists(&mut self, sides: [Option<&Vec<Value>>; 2], place: &Place<'_>) -> [Option<Value>; 2] {
        let inner = Place {
            treatment: if names::of_list(place.name) {
                Treatment::Scalars
            } else {
                Treatment::Open
            },
            is_secret: place.of_secrets,
            of_secrets: false,
            is_metadata: false,
            is_annotations: false,
            ..*place
        };
        let [old, new] = sides.map(|side| side.map_or(&[][..], Vec::as_slice));
        let key = match sides {
            [Some(_), Some(_)] => diff::merge_key(old, new),
            _ => None,
        };
        let after_flag = |list: &[Value], at: Option<usize>| {
            let before = at.and_then(|at| list.get(at.checked_sub(1)?));
            before.and_then(Value::as_str).is_some_and(is_telling_flag)
        };
        let place = |at: Option<usize>, other: Option<usize>| Place {
            treatment: if after_flag(old, at) || after_flag(new, other) {
                Treatment::Scalars
            } else {
                inner.treatment
            },
            ..inner
        };
        let mut masked = [vec![Value::Null; old.len()], vec![Value::Null; new.len()]];
        let mut taken = vec![false; new.len()];
        for (index, item) in old.iter().enumerate() {
            let other = match key {
                Some(key) => new.iter().position(|other| other.get(key) == item.get(key)),
                None => (index < new.len()).then_some(index),
            };
            let place = place(Some(index), other);
            let [ours, theirs] = self.both([Some(item), other.map(|at| &new[at])], &place);
            masked[0][index] = ours.unwrap_or_default();
            if let (Some(at), Some(theirs)) = (other, theirs) {
                taken[at] = true;
                masked[1][at] = theirs;
            }
        }
        for (index, item) in new.iter().enumerate().filter(|(index, _)| !taken[*index]) {
            let [_, theirs] = self.both([None, Some(item)], &place(None, Some(index)));
            masked[1][index] = theirs.unwrap_or_default();
        }
        let [old, new] = masked;
        [
            sides[0].map(|_| Value::from(old)),
            sides[1].map(|_| Value::from(new)),
        ]
    }

    fn texts(&mut self, sides: [Option<&String>; 2], place: &Place<'_>) -> [Option<Value>; 2] {
        if let Some(masked) = self.documents(sides, place) {
            return masked;
        }
        let masked = sides.map(|side| {
            let text = side?;
            if place.is_last_applied_secret {
                // What cannot be read as a manifest may be a part of one.
                return Some(PLACEHOLDER.to_owned());
            }
            Some(mask_written(text))
        });
        masked.map(|text| text.map(Value::from))
    }

    /// Strings that hold documents, when anything is hidden in them: written anew on both sides, so
    /// that they differ in nothing but what differs.
    fn documents(
        &mut self,
        sides: [Option<&String>; 2],
        place: &Place<'_>,
    ) -> Option<[Option<Value>; 2]> {
        let documents = sides.map(|side| side.and_then(|text| Document::read(text)));
        let is_read = |index: usize| sides[index].is_none() || documents[index].is_some();
        if !(is_read(0) && is_read(1)) {
            // One that is plain text, and one that is not: they are told apart by any value.
            let is_one = documents.iter().any(Option::is_some);
            return (is_one && sides.iter().all(Option::is_some)).then(|| {
                let alone = |walk: &mut Self, index: usize| {
                    let [masked, _] = walk.texts([sides[index], None], place);
                    masked
                };
                [alone(self, 0), alone(self, 1)]
            });
        }
        if place.embedded >= MAX_EMBEDDED {
            return Some(sides.map(|side| side.map(|_| PLACEHOLDER.into())));
        }
        let values =
            [&documents[0], &documents[1]].map(|document| Some(document.as_ref()?.values()));
        let inner = Place {
            of_secrets: place.is_last_applied_secret,
            embedded: place.embedded + 1,
            ..Place::default()
        };
        let masked = self.both([values[0].as_ref(), values[1].as_ref()], &inner);
        if masked == values && !place.is_last_applied_secret {
            return None;
        }
        let written = |index: usize| {
            let document = documents[index].as_ref()?;
            let text = masked[index]
                .as_ref()
                .and_then(|value| document.write(value));
            Some(Value::from(text.unwrap_or_else(|| PLACEHOLDER.into())))
        };
        Some([written(0), written(1)])
    }
}

/// What a map says about its entries.
struct Around {
    is_secret: bool,
    in_secret_kind: bool,
    is_secret_list: bool,
    /// It has a telling `name` or `key`: what its `value` is follows from that.
    is_named_secret: bool,
}

/// Makes two values that were masked to the same look different.
fn tell_apart(values: [&Value; 2], shown: [&mut Value; 2]) {
    let [old, new] = shown;
    let text = old.as_str().unwrap_or_default().to_owned();
    let lines: Vec<&str> = text.lines().collect();
    let [before, after] = values.map(|value| {
        let text = value.as_str().unwrap_or_default();
        text.lines().collect::<Vec<_>>()
    });
    // Line by line where masking kept the lines: what differs is marked, and nothing else.
    let by_line = before.len() == lines.len() && after.len() == lines.len();
    let told_with = |sign: &str| {
        let line = |(number, line): (usize, &&str)| {
            if by_line && before[number] == after[number] {
                (*line).to_owned()
            } else {
                line.replace(PLACEHOLDER, sign)
            }
        };
        let told: Vec<String> = lines.iter().enumerate().map(line).collect();
        told.join("\n")
    };
    let (before, after) = (told_with(BEFORE), told_with(AFTER));
    if before == after {
        *old = BEFORE.into();
        *new = AFTER.into();
    } else {
        *old = before.into();
        *new = after.into();
    }
}

#[cfg(test)]
mod tests;
