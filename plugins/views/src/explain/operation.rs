//! The sync under way or the last one: what it waits for, which object failed and in whose words.

use gitops_api::status::{OperationState, ResourceResult};
use gitops_api::{OperationPhase, ResourceStatus, ResultCode};
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_kit::text;

use crate::explain::{Cause, Inquiry, count};
use crate::status::reason::Code;

/// Seconds after which a sync that is still running is worth a word.
const LONG: i64 = 600;
/// Failed objects that are told one by one.
const SHOWN: usize = 3;
/// Retries of automated sync when the policy does not say.
const DEFAULT_RETRIES: i64 = 5;

pub(super) fn look(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>) {
    let Some(state) = inquiry
        .status()
        .and_then(|status| status.operation_state.as_ref())
    else {
        return;
    };
    match state.phase {
        // One that only tried out changed nothing, however it ended.
        phase if phase.is_completed() && state.operation.is_dry_run() => {}
        OperationPhase::Running | OperationPhase::Terminating => running(inquiry, state, causes),
        OperationPhase::Failed | OperationPhase::Error if is_told(inquiry, state) => {}
        OperationPhase::Failed | OperationPhase::Error => failed(inquiry, state, causes),
        OperationPhase::Succeeded | OperationPhase::Unknown => {}
    }
}

/// Whether a condition says the same, and what to do about it.
fn is_told(inquiry: &Inquiry<'_>, state: &OperationState) -> bool {
    let is_denied = |reason: &Reason| matches!(reason, Reason::ProjectDenies { .. });
    let conditions = inquiry.status().into_iter();
    let mut conditions = conditions.flat_map(|status| &status.conditions);
    is_denied(&reason::of_operation(state))
        && conditions.any(|found| is_denied(&inquiry.reason(found)))
}

fn running(inquiry: &Inquiry<'_>, state: &OperationState, causes: &mut Vec<Cause>) {
    let age = state.started_at.as_ref().map_or(0, |time| {
        inquiry.now.as_second().saturating_sub(time.0.as_second())
    });
    let reason = reason::of_operation(state);
    let (name, what) = match (&state.phase, &reason) {
        (OperationPhase::Terminating, _) => ("Terminating", "its sync is being terminated"),
        _ if state.finished_at.is_some() => ("Retrying", "its sync failed and is tried again"),
        (_, Reason::HookWaiting { .. }) => ("HookWaiting", "its sync waits for a hook"),
        (_, Reason::WaveWaiting { .. }) => {
            ("WaveWaiting", "its sync waits until objects are healthy")
        }
        _ => ("Syncing", "it is being synced"),
    };
    let mut cause = Cause::new(
        Code::Syncing,
        name,
        format!("{what} for {}", text::duration(age)),
    )
    .because(inquiry, &reason)
    .evidence(&state.message);
    for resource in awaited(inquiry, &reason) {
        let health = resource.health.as_ref();
        let word = health.map_or("no health", |health| health.status.as_str());
        let why = health.map_or("", |health| health.message.as_str());
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {why}")
        };
        cause = cause.evidence(format!(
            "{}/{} is {word}{why}",
            resource.kind, resource.name
        ));
        if resource.kind == "Job" {
            let namespace = inquiry.in_namespace(&resource.namespace);
            cause = cause.next(
                format!("kubectl logs job/{}{namespace} --tail=50", resource.name),
                "what the hook says",
            );
        }
    }
    let pending = state
        .sync_result
        .iter()
        .flat_map(|result| &result.resources)
        .filter(|result| result.hook_phase == Some(OperationPhase::Running))
        .take(SHOWN);
    cause = cause.all(pending.map(|result| {
        format!(
            "{}/{} is running: {}",
            result.kind, result.name, result.message
        )
    }));
    cause = cause.next(
        format!("kubectl gitops status {} -w", inquiry.app()),
        "follow it",
    );
    if age > LONG {
        cause = cause.next(
            format!("kubectl gitops terminate {}", inquiry.app()),
            "end it, to change what it waits for",
        );
    }
    causes.push(cause);
}

/// The objects that a sync waits for.
fn awaited<'a>(inquiry: &'a Inquiry<'_>, reason: &Reason) -> Vec<&'a ResourceStatus> {
    let (Reason::HookWaiting { objects, .. } | Reason::WaveWaiting { objects, .. }) = reason else {
        return Vec::new();
    };
    inquiry
        .resources
        .iter()
        .filter(|resource| {
            objects.iter().any(|waiting| {
                let object = &waiting.object;
                object.kind == resource.kind
                    && object.name == resource.name
                    && object.group == resource.group
            })
        })
        .collect()
}

