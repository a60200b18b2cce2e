//! Fields that exclude each other: what has to go so that an object can be as Git has it.
//!
//! Server-side apply adds what Git names and removes only what the agent held before. Where the API
//! server allows one of several fields (the handlers of a probe, the sources of a volume, `value` and
//! `valueFrom`, `minAvailable` and `maxUnavailable`, a strategy and its parameters, `oneOf` and rules of
//! custom resources), the one that is there by default, by an edit or by another manager is then in the
//! way, and the API server refuses.
//!
//! Which fields exclude each other is in no schema that can be read, but the refusal names a field. So
//! this looks at the place it names, in the object and in the manifest, for fields that only the object
//! has. Whoever asks tries without them, and changes nothing unless the API server would then agree.
//!
//! Never proposes a field that Git sets, nor anything of the metadata.

use serde_json::{Map, Value, json};

use crate::compare::path::{Path, Segment};
use crate::compare::{diff, path};
use crate::live::ownership;

/// One cause of a refusal: the field it names, and its words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause {
    /// As the API server writes it: `spec.template.spec.containers[0].env[0].valueFrom`.
    pub field: String,
    /// Why.
    pub message: String,
}

/// What to try without, the narrowest first: each is a set of fields of the live object.
pub fn attempts(live: &Value, manifest: &Value, causes: &[Cause]) -> Vec<Vec<Path>> {
    let mut named = Vec::new();
    let mut alike = Vec::new();
    let mut all = Vec::new();
    for cause in causes {
        let found = names(cause);
        for place in places(live, manifest, &found) {
            let said = |extra: &&Extra| {
                found.last() == Some(&extra.name) || mentions(&cause.message, &extra.name)
            };
            let kind = found
                .last()
                .and_then(|name| place.manifest.get(name))
                .map(std::mem::discriminant);
            let same = |extra: &&Extra| kind == Some(std::mem::discriminant(&extra.value));
            let paths = |wanted: &dyn Fn(&&Extra) -> bool| -> Vec<Path> {
                let found = place.extras.iter().filter(wanted);
                found
                    .map(|extra| place.path.child(Segment::Field(extra.name.clone())))
                    .collect()
            };
            let (of_name, of_kind, every) = (paths(&said), paths(&same), paths(&|_| true));
            let narrow = if of_name.is_empty() { of_kind } else { of_name };
            alike.extend(if narrow.is_empty() {
                every.clone()
            } else {
                narrow.clone()
            });
            named.extend(narrow);
            all.extend(every);
        }
    }
    let mut attempts: Vec<Vec<Path>> = Vec::new();
    for mut paths in [named, alike, all] {
        dedup(&mut paths);
        if !paths.is_empty() && !attempts.contains(&paths) {
            attempts.push(paths);
        }
    }
    attempts
}

fn dedup(paths: &mut Vec<Path>) {
    let mut kept: Vec<Path> = Vec::with_capacity(paths.len());
    for path in paths.drain(..) {
        if !kept.contains(&path) {
            kept.push(path);
        }
    }
    *paths = kept;
}

/// The object as it would be without these fields and with what the manifest sets.
pub fn replaced(live: &Value, manifest: &Value, paths: &[Path]) -> Value {
    let mut object = live.clone();
    for path in paths {
        path.put(&mut object, None);
    }
    lay_over(&mut object, manifest);
    if let Some(root) = object.as_object_mut() {
        root.remove("status");
    }
    object
}

