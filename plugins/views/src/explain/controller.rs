//! Whether anybody is at work at all: the agent, deletion, a hold, an application left alone.

use gitops_api::constants::{annotation, condition};
use gitops_kit::text;
use jiff::Timestamp;

use crate::explain::{Cause, Inquiry};
use crate::status::agent::Agent;
use crate::status::reason::Code;
use crate::status::{live, pause};

/// Seconds after which a status that nobody's Lease vouches for counts as left behind. Argo CD
/// compares every three minutes.
const ABANDONED: i64 = 900;
/// Seconds an Application may wait for its first comparison.
const FIRST_LOOK: i64 = 30;

pub(super) fn look(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>) {
    agent(inquiry, causes);
    skipped(inquiry, causes);
    paused(inquiry, causes);
    deletion(inquiry, causes);
    hold(inquiry, causes);
}

fn agent(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>) {
    let namespace = &inquiry.evidence.agent_namespace;
    let pods = format!(
        "kubectl get pods{} -l app.kubernetes.io/name=gitops-agent",
        inquiry.in_namespace(namespace)
    );
    let compared = inquiry
        .status()
        .and_then(|status| status.reconciled_at.as_ref())
        .map(|time| time.0);
    let last_look = compared.map_or_else(
        || "this application was never compared".to_owned(),
        |time| format!("this application was compared {}", inquiry.ago(time)),
    );
    match inquiry.evidence.agent {
        Agent::Running { .. } | Agent::Unknown => never_compared(inquiry, causes),
        Agent::Stale { renewed } => causes.push(
            Cause::new(
                Code::Error,
                "AgentSilent",
                format!(
                    "the agent has been silent for {}: nothing is compared or synced",
                    text::age(renewed, inquiry.now)
                ),
            )
            .evidence(format!(
                "Lease {namespace}/gitops-agent was renewed last {}",
                inquiry.ago(renewed)
            ))
            .evidence(last_look)
            .next(pods, "is it running, and if not, why")
            .next(
                format!(
                    "kubectl logs deployment/gitops-agent{} --tail=50",
                    inquiry.in_namespace(namespace)
                ),
                "what it said last",
            ),
        ),
        Agent::Absent if abandoned(compared, inquiry.now) => causes.push(
            Cause::new(
                Code::Error,
                "AgentAbsent",
                format!("no agent is at work in namespace {namespace}"),
            )
            .evidence(format!("there is no Lease {namespace}/gitops-agent"))
            .evidence(last_look)
            .next(pods, "is an agent installed there"),
        ),
        Agent::Absent => {}
    }
}

fn abandoned(compared: Option<Timestamp>, now: Timestamp) -> bool {
    compared.is_none_or(|time| now.as_second() - time.as_second() > ABANDONED)
}

fn never_compared(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>) {
    let Some(application) = inquiry.application() else {
        return;
    };
    if application.status.is_some() {
        return;
    }
    let created = application.metadata.creation_timestamp.as_ref();
    let waiting = created.map_or(0, |time| inquiry.now.as_second() - time.0.as_second());
    let age = text::duration(waiting);
    let what = if waiting < FIRST_LOOK {
        format!("it was created {age} ago and is not compared yet")
    } else {
        format!("it was created {age} ago and no controller has looked at it")
    };
    let namespace = application
        .metadata
        .namespace
        .as_deref()
        .unwrap_or_default();
    let mut cause = Cause::new(Code::NotCompared, "NotCompared", what);
    if namespace != inquiry.evidence.agent_namespace {
        cause = cause.evidence(format!(
            "it is in namespace {namespace}, the agent in {}: the agent looks only into the \
             namespaces it was told to",
            inquiry.evidence.agent_namespace
        ));
    }
    causes.push(cause.next(
        format!(
            "kubectl logs deployment/gitops-agent{} --tail=50",
            inquiry.in_namespace(&inquiry.evidence.agent_namespace)
        ),
        "what the agent says",
    ));
}