fn failed(inquiry: &Inquiry<'_>, state: &OperationState, causes: &mut Vec<Cause>) {
    let results: Vec<&ResourceResult> = state
        .sync_result
        .iter()
        .flat_map(|result| &result.resources)
        .filter(|result| is_failure(result))
        .filter(|result| concerns(inquiry, result))
        .collect();
    if results.is_empty() && inquiry.evidence.subject.is_some() {
        return;
    }
    let when = state
        .finished_at
        .as_ref()
        .map_or_else(String::new, |time| format!(" {}", inquiry.ago(time.0)));
    let tries = format!("it failed{when}{}", tries(inquiry, state));
    if results.is_empty() {
        let message = if state.message.is_empty() {
            "the controller does not say why"
        } else {
            &state.message
        };
        causes.push(
            Cause::new(Code::SyncFailed, "SyncFailed", "its last sync failed")
                .because(inquiry, &reason::of_operation(state))
                .evidence(message)
                .evidence(&tries)
                .next(
                    format!("kubectl gitops sync {}", inquiry.app()),
                    "try again",
                ),
        );
        return;
    }
    for result in results.iter().take(SHOWN) {
        causes.push(refused(inquiry, result).evidence(&tries));
    }
    if let (Some(last), true) = (causes.last_mut(), results.len() > SHOWN) {
        last.evidence
            .push(format!("{} failed in all", count(results.len(), "object")));
    }
}

fn is_failure(result: &ResourceResult) -> bool {
    result.status == Some(ResultCode::SyncFailed)
        || matches!(
            result.hook_phase,
            Some(OperationPhase::Failed | OperationPhase::Error)
        )
}

fn concerns(inquiry: &Inquiry<'_>, result: &ResourceResult) -> bool {
    inquiry.evidence.subject.is_none()
        || inquiry
            .resources
            .iter()
            .any(|resource| resource.kind == result.kind && resource.name == result.name)
}

/// What happens next by itself.
fn tries(inquiry: &Inquiry<'_>, state: &OperationState) -> String {
    let policy = inquiry
        .application()
        .and_then(|application| application.spec.sync_policy.as_ref());
    let Some(automation) = policy.and_then(|policy| policy.automation()) else {
        return String::new();
    };
    let limit = policy
        .and_then(|policy| policy.retry.as_ref())
        .map_or(DEFAULT_RETRIES, |retry| retry.limit);
    if limit < 0 || state.retry_count < limit {
        let of = if limit < 0 {
            String::new()
        } else {
            format!(" of {limit}")
        };
        return format!(
            "; retried {} times{of}, the agent goes on",
            state.retry_count
        );
    }
    let then = if automation.self_heal {
        "from now on it is tried every few minutes, and at once when Git changes"
    } else {
        "it is tried again only when Git or the Application changes, or when you ask"
    };
    format!("; all {limit} retries are used: {then}")
}

/// One object, in the server's words.
fn refused(inquiry: &Inquiry<'_>, result: &ResourceResult) -> Cause {
    let name = format!("{}/{}", result.kind, result.name);
    let message = text::one_line(&result.message);
    let reason = reason::of_result(result);
    let app = inquiry.app();
    let place = inquiry.in_namespace(&result.namespace);
    let cause = |kind: &'static str, what: String| {
        Cause::new(Code::SyncFailed, kind, what)
            .because(inquiry, &reason)
            .evidence(&message)
    };
    let diff = format!("kubectl gitops diff {app}");
    let again = format!("kubectl gitops sync {app}");
    if result.hook_phase.is_some() && result.status != Some(ResultCode::SyncFailed) {
        return cause("HookFailed", format!("hook {name} failed")).next(
            format!(
                "kubectl logs {}/{}{place} --tail=50",
                result.kind.to_lowercase(),
                result.name
            ),
            "what the hook said",
        );
    }
    if matches!(reason, Reason::ImmutableField { .. }) {
        return cause(
            "ImmutableField",
            format!("{name} cannot take the change: the field may not change once it is set"),
        )
        .next(diff, "which field it is")
        .next(
            format!("kubectl gitops rollback {app}"),
            "take the change back; or delete the object so that it is made anew",
        );
    }
    if matches!(reason, Reason::QuotaExceeded { .. }) {
        return cause(
            "QuotaExceeded",
            format!("{name} exceeds a quota of its namespace"),
        )
        .next(
            format!("kubectl describe resourcequotas{place}"),
            "what is used and allowed",
        );
    }
    if matches!(reason, Reason::AdmissionDenied { .. }) {
        return cause(
            "AdmissionDenied",
            format!("a policy of the cluster denies {name}"),
        )
        .next(
            diff,
            "what would be applied; change it in Git as the policy says",
        );
    }
    if matches!(reason, Reason::NamespaceMissing { .. }) {
        return cause(
            "NamespaceMissing",
            format!("the namespace of {name} does not exist"),
        )
        .next(
            format!(
                "kubectl create namespace {}{}",
                result.namespace, inquiry.evidence.flags
            ),
            "make it; or set the sync option CreateNamespace=true",
        )
        .next(again, "try again at once");
    }
    if matches!(reason, Reason::ObjectKindUnknown { .. }) {
        return cause(
            "KindUnknown",
            format!("the cluster does not serve the kind of {name}"),
        )
        .next(
            format!("kubectl api-resources{}", inquiry.evidence.flags),
            "the kinds there are; install its definition first",
        );
    }
    if matches!(reason, Reason::AgentForbidden { .. }) {
        return cause("AgentForbidden", format!("the agent may not change {name}")).next(
            format!(
                "kubectl auth can-i patch {}{place} --as system:serviceaccount:{}:gitops-agent",
                result.kind.to_lowercase(),
                inquiry.evidence.agent_namespace
            ),
            "may it; its rights are in its ClusterRole",
        );
    }
    cause("ObjectRefused", format!("{name} was refused"))
        .next(diff, "what would be applied")
        .next(again, "try again")
}
