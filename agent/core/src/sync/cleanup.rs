//! What becomes of the objects of hooks once their sync has ended: what their policies say, and
//! nothing the agent put there holds them any longer.
//!
//! Decided by what the status tells, so that no object goes before its outcome is recorded, and asked
//! again in each pass, so that what was refused or interrupted is done later.

use gitops_api::OperationPhase;
use gitops_api::status::OperationState;

use crate::live::object::LiveObject;
use crate::manifest::hook::{Deletion, Run};
use crate::manifest::phase::Phase;
use crate::reason;
use crate::reason::Reason;
use crate::sync::action::{Action, Verb};
use crate::sync::record::{Outcome, Record};
use crate::sync::tasks::hook_outcome;

/// What is done with these hooks of an application, given the operation on record; nothing with those
/// whose sync is under way. Hooks of other tools, which carry no run, are left alone, unless the
/// operation on record is one that Argo CD began and they are still held for it.
pub fn cleanup<'a>(
    hooks: impl IntoIterator<Item = &'a LiveObject>,
    operation: Option<&OperationState>,
) -> Vec<Action> {
    let operation = operation.map(Ended::of);
    let mut actions: Vec<Action> = hooks
        .into_iter()
        .filter_map(|live| {
            let of_operation = operation.as_ref().filter(|known| known.is_of(live));
            if live.operation.is_none() && (of_operation.is_none() || !live.held) {
                return None;
            }
            let deleted = match of_operation {
                Some(operation) if !operation.is_over => return None,
                Some(operation) => operation.deletes(live),
                // Nobody reads its outcome any more, but for what its policy makes of it.
                None => {
                    matches!(hook_outcome(live), Outcome::Succeeded(_)) && live.deletion.on_success
                }
            };
            let (verb, reason) = match (deleted && !live.deleting, live.held) {
                (true, _) => {
                    let uid = live.uid.clone();
                    (Verb::DeleteHook { uid }, "its delete policy says so")
                }
                (false, true) => (Verb::ReleaseHook, "its sync has ended"),
                (false, false) => return None,
            };
            Some(Action {
                phase: Phase::Sync,
                key: live.key.clone(),
                verb,
                reason: reason.into(),
            })
        })
        .collect();
    actions.sort_by(|a, b| a.key.cmp(&b.key));
    actions
}

/// Of the hooks of an application that is gone those that the agent's own finalizer still keeps.
pub fn held<'a>(hooks: impl IntoIterator<Item = &'a LiveObject>) -> Vec<&'a LiveObject> {
    let of_agent = |live: &&LiveObject| live.held && live.operation.is_some();
    hooks.into_iter().filter(of_agent).collect()
}

/// What is known of the run of an operation.
struct Ended {
    run: Run,
    is_over: bool,
    succeeded: bool,
    /// It was stopped, and what it had begun with it.
    stopped: bool,
    record: Record,
}

impl Ended {
    fn of(state: &OperationState) -> Self {
        let result = state.sync_result.as_ref();
        let revision = result.map(|result| {
            let first = result.revisions.first();
            first.unwrap_or(&result.revision).clone()
        });
        let started = state.started_at.as_ref();
        Self {
            run: Run {
                started: started.map_or(jiff::Timestamp::UNIX_EPOCH, |time| time.0),
                revision: revision.unwrap_or_default(),
            },
            // Between two attempts the one before has ended.
            is_over: state.phase.is_completed() || state.finished_at.is_some(),
            succeeded: state.phase == OperationPhase::Succeeded,
            stopped: matches!(
                reason::of_operation(state),
                Reason::Terminated {} | Reason::SyncTimeout { .. }
            ),
            record: Record::of(result.map_or(&[], |result| &result.resources)),
        }
    }

    /// Whether the object of a hook is of this run. What Argo CD created in an operation that it began
    /// says nothing of a run; the record does.
    fn is_of(&self, live: &LiveObject) -> bool {
        match live.operation.as_deref() {
            Some(run) => self.run.is_of_sync(run),
            None => self.outcome(live).is_some(),
        }
    }

    fn deletes(&self, live: &LiveObject) -> bool {
        let outcome = self.outcome(live).unwrap_or_else(|| hook_outcome(live));
        let stopped = self.stopped && !outcome.is_final() || outcome == Outcome::Stopped;
        stopped || says_policy(live.deletion, &outcome, self.succeeded)
    }

