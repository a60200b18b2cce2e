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
mod tests {
    use std::collections::{BTreeSet, HashMap};

    use gitops_api::operation::SyncOperationResource;
    use gitops_api::status::OperationState;
    use gitops_api::{OperationPhase, SyncPolicy};
    use serde_json::json;

    use super::*;
    use crate::compare::comparison::{Comparison, State};
    use crate::live::object::LiveObject;
    use crate::manifest::desired::{Context, Manifest, Scope, prepare};
    use crate::manifest::object::{ObjectKey, Origin};
    use crate::report::size;
    use crate::report::status::{Report, build};

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn delivery(revisions: &[String], second: i64) -> Delivery<'_> {
        Delivery {
            revisions,
            commit: None,
            digest: DesiredSet::default().digest().to_owned(),
            started: at(0),
            finished: at(second),
            initiated_by: OperationInitiator::default(),
        }
    }

    #[test]
    fn history_keeps_the_newest_and_numbers_go_on() {
        let mut status = ApplicationStatus::default();
        let spec = ApplicationSpec {
            revision_history_limit: Some(2),
            sync_policy: Some(SyncPolicy::default()),
            ..ApplicationSpec::default()
        };
        for second in 0..4 {
            let revision = [format!("r{second}")];
            record_history(&mut status, &spec, delivery(&revision, second));
        }
        let entries: Vec<_> = status
            .history
            .iter()
            .map(|e| (e.id, e.revision.as_str()))
            .collect();
        assert_eq!(entries, [(2, "r2"), (3, "r3")]);
    }

    /// The status after a comparison whose only object is in this state.
    fn next(previous: &ApplicationStatus, state: Option<State>, second: i64) -> ApplicationStatus {
        let key = ObjectKey {
            group: String::new(),
            kind: "ConfigMap".into(),
            namespace: "n".into(),
            name: "c".into(),
        };
        let comparison: Comparison = state
            .into_iter()
            .map(|state| (key.clone(), state))
            .collect();
        let desired = DesiredSet::default();
        let revisions = ["head".to_owned()];
        let compared = Compared {
            desired: &desired,
            hooks: &[],
            denied: &[],
            ignored: &HashMap::new(),
            comparison: &comparison,
            live: &HashMap::new(),
            revisions: &revisions,
            source_types: &[],
        };
        build(&Report {
            previous,
            spec: &ApplicationSpec::default(),
            compared: Some(compared),
            conditions: &BTreeSet::new(),
            reasons: &[],
            operation: None,
            live: None,
            tracked: None,
            namespace: "argocd",
            max_bytes: size::MAX_STATUS,
            now: at(second),
        })
    }

    #[test]
    fn an_entry_is_good_once_it_was_synced_and_healthy() {
        let mut status = ApplicationStatus::default();
        let revisions = ["head".to_owned()];
        record_history(
            &mut status,
            &ApplicationSpec::default(),
            delivery(&revisions, 5),
        );
        let status = next(&status, Some(State::Missing), 6);
        assert_eq!(status.history[0].healthy_at, None);
        let status = next(&status, None, 7);
        assert_eq!(status.history[0].healthy_at, Some(seconds(at(7))));
        let status = next(&status, None, 8);
        assert_eq!(status.history[0].healthy_at, Some(seconds(at(7))));

        let mut other = status.clone();
        other.history[0].desired_digest = "another".into();
        other.history[0].healthy_at = None;
        assert_eq!(next(&other, None, 9).history[0].healthy_at, None);
    }

    /// A set of one ConfigMap with this value, and its live object as the agent applied it at a time.
    fn delivered(value: &str, second: i64) -> (DesiredSet, HashMap<ObjectKey, LiveObject>) {
        let manifest = Manifest {
            value: json!({"apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "c", "namespace": "n"}, "data": {"x": value}}),
            origin: Origin::default(),
        };
        let context = Context {
            instance: "shop",
            destination_namespace: "n",
            managed_by: "argocd",
            tracking: None,
        };
        let desired = prepare(vec![manifest], context, |_| Some(Scope::Namespaced)).unwrap();
        let object = desired.objects.values().next().unwrap();
        let mut live = LiveObject::observe(&object.manifest(), false).unwrap();
        live.applied_at = Some(at(second));
        assert!(live.desired_digest.is_some(), "the mark is in the manifest");
        (desired.clone(), [(object.key.clone(), live)].into())
    }

    /// What an agent finds that was killed, or after one was: which of it was a deployment that
    /// nobody recorded.
    #[test]
    fn a_delivery_that_could_not_be_reported_is_found_by_its_marks() {
        use OperationPhase::{Failed, Running, Succeeded};
        let (old, _) = delivered("old", 0);
        let (desired, live) = delivered("new", 20);
        let synced: Comparison = [(live.keys().next().unwrap().clone(), State::Synced)].into();
        let changed: Comparison = [(live.keys().next().unwrap().clone(), State::Changed)].into();
        let recorded = |digest: &DesiredSet, second| {
            let mut status = ApplicationStatus::default();
            let revisions = ["r".to_owned()];
            let delivery = Delivery {
                digest: digest.digest().to_owned(),
                ..delivery(&revisions, second)
            };
            record_history(&mut status, &ApplicationSpec::default(), delivery);
            status
        };
        let operation = |phase, digest: &DesiredSet, partial: bool| {
            let mut state = OperationState {
                phase,
                ..OperationState::default()
            };
            let result = state.sync_result.get_or_insert_default();
            let digest = Value::from(digest.digest());
            result.extra.insert(DESIRED_DIGEST.into(), digest);
            if partial {
                let sync = state.operation.sync.get_or_insert_default();
                sync.resources.push(SyncOperationResource::default());
            }
            state
        };
        let with = |mut status: ApplicationStatus, state| {
            status.operation_state = Some(state);
            status
        };
        let none = ApplicationStatus::default();
        let mut unmarked = live.clone();
        for live in unmarked.values_mut() {
            live.desired_digest = None;
        }
        let mut others = live.clone();
        for live in others.values_mut() {
            live.desired_digest = old.objects.values().next().map(|o| o.digest.clone());
        }
        let table = [
            ("killed in the first sync", &none, &synced, &live, true),
            (
                "killed in the second",
                &recorded(&old, 10),
                &synced,
                &live,
                true,
            ),
            (
                "it is on record",
                &recorded(&desired, 10),
                &synced,
                &live,
                false,
            ),
            (
                "it is not done",
                &recorded(&old, 10),
                &changed,
                &live,
                false,
            ),
            (
                "applied before what is on record",
                &recorded(&old, 30),
                &synced,
                &live,
                false,
            ),
            (
                "somebody else applied the same",
                &recorded(&old, 10),
                &synced,
                &unmarked,
                false,
            ),
            (
                "the mark is of other manifests",
                &recorded(&old, 10),
                &synced,
                &others,
                false,
            ),
            (
                "the first attempt failed, the second was not reported",
                &with(recorded(&old, 10), operation(Failed, &desired, false)),
                &synced,
                &live,
                true,
            ),
            (
                "a sync of single objects did it",
                &with(recorded(&old, 10), operation(Succeeded, &desired, true)),
                &synced,
                &live,
                false,
            ),
            (
                "a sync is under way",
                &with(recorded(&old, 10), operation(Running, &desired, false)),
                &synced,
                &live,
                false,
            ),
            (
                "the operation on record is of the manifests before",
                &with(recorded(&old, 10), operation(Succeeded, &old, false)),
                &synced,
                &live,
                true,
            ),
        ];
        for (what, status, comparison, live, expected) in table {
            let compared = Compared {
                desired: &desired,
                hooks: &[],
                denied: &[],
                ignored: &HashMap::new(),
                comparison,
                live,
                revisions: &[],
                source_types: &[],
            };
            let found = unrecorded_delivery(status, Some(at(1)), compared);
            assert_eq!(found.is_some(), expected, "{what}");
            assert_eq!(found, expected.then(|| at(20)), "{what}");
            let later = unrecorded_delivery(status, Some(at(21)), compared);
            assert_eq!(later, None, "{what}: by an Application of the name before");
        }
    }

    #[test]
    fn what_is_live_is_what_was_synced_last_until_all_is_synced_again() {
        let comparison = |state: State| -> Comparison {
            let key = ObjectKey {
                group: String::new(),
                kind: "ConfigMap".into(),
                namespace: "n".into(),
                name: "c".into(),
            };
            [(key, state)].into()
        };
        let mut status = ApplicationStatus::default();
        let synced_then = ["old".to_owned()];
        record_history(
            &mut status,
            &ApplicationSpec::default(),
            delivery(&synced_then, 5),
        );
        let desired = DesiredSet::default();
        let live = HashMap::new();
        let revisions = ["head".to_owned()];
        let of = |comparison: &Comparison, status: &ApplicationStatus| {
            let compared = Compared {
                desired: &desired,
                hooks: &[],
                denied: &[],
                ignored: &HashMap::new(),
                comparison,
                live: &live,
                revisions: &revisions,
                source_types: &[],
            };
            live_commit(status, compared, 0)
        };
        assert_eq!(
            of(&comparison(State::Synced), &status).as_deref(),
            Some("head")
        );
        assert_eq!(
            of(&comparison(State::Changed), &status).as_deref(),
            Some("old")
        );
        let never = ApplicationStatus::default();
        assert_eq!(of(&comparison(State::Changed), &never), None);
    }
}
