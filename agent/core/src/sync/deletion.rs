//! The deletion of an Application as a state machine: from what is in the cluster to what is next.
//!
//! All that is remembered are the Application's finalizers and the objects themselves, so an agent
//! that starts anew goes on where the last one was killed. In order: consent, PreDelete hooks,
//! objects in reverse waves, PostDelete hooks. Follows Argo CD (`finalizeApplicationDeletion`);
//! unlike it, hooks run wave by wave, one that failed stays to be looked at, and no finalizer is
//! ever given up because something cannot be reached.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use gitops_api::constants::finalizer;
use jiff::Timestamp;

use crate::live::object::{LiveObject, OnDeletion};
use crate::manifest::hook::{DeletionPhase, Hook, Run};
use crate::manifest::kinds;
use crate::manifest::object::ObjectKey;
use crate::reason::{Names, Reason};
use crate::sync;
use crate::sync::Outcome;
use crate::sync::approval::{Approval, Subject};

/// All that the next step depends on.
pub struct Situation<'a> {
    /// The Application.
    pub subject: Subject<'a>,
    /// Its finalizers.
    pub finalizers: &'a [String],
    /// When its deletion was asked for.
    pub since: Timestamp,
    /// Value of the annotation by which somebody agrees.
    pub approved: Option<&'a str>,
    /// What becomes of objects that do not say it themselves.
    pub default: OnDeletion,
    /// The live objects that are tracked to it.
    pub objects: &'a [LiveObject],
    /// Whether an object is to be left alone, whatever it says: another Application wants it, or
    /// the project does not allow it.
    pub spared: &'a dyn Fn(&ObjectKey) -> bool,
    /// Its hooks; otherwise why they cannot be known.
    pub hooks: Result<&'a [Hook], &'a str>,
    /// Live objects of hooks.
    pub live_hooks: &'a HashMap<ObjectKey, LiveObject>,
    /// Why the destination cannot be worked on.
    pub obstacle: Option<&'a str>,
    /// The run that hooks are run by.
    pub run: &'a Run,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The object.
    pub key: ObjectKey,
    /// What to do with it.
    pub verb: Verb,
}

/// How an object is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Delete, provided it is still the object of this uid.
    Delete {
        /// `metadata.uid` when it was decided.
        uid: String,
        /// Who deletes what depends on it.
        propagation: Propagation,
    },
    /// Delete a hook's object, and do not hold it.
    DeleteHook {
        /// `metadata.uid` when it was decided.
        uid: String,
    },
    /// Create the object of a hook of this phase.
    RunHook(DeletionPhase),
    /// Take off the finalizer that kept a finished hook.
    ReleaseHook,
}

/// Whether an object waits for what depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// It goes last.
    Foreground,
    /// It goes at once.
    Background,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this, all of it at the same time, then ask again.
    Act(Vec<Action>),
    /// Do this, then take these finalizers off, then ask again.
    Finish {
        /// What is left to tidy up.
        cleanup: Vec<Action>,
        /// Finalizers whose part is done.
        finalizers: Vec<&'static str>,
    },
    /// Nothing can be done until something changes.
    Wait {
        /// What is waited for.
        reason: Reason,
        /// Somebody has to do something about it.
        blocked: bool,
        /// Hooks whose last words explain it.
        failed: Vec<ObjectKey>,
    },
    /// The agent's part is done.
    Ended,
}

const CASCADE: [(&str, Propagation); 3] = [
    (finalizer::RESOURCES, Propagation::Foreground),
    (finalizer::FOREGROUND, Propagation::Foreground),
    (finalizer::BACKGROUND, Propagation::Background),
];

/// How the objects go, when they go with the Application at all.
pub fn cascade(finalizers: &[String]) -> Option<Propagation> {
    CASCADE
        .into_iter()
        .find(|(name, _)| finalizers.iter().any(|set| set == name))
        .map(|(_, propagation)| propagation)
}

