use gitops_api::constants::condition;
use gitops_api::status::{
    HealRecord, OperationState, ResourceResult, RevisionHistory, SyncOperationResult,
};
use gitops_api::{ApplicationSource, FieldDrift, HealthStatus, HookType};
use serde_json::json;

use super::*;
use crate::reason::Reason;

fn found(count: usize, kind: &'static str, length: usize) -> BTreeSet<Condition> {
    let text = "x".repeat(length);
    (0..count)
        .map(|index| {
            let detail = format!("a{index:05} {text}");
            Condition::new(kind, Reason::InvalidSetting { detail })
        })
        .collect()
}

fn now() -> Timestamp {
    Timestamp::from_second(1_767_268_800).unwrap()
}

fn fitted(mut status: ApplicationStatus, max_bytes: usize) -> ApplicationStatus {
    fit(&mut status, &[], &BTreeSet::new(), now(), max_bytes);
    status
}

#[test]
fn twenty_thousand_warnings_are_fifty_and_a_number() {
    let mut all = found(20_000, condition::INVALID_SETTING_WARNING, 20);
    all.extend(found(1, condition::COMPARISON_ERROR, 20));
    let told = conditions(&[], &all, now());
    let of = |kind: &str| told.iter().filter(|c| c.condition_type == kind).count();
    assert_eq!(of(condition::COMPARISON_ERROR), 1);
    assert_eq!(of(condition::INVALID_SETTING_WARNING), 51);
    assert_eq!(told.last().unwrap().message, "and 19950 more of this type");
    let later = Timestamp::from_second(1_767_269_000).unwrap();
    assert_eq!(conditions(&told, &all, later), told, "no news, no write");
}

#[test]
fn conditions_stay_within_their_bytes_and_errors_come_first() {
    let mut all = found(40, condition::INVALID_SETTING_WARNING, 3000);
    all.extend(found(5, condition::SYNC_ERROR, 9000));
    let told = conditions(&[], &all, now());
    let bytes: usize = told.iter().map(|condition| condition.message.len()).sum();
    assert!(bytes <= CONDITIONS.bytes + 200, "{bytes}");
    let errors = told
        .iter()
        .filter(|condition| condition.condition_type == condition::SYNC_ERROR);
    assert_eq!(errors.count(), 5);
    assert!(
        told.iter()
            .any(|condition| condition.message.starts_with("and "))
    );
}

fn resource(index: usize, code: SyncStatusCode) -> ResourceStatus {
    ResourceStatus {
        kind: "ConfigMap".into(),
        name: format!("c{index:05}"),
        status: Some(code),
        ..ResourceStatus::default()
    }
}

#[test]
fn what_is_wrong_stays_longest() {
    let status = ApplicationStatus {
        resources: (0..9000)
            .map(|index| match index {
                8999 => resource(index, SyncStatusCode::OutOfSync),
                _ => resource(index, SyncStatusCode::Synced),
            })
            .collect(),
        ..ApplicationStatus::default()
    };
    let status = fitted(status, MAX_STATUS);
    assert_eq!(status.resources.len(), LEVELS[0].resources);
    assert_eq!(status.resources[0].name, "c08999");
    assert_eq!(status.resources[1].name, "c00000");
}

/// A status in which everything that can grow has grown.
fn huge() -> ApplicationStatus {
    let text = "ä".repeat(5000);
    let drift = FieldDrift {
        path: ".spec".into(),
        desired: Some("x".repeat(256)),
        ..FieldDrift::default()
    };
    let source = ApplicationSource {
        repo_url: text.clone(),
        ..ApplicationSource::default()
    };
    let result = |index: usize| ResourceResult {
        name: format!("r{index}"),
        message: text.clone(),
        hook_type: (index >= 1990).then_some(HookType::PreSync),
        ..ResourceResult::default()
    };
    ApplicationStatus {
        resources: (0..2500)
            .map(|index| ResourceStatus {
                health: Some(HealthStatus {
                    message: text.clone(),
                    ..HealthStatus::default()
                }),
                drift: vec![drift.clone(); 50],
                ignored_fields: vec![".spec".into(); 500],
                ..resource(index, SyncStatusCode::OutOfSync)
            })
            .collect(),
        history: (0..200)
            .map(|id| RevisionHistory {
                id,
                source: Some(source.clone()),
                degraded_because: text.clone(),
                ..RevisionHistory::default()
            })
            .collect(),
        heals: vec![
            HealRecord {
                fields: vec![drift; 10],
                ..HealRecord::default()
            };
            20
        ],
        operation_state: Some(OperationState {
            message: text.clone(),
            sync_result: Some(SyncOperationResult {
                resources: (0..2000).map(result).collect(),
                ..SyncOperationResult::default()
            }),
            ..OperationState::default()
        }),
        ..ApplicationStatus::default()
    }
}

#[test]
fn any_status_is_made_to_fit_and_fits_again_as_it_is() {
    let mut max_bytes = Some(MAX_STATUS);
    let mut tried = 0;
    while let Some(max) = max_bytes {
        let status = fitted(huge(), max);
        let size = bytes(&status);
        assert!(size <= max || max == MIN_STATUS, "{size} {max}");
        assert!(size <= 64 << 10 || max > MIN_STATUS, "{size}");
        let newest = status.history.last().map(|entry| entry.id);
        assert_eq!(newest, Some(199));
        let result = status
            .operation_state
            .as_ref()
            .unwrap()
            .sync_result
            .as_ref();
        let hooks = result
            .unwrap()
            .resources
            .iter()
            .filter(|r| r.hook_type.is_some());
        assert_eq!(hooks.count(), 10, "a forgotten hook would run again");
        let value = json!(status);
        assert_eq!(json!(fitted(status, max)), value, "no news, no write");
        max_bytes = smaller(max);
        tried += 1;
    }
    assert!(tried < 8, "a refused status is reduced in a few steps");
}

#[test]
fn refusals_for_size_are_known() {
    let table = [
        (413, "Request entity too large: limit is 3145728", true),
        (500, "etcdserver: request is too large", true),
        (
            500,
            "rpc error: trying to send message larger than max (3 vs. 2)",
            true,
        ),
        (409, "the object has been modified", false),
        (422, "spec.x: Invalid value", false),
    ];
    for (code, message, expected) in table {
        assert_eq!(is_too_large(code, message), expected, "{message}");
    }
}
