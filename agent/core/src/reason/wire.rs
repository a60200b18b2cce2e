//! Reasons in `Application.status`: written and read in this one place.
//!
//! An entry holds the code, the object it is about, the other parameters, and the sentence. What
//! cannot be read (an unknown code, parameters that are missing) is [`Reason::Unknown`] with the
//! sentence as it is: nobody is told a wrong word.

use gitops_api::status::{
    ApplicationCondition, OperationState, ReasonObject, ResourceResult, StatusReason,
};
use gitops_api::{ApplicationStatus, Time};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::{Code, Names, PruneQuestion, Reason, legacy};
use crate::manifest::object::ObjectKey;
use crate::source::revision::short;

/// Most reasons of one application: what matters most comes first.
pub const MAX_REASONS: usize = 32;
/// Longest text of an entry, in characters.
const MAX_TEXT: usize = 1000;
/// Longest list among the parameters of an entry.
const MAX_ITEMS: usize = 20;
/// Largest parameters of an entry, in bytes of JSON: beyond it only the sentence is kept.
const MAX_PARAMETERS: usize = 8192;
/// The parameter that is left out when it is the whole sentence.
const DETAIL: &str = "detail";
/// The parameter that stands beside the others: every reason that has it means the same by it.
const OBJECT: &str = "object";

/// A reason as it is kept.
pub fn entry(reason: &Reason) -> StatusReason {
    let message = cut(&reason.to_string());
    if let Reason::Unknown { code, .. } = reason {
        return StatusReason {
            code: code.clone(),
            message,
            ..StatusReason::default()
        };
    }
    let written = serde_json::to_value(reason).unwrap_or_default();
    let mut parameters = match written.get("parameters") {
        Some(Value::Object(parameters)) => parameters.clone(),
        _ => Map::new(),
    };
    parameters.values_mut().for_each(limit);
    if parameters.get(DETAIL).and_then(Value::as_str) == Some(&message) {
        parameters.remove(DETAIL);
    }
    let object = parameters.remove(OBJECT);
    let object = object.and_then(|object| serde_json::from_value::<ReasonObject>(object).ok());
    if Value::Object(parameters.clone()).to_string().len() > MAX_PARAMETERS {
        parameters.clear();
    }
    StatusReason {
        code: reason.code().map(Code::as_str).unwrap_or_default().into(),
        message,
        object,
        parameters,
        ..StatusReason::default()
    }
}

/// The reason an entry holds.
pub fn read(entry: &StatusReason) -> Reason {
    let mut parameters = entry.parameters.clone();
    if !parameters.contains_key(DETAIL) {
        parameters.insert(DETAIL.into(), entry.message.clone().into());
    }
    if let Some(object) = &entry.object {
        parameters.insert(OBJECT.into(), json!(object));
    }
    let written = json!({"code": entry.code, "parameters": parameters});
    serde_json::from_value(written).unwrap_or_else(|_| Reason::Unknown {
        code: entry.code.clone(),
        message: entry.message.clone(),
    })
}

/// The entries of a status, the first [`MAX_REASONS`] of what was found, each once. Those that were
/// there before keep their time.
pub fn reasons(
    previous: &[StatusReason],
    found: impl IntoIterator<Item = StatusReason>,
    now: Timestamp,
) -> Vec<StatusReason> {
    let mut entries: Vec<StatusReason> = Vec::new();
    for mut entry in found {
        entry.since = None;
        let same = |known: &&StatusReason| {
            known.code == entry.code
                && known.object == entry.object
                && known.message == entry.message
                && known.parameters == entry.parameters
        };
        let known = previous.iter().find(same);
        let since = known.and_then(|known| known.since.clone());
        if entries.iter().any(|entry| same(&entry)) {
            continue;
        }
        entry.since = Some(since.unwrap_or_else(|| Time(whole_seconds(now))));
        entries.push(entry);
        if entries.len() == MAX_REASONS {
            break;
        }
    }
    entries
}

/// The reason behind a condition; its message as it is when there is none, as with conditions of
/// Argo CD and of agents that kept no reasons.
pub fn of_condition(status: &ApplicationStatus, condition: &ApplicationCondition) -> Reason {
    let message = cut(&condition.message);
    let mut entries = status.reasons.iter();
    match entries.find(|entry| entry.message == message) {
        Some(entry) => read(entry),
        None => words(&condition.message),
    }
}

