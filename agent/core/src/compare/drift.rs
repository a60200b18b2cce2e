//! Which fields of an object differ from Git, by the API server's own judgement.
//!
//! Compares the live object with the answer to a dry-run apply of what Git holds, so that
//! defaults, quantities and admission need no table here. Values are masked before they leave.

use gitops_api::constants;
use serde_json::Value;

use crate::compare::field::DriftedField;
use crate::compare::path::{Path, Segment};
use crate::compare::{diff, path};
use crate::live::ownership::Reach;
use crate::live::{injected, ownership};
use crate::manifest::desired::DesiredObject;
use crate::mask::{Mask, Masked, MaskedChange};

/// Longest text of a value that is kept; the rest is cut, because status is read by people.
pub(crate) const LONGEST_VALUE: usize = 256;
/// The same where people compare the whole values: files in ConfigMaps are long.
const LONGEST_WHOLE_VALUE: usize = 64 << 10;

/// How an object differs from what an apply would make of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Drift {
    /// Fields that differ and count.
    pub fields: Vec<DriftedField>,
    /// Fields that differ and do not count, by `ignoreDifferences`.
    pub ignored: Vec<DriftedField>,
    /// Rules that could not be followed on this object.
    pub problems: Vec<String>,
}

/// Compares a live object with the answer to a dry-run apply of what Git holds.
///
/// Differences that the rules name are set apart. What an admission webhook would add to an object
/// that nobody asked for is no difference: it comes by itself with the next change
/// (`IncludeMutationWebhook=true` counts it). Neither is what a controller keeps in maps of the
/// object ([`injected`]), whoever holds the map.
pub fn compare(live: &Value, applied: &Value, desired: &DesiredObject) -> Drift {
    judge(live, applied, desired, LONGEST_VALUE)
}

/// The same with values in full, as far as anybody reads them: for a diff, not for a status.
pub fn compare_in_full(live: &Value, applied: &Value, desired: &DesiredObject) -> Drift {
    judge(live, applied, desired, LONGEST_WHOLE_VALUE)
}

fn judge(live: &Value, applied: &Value, desired: &DesiredObject, longest: usize) -> Drift {
    let mask = &desired.mask;
    let all = fields(live, applied, longest, mask);
    if all.is_empty() {
        return Drift::default();
    }
    let rules = desired.ignore.as_deref();
    let mut counted = match rules {
        Some(rules) => {
            let (live, applied) = (rules.stripped(live), rules.stripped(applied));
            fields(&live, &applied, longest, mask)
        }
        None => all.clone(),
    };
    if let Some(rules) = rules {
        counted.retain(|field| !rules.is_managed(live, &field.path));
    }
    let ignored = all
        .into_iter()
        .filter(|field| counted.iter().all(|other| other.path != field.path))
        .collect();
    if !counted.is_empty() {
        let manifest = desired.manifest();
        counted.retain(|field| {
            !injected::is_entry(&manifest, &field.path)
                && (desired.include_mutations || !is_mutation(live, &manifest, &field.path))
        });
    }
    Drift {
        fields: counted,
        ignored,
        problems: rules.map_or_else(Vec::new, |rules| rules.problems(live)),
    }
}

/// Whether a field is neither in Git nor held by the agent, so that only admission can have it
/// different.
fn is_mutation(live: &Value, manifest: &Value, path: &Path) -> bool {
    let by_position = |segment: &Segment| matches!(segment, Segment::Index(_));
    if path.segments().iter().any(by_position) {
        return false;
    }
    let in_git = path
        .segments()
        .iter()
        .try_fold(manifest, |place, segment| match segment {
            Segment::Field(name) => place.get(name),
            _ => place.get(path::position(place, segment)?),
        });
    in_git.is_none()
        && ownership::applied_fields(live, constants::FIELD_MANAGER).is_some_and(|fields| {
            ownership::reaches(fields, live, path.segments()) == Reach::NotHeld
        })
}

/// Fields that an apply of what Git holds would change. Empty when it would change nothing but
/// bookkeeping (`managedFields`, versions, the agent's own marks, `status`).
fn fields(live: &Value, applied: &Value, longest: usize, mask: &Mask) -> Vec<DriftedField> {
    // Most objects differ in bookkeeping only, and masking reads every string.
    if diff::fields(applied, live)
        .iter()
        .all(|change| is_bookkeeping(&change.path))
    {
        return Vec::new();
    }
    let shown = |value: &Masked| value.shown(longest);
    mask.changes(applied, live)
        .into_iter()
        .flat_map(split_maps)
        .filter(|change| !is_bookkeeping(&change.path))
        .map(|change| {
            let owner = ownership::owner_of(live, &change.path, constants::FIELD_MANAGER);
            DriftedField {
                desired: change.left.as_ref().map(shown),
                live: change.right.as_ref().map(shown),
                manager: owner.map(|entry| entry.manager.to_owned()),
                since: owner.and_then(|entry| entry.time).map(Into::into),
                path: change.path,
            }
        })
        .collect()
}