/// Whether hooks are still to be run or tidied up.
pub fn needs_hooks(finalizers: &[String]) -> bool {
    DeletionPhase::ALL.into_iter().any(|phase| {
        let (run, tidy) = marks_of(phase);
        finalizers.iter().any(|set| set == run || set == tidy)
    })
}

/// The finalizers of a phase: hooks have to run; hooks have to be tidied up.
fn marks_of(phase: DeletionPhase) -> (&'static str, &'static str) {
    match phase {
        DeletionPhase::PreDelete => (finalizer::PRE_DELETE, finalizer::PRE_DELETE_CLEANUP),
        DeletionPhase::PostDelete => (finalizer::POST_DELETE, finalizer::POST_DELETE_CLEANUP),
    }
}

/// The finalizers an Application with these hooks has to have, given those it has; `None` when
/// they are right. As Argo CD does, they come and go with the hooks.
pub fn finalizers(present: &[String], hooks: &[Hook]) -> Option<Vec<String>> {
    let mut wanted = present.to_vec();
    for phase in DeletionPhase::ALL {
        let needed = hooks
            .iter()
            .any(|hook| hook.deletion_phases.contains(&phase));
        let (run, tidy) = marks_of(phase);
        for mark in [run, tidy] {
            let is_set = wanted.iter().any(|set| set == mark);
            if needed && !is_set {
                wanted.push(mark.into());
            } else if !needed && is_set {
                wanted.retain(|set| set != mark);
            }
        }
    }
    (wanted != present).then_some(wanted)
}

/// The objects that stay because they say so.
pub fn kept<'a>(situation: &'a Situation<'_>) -> Vec<&'a ObjectKey> {
    situation
        .objects
        .iter()
        .filter(|live| fate(situation, live) == OnDeletion::Stays)
        .map(|live| &live.key)
        .collect()
}

/// Decides the next step.
pub fn next(situation: &Situation<'_>) -> Next {
    let has = |name: &str| situation.finalizers.iter().any(|set| set == name);
    let cascade = cascade(situation.finalizers);
    let marks = DeletionPhase::ALL.map(marks_of);
    if cascade.is_none() && !marks.iter().any(|(run, tidy)| has(run) || has(tidy)) {
        return Next::Ended;
    }
    if let Some(obstacle) = situation.obstacle {
        return blocked(Reason::DeletionBlocked {
            detail: obstacle.into(),
            finalizers: own_finalizers(situation),
            namespace: situation.subject.namespace.into(),
            application: situation.subject.name.into(),
        });
    }
    if cascade.is_some()
        && let Some(wait) = ask(situation)
    {
        return wait;
    }
    if let Some(next) = phase(situation, DeletionPhase::PreDelete) {
        return next;
    }
    if let Some(propagation) = cascade {
        return objects(situation, propagation).unwrap_or_else(|| {
            let finalizers = CASCADE.into_iter().map(|(name, _)| name);
            finish(vec![], finalizers.filter(|name| has(name)).collect())
        });
    }
    phase(situation, DeletionPhase::PostDelete).unwrap_or(Next::Ended)
}

fn finish(cleanup: Vec<Action>, finalizers: Vec<&'static str>) -> Next {
    Next::Finish {
        cleanup,
        finalizers,
    }
}

fn blocked(reason: Reason) -> Next {
    Next::Wait {
        reason,
        blocked: true,
        failed: vec![],
    }
}

/// The finalizers a user removes to go on without what is waited for: never the agent's decision.
fn own_finalizers(situation: &Situation<'_>) -> Names {
    Names::of(situation.finalizers.iter().filter(|set| {
        set.ends_with("finalizer.argocd.argoproj.io")
            || set.contains("finalizer.argocd.argoproj.io/")
    }))
}

/// The objects that go with the Application.
fn going<'a>(situation: &'a Situation<'_>) -> impl Iterator<Item = &'a LiveObject> {
    let own_run = DeletionPhase::ALL.map(|phase| situation.run.id_at(phase));
    situation.objects.iter().filter(move |live| {
        let of_this_run = live
            .operation
            .as_ref()
            .is_some_and(|operation| own_run.contains(operation));
        !of_this_run
            && fate(situation, live) != OnDeletion::Stays
            && !is_itself(situation.subject, &live.key)
            && !(situation.spared)(&live.key)
    })
}

