//! Whether what is compared now was tried before, and how that ended: by the agent, or by Argo CD
//! before a move.
//!
//! The agent records digests of what it delivered. Argo CD records revisions and sources, and by its own
//! rule a revision that was synced from these sources is not synced again by automation ("Automated
//! Sync Policy"). Both count, so that another controller changes nothing until Git changes or somebody
//! asks.

use gitops_api::status::{OperationState, ResourceResult, SyncOperationResult, SyncStatus};
use gitops_api::{ApplicationSpec, ApplicationStatus, ResultCode, SyncStatusCode};
use jiff::Timestamp;
use serde_json::Value;

use crate::manifest::desired::DesiredSet;
use crate::reason;
use crate::reason::{Code, Reason};
use crate::report::history::{DESIRED_DIGEST, HOOKS_DIGEST};
use crate::report::memory::{Delivered, last_operation};
use crate::sync::autosync::{Attempt, Cause};

/// What is compared now.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    /// The spec.
    pub spec: &'a ApplicationSpec,
    /// The revisions that were looked up, one a source.
    pub revisions: &'a [String],
    /// What they render to.
    pub desired: &'a DesiredSet,
}

/// The last sync of these manifests, from the sources of now; `None` when they were never tried.
///
/// `state` is the operation that counts, `before` the status of before this comparison, `delivered`
/// what was found delivered although nobody says by which operation.
pub fn last_attempt(
    state: Option<&OperationState>,
    before: &ApplicationStatus,
    delivered: Option<&Delivered>,
    wanted: Wanted<'_>,
) -> Option<Attempt> {
    if state.is_some_and(|state| !state.phase.is_completed()) {
        return None;
    }
    let of_operation = state.filter(|state| is_of(state, wanted));
    if let Some(state) = of_operation {
        return Some(Attempt {
            succeeded: state.phase.is_successful(),
            retries: u32::try_from(state.retry_count).unwrap_or(0),
            finished: state
                .finished_at
                .as_ref()
                .map_or(Timestamp::UNIX_EPOCH, |time| time.0),
            terminated: reason::of_operation(state) == Reason::Terminated {},
            cause: cause(state),
            by_argo_cd: result_digest(state).is_none(),
        });
    }
    let remembered = delivered.is_some_and(|delivered| {
        wanted.desired.is_recorded_as(&delivered.digest) && delivered.after == last_operation(state)
    });
    let found = before
        .sync
        .as_ref()
        .is_some_and(|sync| was_found_synced(sync, wanted));
    (remembered || found).then_some(Attempt {
        succeeded: true,
        retries: 0,
        finished: Timestamp::UNIX_EPOCH,
        terminated: false,
        cause: Cause::default(),
        by_argo_cd: false,
    })
}

/// What an operation failed of, by its results.
fn cause(state: &OperationState) -> Cause {
    if matches!(reason::of_operation(state), Reason::ProjectDenies { .. }) {
        return Cause::Denied;
    }
    let results = state.sync_result.iter();
    let results = results.flat_map(|result| &result.resources);
    let failed: Vec<&ResourceResult> = results
        .filter(|result| result.status == Some(ResultCode::SyncFailed) || result.is_failed_hook())
        .collect();
    let all = |of: fn(&ResourceResult) -> bool| {
        !failed.is_empty() && failed.iter().all(|result| of(result))
    };
    if all(|result| result.hook_type.is_some()) {
        Cause::Hooks
    } else if all(|result| result.reason == Code::ObjectKindUnknown.as_str()) {
        Cause::UnknownKinds
    } else {
        Cause::Objects
    }
}

/// Whether the last operation recorded what it delivered by the digest of now: then nothing else has to
/// be remembered.
pub fn is_recorded(state: Option<&OperationState>, desired: &DesiredSet) -> bool {
    state
        .and_then(result_digest)
        .is_some_and(|digest| desired.is_recorded_as(digest))
}

fn result_digest(state: &OperationState) -> Option<&str> {
    digest(state.sync_result.as_ref()?, DESIRED_DIGEST)
}

fn digest<'a>(result: &'a SyncOperationResult, name: &str) -> Option<&'a str> {
    result.extra.get(name).and_then(Value::as_str)
}

/// Whether an operation was of these manifests and of the sources of now.
fn is_of(state: &OperationState, wanted: Wanted<'_>) -> bool {
    let Wanted {
        spec,
        revisions,
        desired,
    } = wanted;
    let Some(result) = &state.sync_result else {
        return false;
    };
    let same_sources = result.sources == spec.sources
        && (!spec.sources.is_empty() || result.source == spec.source);
    if !same_sources {
        return false;
    }
    // A commit that changes nothing for this application is not a new state to try.
    if let Some(digest) = digest(result, DESIRED_DIGEST) {
        let mended = !state.phase.is_successful()
            && !desired.are_hooks_recorded_as(self::digest(result, HOOKS_DIGEST));
        return !mended && desired.is_recorded_as(digest);
    }
    // Argo CD's.
    let sync = state.operation.sync.as_ref();
    let synced = if result.revisions.is_empty() {
        std::slice::from_ref(&result.revision)
    } else {
        &result.revisions
    };
    !sync.is_some_and(|sync| sync.dry_run) && synced == revisions
}