    /// What is recorded of the object of a hook, in the phase it was made for; where agents before
    /// made one for several phases, a failure is.
    fn outcome(&self, live: &LiveObject) -> Option<Outcome> {
        let run = live.operation.as_deref();
        let phases = Phase::WITH_HOOKS.into_iter();
        let of_object =
            phases.filter(|phase| run.is_none_or(|run| self.run.is_of_sync_in(run, *phase)));
        let mut known = of_object.filter_map(|phase| self.record.get(phase, &live.key));
        let first = known.next()?;
        let failed = known.find(|outcome| matches!(outcome, Outcome::Failed(_)));
        Some(failed.unwrap_or(first).clone())
    }
}

/// Whether a hook is deleted after a sync that succeeded or failed.
fn says_policy(policy: Deletion, outcome: &Outcome, succeeded: bool) -> bool {
    let of_outcome = match outcome {
        Outcome::Succeeded(_) => policy.on_success && (succeeded || !policy.on_failure),
        Outcome::Failed(_) => policy.on_failure,
        _ => false,
    };
    of_outcome || (!succeeded && policy.on_failure)
}

#[cfg(test)]
mod tests {
    use gitops_api::status::SyncOperationResult;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use serde_json::json;

    use super::*;

    const STARTED: i64 = 1_000;

    fn state(phase: OperationPhase, reason: Option<&Reason>) -> OperationState {
        let mut state = OperationState {
            phase,
            started_at: Some(Time(jiff::Timestamp::from_second(STARTED).unwrap())),
            sync_result: Some(SyncOperationResult {
                revision: "0123456789".into(),
                ..SyncOperationResult::default()
            }),
            ..OperationState::default()
        };
        if let Some(reason) = reason {
            reason::explain(&mut state, reason);
        }
        state
    }

