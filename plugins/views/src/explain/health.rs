//! Why an object does not work: its Pods, the events about them, volumes, Jobs, conditions.

use std::collections::BTreeMap;

use gitops_api::{HealthStatusCode, ResourceStatus};
use gitops_kit::text;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use serde_json::Value;

use crate::explain::{Cause, Inquiry, MAX_EVIDENCE_LINES, colon, count, events, pods};
use crate::pods::problem;
use crate::pods::problem::{Fault, Problem};
use crate::pods::tree::Tree;
use crate::status::drift;
use crate::status::reason::{Code, is_application};

/// Objects that are explained one by one.
const SHOWN: usize = 5;
/// Seconds after which "on its way" is worth asking why.
const LONG: i64 = 600;
/// Seconds an object may take to be gone.
const DELETION: i64 = 60;

pub(super) fn look(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>, notes: &mut Vec<String>) {
    let tree = Tree::of(&inquiry.evidence.workloads);
    let mut unwell: Vec<&ResourceStatus> = inquiry
        .resources
        .iter()
        .filter(|resource| is_unwell(resource) || inquiry.evidence.subject.is_some())
        .collect();
    unwell.sort_by_key(|resource| {
        let health = resource.health.as_ref();
        std::cmp::Reverse(health.map_or(0, |health| health.status.severity()))
    });
    for resource in unwell.iter().take(SHOWN) {
        if let Some(cause) = deleting(inquiry, resource) {
            causes.push(cause);
            continue;
        }
        let code = resource.health.as_ref().map(|health| health.status);
        match code {
            // The health of a child is Missing while none of its objects exist.
            Some(HealthStatusCode::Missing) if is_application(resource) => {
                causes.push(not_delivered(inquiry, resource));
            }
            Some(HealthStatusCode::Missing) => missing(inquiry, resource, causes),
            Some(HealthStatusCode::Suspended) => {
                let why = message(resource);
                notes.push(format!(
                    "{} is suspended{}",
                    drift::object_name(resource),
                    colon(&why)
                ));
            }
            _ => {
                let found = broken(inquiry, resource, &tree, is_awaited(resource, causes));
                causes.extend(found);
            }
        }
    }
    if unwell.len() > SHOWN {
        notes.push(format!(
            "{} not healthy; only {SHOWN} are explained",
            count(unwell.len(), "object")
        ));
    }
}

fn is_unwell(resource: &ResourceStatus) -> bool {
    resource
        .health
        .as_ref()
        .is_some_and(|health| health.status != HealthStatusCode::Healthy)
}

fn message(resource: &ResourceStatus) -> String {
    let health = resource.health.as_ref();
    text::one_line(health.map_or("", |health| &health.message))
}

fn live<'a>(inquiry: &'a Inquiry<'_>, resource: &ResourceStatus) -> Option<&'a Value> {
    inquiry.evidence.live.iter().find(|object| {
        object["kind"] == resource.kind.as_str()
            && object["metadata"]["name"] == resource.name.as_str()
            && object["metadata"]["namespace"].as_str().unwrap_or_default() == resource.namespace
    })
}

