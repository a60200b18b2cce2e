//! Which fields of an object differ from Git, by the API server's own judgement.
//!
//! Compares the live object with the answer to a dry-run apply of what Git holds, so that
//! defaults, quantities and admission need no table here. Values are masked before they leave.

use gitops_api::constants;
use serde_json::Value;

use crate::{
    compare::DriftedField,
    diff, mask,
    object::ObjectKey,
    ownership,
    path::{Path, Segment},
};

/// Longest text of a value that is kept; the rest is cut, because status is read by people.
const LONGEST_VALUE: usize = 256;

/// Fields that an apply of what Git holds would change. Empty when it would change nothing but
/// bookkeeping (`managedFields`, versions, the agent's own marks, `status`).
pub fn drifted_fields(live: &Value, applied: &Value) -> Vec<DriftedField> {
    let secret =
        ObjectKey::of(live).is_some_and(|key| key.group.is_empty() && key.kind == "Secret");
    diff::fields(applied, live)
        .into_iter()
        .flat_map(split_new_maps)
        .filter(|change| !is_bookkeeping(&change.path))
        .map(|change| {
            let hidden = secret
                && (change.path.starts_with(&["data"]) || change.path.starts_with(&["stringData"]));
            let (desired, found) = if hidden {
                (
                    change.left.as_ref().map(|_| mask::PLACEHOLDER.to_owned()),
                    change.right.as_ref().map(|_| mask::PLACEHOLDER.to_owned()),
                )
            } else {
                (
                    change.left.as_ref().map(text),
                    change.right.as_ref().map(text),
                )
            };
            let owner = ownership::owner_of(live, &change.path, constants::FIELD_MANAGER);
            DriftedField {
                desired,
                live: found,
                manager: owner.map(|entry| entry.manager.to_owned()),
                since: owner.and_then(|entry| entry.time).map(Into::into),
                path: change.path,
            }
        })
        .collect()
}

/// A map that is wholly absent on one side is reported entry by entry, so that the agent's marks
/// among its entries can be told from the rest.
fn split_new_maps(change: diff::FieldChange) -> Vec<diff::FieldChange> {
    let is_metadata_map = change.path.starts_with(&["metadata", "labels"])
        || change.path.starts_with(&["metadata", "annotations"]);
    match (&change.left, &change.right) {
        (Some(Value::Object(map)), None) if is_metadata_map => map
            .iter()
            .map(|(name, value)| diff::FieldChange {
                path: change.path.child(Segment::Field(name.clone())),
                left: Some(value.clone()),
                right: None,
            })
            .collect(),
        _ => vec![change],
    }
}

fn is_bookkeeping(path: &Path) -> bool {
    const FIELDS: [&[&str]; 7] = [
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

fn text(value: &Value) -> String {
    let full = value.to_string();
    match full.char_indices().nth(LONGEST_VALUE) {
        Some((end, _)) => format!("{}…", &full[..end]),
        None => full,
    }
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
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_field_values_culprit_and_time() {
        let live = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "resourceVersion": "9", "generation": 4, "managedFields": [
                {"manager": "kubectl-scale", "operation": "Update", "time": "2026-01-02T03:04:05Z",
                 "fieldsV1": {"f:spec": {"f:replicas": {}}}}]},
            "spec": {"replicas": 5}, "status": {"replicas": 5}});
        let mut applied = live.clone();
        applied["spec"]["replicas"] = json!(3);
        applied["metadata"]["resourceVersion"] = json!("8");
        applied["metadata"]["labels"] = json!({"gitops-agent.io/managed-by": "argocd"});
        let drift = drifted_fields(&live, &applied);
        assert_eq!(drift.len(), 1);
        assert_eq!(
            describe(&drift[0]),
            ".spec.replicas is 5 instead of 3, by kubectl-scale"
        );
        assert_eq!(drift[0].since.as_deref(), Some("2026-01-02T03:04:05Z"));
    }

    #[test]
    fn secret_values_are_never_shown() {
        let live = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                          "data": {"password": "aHVudGVyMg=="}});
        let mut applied = live.clone();
        applied["data"]["password"] = json!("c3dvcmRmaXNo");
        let drift = drifted_fields(&live, &applied);
        let shown = format!("{drift:?}");
        assert!(
            !shown.contains("aHVudGVyMg") && !shown.contains("c3dvcmRmaXNo"),
            "{shown}"
        );
        assert_eq!(drift.len(), 1);
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        let live = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "ä".repeat(999)}});
        let applied = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "x"}});
        assert_eq!(
            drifted_fields(&live, &applied)[0]
                .live
                .as_ref()
                .unwrap()
                .chars()
                .count(),
            257
        );
    }
}
