//! A sync as a state machine: from what is known now to what to do next, each with a reason.
//!
//! Phases run in order (PreSync, Sync, PostSync; SyncFail after a failure), inside a phase waves,
//! inside a wave kinds. What has later things to come is waited for until it is healthy. All that
//! is remembered is a record of what was done, so that a restarted agent goes on where the last one
//! was killed. What is to be done is the plan's; here it gets its order. Follows Argo CD, "Sync Phases and Waves".

pub mod action;
pub mod approval;
pub mod attempt;
pub mod autosync;
pub mod budget;
mod cleanup;
pub mod deletion;
pub mod dependency;
mod endless;
pub mod guests;
pub mod hold;
pub mod pause;
pub mod plan;
mod record;
pub mod retry;
mod slot;
mod tasks;
#[cfg(test)]
mod tests;
pub mod time_limit;

use std::collections::{BTreeMap, HashMap};

use crate::compare::comparison::Comparison;
use crate::live::object::LiveObject;
use crate::manifest::desired::DesiredSet;
use crate::manifest::hook::{Hook, Run};
use crate::manifest::object::ObjectKey;
use crate::manifest::options::AppOptions;
use crate::manifest::phase::Phase;
use crate::reason::{ObjectState, Reason};
use crate::sync::action::{Action, Verb};
use crate::sync::plan::{Plan, Skip};
use slot::SyncSlot;
use tasks::{Task, TaskState};

pub use cleanup::{cleanup, held};
pub use record::{Outcome, Record};

pub use endless::waiting_hooks;
pub(crate) use tasks::hook_outcome;

/// All that the next step depends on.
pub struct Situation<'a> {
    /// What Git holds.
    pub desired: &'a DesiredSet,
    /// State of each object now.
    pub comparison: &'a Comparison,
    /// Records of the live objects among them.
    pub live: &'a HashMap<ObjectKey, LiveObject>,
    /// Records of the live objects of hooks.
    pub live_hooks: &'a HashMap<ObjectKey, LiveObject>,
    /// What is still to apply and to prune, by what the request allows.
    pub plan: &'a Plan,
    /// Whether it is about the whole application, and not about single objects of it.
    pub complete: bool,
    /// Whether hooks run: not in a sync of single objects, nor with the strategy `apply`.
    pub hooks: bool,
    /// The options of the sync.
    pub options: AppOptions,
    /// What was done so far.
    pub record: &'a Record,
    /// The run of the operation.
    pub run: &'a Run,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this, all of it at the same time, then ask again.
    Act(Vec<Action>),
    /// Nothing can be done until something changes in the cluster.
    Wait {
        /// What is waited for: hooks that run, or objects that are to become healthy.
        reason: Reason,
    },
    /// The end.
    Ended {
        /// Why it failed, when it did. Its hooks are cleaned up once that is on record
        /// ([`cleanup`]).
        failure: Option<Reason>,
    },
}

/// What the cluster tells of hooks that run, of prunes that the record does not know, and of
/// objects that failed where others wait for them. The record takes it up before anything else is
/// decided, so that a failure stays one; then this is asked again, until there is nothing new.
pub fn observe(situation: &Situation<'_>) -> Vec<(Phase, ObjectKey, Outcome)> {
    let mut found: Vec<_> = hooks(situation)
        .filter(|(phase, key, _)| {
            !situation
                .record
                .get(*phase, key)
                .is_some_and(Outcome::is_final)
        })
        .filter_map(|(phase, key, _)| {
            let known = situation.record.get(phase, &key);
            let live = situation
                .live_hooks
                .get(&key)
                .filter(|live| is_of_this_run(live, situation.run, phase, known));
            let outcome = match (known, live) {
                // Also one that was created before the record could be kept.
                (_, Some(live)) => match hook_outcome(live) {
                    // Its finalizer keeps it, but its Pods are gone: it will never end.
                    Outcome::Running(_) if live.deleting => {
                        Outcome::Failed("somebody deleted it".into())
                    }
                    outcome => outcome,
                },
                (Some(_), None) => {
                    Outcome::Failed("it is gone: it was deleted by another client".into())
                }
                (None, None) => return None,
            };
            (known != Some(&outcome)).then_some((phase, key, outcome))
        })
        .collect();
    found.extend(prunes_under_way(situation));
    if !found.is_empty() {
        return found;
    }
    let tasks = all_tasks(situation);
    let ordinary: Vec<&Task> = tasks
        .iter()
        .filter(|task| !runs_after_failure(task))
        .collect();
    if let Some(Step::Degraded(degraded)) = step(&ordinary) {
        found.extend(
            degraded
                .into_iter()
                .map(|(key, why)| (Phase::Sync, key, Outcome::Failed(why))),
        );
    }
    found
}

