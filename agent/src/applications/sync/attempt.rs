//! How the last sync of what is compared now ended.

use gitops_api::ApplicationSpec;
use gitops_api::status::OperationState;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_core::report::history::{DESIRED_DIGEST, HOOKS_DIGEST};
use gitops_core::sync::autosync::Attempt;
use jiff::Timestamp;
use serde_json::Value;

/// The last operation, if it was of these manifests and of the sources of now.
pub(crate) fn last_attempt(
    state: Option<&OperationState>,
    spec: &ApplicationSpec,
    desired: &DesiredSet,
) -> Option<Attempt> {
    let state = state?;
    let result = state.sync_result.as_ref()?;
    // A commit that changes nothing for this application is not a new state to try.
    let digest = |name: &str| result.extra.get(name).and_then(Value::as_str);
    let mended =
        !state.phase.is_successful() && !desired.are_hooks_recorded_as(digest(HOOKS_DIGEST));
    let same = !mended
        && digest(DESIRED_DIGEST).is_some_and(|digest| desired.is_recorded_as(digest))
        && result.sources == spec.sources
        && (!spec.sources.is_empty() || result.source == spec.source);
    if !same || !state.phase.is_completed() {
        return None;
    }
    Some(Attempt {
        succeeded: state.phase.is_successful(),
        retries: u32::try_from(state.retry_count).unwrap_or(0),
        finished: state
            .finished_at
            .as_ref()
            .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
        terminated: reason::of_operation(state) == Reason::Terminated {},
    })
}