/// The list of `managedFields` in which `manager` holds these fields of a live object and nobody else
/// does: its next apply removes those it does not set. `None` when a field cannot be told from others.
pub fn held_alone(live: &Value, manager: &str, paths: &[Path]) -> Option<Value> {
    let list = live.pointer("/metadata/managedFields")?.as_array()?;
    let taken: Vec<Vec<String>> = paths
        .iter()
        .map(|path| keys(path, live, list))
        .collect::<Option<_>>()?;
    let mut result = list.clone();
    let is_own = |raw: &Value| {
        raw["manager"] == manager
            && raw["operation"] == "Apply"
            && raw["subresource"].as_str().unwrap_or_default().is_empty()
    };
    // An object that it never applied has none.
    if !result.iter().any(is_own) {
        result.insert(
            0,
            json!({"manager": manager, "operation": "Apply", "apiVersion": live["apiVersion"],
                "fieldsType": "FieldsV1", "fieldsV1": {}}),
        );
    }
    for raw in &mut result {
        let is_own = is_own(raw);
        for (path, keys) in paths.iter().zip(&taken) {
            if is_own {
                let value = at(live, path).map_or_else(|| json!({}), fields_of);
                put(&mut raw["fieldsV1"], keys, &value);
            } else {
                take(&mut raw["fieldsV1"], keys);
            }
        }
    }
    result.retain(|raw| {
        raw["fieldsV1"]
            .as_object()
            .is_none_or(|fields| !fields.is_empty())
    });
    Some(Value::Array(result))
}

/// A field that only the live object has.
struct Extra {
    name: String,
    value: Value,
}

/// A map that both have, and what only the live object has in it.
struct Place {
    path: Path,
    manifest: Value,
    extras: Vec<Extra>,
}

/// The names on the way to the field a cause names; lists are looked through by their keys, because
/// positions are those of the object that was refused, which nobody has.
fn names(cause: &Cause) -> Vec<String> {
    let field = cause.field.as_str();
    // A definition's schema names no field, but its message begins with one in quotes.
    let field = if field.is_empty() || field == "<nil>" {
        let mut quoted = cause.message.split('"');
        let named = quoted.find(|part| part.starts_with("spec"));
        named.unwrap_or_default()
    } else {
        field
    };
    let mut names = Vec::new();
    let mut depth = 0_usize;
    let mut name = String::new();
    for letter in field.chars() {
        match letter {
            '[' => depth += 1,
            ']' => depth = depth.saturating_sub(1),
            '.' if depth == 0 => names.push(std::mem::take(&mut name)),
            _ if depth == 0 => name.push(letter),
            _ => {}
        }
    }
    names.push(name);
    names.retain(|name| !name.is_empty());
    names
}

/// Whether a text has a name as a word of its own.
fn mentions(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(|word| word == name)
}

/// The maps a cause is about: the one it names, and the one around it.
fn places(live: &Value, manifest: &Value, names: &[String]) -> Vec<Place> {
    let mut found = Vec::new();
    let Some((_, around)) = names.split_last() else {
        return found;
    };
    for way in [around, names] {
        if way.is_empty() || matches!(way[0].as_str(), "metadata" | "status") {
            continue;
        }
        walk(&Path::default(), live, manifest, way, &mut found);
    }
    found
}

fn walk(at: &Path, live: &Value, manifest: &Value, way: &[String], found: &mut Vec<Place>) {
    match (live, manifest) {
        (Value::Object(theirs), Value::Object(mine)) => {
            let Some((name, rest)) = way.split_first() else {
                let extras = theirs.iter().filter(|(name, _)| !mine.contains_key(*name));
                let extras: Vec<Extra> = extras
                    .map(|(name, value)| Extra {
                        name: name.clone(),
                        value: value.clone(),
                    })
                    .collect();
                if !extras.is_empty() {
                    found.push(Place {
                        path: at.clone(),
                        manifest: manifest.clone(),
                        extras,
                    });
                }
                return;
            };
            if let (Some(live), Some(manifest)) = (theirs.get(name), mine.get(name)) {
                let at = at.child(Segment::Field(name.clone()));
                walk(&at, live, manifest, rest, found);
            }
        }
        (Value::Array(theirs), Value::Array(mine)) => {
            let Some(key) = diff::merge_key(theirs, mine) else {
                return;
            };
            for item in mine {
                let id = &item[key];
                if let Some(live) = theirs.iter().find(|other| other.get(key) == Some(id)) {
                    let at = at.child(Segment::Key(key.into(), id.clone()));
                    walk(&at, live, item, way, found);
                }
            }
        }
        _ => {}
    }
}

