//! Prunes that wait for approval: what is asked, since when, and whether it was approved.
//!
//! The question is a reason of the Application, with the time it was asked: an approval counts when
//! it is later. An approval that an operation acts upon is noted in the operation, so
//! that it still counts when another agent goes on with it, or when it is tried again.

use gitops_api::Operation;
use gitops_api::constants::{annotation, condition};
use gitops_api::source::NameValue;
use gitops_core::compare::comparison::State;
use gitops_core::reason;
use gitops_core::reason::{PruneQuestion, Reason};
use gitops_core::report::status::{Condition, seconds};
use gitops_core::sync::approval::Approval;
use gitops_core::sync::budget::Budget;
use gitops_core::sync::plan::Plan;
use jiff::Timestamp;
use kube::ResourceExt;

use crate::applications::app_state::AppState;
use crate::applications::condition::invalid_setting;
use crate::applications::context::ReconcileContext;
use crate::applications::draft::StatusDraft;
use crate::applications::policy::automated;
use crate::applications::sync::planned::PlannedSync;
use crate::applications::sync::request::Request;

/// Name of the entry in `operation.info` that notes an approval.
const NOTED: &str = "gitops-agent.io/consent";

/// How much this application prunes without approval.
fn budget(context: &ReconcileContext<'_>, draft: &mut StatusDraft<'_>) -> Budget {
    let Some(text) = context.app.annotations().get(annotation::PRUNE_BUDGET) else {
        return context.controller.limits.prune_budget;
    };
    text.parse().unwrap_or_else(|problem| {
        let used = context.controller.limits.prune_budget;
        let detail = format!("{}: {problem}; {used} is used", annotation::PRUNE_BUDGET);
        draft.conditions.insert(invalid_setting(detail));
        used
    })
}

/// Plans a request, with the approval of its prunes where there is one. Whoever asks for a sync
/// with prune has seen how many there are; `Prune=confirm` asks also then.
pub(crate) fn with_approval(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    request: Request,
    app_state: &AppState,
) -> PlannedSync {
    if !request.is_automated() {
        let approval = approval_since(context, request.started());
        let planned = PlannedSync::new(request.limited(Budget::Unlimited), app_state);
        return if approval.is_given() {
            planned.approved()
        } else {
            planned
        };
    }
    let request = request.limited(budget(context, draft));
    approve(
        context,
        draft,
        PlannedSync::new(request, app_state),
        app_state,
    )
}

/// Approves an automated sync when its prunes are approved, and notes that in its operation.
fn approve(
    context: &ReconcileContext<'_>,
    draft: &StatusDraft<'_>,
    planned: PlannedSync,
    app_state: &AppState,
) -> PlannedSync {
    if is_noted(&planned.request.operation) || retries_with_approval(draft, app_state) {
        return planned.approved();
    }
    if planned.request.is_resumed() || !is_approved(context, draft, &planned.plan, app_state) {
        return planned;
    }
    let mut approved = planned.approved();
    let approval = context.app.annotations().get(annotation::DELETION_APPROVED);
    approved.request.operation.info.push(NameValue {
        name: NOTED.into(),
        value: approval.cloned().unwrap_or_default(),
        ..NameValue::default()
    });
    approved
}

/// What is asked about the prunes of automated sync; and the sync with these prunes, once they are
/// approved.
pub(crate) fn pending_prune_approval(
    context: &ReconcileContext<'_>,
    draft: &mut StatusDraft<'_>,
    app_state: &AppState,
) -> Option<(Condition, Option<PlannedSync>)> {
    // Also when nothing is asked: what nobody can read is said beforehand.
    let budget = budget(context, draft);
    let prunes = automated(&context.app.spec).is_some_and(|automated| automated.prune);
    if !prunes || !app_state.comparison.values().any(State::is_extra) {
        return None;
    }
    let request = Request::automated(&context.app.spec, None, 0).limited(budget);
    let planned = PlannedSync::new(request, app_state);
    let question = question(&planned.plan, app_state)?;
    let since = asked_since(draft, &question);
    let asked = since.unwrap_or_else(|| seconds(Timestamp::now()).0);
    let reason = prune_approval(context, question, asked);
    let condition = Condition::new(condition::CONFIRMATION_WARNING, reason);
    let approved = is_approved(context, draft, &planned.plan, app_state)
        .then(|| approve(context, draft, planned, app_state));
    Some((condition, approved))
}

/// What a requested sync waits for at its end.
pub(crate) fn awaits_approval(
    context: &ReconcileContext<'_>,
    request: &Request,
    plan: &Plan,
    app_state: &AppState,
) -> Option<Reason> {
    let question = question(plan, app_state).filter(|_| !request.is_automated())?;
    Some(prune_approval(context, question, request.started()))
}

fn prune_approval(context: &ReconcileContext<'_>, question: Question, asked: Timestamp) -> Reason {
    Reason::PruneApproval {
        revision: question.revision,
        question: question.prune,
        asked,
        approval: approval_since(context, asked),
        namespace: context.key.namespace.clone(),
        application: context.key.name.clone(),
    }
}

fn is_approved(
    context: &ReconcileContext<'_>,
    draft: &StatusDraft<'_>,
    plan: &Plan,
    app_state: &AppState,
) -> bool {
    question(plan, app_state)
        .and_then(|question| asked_since(draft, &question))
        .is_some_and(|since| approval_since(context, since).is_given())
}

fn approval_since(context: &ReconcileContext<'_>, since: Timestamp) -> Approval {
    // The request may be older than what is known of the Application by now.
    let current = context.controller.configuration.application(context.key);
    let annotations = current.as_deref().unwrap_or(context.app).annotations();
    let text = annotations.get(annotation::DELETION_APPROVED);
    Approval::read(text.map(String::as_str), seconds(since).0)
}

/// When a question was asked that is asked still.
fn asked_since(draft: &StatusDraft<'_>, asked: &Question) -> Option<Timestamp> {
    reason::asked_since(&draft.previous, &asked.revision, &asked.prune)
}

/// Whether this attempt follows a failed one of the same manifests that was approved.
fn retries_with_approval(draft: &StatusDraft<'_>, app_state: &AppState) -> bool {
    let failed = draft.last_attempt(app_state);
    let failed = failed.is_some_and(|attempt| !attempt.succeeded);
    let state = draft.previous.operation_state.as_ref();
    failed && state.is_some_and(|state| is_noted(&state.operation))
}

/// What a plan asks, with the revision it is about: another one may mean other objects.
struct Question {
    revision: String,
    prune: PruneQuestion,
}

fn question(plan: &Plan, app_state: &AppState) -> Option<Question> {
    let revisions = &app_state.wanted.revisions;
    Some(Question {
        prune: plan.question()?.clone(),
        revision: revisions.first().cloned().unwrap_or_default(),
    })
}

fn is_noted(operation: &Operation) -> bool {
    operation.info.iter().any(|info| info.name == NOTED)
}