/// Whether Argo CD found the cluster to be as these revisions have it.
fn was_found_synced(sync: &SyncStatus, wanted: Wanted<'_>) -> bool {
    let Wanted {
        spec, revisions, ..
    } = wanted;
    let compared = sync.compared_revisions();
    sync.status == SyncStatusCode::Synced
        && sync.desired_digest.is_empty()
        && compared == revisions
        && sync.compared_to.as_ref().is_some_and(|to| {
            to.destination == spec.destination
                && to.sources == spec.sources
                && (!spec.sources.is_empty() || to.source == spec.source)
        })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn source() -> Value {
        json!({"repoURL": "https://host/r", "path": "p", "targetRevision": "main"})
    }

    fn spec() -> ApplicationSpec {
        serde_json::from_value(json!({"project": "default", "source": source(),
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "n"}}))
        .unwrap()
    }

    /// A status as Argo CD writes it.
    fn status(phase: &str, synced_revision: &str, sync: &str, compared_revision: &str) -> Value {
        json!({
            "operationState": {
                "operation": {"initiatedBy": {"automated": true}, "sync": {"revision": synced_revision}},
                "phase": phase, "startedAt": "2026-01-01T00:00:00Z", "finishedAt": "2026-01-01T00:00:10Z",
                "retryCount": 1, "message": "said so",
                "syncResult": {"revision": synced_revision, "source": source()},
            },
            "sync": {"status": sync, "revision": compared_revision, "comparedTo": {
                "source": source(), "destination": {
                    "server": "https://kubernetes.default.svc", "namespace": "n"}}},
        })
    }

    fn attempt(status: &Value, delivered: Option<&Delivered>) -> Option<(bool, u32)> {
        let before: ApplicationStatus = serde_json::from_value(status.clone()).unwrap();
        let (spec, desired) = (spec(), DesiredSet::default());
        let wanted = Wanted {
            spec: &spec,
            revisions: &["now".into()],
            desired: &desired,
        };
        last_attempt(before.operation_state.as_ref(), &before, delivered, wanted)
            .map(|attempt| (attempt.succeeded, attempt.retries))
    }

    #[test]
    fn what_argo_cd_synced_counts_as_tried() {
        let mut other_source = status("Succeeded", "now", "OutOfSync", "now");
        other_source["operationState"]["syncResult"]["source"]["path"] = json!("q");
        let mut dry_run = status("Succeeded", "now", "OutOfSync", "now");
        dry_run["operationState"]["operation"]["sync"]["dryRun"] = json!(true);
        let mut elsewhere = status("Succeeded", "old", "Synced", "now");
        elsewhere["sync"]["comparedTo"]["destination"]["namespace"] = json!("m");
        let table = [
            (
                "drifted since",
                status("Succeeded", "now", "OutOfSync", "now"),
                Some((true, 1)),
            ),
            (
                "retries used up",
                status("Failed", "now", "OutOfSync", "now"),
                Some((false, 1)),
            ),
            (
                "a commit that it did not sync",
                status("Succeeded", "old", "OutOfSync", "now"),
                None,
            ),
            (
                "a commit that changed nothing here",
                status("Succeeded", "old", "Synced", "now"),
                Some((true, 0)),
            ),
            (
                "a commit since it looked",
                status("Succeeded", "old", "Synced", "old"),
                None,
            ),
            ("under way", status("Running", "now", "Synced", "now"), None),
            ("from another source", other_source, None),
            ("only tried out", dry_run, None),
            ("to another namespace", elsewhere, None),
            ("nothing known", json!({}), None),
        ];
        for (case, status, expected) in table {
            assert_eq!(attempt(&status, None), expected, "{case}");
        }
    }

    #[test]
    fn what_was_found_delivered_counts_until_another_operation() {
        let status = status("Succeeded", "old", "OutOfSync", "now");
        let digest = DesiredSet::default().digest().to_owned();
        let known = |after: &str| Delivered {
            digest: digest.clone(),
            after: after.into(),
        };
        assert_eq!(
            attempt(&status, Some(&known("2026-01-01T00:00:00Z"))),
            Some((true, 0))
        );
        assert_eq!(attempt(&status, Some(&known("2025-01-01T00:00:00Z"))), None);
        let other = Delivered {
            digest: "other".into(),
            ..known("2026-01-01T00:00:00Z")
        };
        assert_eq!(attempt(&status, Some(&other)), None);
    }

    #[test]
    fn digests_count_where_they_are_recorded() {
        let mut recorded = status("Succeeded", "old", "OutOfSync", "now");
        let digest = DesiredSet::default().digest().to_owned();
        recorded["operationState"]["syncResult"]["desiredDigest"] = json!(digest);
        assert_eq!(
            attempt(&recorded, None),
            Some((true, 1)),
            "the commit changed nothing here"
        );
        recorded["operationState"]["syncResult"]["desiredDigest"] = json!("other");
        recorded["operationState"]["syncResult"]["revision"] = json!("now");
        assert_eq!(attempt(&recorded, None), None);
    }
}