    /// A Job that is a hook of a run, with this policy and state.
    fn hook(run: &str, policy: &str, job: &str, held: bool, deleting: bool) -> LiveObject {
        let condition = match job {
            "ok" => json!([{"type": "Complete", "status": "True"}]),
            "bad" => json!([{"type": "Failed", "status": "True"}]),
            _ => json!([]),
        };
        let mut value = json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {
            "name": "h", "namespace": "n", "uid": "u", "annotations": {
                "argocd.argoproj.io/hook": "Sync",
                "argocd.argoproj.io/hook-delete-policy": policy,
                "gitops-agent.io/operation": run}},
            "status": {"conditions": condition}});
        if held {
            value["metadata"]["finalizers"] = json!(["argocd.argoproj.io/hook-finalizer"]);
        }
        if deleting {
            value["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        LiveObject::observe(&value, false).unwrap()
    }

    /// Which hooks have to go, which have to be let go, and which are nobody's business: every state
    /// of the operation on record, of the hook, and of its object.
    #[test]
    fn hooks_go_by_their_policy_after_their_outcome_is_recorded_and_are_never_held_for_nothing() {
        use OperationPhase::{Failed, Running, Succeeded};
        const NOW: &str = "1000-0123456";
        const OLD: &str = "900-7654321";
        let (ended, failed, runs) = (
            state(Succeeded, None),
            state(Failed, None),
            state(Running, None),
        );
        let stopped = state(Failed, Some(&Reason::Terminated {}));
        let waiting = OperationState {
            finished_at: Some(Time(jiff::Timestamp::from_second(STARTED + 5).unwrap())),
            ..state(Running, None)
        };
        let (delete, release, nothing) = (Some("delete"), Some("release"), None);
        let table = [
            (
                "of the run that is under way",
                Some(&runs),
                NOW,
                "HookSucceeded",
                "ok",
                true,
                false,
                nothing,
            ),
            (
                "the same, and somebody deletes it",
                Some(&runs),
                NOW,
                "HookSucceeded",
                "",
                true,
                true,
                nothing,
            ),
            (
                "it succeeded",
                Some(&ended),
                NOW,
                "HookSucceeded",
                "ok",
                true,
                false,
                delete,
            ),
            (
                "deleted once, refused, not held any more",
                Some(&ended),
                NOW,
                "HookSucceeded",
                "ok",
                false,
                false,
                delete,
            ),
            (
                "on its way out already",
                Some(&ended),
                NOW,
                "HookSucceeded",
                "ok",
                true,
                true,
                release,
            ),
            (
                "and let go",
                Some(&ended),
                NOW,
                "HookSucceeded",
                "ok",
                false,
                true,
                nothing,
            ),
            (
                "another policy",
                Some(&ended),
                NOW,
                "HookFailed",
                "ok",
                true,
                false,
                release,
            ),
            (
                "the same, released",
                Some(&ended),
                NOW,
                "HookFailed",
                "ok",
                false,
                false,
                nothing,
            ),
            (
                "it failed",
                Some(&failed),
                NOW,
                "HookFailed",
                "bad",
                true,
                false,
                delete,
            ),
            (
                "it failed and is kept to be looked at",
                Some(&failed),
                NOW,
                "HookSucceeded",
                "bad",
                true,
                false,
                release,
            ),
            (
                "it succeeded where another failed",
                Some(&failed),
                NOW,
                "HookSucceeded",
                "ok",
                true,
                false,
                delete,
            ),
            (
                "it still runs where another failed",
                Some(&failed),
                NOW,
                "HookSucceeded",
                "",
                true,
                false,
                release,
            ),
            (
                "it still runs and the sync was stopped",
                Some(&stopped),
                NOW,
                "HookSucceeded",
                "",
                true,
                false,
                delete,
            ),
            (
                "between two attempts",
                Some(&waiting),
                NOW,
                "HookFailed",
                "bad",
                true,
                false,
                delete,
            ),
            (
                "of an earlier run, done",
                Some(&runs),
                OLD,
                "HookSucceeded",
                "ok",
                true,
                false,
                delete,
            ),
            (
                "of an earlier run, still running",
                Some(&runs),
                OLD,
                "HookSucceeded",
                "",
                true,
                false,
                release,
            ),
            (
                "of an earlier run, somebody deletes it",
                Some(&runs),
                OLD,
                "BeforeHookCreation",
                "",
                true,
                true,
                release,
            ),
            (
                "of an earlier run, nothing holds it",
                Some(&ended),
                OLD,
                "BeforeHookCreation",
                "ok",
                false,
                false,
                nothing,
            ),
            (
                "nothing is on record",
                None,
                OLD,
                "BeforeHookCreation",
                "",
                true,
                true,
                release,
            ),
            (
                "a PostDelete hook of an application of the same name",
                Some(&ended),
                "900-postdelete",
                "HookSucceeded",
                "ok",
                true,
                false,
                delete,
            ),
            (
                "the same while it hangs",
                None,
                "900-postdelete",
                "HookSucceeded",
                "",
                true,
                true,
                release,
            ),
        ];
        for (what, operation, run, policy, job, held, deleting, expected) in table {
            let live = hook(run, policy, job, held, deleting);
            let actions = cleanup([&live], operation);
            let done = actions.first().map(|action| match action.verb {
                Verb::DeleteHook { .. } => "delete",
                Verb::ReleaseHook => "release",
                _ => "something else",
            });
            assert_eq!(done, expected, "{what}");
        }
        let mut foreign = hook(OLD, "HookSucceeded", "ok", true, true);
        foreign.operation = None;
        assert_eq!(cleanup([&foreign], None), [], "of another tool");
        assert!(held([&foreign]).is_empty());
    }

    #[test]
    fn what_is_recorded_counts_and_not_what_became_of_the_object_since() {
        use gitops_api::HookType;
        use gitops_api::status::ResourceResult;
        let mut state = state(OperationPhase::Failed, None);
        state.sync_result.as_mut().unwrap().resources = vec![ResourceResult {
            group: "batch".into(),
            kind: "Job".into(),
            namespace: "n".into(),
            name: "h".into(),
            sync_phase: Phase::Sync.sync_phase(),
            hook_type: Some(HookType::Sync),
            hook_phase: Some(OperationPhase::Failed),
            ..ResourceResult::default()
        }];
        let live = hook("1000-0123456", "HookSucceeded", "ok", true, false);
        assert_eq!(cleanup([&live], Some(&state))[0].verb, Verb::ReleaseHook);
    }
}
