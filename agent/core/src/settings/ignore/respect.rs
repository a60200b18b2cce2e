//! `RespectIgnoreDifferences`: what is applied keeps the live values of ignored fields.
//!
//! The live value is sent rather than nothing: under server-side apply, leaving out a field that
//! the agent holds alone would delete it. Sending what is live takes it from nobody.
//! Source: <https://kubernetes.io/docs/reference/using-api/server-side-apply/#transferring-ownership>.

use gitops_api::constants;
use serde_json::{Map, Value};

use super::ObjectRules;
use super::pointer::{Step, remove_all};
use crate::compare::diff;
use crate::compare::path::{Path, Segment};
use crate::live::ownership;
use crate::manifest::digest::RESPECTED;

/// The manifest with the live values of ignored fields, to be applied only onto this very state of
/// the object, and the fields that are not as in Git; `None` when there are none.
pub fn respected(
    manifest: &Value,
    live: &Value,
    rules: &ObjectRules,
) -> Option<(Value, Vec<String>)> {
    let mut sent = manifest.clone();
    let mut absent = Vec::new();
    for path in rules.paths(manifest) {
        match counterpart(manifest, live, &path) {
            Some(value) => {
                if let Some(place) = at(&mut sent, &path) {
                    place.clone_from(value);
                }
            }
            None => absent.push(path),
        }
    }
    remove_all(&mut sent, &absent);
    for path in rules.paths(live) {
        let held = ownership::holds(live, &as_path(&path), constants::FIELD_MANAGER);
        if held && let Some(value) = found(live, &path) {
            keep(&mut sent, live, &path, value);
        }
    }
    for change in diff::fields(&sent, live) {
        if change.left.is_some() && rules.is_managed(live, &change.path) {
            change.path.put(&mut sent, change.right);
        }
    }
    restore_marks(&mut sent, manifest);
    let ignored: Vec<_> = diff::fields(manifest, &sent)
        .iter()
        .map(|change| change.path.to_string())
        .collect();
    if ignored.is_empty() {
        return None;
    }
    let metadata = sent.get_mut("metadata")?.as_object_mut()?;
    metadata.insert(
        "resourceVersion".into(),
        live.get("metadata")?.get("resourceVersion")?.clone(),
    );
    let annotations = metadata
        .get_mut("annotations")
        .and_then(Value::as_object_mut);
    if let Some(digest) = annotations.and_then(|a| a.get_mut(constants::annotation::DESIRED_DIGEST))
        && let Some(text) = digest.as_str()
    {
        *digest = format!("{text}{RESPECTED}").into();
    }
    Some((sent, ignored))
}

/// The manifest with the live values of ignored fields, whoever wrote them: what is ignored there and
/// not in the manifest is kept, what is not there any more is left out. For objects that are not
/// applied but patched.
pub fn with_live_values(manifest: &Value, live: &Value, rules: &ObjectRules) -> Value {
    let mut sent = manifest.clone();
    let mut absent = Vec::new();
    for path in rules.paths(manifest) {
        match counterpart(manifest, live, &path) {
            Some(value) => {
                if let Some(place) = at(&mut sent, &path) {
                    place.clone_from(value);
                }
            }
            None => absent.push(path),
        }
    }
    remove_all(&mut sent, &absent);
    for path in rules.paths(live) {
        if let Some(value) = found(live, &path) {
            keep(&mut sent, live, &path, value);
        }
    }
    sent
}

fn as_path(steps: &[Step]) -> Path {
    steps.iter().fold(Path::default(), |path, step| {
        path.child(match step {
            Step::Field(name) => Segment::Field(name.clone()),
            Step::Index(index) => Segment::Index(usize::try_from(*index).unwrap_or(usize::MAX)),
        })
    })
}

/// What the other object has at a place of this one; elements of lists are the same when their
/// merge keys are, or their positions where there are none.
fn counterpart<'a>(this: &Value, other: &'a Value, path: &[Step]) -> Option<&'a Value> {
    let (mut mine, mut theirs) = (this, other);
    for step in path {
        (mine, theirs) = match step {
            Step::Field(name) => (mine.get(name)?, theirs.get(name)?),
            Step::Index(index) => {
                let index = usize::try_from(*index).ok()?;
                let (a, b) = (mine.as_array()?, theirs.as_array()?);
                let element = a.get(index)?;
                let position = match diff::merge_key(a, b) {
                    Some(key) => b
                        .iter()
                        .position(|item| item.get(key) == element.get(key))?,
                    None => index,
                };
                (element, b.get(position)?)
            }
        };
    }
    Some(theirs)
}

fn found<'a>(object: &'a Value, path: &[Step]) -> Option<&'a Value> {
    path.iter().try_fold(object, |place, step| match step {
        Step::Field(name) => place.get(name),
        Step::Index(index) => place.get(usize::try_from(*index).ok()?),
    })
}

fn at<'a>(object: &'a mut Value, path: &[Step]) -> Option<&'a mut Value> {
    path.iter().try_fold(object, |place, step| match step {
        Step::Field(name) => place.get_mut(name),
        Step::Index(index) => place.get_mut(usize::try_from(*index).ok()?),
    })
}

/// Keeps a field the agent holds that is ignored and no longer in Git: dropped from what is
/// applied, it would be deleted. Maps on the way are made; elements of lists are not.
fn keep(sent: &mut Value, live: &Value, path: &[Step], value: &Value) {
    let Some((Step::Field(last), parents)) = path.split_last() else {
        return;
    };
    let (mut place, mut theirs) = (sent, live);
    for step in parents {
        let next = match step {
            Step::Field(name) => {
                theirs = match theirs.get(name) {
                    Some(theirs) => theirs,
                    None => return,
                };
                let Some(map) = place.as_object_mut() else {
                    return;
                };
                map.entry(name.clone())
                    .or_insert_with(|| Value::Object(Map::new()))
            }
            Step::Index(index) => {
                let (Some(mine), Some(items), Ok(index)) = (
                    place.as_array_mut(),
                    theirs.as_array(),
                    usize::try_from(*index),
                ) else {
                    return;
                };
                let Some(element) = items.get(index) else {
                    return;
                };
                let position = diff::merge_key(mine, items).and_then(|key| {
                    mine.iter()
                        .position(|item| item.get(key) == element.get(key))
                });
                let Some(position) = position else { return };
                theirs = element;
                &mut mine[position]
            }
        };
        place = next;
    }
    if let Some(map) = place.as_object_mut() {
        map.entry(last.clone()).or_insert_with(|| value.clone());
    }
}

/// Ignoring all annotations or labels must not lose the agent's own.
fn restore_marks(sent: &mut Value, manifest: &Value) {
    let marks = [
        ("annotations", constants::annotation::TRACKING_ID),
        ("annotations", constants::annotation::DESIRED_DIGEST),
        ("labels", constants::label::MANAGED_BY),
    ];
    for (map, name) in marks {
        let mark = manifest.get("metadata").and_then(|m| m.get(map)?.get(name));
        let (Some(mark), Some(metadata)) = (
            mark,
            sent.get_mut("metadata").and_then(Value::as_object_mut),
        ) else {
            continue;
        };
        let map = metadata
            .entry(map)
            .or_insert_with(|| Value::Object(Map::new()));
        if let Some(map) = map.as_object_mut() {
            map.insert(name.into(), mark.clone());
        }
    }
}