/// A map that is wholly absent on one side is reported entry by entry, so that the agent's marks
/// and other bookkeeping among its entries can be told from the rest.
fn split_maps(change: MaskedChange) -> Vec<MaskedChange> {
    let is_metadata_map = change.path.starts_with(&["metadata", "labels"])
        || change.path.starts_with(&["metadata", "annotations"]);
    let split = |entries: Vec<(String, Masked)>, desired: bool| {
        entries
            .into_iter()
            .map(|(name, value)| MaskedChange {
                path: change.path.child(Segment::Field(name)),
                left: desired.then(|| value.clone()),
                right: (!desired).then_some(value),
            })
            .collect()
    };
    let entries = |value: &Option<Masked>| value.as_ref().and_then(Masked::entries);
    match (entries(&change.left), entries(&change.right)) {
        (Some(map), None) if is_metadata_map && change.right.is_none() => split(map, true),
        (None, Some(map)) if is_metadata_map && change.left.is_none() => split(map, false),
        _ => vec![change],
    }
}

/// Both objects masked and without what nobody writes into a manifest, as people compare them.
pub fn for_display(
    live: Option<&Value>,
    applied: Option<&Value>,
    mask: &Mask,
) -> (Option<Masked>, Option<Masked>) {
    let (live, applied) = mask.pair(live, applied);
    let displayed = |object: Masked| object.without(leave_out_bookkeeping);
    (live.map(displayed), applied.map(displayed))
}

fn leave_out_bookkeeping(object: &mut Value) {
    let Some(map) = object.as_object_mut() else {
        return;
    };
    map.remove("status");
    let Some(metadata) = map.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    for field in [
        "managedFields",
        "resourceVersion",
        "generation",
        "uid",
        "creationTimestamp",
    ] {
        metadata.remove(field);
    }
    for (map, own) in [
        (
            "annotations",
            [
                constants::annotation::TRACKING_ID,
                constants::annotation::DESIRED_DIGEST,
                constants::annotation::LAST_APPLIED,
            ]
            .as_slice(),
        ),
        ("labels", &[constants::label::MANAGED_BY]),
    ] {
        if let Some(entries) = metadata.get_mut(map).and_then(Value::as_object_mut) {
            entries.retain(|name, _| !own.contains(&name.as_str()));
            if entries.is_empty() {
                metadata.remove(map);
            }
        }
    }
}

fn is_bookkeeping(path: &Path) -> bool {
    const FIELDS: [&[&str]; 8] = [
        &["status"],
        &["metadata", "managedFields"],
        &["metadata", "resourceVersion"],
        &["metadata", "generation"],
        &[
            "metadata",
            "annotations",
            constants::annotation::TRACKING_ID,
        ],
        &[
            "metadata",
            "annotations",
            constants::annotation::DESIRED_DIGEST,
        ],
        &["metadata", "annotations", constants::annotation::MEMORY],
        &["metadata", "labels", constants::label::MANAGED_BY],
    ];
    FIELDS.iter().any(|field| path.starts_with(field))
        || path.starts_with(&[
            "metadata",
            "annotations",
            constants::annotation::LAST_APPLIED,
        ])
        || path.starts_with(&[
            "metadata",
            "annotations",
            "deployment.kubernetes.io/revision",
        ])
}

/// One line for people: `.spec.replicas is 5 instead of 3, by kubectl-scale`.
pub fn describe(field: &DriftedField) -> String {
    let values = match (&field.desired, &field.live) {
        (Some(desired), Some(live)) => format!("is {live} instead of {desired}"),
        (Some(desired), None) => format!("is missing, should be {desired}"),
        (None, Some(live)) => format!("is {live}, which is not in Git"),
        (None, None) => "differs".into(),
    };
    let manager = field
        .manager
        .as_ref()
        .map(|m| format!(", by {m}"))
        .unwrap_or_default();
    format!("{} {values}{manager}", field.path)
}

#[cfg(test)]
mod tests;