/// Objects to prune that are being deleted without the record knowing: the agent ended between
/// their deletion and its report. They are waited for like those of this reconciliation.
fn prunes_under_way(
    situation: &Situation<'_>,
) -> impl Iterator<Item = (Phase, ObjectKey, Outcome)> {
    let phase = Phase::Sync;
    situation
        .plan
        .skipped
        .iter()
        .filter(move |(key, skip)| {
            let known = situation.record.get(phase, key);
            **skip == Skip::Deleting && matches!(known, None | Some(Outcome::Skipped))
        })
        .map(move |(key, _)| (phase, key.clone(), Outcome::Pruned))
}

/// All tasks, without waits that can never end.
fn all_tasks(situation: &Situation<'_>) -> Vec<Task> {
    let mut tasks = tasks::all(situation);
    endless::let_go(situation, &mut tasks);
    tasks
}

fn runs_after_failure(task: &Task) -> bool {
    task.slot.phase == Phase::SyncFail
}

/// Decides the next step.
pub fn next(situation: &Situation<'_>) -> Next {
    let tasks = all_tasks(situation);
    let (after_failure, mut ordinary): (Vec<&Task>, Vec<&Task>) =
        tasks.iter().partition(|task| runs_after_failure(task));
    let unserved = unserved(situation);
    if !unserved.is_empty() {
        // What follows a sync that was done does not follow one that cannot be.
        ordinary.retain(|task| task.slot.phase != Phase::PostSync);
    }
    let mut failures: Vec<ObjectState> = ordinary
        .iter()
        .filter_map(|task| match &task.state {
            TaskState::Failed(why) => Some(object_state(&task.key, why)),
            _ => None,
        })
        .collect();
    let beside = beside_failures(&ordinary);
    if !beside.is_empty() {
        return Next::Act(beside);
    }
    let mut open = None;
    if failures.is_empty() {
        open = step(&ordinary);
        if open.is_none() {
            failures = unserved;
        }
    }
    let failure = (!failures.is_empty()).then(|| failed(failures));
    if failure.is_some() {
        open = step(&after_failure);
    }
    let failure = match open {
        Some(Step::Act(actions)) => return Next::Act(actions),
        Some(Step::Wait(reason)) => return Next::Wait { reason },
        // Not observed before: what waits for it was not done, so that this is no success.
        Some(Step::Degraded(degraded)) => failure.or_else(|| {
            let degraded = degraded.iter().map(|(key, why)| object_state(key, why));
            Some(failed(degraded.collect()))
        }),
        None => failure,
    };
    Next::Ended { failure }
}

/// Objects of a sync whose kinds the cluster does not serve: they fail it, and nothing else.
fn unserved(situation: &Situation<'_>) -> Vec<ObjectState> {
    let skipped = situation.plan.skipped.iter();
    let unknown = skipped.filter(|(_, skip)| **skip == Skip::UnknownKind);
    let states = unknown.map(|(key, skip)| object_state(key, &skip.reason().to_string()));
    states.collect()
}

/// What is still open beside an object that was refused: the wave is tried to its end, as in Argo
/// CD, so that all that is wrong with it is reported at once. After a hook failed nothing more is done.
fn beside_failures(tasks: &[&Task]) -> Vec<Action> {
    let failed: Vec<&&Task> = tasks
        .iter()
        .filter(|task| matches!(task.state, TaskState::Failed(_)))
        .collect();
    let Some(slot) = failed.iter().map(|task| task.slot).min() else {
        return Vec::new();
    };
    if failed.iter().any(|task| task.is_hook) {
        return Vec::new();
    }
    let until: Vec<&Task> = tasks
        .iter()
        .copied()
        .filter(|task| !task.is_hook && task.slot <= slot)
        .collect();
    // What became undone in an earlier wave is left to the next sync.
    let undone = |task: &&Task| task.slot < slot && matches!(task.state, TaskState::Open(_));
    match step(&until) {
        Some(Step::Act(actions)) if !until.iter().any(undone) => actions,
        _ => Vec::new(),
    }
}

/// The next step among tasks that did not fail.
enum Step {
    Act(Vec<Action>),
    Wait(Reason),
    /// Later tasks wait for objects that will not become healthy.
    Degraded(Vec<(ObjectKey, String)>),
}

