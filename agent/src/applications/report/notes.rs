//! What a pass has to say on the application besides its state: conditions with reason and advice.

use gitops_api::constants::condition;
use gitops_api::status::OperationState;
use gitops_core::compare::comparison::State;
use gitops_core::manifest::options;
use gitops_core::reason;
use gitops_core::reason::{Names, Reason};
use gitops_core::report::status::Condition;
use gitops_core::source::fields;
use gitops_core::sync::autosync::Idle;
use kube::ResourceExt;

use crate::applications::app_state::AppState;
use crate::applications::cache::AppCache;
use crate::applications::condition::{comparison_failed, invalid_setting};
use crate::applications::draft::StatusDraft;
use crate::applications::policy::allow_empty;

pub(crate) fn note_idle(draft: &mut StatusDraft<'_>, idle: Idle, app_state: &AppState) {
    if idle == Idle::RetriesExhausted {
        note_failed_attempt(draft);
    }
    note_shared(draft, app_state);
}

/// Says on the application why its last sync failed.
pub(crate) fn note_failed_attempt(draft: &mut StatusDraft<'_>) {
    let state = draft.known_operation();
    let failed = |state: &&OperationState| {
        let phase = state.phase;
        phase.is_completed() && !phase.is_successful() && !state.operation.is_dry_run()
    };
    // What the project does not allow has a condition of its own, for as long as it does not.
    let denied = |state: &&OperationState| {
        matches!(reason::of_operation(state), Reason::ProjectDenies { .. })
    };
    if let Some(state) = state.filter(failed).filter(|state| !denied(state)) {
        let revision = state
            .sync_result
            .as_ref()
            .map(|result| result.revision.clone())
            .unwrap_or_default();
        draft.conditions.insert(Condition::new(
            condition::SYNC_ERROR,
            Reason::SyncFailed {
                revision,
                detail: state.message.clone(),
            },
        ));
    }
}

/// Fields and options of the application that nobody knows.
pub(crate) fn note_options(draft: &mut StatusDraft<'_>) {
    let unknown = fields::unknown(&draft.app.spec);
    draft
        .conditions
        .extend(unknown.into_iter().map(invalid_setting));
    let policy = draft.app.spec.sync_policy.as_ref();
    for option in policy.iter().flat_map(|policy| &policy.sync_options) {
        if let Some(problem) = options::of_application(option) {
            let detail = format!("spec.syncPolicy.syncOptions: {problem}");
            draft.conditions.insert(invalid_setting(detail));
        }
    }
}

pub(crate) fn note_shared(draft: &mut StatusDraft<'_>, app_state: &AppState) {
    for (key, state) in &app_state.comparison {
        if let State::OwnedBy(other) = state {
            draft.conditions.insert(Condition::new(
                condition::SHARED_RESOURCE_WARNING,
                Reason::SharedResource {
                    object: key.clone(),
                    owner: other.clone(),
                    application: draft.app.name_any(),
                },
            ));
        }
    }
}

pub(crate) fn note_unapplied(draft: &mut StatusDraft<'_>, app_state: &AppState, cache: &AppCache) {
    let states = app_state.comparison.iter();
    let unknown = states.filter(|(_, state)| **state == State::UnknownKind);
    let objects = Names::of(unknown.map(|(key, _)| key));
    if !objects.is_empty() {
        let reason = Reason::KindUnknown { objects };
        draft.conditions.insert(comparison_failed(reason));
    }
    if app_state.wanted.desired.objects.is_empty()
        && app_state.comparison.values().any(State::is_extra)
        && !allow_empty(&draft.app.spec)
    {
        draft.conditions.insert(Condition::new(
            condition::SYNC_ERROR,
            Reason::EmptyRender {},
        ));
    }
    for warning in cache
        .rendered
        .rendered()
        .into_iter()
        .flat_map(|rendered| &rendered.warnings)
    {
        draft.conditions.insert(Condition::new(
            condition::EXCLUDED_RESOURCE_WARNING,
            Reason::ExcludedResource {
                detail: warning.clone(),
            },
        ));
    }
}
