//! A sync as a state machine: from what is known now to what to do next, each with a reason.
//!
//! Phases run in order (PreSync, Sync, PostSync; SyncFail after a failure), inside a phase waves,
//! inside a wave kinds. What has later things to come is waited for until it is healthy. All that
//! is remembered is a record of what was done, so that an agent that starts anew goes on where the
//! last one was killed. Follows Argo CD, "Sync Phases and Waves".

pub mod approval;
pub mod autosync;
pub mod budget;
pub mod deletion;
pub mod hold;
pub mod plan;
mod record;
pub mod retry;
mod tasks;
#[cfg(test)]
mod tests;
pub mod time_limit;

use std::collections::{BTreeMap, HashMap};

use gitops_api::SyncPhase;

use crate::compare::comparison::Comparison;
use crate::live::object::LiveObject;
use crate::manifest::desired::DesiredSet;
use crate::manifest::hook::{Hook, Run};
use crate::manifest::object::ObjectKey;
use crate::manifest::options::AppOptions;
use crate::reason::{ObjectState, Reason};
use crate::sync::plan::{Plan, Skip};
use tasks::{SyncSlot, Task, TaskState};

pub use record::{Outcome, Record};

pub(crate) use tasks::hook_outcome;

/// All that the next step depends on.
pub struct Situation<'a> {
    /// What Git holds.
    pub desired: &'a DesiredSet,
    /// How each object stands now.
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

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// Phase it belongs to.
    pub phase: SyncPhase,
    /// The object.
    pub key: ObjectKey,
    /// What to do with it.
    pub verb: Verb,
    /// Why, for people.
    pub reason: String,
}

/// How an object is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Server-side apply of the desired manifest.
    Apply,
    /// Delete, provided it is still the object of this uid.
    Prune {
        /// `metadata.uid` when it was decided.
        uid: String,
    },
    /// Create the hook's object.
    RunHook,
    /// Delete a hook's object: one of an earlier run, or of this one at its end.
    DeleteHook {
        /// `metadata.uid` when it was decided.
        uid: String,
    },
    /// Take off the finalizer that kept a finished hook.
    ReleaseHook,
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
        /// Why it failed, when it did.
        failure: Option<Reason>,
        /// What is done with the hooks of this run.
        cleanup: Vec<Action>,
    },
}

/// What the cluster tells of hooks that run, of prunes that the record does not know, and of
/// objects that failed where others wait for them. The record takes it up before anything else is
/// decided, so that a failure stays one; then this is asked again, until there is nothing new.
pub fn observe(situation: &Situation<'_>) -> Vec<(SyncPhase, ObjectKey, Outcome)> {
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
                .filter(|live| of_this_run(live, situation.run));
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
    found.extend(leaving(situation));
    if !found.is_empty() {
        return found;
    }
    let tasks = tasks::all(situation);
    let ordinary: Vec<&Task> = tasks.iter().filter(|task| !is_last_word(task)).collect();
    if let Some(Step::Broken(broken)) = step(&ordinary) {
        found.extend(
            broken
                .into_iter()
                .map(|(key, why)| (SyncPhase::Sync, key, Outcome::Failed(why))),
        );
    }
    found
}

