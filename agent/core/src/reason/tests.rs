use gitops_api::status::{ApplicationCondition, OperationState, StatusReason};
use gitops_api::{ApplicationStatus, Time};
use jiff::Timestamp;
use proptest::prelude::*;
use serde_json::Value;

use super::*;

#[test]
fn every_reason_has_a_code_a_sentence_and_advice() {
    let codes: Vec<Code> = examples().iter().filter_map(Reason::code).collect();
    assert_eq!(codes, Code::ALL, "an example of each, in order");
    for reason in examples() {
        let code = reason.code().unwrap();
        assert!(!reason.to_string().is_empty(), "{code}");
        assert!(code.meaning().ends_with('.'), "{code}: {}", code.meaning());
        assert!(code.advice().ends_with('.'), "{code}: {}", code.advice());
        assert_eq!(code.as_str().parse(), Ok(code));
    }
    assert_eq!("Unheard".parse::<Code>(), Err(()));
}

/// Replaces the leaves of a reason's parameters, as far as it stays one of its kind.
fn varied(reason: &Reason, text: &str, number: u32, leave_out: bool) -> Reason {
    fn leaves(value: &Value, path: &mut Vec<String>, found: &mut Vec<Vec<String>>) {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    path.push(name.clone());
                    found.push(path.clone());
                    leaves(value, path, found);
                    path.pop();
                }
            }
            Value::Array(items) => {
                for (index, value) in items.iter().enumerate() {
                    path.push(index.to_string());
                    leaves(value, path, found);
                    path.pop();
                }
            }
            _ => found.push(path.clone()),
        }
    }
    let mut written = serde_json::to_value(reason).unwrap();
    let mut found = Vec::new();
    leaves(&written["parameters"], &mut Vec::new(), &mut found);
    for path in found {
        let mut other = written.clone();
        let pointer = |path: &[String]| {
            path.iter().fold("/parameters".to_owned(), |all, part| {
                format!("{all}/{part}")
            })
        };
        let (last, parent) = path.split_last().unwrap();
        if leave_out && let Some(Value::Object(fields)) = other.pointer_mut(&pointer(parent)) {
            fields.remove(last);
        } else {
            match other.pointer_mut(&pointer(&path)) {
                Some(Value::String(leaf)) => *leaf = text.to_owned(),
                Some(leaf @ Value::Number(_)) => *leaf = number.into(),
                _ => continue,
            }
        }
        let read = serde_json::from_value::<Reason>(other.clone());
        if read.is_ok_and(|read| read.code() == reason.code()) {
            written = other;
        }
    }
    serde_json::from_value(written).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn what_is_written_is_read_again(text in ".{0,80}", number in any::<u32>(), leave_out: bool) {
        for reason in examples() {
            let reason = varied(&reason, &text, number, leave_out);
            let entry = entry(&reason);
            prop_assert_eq!(&entry.message, &reason.to_string());
            let json = serde_json::to_string(&entry).unwrap();
            let read_again: StatusReason = serde_json::from_str(&json).unwrap();
            prop_assert_eq!(read(&read_again), reason);
        }
    }

    #[test]
    fn what_a_newer_agent_says_is_kept_in_its_words(text in ".{1,80}", field in "[a-z]{1,9}") {
        let unknown = StatusReason {
            code: "SomethingNew".into(),
            message: text.clone(),
            parameters: [(field, text.clone().into())].into_iter().collect(),
            ..StatusReason::default()
        };
        let reason = read(&unknown);
        prop_assert_eq!(reason.to_string(), text.clone());
        prop_assert_eq!(&reason, &Reason::Unknown { code: "SomethingNew".into(), message: text });
        prop_assert_eq!(read(&entry(&reason)), reason);
    }

    #[test]
    fn an_entry_is_bounded(text in "[a-ö]{0,9000}", count in 0usize..200) {
        for reason in examples() {
            let entry = entry(&varied(&reason, &text, 7, false));
            prop_assert!(serde_json::to_string(&entry).unwrap().len() < 16_384);
            prop_assert_eq!(read(&entry).code().or(reason.code()), reason.code());
        }
        let windows = vec![text; count];
        let reason = Reason::SyncWindow {
            by: RequestedBy::User,
            project: "p".into(),
            windows,
            denied: true,
            opens: None,
        };
        prop_assert!(serde_json::to_string(&entry(&reason)).unwrap().len() < 16_384);
    }
}

