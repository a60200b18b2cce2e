//! What a reconciliation has to say of an Application, gathered until it is written.

use std::collections::BTreeSet;

use gitops_api::status::OperationState;
use gitops_api::{Application, ApplicationStatus, Hold};
use gitops_core::compare::comparison::State;
use gitops_core::reason::Reason;
use gitops_core::report::memory::{Delivered, last_operation};
use gitops_core::report::status::Condition;
use gitops_core::sync::attempt::{Wanted, is_recorded, last_attempt};
use gitops_core::sync::autosync::{Attempt, Cause};
use gitops_core::sync::pause::Paused;

use crate::applications::app_state::AppState;
use crate::applications::tip::Tip;

/// What will be said.
pub(crate) struct StatusDraft<'a> {
    /// The Application as it was read.
    pub(crate) app: &'a Application,
    /// Its status so far, with what is added to its histories now.
    pub(crate) previous: ApplicationStatus,
    /// What the refresh annotation asks for.
    pub(crate) refresh: Option<String>,
    /// What there is to say besides the state.
    pub(crate) conditions: BTreeSet<Condition>,
    /// What is waited for, besides what the conditions and the operation say.
    pub(crate) reasons: Vec<Reason>,
    /// The operation that went on, began or ended; `None` leaves it as it was.
    pub(crate) operation: Option<OperationState>,
    /// What was found delivered although no operation says so.
    pub(crate) delivered: Option<Delivered>,
    /// The revisions the application follows, whether or not they are delivered.
    pub(crate) tracked: Vec<String>,
    /// Where the first source in Git was found.
    pub(crate) tip: Option<Tip>,
    /// A server is still being asked for what an operation wants.
    pub(crate) fetching: bool,
    /// The pause in force: nothing is changed in the cluster.
    pub(crate) paused: Option<Paused>,
    /// What became of the hold on it.
    pub(crate) hold: HoldState,
    /// The API server is asked again what admission makes of what it mutated before.
    pub(crate) asks_admission: bool,
}

/// What became of a hold in this reconciliation.
pub(crate) enum HoldState {
    /// There is none, or it cannot be read.
    None,
    /// The held revision is delivered.
    InForce(Box<Hold>),
    /// The annotation is to be removed.
    Ended,
}

impl<'a> StatusDraft<'a> {
    /// Nothing to say yet.
    pub(crate) fn new(
        app: &'a Application,
        previous: ApplicationStatus,
        refresh: Option<String>,
    ) -> Self {
        Self {
            app,
            previous,
            refresh,
            conditions: BTreeSet::new(),
            reasons: Vec::new(),
            operation: None,
            delivered: None,
            tracked: Vec::new(),
            tip: None,
            fetching: false,
            paused: None,
            hold: HoldState::None,
            asks_admission: false,
        }
    }
}

impl StatusDraft<'_> {
    /// The operation that counts: the one of this pass, else the one on record.
    pub(crate) fn known_operation(&self) -> Option<&OperationState> {
        let known = self.operation.as_ref();
        known.or(self.previous.operation_state.as_ref())
    }

    /// The last sync of what is compared now, as far as the last operation and what is remembered
    /// tell.
    pub(crate) fn last_attempt(&self, app_state: &AppState) -> Option<Attempt> {
        let known = self.known_operation();
        let wanted = Wanted {
            spec: &self.app.spec,
            revisions: &app_state.wanted.revisions,
            desired: &app_state.wanted.desired,
        };
        let attempt = last_attempt(known, &self.previous, self.delivered.as_ref(), wanted)?;
        // What the project allows by now was not tried.
        let opened = attempt.cause == Cause::Denied && app_state.denied.is_empty();
        (!opened).then_some(attempt)
    }

    /// Takes note that the cluster is, or was by a sync of Argo CD, as Git has it, unless the last
    /// operation says so itself; what was remembered of something else is forgotten.
    pub(crate) fn note_delivered(&mut self, app_state: &AppState) {
        let known = self.known_operation();
        let desired = &app_state.wanted.desired;
        let in_order = app_state.comparison.values().all(State::is_in_order);
        let delivered = || {
            in_order
                || self
                    .last_attempt(app_state)
                    .is_some_and(|known| known.succeeded)
        };
        let wanted = !is_recorded(known, desired) && !desired.objects.is_empty() && delivered();
        self.delivered = wanted.then(|| Delivered {
            digest: desired.digest().to_owned(),
            after: last_operation(known),
        });
    }
}