fn fate(situation: &Situation<'_>, live: &LiveObject) -> OnDeletion {
    match live.on_deletion {
        OnDeletion::Goes => situation.default,
        said => said,
    }
}

/// An Application among its own manifests goes by its finalizers, not by its own hand.
fn is_itself(subject: Subject<'_>, key: &ObjectKey) -> bool {
    key.group == gitops_api::constants::GROUP
        && key.kind == "Application"
        && key.namespace == subject.namespace
        && key.name == subject.name
}

fn ask(situation: &Situation<'_>) -> Option<Next> {
    let asking: Vec<&ObjectKey> = going(situation)
        .filter(|live| fate(situation, live) == OnDeletion::Asks && !live.deleting)
        .map(|live| &live.key)
        .collect();
    let approval = Approval::read(situation.approved, situation.since);
    if asking.is_empty() || approval.is_given() {
        return None;
    }
    Some(blocked(Reason::DeletionApproval {
        objects: Names::of(asking),
        approval,
        namespace: situation.subject.namespace.into(),
        application: situation.subject.name.into(),
    }))
}

/// The next step of a phase; `None` when it is over.
fn phase(situation: &Situation<'_>, phase: DeletionPhase) -> Option<Next> {
    let has = |name: &str| situation.finalizers.iter().any(|set| set == name);
    let (run, tidy) = marks_of(phase);
    if has(run) {
        let next = hooks(situation, phase);
        return Some(next.unwrap_or_else(|| finish(vec![], vec![run])));
    }
    has(tidy).then(|| finish(cleanup(situation, phase), vec![tidy]))
}

/// The next step of hooks; `None` when all of them succeeded.
fn hooks(situation: &Situation<'_>, phase: DeletionPhase) -> Option<Next> {
    let hooks = match situation.hooks {
        Ok(hooks) => hooks,
        Err(why) => {
            return Some(blocked(Reason::DeletionHooksUnknown {
                phase,
                detail: why.into(),
                finalizer: marks_of(phase).0.into(),
            }));
        }
    };
    let mut waves: BTreeMap<i64, Vec<&Hook>> = BTreeMap::new();
    for hook in hooks {
        if hook.deletion_phases.contains(&phase) {
            waves.entry(hook.object.wave).or_default().push(hook);
        }
    }
    waves
        .into_values()
        .find_map(|hooks| wave_of_hooks(situation, phase, &hooks))
}

fn wave_of_hooks(situation: &Situation<'_>, phase: DeletionPhase, hooks: &[&Hook]) -> Option<Next> {
    let mut failed = Vec::new();
    let mut running = Vec::new();
    let mut open = Vec::new();
    for hook in hooks {
        let key = hook.key_at(phase, situation.run);
        match state_of(situation, phase, hook, &key) {
            TaskState::Done => {}
            TaskState::Running(how) => running.push(format!("{key} ({how})")),
            TaskState::Failed(why) => failed.push((key, why)),
            TaskState::Open(verb) => open.push(Action { key, verb }),
        }
    }
    if !failed.is_empty() {
        let texts = failed.iter().map(|(key, why)| format!("{key}: {why}"));
        return Some(Next::Wait {
            reason: Reason::DeletionHookFailed {
                phase,
                hooks: Names::of(texts),
                finalizer: marks_of(phase).0.into(),
                logs: vec![],
            },
            blocked: true,
            failed: failed.into_iter().map(|(key, _)| key).collect(),
        });
    }
    if !open.is_empty() {
        return Some(Next::Act(open));
    }
    (!running.is_empty()).then(|| Next::Wait {
        reason: Reason::DeletionHookWaiting {
            phase,
            hooks: Names::of(running),
        },
        blocked: false,
        failed: vec![],
    })
}

enum TaskState {
    Open(Verb),
    Running(String),
    Failed(String),
    Done,
}

