//! The history of an application: what was delivered when, how it fared, and which commit is live.

use gitops_api::operation::OperationInitiator;
use gitops_api::status::{CommitSummary, RevisionHistory};
use gitops_api::{
    ApplicationSpec, ApplicationStatus, HealthStatus, HealthStatusCode, SyncStatusCode,
};
use jiff::Timestamp;
use serde_json::Value;

use crate::manifest::desired::DesiredSet;
use crate::manifest::digest::Agreement;
use crate::manifest::hook::Hook;
use crate::report::compared::{Compared, seconds, sync_code};

/// Notes on the newest entry of the history how what it delivered fared. Rollback goes back to
/// what was seen to work.
pub(crate) fn note_health(
    status: &mut ApplicationStatus,
    before: Option<&HealthStatus>,
    compared: Compared<'_>,
    now: Timestamp,
) {
    let synced = sync_code(compared.comparison) == SyncStatusCode::Synced;
    let Some(health) = &status.health else { return };
    let Some(entry) = status.history.last_mut() else {
        return;
    };
    if !compared.desired.is_recorded_as(&entry.desired_digest) {
        return;
    }
    let was = before.map(|health| health.status);
    match health.status {
        HealthStatusCode::Healthy if synced => {
            let lost = entry.lost_at.is_some() || entry.degraded_at >= entry.healthy_at;
            // An agent of before noted only when it was healthy first.
            let known = entry.healthy_at.clone().filter(|_| !lost);
            let since = known.unwrap_or_else(|| seconds(now));
            entry.healthy_since.get_or_insert(since);
            entry.healthy_at.get_or_insert_with(|| seconds(now));
        }
        HealthStatusCode::Degraded
            if was != Some(HealthStatusCode::Degraded) || entry.degraded_at.is_none() =>
        {
            entry.degraded_at = Some(seconds(now));
            entry.degraded_because.clone_from(&health.message);
        }
        _ => {}
    }
    let broken = matches!(
        health.status,
        HealthStatusCode::Progressing | HealthStatusCode::Degraded | HealthStatusCode::Missing
    );
    // While live is not as Git says, somebody else may have broken it.
    if broken && synced && entry.healthy_since.take().is_some() {
        entry.lost_at = Some(seconds(now));
        entry.lost_because.clone_from(&health.message);
    }
}

/// Extension of `operationState.syncResult`: digest of the manifests that were synced, by which a
/// commit that changes nothing for the application is told from one that does.
pub const DESIRED_DIGEST: &str = "desiredDigest";
/// The same of the hooks: a hook that was mended is a new state to try.
pub const HOOKS_DIGEST: &str = "hooksDigest";

/// Writes the digests that are recorded of these manifests by the key of today: an agent before
/// there was a key wrote them without one.
pub(crate) fn renew_digests(status: &mut ApplicationStatus, desired: &DesiredSet) {
    for entry in &mut status.history {
        if desired.is_recorded_as(&entry.desired_digest) {
            desired.digest().clone_into(&mut entry.desired_digest);
        }
    }
    let operation = status.operation_state.as_mut();
    let Some(result) = operation.and_then(|state| state.sync_result.as_mut()) else {
        return;
    };
    if let Some(Value::String(recorded)) = result.extra.get_mut(DESIRED_DIGEST)
        && desired.is_recorded_as(recorded)
    {
        desired.digest().clone_into(recorded);
    }
    if let (Some(Value::String(recorded)), Some(digest)) =
        (result.extra.get_mut(HOOKS_DIGEST), desired.hooks_digest())
        && desired.are_hooks_recorded_as(Some(recorded))
    {
        digest.clone_into(recorded);
    }
}

/// Whether the newest deployment on record was of these manifests: a sync of them that finds nothing to
/// do is none.
pub fn is_newest(status: &ApplicationStatus, desired: &DesiredSet) -> bool {
    let newest = status.history.last();
    newest.is_some_and(|entry| desired.is_recorded_as(&entry.desired_digest))
}

