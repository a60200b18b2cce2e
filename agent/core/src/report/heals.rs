//! The record of what self-heal took back: who changed what, and when it was reverted.
//!
//! Events are gone after an hour, and the question comes the next morning.

use gitops_api::status::{FieldDrift, HealRecord};
use jiff::Timestamp;

use crate::compare::field::DriftedField;
use crate::manifest::object::ObjectKey;
use crate::report::status;

/// Most records kept of one application.
const KEPT: usize = 20;
/// Most fields kept of one object.
const FIELDS: usize = 10;

/// Takes up what was healed at this revision. A change that was taken back before, by the same
/// hand at the same fields, is counted and not listed again, so that a fight leaves room for the
/// rest.
pub fn record(
    records: &mut Vec<HealRecord>,
    healed: &[(ObjectKey, Vec<DriftedField>)],
    revision: &str,
    now: Timestamp,
) {
    for (key, fields) in healed {
        let fields = fields.iter().take(FIELDS);
        let mut new = HealRecord {
            group: key.group.clone(),
            kind: key.kind.clone(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            fields: fields.map(status::field_drift).collect(),
            revision: revision.into(),
            healed_at: Some(status::seconds(now)),
            ..HealRecord::default()
        };
        if let Some(known) = records.iter().position(|known| is_same(known, &new)) {
            new.repeated = records.remove(known).repeated + 1;
        }
        records.push(new);
    }
    let surplus = records.len().saturating_sub(KEPT);
    records.drain(..surplus);
}

fn is_same(known: &HealRecord, new: &HealRecord) -> bool {
    let who = |field: &FieldDrift| (field.path.clone(), field.manager.clone());
    known.group == new.group
        && known.kind == new.kind
        && known.namespace == new.namespace
        && known.name == new.name
        && known.fields.iter().map(who).eq(new.fields.iter().map(who))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::path::Path;

    fn key(name: &str) -> ObjectKey {
        ObjectKey {
            group: "apps".into(),
            kind: "Deployment".into(),
            namespace: "shop".into(),
            name: name.into(),
        }
    }

    fn replicas(live: &str, manager: &str) -> DriftedField {
        DriftedField {
            path: Path::from_fields(&["spec", "replicas"]),
            desired: Some("2".into()),
            live: Some(live.into()),
            manager: Some(manager.into()),
            since: Some("2026-01-01T11:59:00Z".into()),
        }
    }

    #[test]
    fn who_changed_what_is_kept_and_a_fight_is_one_line() {
        let at = |second: i64| Timestamp::from_second(1_767_268_800 + second).unwrap();
        let mut records = vec![];
        let heal =
            |records: &mut Vec<HealRecord>, name: &str, fields: Vec<DriftedField>, second| {
                record(records, &[(key(name), fields)], "abc", at(second));
            };
        heal(&mut records, "web", vec![replicas("5", "kubectl-scale")], 0);
        heal(&mut records, "db", vec![], 1);
        heal(&mut records, "web", vec![replicas("7", "kubectl-scale")], 2);
        heal(&mut records, "web", vec![replicas("7", "keda")], 3);
        let told: Vec<_> = records
            .iter()
            .map(|record| {
                let field = record.fields.first();
                let manager = field.map(|field| field.manager.as_str());
                (record.name.as_str(), manager, record.repeated)
            })
            .collect();
        assert_eq!(
            told,
            [
                ("db", None, 0),
                ("web", Some("kubectl-scale"), 1),
                ("web", Some("keda"), 0)
            ]
        );
        assert_eq!(records[1].fields[0].live.as_deref(), Some("7"));
        assert_eq!(records[1].healed_at, Some(status::seconds(at(2))));
        for number in 0..30 {
            heal(&mut records, &format!("web-{number}"), vec![], 4);
        }
        assert_eq!(records.len(), KEPT);
        assert_eq!(records.last().unwrap().name, "web-29");
    }
}