/// `None` when all that has to be waited for is done.
fn step(tasks: &[&Task]) -> Option<Step> {
    let mut groups: BTreeMap<SyncSlot, Vec<&Task>> = BTreeMap::new();
    for task in tasks {
        groups.entry(task.slot).or_default().push(task);
    }
    let is_open = |task: &&&Task| matches!(task.state, TaskState::Open(_));
    let open: Vec<SyncSlot> = groups
        .iter()
        .filter(|(_, group)| group.iter().any(|task| is_open(&task)))
        .map(|(slot, _)| *slot)
        .collect();
    // What later tasks wait for; those that do not may go first.
    let mut blocked: Option<Step> = None;
    let mut unhealthy: Vec<SyncSlot> = Vec::new();
    for (slot, group) in &groups {
        let first = group.iter().filter(is_open).map(|task| task.rank).min();
        if let Some(first) = first {
            if unhealthy.iter().any(|earlier| slot.waits_for(*earlier)) {
                return blocked;
            }
            // What others need goes after them: an operator after what it has to clean up.
            let leaving: Vec<&Task> = group
                .iter()
                .copied()
                .filter(|task| slot.prunes() && task.rank < first)
                .collect();
            if let Some(step) = blocker(*slot, &leaving, true) {
                return blocked.or(Some(step));
            }
            let actions = group
                .iter()
                .filter(|task| task.rank == first)
                .filter_map(|task| match &task.state {
                    TaskState::Open(action) => Some((**action).clone()),
                    _ => None,
                });
            return Some(Step::Act(actions.collect()));
        }
        let more_to_come = open.iter().any(|later| later.waits_for(*slot));
        let Some(step) = blocker(*slot, group, more_to_come) else {
            continue;
        };
        if group.iter().any(|task| task.blocks_all()) {
            return blocked.or(Some(step));
        }
        unhealthy.push(*slot);
        blocked = blocked.or(Some(step));
    }
    blocked
}

/// Why a group without anything to do blocks what comes later, when it does.
fn blocker(slot: SyncSlot, group: &[&Task], more_to_come: bool) -> Option<Step> {
    let degraded: Vec<(ObjectKey, String)> = group
        .iter()
        .filter_map(|task| match &task.state {
            TaskState::Degraded(why) if more_to_come => Some((task.key.clone(), why.clone())),
            _ => None,
        })
        .collect();
    if !degraded.is_empty() {
        return Some(Step::Degraded(degraded));
    }
    let mut waiting: Vec<(&ObjectKey, &str, bool)> = group
        .iter()
        .filter_map(|task| match &task.state {
            TaskState::Running(why) if more_to_come || task.is_hook => {
                Some((&task.key, why.as_str(), task.is_hook))
            }
            TaskState::Terminating => Some((&task.key, "being deleted to be created again", false)),
            _ => None,
        })
        .collect();
    if waiting.is_empty() {
        return None;
    }
    waiting.sort();
    let step = slot.step();
    let states = waiting.iter().map(|(key, why, _)| object_state(key, why));
    let (objects, more) = first_few(states.collect());
    Some(Step::Wait(if waiting.iter().any(|(.., hook)| *hook) {
        Reason::HookWaiting {
            step,
            objects,
            more,
        }
    } else {
        Reason::WaveWaiting {
            step,
            objects,
            more,
        }
    }))
}

/// What is done when the operation is terminated: hooks that still run are deleted.
pub fn terminate(situation: &Situation<'_>) -> Vec<Action> {
    hooks(situation)
        .filter_map(|(phase, key, _)| {
            let live = situation.live_hooks.get(&key).filter(|live| {
                let known = situation.record.get(phase, &key);
                is_of_this_run(live, situation.run, phase, known)
            })?;
            let finished = situation
                .record
                .get(phase, &key)
                .is_some_and(Outcome::is_final);
            let verb = if finished {
                Verb::ReleaseHook
            } else {
                Verb::DeleteHook {
                    uid: live.uid.clone(),
                }
            };
            Some(Action {
                phase,
                key,
                verb,
                reason: "the operation was terminated".into(),
            })
        })
        .collect()
}

/// The hooks that run, once per phase, with the identity of their object.
fn hooks<'a>(situation: &'a Situation<'_>) -> impl Iterator<Item = (Phase, ObjectKey, &'a Hook)> {
    situation
        .desired
        .hooks
        .iter()
        .filter(|_| situation.hooks)
        .flat_map(move |hook| {
            hook.sync_phases()
                .map(move |phase| (phase, hook.key_in(phase, situation.run), hook))
        })
}

/// Whether the object of a hook is of this run, of which this is recorded. An operation that Argo CD
/// began is gone on with: what it created says nothing of a run, and its record says that it runs.
fn is_of_this_run(live: &LiveObject, run: &Run, phase: Phase, known: Option<&Outcome>) -> bool {
    match live.operation.as_deref() {
        Some(id) => run.is_of_sync_in(id, phase),
        None => known.is_some(),
    }
}

fn object_state(key: &ObjectKey, state: &str) -> ObjectState {
    ObjectState {
        object: key.clone(),
        state: state.into(),
    }
}

fn failed(objects: Vec<ObjectState>) -> Reason {
    let (objects, more) = first_few(objects);
    Reason::ObjectsFailed { objects, more }
}

/// The first few of a list, and how many there are besides.
fn first_few(mut objects: Vec<ObjectState>) -> (Vec<ObjectState>, usize) {
    const SHOWN: usize = 3;
    let more = objects.len().saturating_sub(SHOWN);
    objects.truncate(SHOWN);
    (objects, more)
}