fn skipped(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>) {
    let annotations = inquiry
        .application()
        .and_then(|application| application.metadata.annotations.as_ref());
    let skips = annotations
        .and_then(|annotations| annotations.get(annotation::SKIP_RECONCILE))
        .is_some_and(|value| value == "true");
    if skips {
        causes.push(
            Cause::new(
                Code::Suspended,
                "SkipReconcile",
                "reconciliation is paused: nothing is compared or synced",
            )
            .evidence(format!(
                "annotation {}: \"true\"",
                annotation::SKIP_RECONCILE
            ))
            .next(
                format!(
                    "kubectl annotate application {} {}-",
                    inquiry.app(),
                    annotation::SKIP_RECONCILE
                ),
                "resume it",
            ),
        );
    }
}

fn paused(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>) {
    let Some(application) = inquiry.application() else {
        return;
    };
    let Some(paused) = pause::of(application, inquiry.now) else {
        return;
    };
    let words = pause::in_words(&paused, inquiry.now);
    let resume = if paused.everything {
        format!("kubectl gitops resume --all{}", inquiry.namespace_flag())
    } else {
        format!("kubectl gitops resume {}", inquiry.app())
    };
    let cause = Cause::new(Code::Suspended, "Paused", format!("it is {words}"))
        .evidence("it is compared, and nothing is applied or deleted")
        .next(resume, "shows what will be reverted, and goes on");
    let said = inquiry.status().and_then(|status| {
        let mut conditions = status.conditions.iter();
        conditions.find(|found| found.condition_type == condition::PAUSED_WARNING)
    });
    causes.push(match said {
        Some(said) => cause.because(inquiry, &inquiry.reason(said)),
        None => cause,
    });
}

fn deletion(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>) {
    let Some(application) = inquiry.application() else {
        return;
    };
    let Some(since) = &application.metadata.deletion_timestamp else {
        return;
    };
    let error = inquiry.status().and_then(|status| {
        status
            .conditions
            .iter()
            .find(|found| found.condition_type == condition::DELETION_ERROR)
    });
    let age = text::age(since.0, inquiry.now);
    let mut cause = match error {
        Some(_) => Cause::new(
            Code::Error,
            "DeletionStuck",
            format!("it is being deleted for {age}, and the deletion is blocked"),
        ),
        None => Cause::new(
            Code::Deleting,
            "Deleting",
            format!("it is being deleted for {age}"),
        ),
    };
    if let Some(error) = error {
        let reason = inquiry.reason(error);
        cause = cause.because(inquiry, &reason).evidence(&error.message);
    }
    let finalizers = application
        .metadata
        .finalizers
        .as_deref()
        .unwrap_or_default();
    if !finalizers.is_empty() {
        cause = cause.evidence(format!("held by finalizer {}", finalizers.join(", ")));
    }
    let left: Vec<String> = inquiry
        .evidence
        .live
        .iter()
        .filter(|object| object["metadata"]["deletionTimestamp"].is_string())
        .map(|object| {
            let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
            format!(
                "{}/{} is being deleted too",
                text(&object["kind"]),
                text(&object["metadata"]["name"])
            )
        })
        .collect();
    causes.push(cause.all(left).next(
        format!("kubectl gitops status {}", inquiry.app()),
        "the objects that are left",
    ));
}

fn hold(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>) {
    let Some(hold) = inquiry.application().and_then(live::hold) else {
        return;
    };
    let lift = format!(
        "kubectl annotate application {} {}-",
        inquiry.app(),
        annotation::HOLD
    );
    let cause = match hold {
        Ok(hold) => Cause::new(
            Code::Warning,
            "HoldInForce",
            format!("held at {}", live::hold_in_words(&hold, inquiry.now)),
        )
        .evidence("what Git says at the tracked revision is not delivered on purpose")
        .next(
            lift,
            "end the hold: the tracked revision is delivered again",
        ),
        Err(error) => Cause::new(
            Code::Error,
            "HoldInvalid",
            format!(
                "the annotation {} cannot be read: {error}",
                annotation::HOLD
            ),
        )
        .next(lift, "take it off"),
    };
    let said = inquiry.status().and_then(|status| {
        let mut conditions = status.conditions.iter();
        conditions.find(|found| found.condition_type == condition::HELD_WARNING)
    });
    causes.push(match said {
        Some(said) => cause.because(inquiry, &inquiry.reason(said)),
        None => cause,
    });
}