/// Objects to prune that are on their way out without the record knowing: the agent ended between
/// their deletion and its report. They are waited for like those of this pass.
fn leaving(situation: &Situation<'_>) -> impl Iterator<Item = (SyncPhase, ObjectKey, Outcome)> {
    let phase = SyncPhase::Sync;
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

fn is_last_word(task: &Task) -> bool {
    task.slot.phase == SyncPhase::SyncFail
}

/// Decides the next step.
pub fn next(situation: &Situation<'_>) -> Next {
    let tasks = tasks::all(situation);
    let (log_tail, ordinary): (Vec<&Task>, Vec<&Task>) =
        tasks.iter().partition(|task| is_last_word(task));
    let failures: Vec<ObjectState> = ordinary
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
    let (steps, failure) = if failures.is_empty() {
        (&ordinary, None)
    } else {
        (&log_tail, Some(failed(failures)))
    };
    let failure = match step(steps) {
        Some(Step::Act(actions)) => return Next::Act(actions),
        Some(Step::Wait(reason)) => return Next::Wait { reason },
        // Not observed before: what waits for it was not done, so that this is no success.
        Some(Step::Broken(broken)) => failure.or_else(|| {
            let broken = broken.iter().map(|(key, why)| object_state(key, why));
            Some(failed(broken.collect()))
        }),
        None => failure,
    };
    Next::Ended {
        cleanup: cleanup(situation, failure.is_none()),
        failure,
    }
}

/// What is still open beside an object that was refused: the wave is tried to its end, as in Argo
/// CD, so that all that is wrong with it is told at once. After a hook failed nothing more is done.
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
    Broken(Vec<(ObjectKey, String)>),
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
    let mut held: Option<Step> = None;
    let mut unhealthy: Vec<SyncSlot> = Vec::new();
    for (slot, group) in &groups {
        let first = group.iter().filter(is_open).map(|task| task.rank).min();
        if let Some(first) = first {
            if unhealthy.iter().any(|earlier| slot.waits_for(*earlier)) {
                return held;
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
        let Some(stopped) = stopped(*slot, group, more_to_come) else {
            continue;
        };
        if group.iter().any(|task| task.always_holds()) {
            return held.or(Some(stopped));
        }
        unhealthy.push(*slot);
        held = held.or(Some(stopped));
    }
    held
}

/// Why a group without anything to do holds up what comes later, when it does.
fn stopped(slot: SyncSlot, group: &[&Task], more_to_come: bool) -> Option<Step> {
    let broken: Vec<(ObjectKey, String)> = group
        .iter()
        .filter_map(|task| match &task.state {
            TaskState::Broken(why) if more_to_come => Some((task.key.clone(), why.clone())),
            _ => None,
        })
        .collect();
    if !broken.is_empty() {
        return Some(Step::Broken(broken));
    }
    let mut waiting: Vec<(&ObjectKey, &str, bool)> = group
        .iter()
        .filter_map(|task| match &task.state {
            TaskState::Running(why) if more_to_come || task.is_hook => {
                Some((&task.key, why.as_str(), task.is_hook))
            }
            TaskState::Leaving => Some((&task.key, "being deleted to be created again", false)),
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

/// What happens to the hooks of this run at its end.
fn cleanup(situation: &Situation<'_>, succeeded: bool) -> Vec<Action> {
    hooks(situation)
        .filter_map(|(phase, key, hook)| {
            let live = situation
                .live_hooks
                .get(&key)
                .filter(|live| of_this_run(live, situation.run))?;
            let outcome = situation.record.get(phase, &key)?;
            let deleted = match outcome {
                Outcome::Succeeded(_) => {
                    hook.deletion.on_success && (succeeded || !hook.deletion.on_failure)
                }
                Outcome::Failed(_) => hook.deletion.on_failure,
                _ => false,
            };
            let deleted = deleted || (!succeeded && hook.deletion.on_failure);
            let (verb, reason) = if deleted {
                let uid = live.uid.clone();
                (Verb::DeleteHook { uid }, "its delete policy says so")
            } else {
                (Verb::ReleaseHook, "its result was read")
            };
            Some(Action {
                phase,
                key,
                verb,
                reason: reason.into(),
            })
        })
        .collect()
}

/// What is deleted when somebody ends the operation: hooks that still run.
pub fn terminate(situation: &Situation<'_>) -> Vec<Action> {
    hooks(situation)
        .filter_map(|(phase, key, _)| {
            let live = situation
                .live_hooks
                .get(&key)
                .filter(|live| of_this_run(live, situation.run))?;
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

/// The hooks that run, once a phase, with the identity of their object.
fn hooks<'a>(
    situation: &'a Situation<'_>,
) -> impl Iterator<Item = (SyncPhase, ObjectKey, &'a Hook)> {
    situation
        .desired
        .hooks
        .iter()
        .filter(|_| situation.hooks)
        .flat_map(move |hook| {
            hook.phases
                .iter()
                .map(move |phase| (*phase, hook.key_in(*phase, situation.run), hook))
        })
}

fn of_this_run(live: &LiveObject, run: &Run) -> bool {
    live.operation.as_deref() == Some(&run.id())
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
