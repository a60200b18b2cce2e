//! What a status is built from: the comparison, conditions and reasons that were found.
//!
//! Only data; what is made of it is decided in `status` and `reasons`.

use std::collections::BTreeSet;

use gitops_api::status::{CommitSummary, LiveRevision, OperationState};
use gitops_api::{ApplicationSpec, ApplicationStatus};
use jiff::Timestamp;

use crate::reason::Reason;
use crate::report::compared::Compared;

/// A problem to show on the application.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Condition {
    /// One of [`gitops_api::constants::condition`].
    pub kind: &'static str,
    /// What, where, why and what to do.
    pub message: String,
    /// The same as data.
    pub reason: Reason,
}

impl Condition {
    /// A condition of this type.
    pub fn new(kind: &'static str, reason: impl Into<Reason>) -> Self {
        let reason = reason.into();
        Self {
            kind,
            message: reason.to_string(),
            reason,
        }
    }
}

/// Everything a status is built from.
#[derive(Clone, Debug)]
pub struct Report<'a> {
    /// The status so far.
    pub previous: &'a ApplicationStatus,
    /// What is wanted.
    pub spec: &'a ApplicationSpec,
    /// The comparison; `None` when it could not be made.
    pub compared: Option<Compared<'a>>,
    /// Problems found.
    pub conditions: &'a BTreeSet<Condition>,
    /// What is decided and waited for, besides what the conditions and the operation say.
    pub reasons: &'a [Reason],
    /// The operation under way or the last one.
    pub operation: Option<&'a OperationState>,
    /// Which commit is live; `None` when that could not be found out anew.
    pub live: Option<LiveRevision>,
    /// The tip of what is followed, when that is not what was compared.
    pub tracked: Option<CommitSummary>,
    /// Namespace of the agent.
    pub namespace: &'a str,
    /// Most bytes the status may have: [`MAX_STATUS`](crate::report::size::MAX_STATUS), less once
    /// the API server refused it.
    pub max_bytes: usize,
    /// Now.
    pub now: Timestamp,
}
