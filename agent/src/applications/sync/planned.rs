//! A requested sync and its plan: made once for what was compared, and passed on as data.

use gitops_core::sync::plan::Plan;

use crate::applications::app_state::AppState;
use crate::applications::sync::request::Request;

/// A sync with all that carrying it out would do.
pub(crate) struct PlannedSync {
    pub(crate) request: Request,
    /// By the state it was planned for.
    pub(crate) plan: Plan,
}

impl PlannedSync {
    /// Plans a sync of what was compared.
    pub(crate) fn new(request: Request, app_state: &AppState) -> Self {
        Self {
            plan: request.plan(app_state),
            request,
        }
    }

    /// The same after its prunes were approved.
    pub(crate) fn approved(self) -> Self {
        Self {
            request: self.request.approved(),
            plan: self.plan.approved(),
        }
    }
}
