//! A comparison as a status, its history and the choice of what is live read it.

use std::collections::HashMap;

use gitops_api::{SyncStatusCode, Time};
use jiff::Timestamp;

use crate::compare::comparison::{Comparison, State};
use crate::live::object::LiveObject;
use crate::manifest::desired::DesiredSet;
use crate::manifest::object::ObjectKey;
use crate::project::DeniedObject;

/// Desired and live state, compared.
#[derive(Clone, Copy, Debug)]
pub struct Compared<'a> {
    /// What Git holds.
    pub desired: &'a DesiredSet,
    /// Verdict for every object.
    pub comparison: &'a Comparison,
    /// Records of the live objects among them.
    pub live: &'a HashMap<ObjectKey, LiveObject>,
    /// Records of the objects of its hooks that are live and stay for now.
    pub hooks: &'a [LiveObject],
    /// Objects and hooks that the project does not allow.
    pub denied: &'a [DeniedObject],
    /// Fields of objects that differ and are ignored.
    pub ignored: &'a HashMap<ObjectKey, Vec<String>>,
    /// One revision a source, in order.
    pub revisions: &'a [String],
    /// Kind of each source: Directory, Helm or Kustomize.
    pub source_types: &'a [String],
}

/// Whether all objects are in order.
pub(crate) fn sync_code(comparison: &Comparison) -> SyncStatusCode {
    if comparison.values().all(State::is_in_order) {
        SyncStatusCode::Synced
    } else {
        SyncStatusCode::OutOfSync
    }
}

/// A time with the precision the API keeps: whole seconds.
pub fn seconds(time: Timestamp) -> Time {
    Time(Timestamp::from_second(time.as_second()).unwrap_or(time))
}