fn state_of(
    situation: &Situation<'_>,
    phase: DeletionPhase,
    hook: &Hook,
    key: &ObjectKey,
) -> TaskState {
    if (situation.spared)(key) {
        return TaskState::Failed(
            "the project does not allow it, or another Application has it".into(),
        );
    }
    let Some(live) = situation.live_hooks.get(key) else {
        return TaskState::Open(Verb::RunHook(phase));
    };
    let delete = || {
        TaskState::Open(Verb::DeleteHook {
            uid: live.uid.clone(),
        })
    };
    if live.operation.as_ref() != Some(&situation.run.id_at(phase)) {
        return match (live.deleting, hook.is_replaced()) {
            (true, _) => TaskState::Running("the one of an earlier run is being deleted".into()),
            (false, true) => delete(),
            (false, false) => TaskState::Open(Verb::RunHook(phase)),
        };
    }
    let changed = live.desired_digest.as_ref() != Some(&hook.object.digest);
    match sync::hook_outcome(live) {
        Outcome::Succeeded(_) => TaskState::Done,
        // Somebody wants it to run again; what it left behind may take a moment to go.
        _ if live.deleting => TaskState::Open(Verb::ReleaseHook),
        Outcome::Failed(_) if changed => delete(),
        Outcome::Failed(why) => TaskState::Failed(why),
        Outcome::Running(how) => TaskState::Running(how),
        Outcome::Applied | Outcome::Pruned | Outcome::Skipped => TaskState::Done,
    }
}

/// What happens to the hooks of a phase that is over. All of them succeeded, or somebody went on
/// without them.
fn cleanup(situation: &Situation<'_>, phase: DeletionPhase) -> Vec<Action> {
    let id = situation.run.id_at(phase);
    let policies: HashMap<ObjectKey, &Hook> = situation
        .hooks
        .unwrap_or_default()
        .iter()
        .map(|hook| (hook.key_at(phase, situation.run), hook))
        .collect();
    let mut of_this_run: Vec<&LiveObject> = situation
        .objects
        .iter()
        .chain(situation.live_hooks.values())
        .filter(|live| live.operation.as_ref() == Some(&id))
        .collect();
    of_this_run.sort_by(|a, b| a.key.cmp(&b.key));
    of_this_run.dedup_by(|a, b| a.key == b.key);
    of_this_run
        .into_iter()
        .map(|live| {
            let policy = policies.get(&live.key).map(|hook| hook.deletion);
            let deleted = policy.is_some_and(|policy| match sync::hook_outcome(live) {
                Outcome::Succeeded(_) => policy.on_success,
                _ => policy.on_failure,
            });
            let uid = live.uid.clone();
            Action {
                key: live.key.clone(),
                verb: if deleted {
                    Verb::DeleteHook { uid }
                } else {
                    Verb::ReleaseHook
                },
            }
        })
        .collect()
}

/// The next step of the objects: the last wave first, and inside it what depends on others first.
/// `None` when all are gone.
fn objects(situation: &Situation<'_>, propagation: Propagation) -> Option<Next> {
    let mut groups: BTreeMap<(Reverse<i64>, usize), Vec<&LiveObject>> = BTreeMap::new();
    for live in going(situation) {
        groups
            .entry((Reverse(live.wave), kinds::prune_rank(&live.key.kind)))
            .or_default()
            .push(live);
    }
    let ((Reverse(wave), _), group) = groups.pop_first()?;
    let actions: Vec<Action> = group
        .iter()
        .filter(|live| !live.deleting)
        .map(|live| Action {
            key: live.key.clone(),
            verb: if live.hook {
                Verb::DeleteHook {
                    uid: live.uid.clone(),
                }
            } else {
                Verb::Delete {
                    uid: live.uid.clone(),
                    propagation,
                }
            },
        })
        .collect();
    Some(if actions.is_empty() {
        Next::Wait {
            reason: Reason::DeletionWaiting {
                wave,
                objects: Names::of(group.iter().map(|live| &live.key)),
            },
            blocked: false,
            failed: vec![],
        }
    } else {
        Next::Act(actions)
    })
}

#[cfg(test)]
mod tests;