/// Sets in an object what a manifest sets: maps and lists with keys are merged, all else replaced.
fn lay_over(object: &mut Value, manifest: &Value) {
    match (object, manifest) {
        (Value::Object(object), Value::Object(manifest)) => {
            for (name, value) in manifest {
                match object.get_mut(name) {
                    Some(place) => lay_over(place, value),
                    None => {
                        object.insert(name.clone(), value.clone());
                    }
                }
            }
        }
        (Value::Array(object), Value::Array(manifest)) => {
            let Some(key) = diff::merge_key(object, manifest) else {
                object.clone_from(manifest);
                return;
            };
            let mut merged = Vec::with_capacity(object.len());
            for item in manifest {
                let place = object
                    .iter()
                    .position(|other| other.get(key) == item.get(key));
                let mut element = place.map_or(Value::Null, |place| object.remove(place));
                lay_over(&mut element, item);
                merged.push(element);
            }
            merged.append(object);
            *object = merged;
        }
        (object, manifest) => object.clone_from(manifest),
    }
}

fn at<'a>(object: &'a Value, path: &Path) -> Option<&'a Value> {
    path.segments()
        .iter()
        .try_fold(object, |place, segment| match segment {
            Segment::Field(name) => place.get(name),
            _ => place.get(path::position(place, segment)?),
        })
}

/// The keys of a path in `fieldsV1`. By which fields an element of a list is known, entries tell.
fn keys(path: &Path, live: &Value, list: &[Value]) -> Option<Vec<String>> {
    let mut keys: Vec<String> = Vec::new();
    let mut place = live;
    for segment in path.segments() {
        if let Segment::Field(name) = segment {
            keys.push(format!("f:{name}"));
            place = place.get(name)?;
            continue;
        }
        place = place.get(path::position(place, segment)?)?;
        let known = list.iter().find_map(|raw| {
            let inside = keys
                .iter()
                .try_fold(&raw["fieldsV1"], |fields, key| fields.get(key))?;
            let mut names = inside.as_object()?.keys();
            names.find(|key| ownership::element_is(place, key))
        })?;
        keys.push(known.clone());
    }
    Some(keys)
}

/// All fields of a value, and the value itself.
fn fields_of(value: &Value) -> Value {
    let Some(map) = value.as_object().filter(|map| !map.is_empty()) else {
        return json!({});
    };
    let mut fields: Map<String, Value> = map
        .iter()
        .map(|(name, value)| (format!("f:{name}"), fields_of(value)))
        .collect();
    fields.insert(".".into(), json!({}));
    Value::Object(fields)
}

fn put(fields: &mut Value, keys: &[String], value: &Value) {
    let mut place = fields;
    for key in keys {
        let Some(map) = place.as_object_mut() else {
            return;
        };
        place = map.entry(key.clone()).or_insert_with(|| json!({}));
    }
    *place = value.clone();
}

/// Takes a field out of an entry, with the parents that then hold nothing.
fn take(fields: &mut Value, keys: &[String]) {
    let (Some((first, rest)), Some(map)) = (keys.split_first(), fields.as_object_mut()) else {
        return;
    };
    if rest.is_empty() {
        map.remove(first);
        return;
    }
    let Some(child) = map.get_mut(first) else {
        return;
    };
    let had = child.as_object().is_some_and(|child| !child.is_empty());
    take(child, rest);
    let emptied = had
        && child
            .as_object()
            .is_some_and(|child| child.keys().all(|key| key == "."));
    if emptied {
        map.remove(first);
    }
}

#[cfg(test)]
mod tests;