/// Says of an operation why it is as it is, in words and as data.
pub fn explain(state: &mut OperationState, reason: &Reason) {
    state.message = reason.to_string();
    state.reason = Some(entry(reason));
}

/// Why an operation is as it is. Its reason counts only with the message it was written with:
/// another controller may have written a newer message.
pub fn of_operation(state: &OperationState) -> Reason {
    match &state.reason {
        Some(entry) if entry.message == cut(&state.message) => read(entry),
        _ => legacy::of_operation(&state.message).unwrap_or_else(|| words(&state.message)),
    }
}

/// Why a sync did with one object what it did.
pub fn of_result(result: &ResourceResult) -> Reason {
    read(&StatusReason {
        code: result.reason.clone(),
        message: result.message.clone(),
        ..StatusReason::default()
    })
}

/// When this question about a prune at a revision was asked, if it is asked still.
pub fn asked_since(
    status: &ApplicationStatus,
    at: &str,
    wanted: &PruneQuestion,
) -> Option<Timestamp> {
    let known = status
        .reasons
        .iter()
        .map(read)
        .find_map(|reason| match reason {
            Reason::PruneApproval {
                revision,
                question,
                asked,
                ..
            } if revision == at && question == *wanted => Some(asked),
            _ => None,
        });
    known.or_else(|| legacy::asked_since(&status.conditions, at, wanted))
}

/// Whether an object is known as changed by admission.
pub fn is_mutated(status: &ApplicationStatus, key: &ObjectKey) -> bool {
    let known = |reason: Reason| matches!(reason, Reason::AdmissionMutated { object, .. } if object == *key);
    status.reasons.iter().map(read).any(known) || legacy::is_mutated(status, key)
}

/// What has to be approved, in words; each question once.
pub fn questions(status: &ApplicationStatus) -> Vec<String> {
    let mut questions: Vec<String> = Vec::new();
    let operation = status.operation_state.as_ref().map(of_operation);
    let conditions = status
        .conditions
        .iter()
        .map(|found| of_condition(status, found));
    for reason in conditions.chain(operation) {
        let question = reason.question();
        questions.extend(question.filter(|question| !questions.contains(question)));
    }
    questions
}

/// What is asked before an Application's objects are deleted.
pub(super) fn deletion_question(objects: &Names, guests: &Names) -> String {
    if guests.is_empty() {
        return format!("nothing is deleted before approval: Delete=confirm is set on {objects}");
    }
    format!("nothing is deleted before approval: with {objects} would go {guests}")
}

impl Reason {
    /// The last known commit, when live is still compared with it.
    pub fn last_known(&self) -> Option<&str> {
        match self {
            Self::RepositoryUnreachable { last_known, .. }
            | Self::RepositoryNotFound { last_known, .. }
            | Self::RepositoryAccessDenied { last_known, .. }
            | Self::CertificateUntrusted { last_known, .. }
            | Self::HostKeyUntrusted { last_known, .. }
            | Self::RevisionUnknown { last_known, .. }
            | Self::RepositoryFailed { last_known, .. } => last_known.as_deref(),
            _ => None,
        }
    }

    /// What has to be approved, without how; `None` for a reason that asks nothing.
    pub fn question(&self) -> Option<String> {
        match self {
            Self::PruneApproval {
                revision, question, ..
            } => Some(format!("at {}: {question}", short(revision))),
            Self::DeletionApproval {
                objects, guests, ..
            } => Some(deletion_question(objects, guests)),
            Self::Unknown { message, .. } => legacy::question(message).map(str::to_owned),
            _ => None,
        }
    }
}

/// The precision the API keeps.
fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

fn words(message: &str) -> Reason {
    Reason::Unknown {
        code: String::new(),
        message: message.into(),
    }
}

fn limit(value: &mut Value) {
    match value {
        Value::String(text) => *text = cut(text),
        Value::Array(items) => {
            items.truncate(MAX_ITEMS);
            items.iter_mut().for_each(limit);
        }
        Value::Object(fields) => fields.values_mut().for_each(limit),
        _ => {}
    }
}

/// The beginning of a text that is too long.
fn cut(text: &str) -> String {
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into(),
    }
}
