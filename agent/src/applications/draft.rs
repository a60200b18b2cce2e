//! What a reconciliation has to say of an Application, gathered until it is written.

use std::collections::BTreeSet;

use gitops_api::status::OperationState;
use gitops_api::{Application, ApplicationStatus, Hold};
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;

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
    /// The revisions the application follows, whether or not they are delivered.
    pub(crate) tracked: Vec<String>,
    /// A server is still being asked for what an operation wants.
    pub(crate) fetching: bool,
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
            tracked: Vec::new(),
            fetching: false,
            hold: HoldState::None,
            asks_admission: false,
        }
    }
}