#[test]
fn parameters_that_are_missing_are_not_made_up() {
    let entry = StatusReason {
        code: "SyncWindow".into(),
        message: "no automated sync; allowed from 2026-11-22T01:00:00Z".into(),
        ..StatusReason::default()
    };
    assert!(matches!(read(&entry), Reason::Unknown { code, .. } if code == "SyncWindow"));
}

#[test]
fn a_list_names_the_first_few_and_counts_the_rest() {
    assert_eq!(Names::of(1..=7).to_string(), "1, 2, 3, 4, 5 and 2 more");
    assert_eq!(Names::of([1]).to_string(), "1");
}

#[test]
fn a_reason_keeps_its_time_and_stands_once() {
    let at = |second| Timestamp::from_second(second).unwrap();
    let off = entry(&Reason::AutoSyncOff {});
    let first = reasons(&[], [off.clone(), off.clone()], at(1));
    assert_eq!(first.len(), 1);
    let second = reasons(&first, [entry(&Reason::PruneOff {}), off], at(2));
    let since = |entry: &StatusReason| entry.since.as_ref().unwrap().0;
    assert_eq!([since(&second[0]), since(&second[1])], [at(2), at(1)]);
    let many = (0..100).map(|retries| entry(&Reason::RetriesExhausted { retries }));
    assert_eq!(reasons(&[], many, at(3)).len(), MAX_REASONS);
}

fn said(kind: &str, message: &str) -> ApplicationCondition {
    ApplicationCondition {
        condition_type: kind.into(),
        message: message.into(),
        last_transition_time: Some(Time("2026-11-21T12:00:00Z".parse().unwrap())),
    }
}

#[test]
fn a_reason_counts_only_with_the_message_it_explains() {
    let reason = Reason::EmptyRender {};
    let condition = said("SyncError", &reason.to_string());
    let mut status = ApplicationStatus {
        conditions: vec![condition.clone()],
        reasons: vec![entry(&reason)],
        ..ApplicationStatus::default()
    };
    assert_eq!(of_condition(&status, &condition), reason);
    // Another controller wrote it meanwhile and left our field as it was.
    status.conditions[0].message = "Failed sync attempt to 91be07a".into();
    let words = of_condition(&status, &status.conditions[0]);
    assert_eq!(words.to_string(), "Failed sync attempt to 91be07a");
    assert_eq!(words.code(), None);
    let mut state = OperationState {
        message: "syncing".into(),
        reason: Some(entry(&Reason::Syncing {})),
        ..OperationState::default()
    };
    assert_eq!(of_operation(&state), Reason::Syncing {});
    state.message = "successfully synced".into();
    assert_eq!(of_operation(&state).code(), None);
}

#[test]
fn what_an_agent_without_reasons_wrote_is_understood_where_it_must_be() {
    let question = PruneQuestion {
        objects: Names::of(["ConfigMap n/x"]),
        over: None,
        guests: Names::default(),
    };
    let text = "at 91be07a: no longer in Git, and to be deleted only when somebody agrees \
                (Prune=confirm): ConfigMap n/x; to agree: kubectl gitops approve web, or kubectl \
                annotate applications.argoproj.io web -n argocd";
    let status = ApplicationStatus {
        conditions: vec![
            said("ConfirmationWarning", text),
            said(
                "OverruledWarning",
                "apps/Deployment n/web: .spec.replicas is 3",
            ),
        ],
        ..ApplicationStatus::default()
    };
    let asked = |at, question| asked_since(&status, at, question);
    let time: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
    assert_eq!(
        asked("91be07a0c3f5d2e8b7a6594837261504f3e2d1c0", &question),
        Some(time)
    );
    assert_eq!(asked("4f2a9c1", &question), None, "another revision");
    let other = PruneQuestion {
        objects: Names::of(["ConfigMap n/y"]),
        over: None,
        guests: Names::default(),
    };
    assert_eq!(asked("91be07a", &other), None, "other objects");
    assert_eq!(questions(&status).len(), 1);
    let key = |name: &str| crate::manifest::object::ObjectKey {
        group: "apps".into(),
        kind: "Deployment".into(),
        namespace: "n".into(),
        name: name.into(),
    };
    assert!(is_mutated(&status, &key("web")) && !is_mutated(&status, &key("we")));
    let ended = |message: &str| OperationState {
        message: message.into(),
        ..OperationState::default()
    };
    assert_eq!(
        of_operation(&ended("operation terminated")),
        Reason::Terminated {}
    );
    assert_eq!(of_operation(&ended("operation ended")).code(), None);
}
