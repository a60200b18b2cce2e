//! What a pass has to say on the application besides its state: conditions with reason and advice.

use gitops_api::constants::condition;
use gitops_core::compare::comparison::State;
use gitops_core::manifest::options;
use gitops_core::report::status::Condition;
use gitops_core::sync::autosync::Idle;

use crate::applications::reconcile::{AppState, Reconciliation};
use crate::applications::sources::render::comparison_error;
use crate::applications::sync::request::allow_empty;
use crate::applications::{AppCache, short};

impl Reconciliation<'_> {
    pub(crate) fn note_idle(&mut self, idle: Idle, app_state: &AppState) {
        if idle == Idle::RetriesExhausted {
            self.note_failed_attempt();
        }
        self.note_shared(app_state);
    }

    /// Says on the application why its last sync failed.
    pub(crate) fn note_failed_attempt(&mut self) {
        let state = self
            .operation
            .as_ref()
            .or(self.previous.operation_state.as_ref());
        if let Some(state) = state.filter(|s| s.phase.is_completed() && !s.phase.is_successful()) {
            let revision = state
                .sync_result
                .as_ref()
                .map(|result| short(&result.revision).to_owned())
                .unwrap_or_default();
            self.conditions.insert(Condition::new(
                condition::SYNC_ERROR,
                format!("sync to {revision} failed: {}", state.message),
            ));
        }
    }

    /// Options of the application that nobody knows.
    pub(crate) fn note_options(&mut self) {
        let policy = self.app.spec.sync_policy.as_ref();
        for option in policy.iter().flat_map(|policy| &policy.sync_options) {
            if let Some(problem) = options::of_application(option) {
                self.conditions.insert(Condition::new(
                    condition::INVALID_SETTING_WARNING,
                    format!("spec.syncPolicy.syncOptions: {problem}"),
                ));
            }
        }
    }

    pub(crate) fn note_shared(&mut self, app_state: &AppState) {
        for (key, state) in &app_state.comparison {
            if let State::OwnedBy(other) = state {
                self.conditions.insert(Condition::new(
                    condition::SHARED_RESOURCE_WARNING,
                    format!(
                        "{key} is part of applications {other} and {}; it stays with {other}, remove \
                         it from one of them",
                        self.key.name
                    ),
                ));
            }
        }
    }

    pub(crate) fn note_unapplied(&mut self, app_state: &AppState, cache: &AppCache) {
        let unknown: Vec<String> = app_state
            .comparison
            .iter()
            .filter(|(_, state)| **state == State::UnknownKind)
            .map(|(key, _)| key.to_string())
            .collect();
        if !unknown.is_empty() {
            self.conditions.insert(comparison_error(format!(
                "the cluster does not serve the kind of {}; install its CustomResourceDefinition or \
                 correct apiVersion and kind",
                unknown.join(", ")
            )));
        }
        if app_state.wanted.desired.objects.is_empty()
            && app_state.comparison.values().any(State::is_extra)
            && !allow_empty(&self.app.spec)
        {
            self.conditions.insert(Condition::new(
                condition::SYNC_ERROR,
                "Git holds no manifests for this application, and deleting all its objects is not \
                 allowed; set syncPolicy.automated.allowEmpty or delete the application",
            ));
        }
        for warning in cache
            .rendered
            .iter()
            .flat_map(|rendered| &rendered.warnings)
        {
            self.conditions.insert(Condition::new(
                condition::EXCLUDED_RESOURCE_WARNING,
                warning.clone(),
            ));
        }
    }
}