fn deleting(inquiry: &Inquiry<'_>, resource: &ResourceStatus) -> Option<Cause> {
    let metadata = &live(inquiry, resource)?["metadata"];
    let since: Timestamp = metadata["deletionTimestamp"].as_str()?.parse().ok()?;
    if inquiry.now.as_second() - since.as_second() < DELETION {
        return None;
    }
    let finalizers: Vec<String> = metadata["finalizers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(text::one_line)
        .collect();
    let mut cause = Cause::new(
        Code::Degraded,
        "StuckDeleting",
        format!(
            "{} is being deleted for {} and does not go",
            drift::object_name(resource),
            text::age(since, inquiry.now)
        ),
    );
    if !finalizers.is_empty() {
        cause = cause.evidence(format!(
            "it is held by finalizer {}: whoever set it has to take it off",
            finalizers.join(", ")
        ));
    }
    Some(cause.next(
        inquiry.kubectl("describe", resource),
        "what it waits for; is the controller of the finalizer running",
    ))
}

fn missing(inquiry: &Inquiry<'_>, resource: &ResourceStatus, causes: &mut Vec<Cause>) {
    let name = drift::object_name(resource);
    // A sync that failed, or is off, says why it is not there.
    let told = causes.iter().any(|cause| {
        matches!(
            cause.code,
            Code::SyncFailed | Code::OutOfSync | Code::Syncing
        ) || cause.what.contains(&name)
    });
    if !told {
        causes.push(
            Cause::new(
                Code::Degraded,
                "ObjectMissing",
                format!("{name} is not in the cluster"),
            )
            .next(
                format!("kubectl gitops sync {}", inquiry.app()),
                "deliver it again",
            ),
        );
    }
}

/// A child Application that exists, but nothing of it.
fn not_delivered(inquiry: &Inquiry<'_>, resource: &ResourceStatus) -> Cause {
    let cause = Cause::new(
        Code::Child,
        "ChildNotDelivered",
        format!(
            "none of the objects of {} exist yet",
            drift::object_name(resource)
        ),
    );
    let said = message(resource);
    let troubles = application_errors(live(inquiry, resource), &said);
    cause
        .all(troubles.into_iter().take(MAX_EVIDENCE_LINES))
        .next(
            format!(
                "kubectl gitops explain {}{}",
                resource.name,
                inquiry.in_namespace(&resource.namespace)
            ),
            "why it is not synced",
        )
}

/// Whether a sync under way waits for the object, and says so.
fn is_awaited(resource: &ResourceStatus, causes: &[Cause]) -> bool {
    let name = format!("{} is", drift::object_name(resource));
    causes.iter().any(|cause| {
        cause.code == Code::Syncing && cause.evidence.iter().any(|line| line.starts_with(&name))
    })
}

/// `told`: that it is on its way was said already.
fn broken(
    inquiry: &Inquiry<'_>,
    resource: &ResourceStatus,
    tree: &Tree<'_>,
    told: bool,
) -> Vec<Cause> {
    let found = pods::pods(inquiry, resource, tree);
    let mut faults: BTreeMap<Fault, Vec<(&Pod, Problem)>> = BTreeMap::new();
    for pod in &found {
        if let Some(problem) = problem::of(pod, inquiry.now) {
            faults
                .entry(problem.fault)
                .or_default()
                .push((pod, problem));
        }
    }
    let mut causes: Vec<Cause> = faults
        .iter()
        .map(|(fault, broken)| pods::of_pods(inquiry, resource, *fault, broken, found.len()))
        .collect();
    causes.extend(pods::not_made(inquiry, resource, tree));
    if causes.is_empty() {
        causes.extend(pods::mounts(inquiry, resource, &found));
    }
    if causes.is_empty() && is_unwell(resource) && !told {
        causes.push(by_itself(inquiry, resource));
    }
    causes
}

/// What the object says of itself.
fn by_itself(inquiry: &Inquiry<'_>, resource: &ResourceStatus) -> Cause {
    let object = drift::object_name(resource);
    let health = resource.health.as_ref();
    let code = health.map_or(HealthStatusCode::Unknown, |health| health.status);
    let since = health
        .and_then(|health| health.last_transition_time.as_ref())
        .or_else(|| {
            // That of the whole says something of this object only when it is as bad.
            let whole = inquiry.status()?.health.as_ref()?;
            let same = whole.status == code;
            whole.last_transition_time.as_ref().filter(|_| same)
        })
        .map(|time| time.0);
    let for_long = since.is_some_and(|since| inquiry.now.as_second() - since.as_second() > LONG);
    let age = since.map_or_else(String::new, |since| {
        format!(" for {}", text::age(since, inquiry.now))
    });
    let cause = match code {
        HealthStatusCode::Progressing if for_long => Cause::new(
            Code::Progressing,
            "ProgressingTooLong",
            format!("{object} is progressing{age} and does not finish"),
        ),
        HealthStatusCode::Progressing => Cause::new(
            Code::Progressing,
            "Progressing",
            format!("{object} is progressing{age}"),
        ),
        HealthStatusCode::Unknown => Cause::new(
            Code::NotCompared,
            "HealthUnknown",
            format!("nobody can say whether {object} works"),
        ),
        _ if resource.kind == "Job" => {
            Cause::new(Code::Degraded, "JobFailed", format!("{object} failed"))
        }
        _ => Cause::new(
            Code::Degraded,
            "ObjectDegraded",
            format!("{object} reports that it is failing{age}"),
        ),
    };
    let said = message(resource);
    let mut cause = cause.evidence(&said);
    for line in conditions(live(inquiry, resource), &said)
        .into_iter()
        .take(MAX_EVIDENCE_LINES)
    {
        cause = cause.evidence(line);
    }
    for event in events::warnings(
        &inquiry.evidence.events,
        &resource.namespace,
        &resource.kind,
        &resource.name,
        inquiry.now,
    )
    .into_iter()
    .take(MAX_EVIDENCE_LINES)
    {
        cause = cause.evidence(events::in_words(event, inquiry.now));
    }
    let namespace = inquiry.in_namespace(&resource.namespace);
    if is_application(resource) {
        let troubles = application_errors(live(inquiry, resource), &said);
        cause = cause.all(troubles.into_iter().take(MAX_EVIDENCE_LINES));
        cause = cause.next(
            format!("kubectl gitops explain {}{namespace}", resource.name),
            "what is wrong with it",
        );
    }
    if resource.kind == "Job" {
        cause = cause.next(
            format!("kubectl logs job/{}{namespace} --tail=50", resource.name),
            "what it said",
        );
    }
    if code == HealthStatusCode::Progressing {
        cause = cause.next(
            format!("kubectl gitops status {} -w", inquiry.app()),
            "follow it",
        );
    }
    cause.next(
        inquiry.kubectl("describe", resource),
        "its conditions and events",
    )
}

/// The errors a child application reports; its conditions have no status.
fn application_errors(object: Option<&Value>, said: &str) -> Vec<String> {
    let conditions = object.and_then(|object| object.pointer("/status/conditions"));
    let conditions = conditions.and_then(Value::as_array).into_iter().flatten();
    let text_of = |value: &Value| text::one_line(value.as_str().unwrap_or_default());
    conditions
        .map(|condition| (text_of(&condition["type"]), text_of(&condition["message"])))
        .filter(|(kind, message)| kind.ends_with("Error") && !said.contains(message))
        .map(|(kind, message)| format!("{kind}{}", colon(&message)))
        .collect()
}

/// The conditions of an object that say something is wrong: `Ready is False (NotFound): no such …`.
fn conditions(object: Option<&Value>, said: &str) -> Vec<String> {
    let Some(conditions) = object.and_then(|object| object.pointer("/status/conditions")) else {
        return Vec::new();
    };
    let text_of = |value: &Value| text::one_line(value.as_str().unwrap_or_default());
    conditions
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|condition| {
            let (kind, status) = (text_of(&condition["type"]), text_of(&condition["status"]));
            let alarm = ["Failed", "Degraded", "Stalled", "ReplicaFailure", "Error"]
                .iter()
                .any(|word| kind.contains(word));
            let bad = if alarm {
                status == "True"
            } else {
                status == "False"
            };
            let message = text_of(&condition["message"]);
            if !bad || (!message.is_empty() && said.contains(&message)) {
                return None;
            }
            let reason = text_of(&condition["reason"]);
            let reason = if reason.is_empty() {
                String::new()
            } else {
                format!(" ({reason})")
            };
            Some(format!("{kind} is {status}{reason}{}", colon(&message)))
        })
        .collect()
}