/// The commit that is live, as far as the comparison and the history tell: what was compared when
/// all is synced, else what was synced last. `source` is the place of the first source in Git.
pub fn live_commit(
    previous: &ApplicationStatus,
    compared: Compared<'_>,
    source: usize,
) -> Option<String> {
    if sync_code(compared.comparison) == SyncStatusCode::Synced {
        return compared.revisions.get(source).cloned();
    }
    let synced_last = previous.history.last().and_then(|entry| {
        if entry.revisions.is_empty() {
            Some(entry.revision.clone())
        } else {
            entry.revisions.get(source).cloned()
        }
    });
    // A commit that changed nothing for the application may be live without a sync of its own.
    let known = previous
        .live
        .as_ref()
        .map(|live| live.commit.revision.clone());
    known
        .or(synced_last)
        .filter(|revision| !revision.is_empty())
}

/// When what is live was delivered, if no sync of it is on record: the agent ended after the last write
/// and before the status that tells of it.
///
/// Every object has to carry the agent's own mark of exactly these manifests, written since what is on
/// record. A sync with hooks, and one that prunes, is announced before it begins and goes on instead; one of
/// single objects is announced as well, and is no deployment.
pub fn unrecorded_delivery(
    status: &ApplicationStatus,
    created: Option<Timestamp>,
    compared: Compared<'_>,
) -> Option<Timestamp> {
    let desired = compared.desired;
    let runs_hooks = |hook: &Hook| hook.sync_phases().next().is_some();
    if sync_code(compared.comparison) != SyncStatusCode::Synced
        || desired.hooks.iter().any(runs_hooks)
    {
        return None;
    }
    let of_these = |recorded: &str| desired.is_recorded_as(recorded);
    if let Some(state) = &status.operation_state {
        let digest = state.sync_result.as_ref()?.extra.get(DESIRED_DIGEST);
        let tried = digest.and_then(Value::as_str).is_some_and(of_these);
        let sync = state.operation.sync.as_ref();
        let complete = sync.is_none_or(|sync| sync.resources.is_empty() && !sync.dry_run);
        if !state.phase.is_completed() || tried && (state.phase.is_successful() || !complete) {
            return None;
        }
    }
    let last = status.history.last();
    if last.is_some_and(|entry| of_these(&entry.desired_digest)) {
        return None;
    }
    let mut newest = None;
    for object in desired.objects.values() {
        let live = compared.live.get(&object.key)?;
        let mark = live.desired_digest.as_deref()?;
        if object.agreement(mark) != Agreement::Same {
            return None;
        }
        newest = newest.max(live.applied_at);
    }
    let last = last.and_then(|entry| entry.deployed_at.as_ref());
    let since = last.map(|time| time.0).max(created);
    newest.filter(|newest| since.is_none_or(|since| *newest >= since))
}

/// A sync that ended well, for the history.
#[derive(Clone, Debug)]
pub struct Delivery<'a> {
    /// One revision a source, in order.
    pub revisions: &'a [String],
    /// The commit of the first source in Git.
    pub commit: Option<CommitSummary>,
    /// Digest of what was rendered.
    pub digest: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended.
    pub finished: Timestamp,
    /// Who asked for it.
    pub initiated_by: OperationInitiator,
}

/// Appends a finished sync to the history and drops what is beyond the limit.
pub fn record_history(
    status: &mut ApplicationStatus,
    spec: &ApplicationSpec,
    delivery: Delivery<'_>,
) {
    let Delivery {
        revisions,
        started,
        finished,
        ..
    } = delivery;
    let multiple = !spec.sources.is_empty();
    let id = status.history.last().map_or(0, |entry| entry.id + 1);
    status.history.push(RevisionHistory {
        id,
        revision: if multiple {
            String::new()
        } else {
            revisions.first().cloned().unwrap_or_default()
        },
        revisions: if multiple { revisions.to_vec() } else { vec![] },
        source: if multiple { None } else { spec.source.clone() },
        sources: spec.sources.clone(),
        deploy_started_at: Some(seconds(started)),
        deployed_at: Some(seconds(finished)),
        initiated_by: Some(delivery.initiated_by),
        commit: delivery.commit,
        desired_digest: delivery.digest,
        ..RevisionHistory::default()
    });
    let limit = spec
        .revision_history_limit
        .unwrap_or(gitops_api::constants::DEFAULT_REVISION_HISTORY_LIMIT);
    let limit = usize::try_from(limit).unwrap_or(0);
    if status.history.len() > limit {
        status.history.drain(..status.history.len() - limit);
    }
}

#[cfg(test)]
mod tests;
