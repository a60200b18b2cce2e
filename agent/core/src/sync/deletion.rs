//! The deletion of an Application as a state machine: from what is in the cluster to what is next.
//!
//! All that is remembered are the Application's finalizers and the objects themselves, so an agent
//! that is restarted goes on where the last one was killed. In order: approval, PreDelete hooks,
//! objects in reverse waves, PostDelete hooks. Follows Argo CD (`finalizeApplicationDeletion`);
//! unlike it, hooks run wave by wave, one that failed is kept for inspection, and no finalizer is
//! ever abandoned because something cannot be reached.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use gitops_api::constants::finalizer;
use jiff::Timestamp;

use crate::live::object::{LiveObject, OnDeletion};
use crate::manifest::digest::Agreement;
use crate::manifest::hook::{Hook, Run};
use crate::manifest::kinds;
use crate::manifest::object::ObjectKey;
use crate::manifest::options::Propagation;
use crate::manifest::phase::Phase;
use crate::reason::{Names, Reason};
use crate::sync::action::{Action, Verb};
use crate::sync::approval::{Approval, Subject};
use crate::sync::guests::Guests;
use crate::sync::{Outcome, hook_outcome};

/// All that the next step depends on.
pub struct Situation<'a> {
    /// The Application.
    pub subject: Subject<'a>,
    /// Its finalizers.
    pub finalizers: &'a [String],
    /// When its deletion was asked for.
    pub since: Timestamp,
    /// Value of the annotation that approves it.
    pub approved: Option<&'a str>,
    /// What becomes of objects that do not say it themselves.
    pub default: OnDeletion,
    /// The live objects that are tracked to it.
    pub objects: &'a [LiveObject],
    /// Whether an object is left alone, whatever it says: another Application wants it, or the
    /// project does not allow it.
    pub is_protected: &'a dyn Fn(&ObjectKey) -> bool,
    /// Namespaces among them with what is in them that is not the application's.
    pub guests: &'a Guests,
    /// Its hooks; otherwise why they cannot be known.
    pub hooks: Result<&'a [Hook], &'a str>,
    /// Live objects of hooks.
    pub live_hooks: &'a HashMap<ObjectKey, LiveObject>,
    /// Why the destination cannot be worked on.
    pub blocker: Option<&'a str>,
    /// The run that hooks are run by.
    pub run: &'a Run,
}

/// What comes next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Do this, all of it at the same time, then ask again.
    Act(Vec<Action>),
    /// Do this, then remove these finalizers, then ask again.
    Finish {
        /// What is done with the hooks of a phase that is over.
        cleanup: Vec<Action>,
        /// Finalizers whose part is done.
        finalizers: Vec<&'static str>,
    },
    /// Nothing can be done until something changes.
    Wait {
        /// What is waited for.
        reason: Reason,
        /// A user has to do something about it.
        blocked: bool,
        /// Hooks whose logs explain it.
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

/// How the objects are deleted, when they are deleted with the Application at all.
pub fn cascade(finalizers: &[String]) -> Option<Propagation> {
    CASCADE
        .into_iter()
        .find(|(name, _)| finalizers.iter().any(|set| set == name))
        .map(|(_, propagation)| propagation)
}

/// A phase that hooks run in, and the finalizers that ask for it.
#[derive(Clone, Copy)]
struct HookPhase {
    phase: Phase,
    /// Its hooks have to run.
    run: &'static str,
    /// Its hooks have run, and their objects have to be cleaned up.
    cleanup: &'static str,
}

const PRE_DELETE: HookPhase = HookPhase {
    phase: Phase::PreDelete,
    run: finalizer::PRE_DELETE,
    cleanup: finalizer::PRE_DELETE_CLEANUP,
};
const POST_DELETE: HookPhase = HookPhase {
    phase: Phase::PostDelete,
    run: finalizer::POST_DELETE,
    cleanup: finalizer::POST_DELETE_CLEANUP,
};
const HOOK_PHASES: [HookPhase; 2] = [PRE_DELETE, POST_DELETE];

/// Whether hooks are still to be run or cleaned up.
pub fn needs_hooks(finalizers: &[String]) -> bool {
    HOOK_PHASES.iter().any(|of| {
        let mut set = finalizers.iter();
        set.any(|set| set == of.run || set == of.cleanup)
    })
}

/// The finalizers an Application with these hooks has to have, given those it has; `None` when
/// they are right. As Argo CD does, they come and go with the hooks.
pub fn finalizers(present: &[String], hooks: &[Hook]) -> Option<Vec<String>> {
    let mut needed = present.to_vec();
    for of in HOOK_PHASES {
        let has_hooks = hooks.iter().any(|hook| hook.phases.contains(&of.phase));
        for finalizer in [of.run, of.cleanup] {
            let is_set = needed.iter().any(|set| set == finalizer);
            if has_hooks && !is_set {
                needed.push(finalizer.into());
            } else if !has_hooks && is_set {
                needed.retain(|set| set != finalizer);
            }
        }
    }
    (needed != present).then_some(needed)
}

/// The objects that are retained because they say so.
pub fn retained<'a>(situation: &'a Situation<'_>) -> Vec<&'a ObjectKey> {
    situation
        .objects
        .iter()
        .filter(|live| policy_of(situation, live) == OnDeletion::Retain)
        .map(|live| &live.key)
        .collect()
}

/// Decides the next step.
pub fn next(situation: &Situation<'_>) -> Next {
    let has = |name: &str| situation.finalizers.iter().any(|set| set == name);
    let cascade = cascade(situation.finalizers);
    if cascade.is_none() && !needs_hooks(situation.finalizers) {
        return Next::Ended;
    }
    if let Some(blocker) = situation.blocker {
        return blocked(Reason::DeletionBlocked {
            detail: blocker.into(),
            finalizers: own_finalizers(situation),
            namespace: situation.subject.namespace.into(),
            application: situation.subject.name.into(),
        });
    }
    if cascade.is_some()
        && let Some(wait) = pending_approval(situation)
    {
        return wait;
    }
    if let Some(next) = hook_phase(situation, PRE_DELETE) {
        return next;
    }
    if let Some(propagation) = cascade {
        return objects(situation, propagation).unwrap_or_else(|| {
            let finalizers = CASCADE.into_iter().map(|(name, _)| name);
            finish(vec![], finalizers.filter(|name| has(name)).collect())
        });
    }
    hook_phase(situation, POST_DELETE).unwrap_or(Next::Ended)
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

/// The objects that are deleted with the Application.
fn to_delete<'a>(situation: &'a Situation<'_>) -> impl Iterator<Item = &'a LiveObject> {
    let own_run = HOOK_PHASES.map(|of| situation.run.id_in(of.phase));
    situation.objects.iter().filter(move |live| {
        let of_this_run = live
            .operation
            .as_ref()
            .is_some_and(|operation| own_run.contains(operation));
        !of_this_run
            && policy_of(situation, live) != OnDeletion::Retain
            && !is_itself(situation.subject, &live.key)
            && !(situation.is_protected)(&live.key)
    })
}

fn policy_of(situation: &Situation<'_>, live: &LiveObject) -> OnDeletion {
    match live.on_deletion {
        OnDeletion::Delete => situation.default,
        own => own,
    }
}

/// An Application among its own manifests is not deleted by itself: its finalizers are removed.
fn is_itself(subject: Subject<'_>, key: &ObjectKey) -> bool {
    key.group == gitops_api::constants::GROUP
        && key.kind == "Application"
        && key.namespace == subject.namespace
        && key.name == subject.name
}

fn pending_approval(situation: &Situation<'_>) -> Option<Next> {
    let asking: Vec<&ObjectKey> = to_delete(situation)
        .filter(|live| {
            !live.deleting
                && (policy_of(situation, live) == OnDeletion::Confirm
                    || situation.guests.contains_key(&live.key))
        })
        .map(|live| &live.key)
        .collect();
    let guests = asking.iter().filter_map(|key| situation.guests.get(*key));
    let guests = Names::joined(guests);
    let approval = Approval::read(situation.approved, situation.since);
    if asking.is_empty() || approval.is_given() {
        return None;
    }
    Some(blocked(Reason::DeletionApproval {
        objects: Names::of(asking),
        guests,
        approval,
        namespace: situation.subject.namespace.into(),
        application: situation.subject.name.into(),
    }))
}

/// The next step of a phase of hooks; `None` when it is over.
fn hook_phase(situation: &Situation<'_>, of: HookPhase) -> Option<Next> {
    let has = |name: &str| situation.finalizers.iter().any(|set| set == name);
    if has(of.run) {
        let next = hooks(situation, of);
        return Some(next.unwrap_or_else(|| finish(vec![], vec![of.run])));
    }
    has(of.cleanup).then(|| finish(cleanup(situation, of.phase), vec![of.cleanup]))
}

/// The next step of hooks; `None` when all of them succeeded.
fn hooks(situation: &Situation<'_>, of: HookPhase) -> Option<Next> {
    let hooks = match situation.hooks {
        Ok(hooks) => hooks,
        Err(why) => {
            return Some(blocked(Reason::DeletionHooksUnknown {
                phase: of.phase,
                detail: why.into(),
                finalizer: of.run.into(),
            }));
        }
    };
    let mut waves: BTreeMap<i64, Vec<&Hook>> = BTreeMap::new();
    for hook in hooks {
        if hook.phases.contains(&of.phase) {
            waves.entry(hook.object.wave).or_default().push(hook);
        }
    }
    waves
        .into_values()
        .find_map(|hooks| wave_of_hooks(situation, of, &hooks))
}

fn wave_of_hooks(situation: &Situation<'_>, of: HookPhase, hooks: &[&Hook]) -> Option<Next> {
    let phase = of.phase;
    let mut failed = Vec::new();
    let mut running = Vec::new();
    let mut open = Vec::new();
    for hook in hooks {
        let key = hook.key_in(phase, situation.run);
        match hook_state(situation, phase, hook, &key) {
            HookState::Done => {}
            HookState::Running(how) => running.push(format!("{key} ({how})")),
            HookState::Failed(why) => failed.push((key, why)),
            HookState::Open(verb, reason) => open.push(action(phase, &key, verb, reason)),
        }
    }
    if !failed.is_empty() {
        let texts = failed.iter().map(|(key, why)| format!("{key}: {why}"));
        return Some(Next::Wait {
            reason: Reason::DeletionHookFailed {
                phase,
                hooks: Names::of(texts),
                finalizer: of.run.into(),
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

enum HookState {
    Open(Verb, &'static str),
    Running(String),
    Failed(String),
    Done,
}

fn hook_state(situation: &Situation<'_>, phase: Phase, hook: &Hook, key: &ObjectKey) -> HookState {
    if (situation.is_protected)(key) {
        return HookState::Failed(
            "the project does not allow it, or another Application has it".into(),
        );
    }
    let run = || HookState::Open(Verb::RunHook, "it is a hook of this phase");
    let Some(live) = situation.live_hooks.get(key) else {
        return run();
    };
    let delete = |reason| {
        let uid = live.uid.clone();
        HookState::Open(Verb::DeleteHook { uid }, reason)
    };
    if live.operation.as_ref() != Some(&situation.run.id_in(phase)) {
        return match (live.deleting, hook.is_replaced()) {
            (true, _) => HookState::Running("the one of an earlier run is being deleted".into()),
            (false, true) => delete("it is of an earlier run"),
            (false, false) => run(),
        };
    }
    let recorded = live.desired_digest.as_deref();
    let agreement = recorded.map(|recorded| hook.object.agreement(recorded));
    let changed = matches!(agreement, None | Some(Agreement::Other));
    match hook_outcome(live) {
        Outcome::Succeeded(_) => HookState::Done,
        // A user wants it to run again; what it left behind may take a moment to go.
        _ if live.deleting => HookState::Open(Verb::ReleaseHook, "it is deleted to run again"),
        Outcome::Failed(_) if changed => delete("it failed and was changed in Git since"),
        Outcome::Failed(why) => HookState::Failed(why),
        Outcome::Running(how) => HookState::Running(how),
        Outcome::Applied | Outcome::Pruned | Outcome::Skipped | Outcome::Stopped => HookState::Done,
    }
}

fn action(phase: Phase, key: &ObjectKey, verb: Verb, reason: &str) -> Action {
    Action {
        phase,
        key: key.clone(),
        verb,
        reason: reason.into(),
    }
}

/// What happens to the hooks of a phase that is over. All of them succeeded, or a user went on
/// without them.
fn cleanup(situation: &Situation<'_>, phase: Phase) -> Vec<Action> {
    let id = situation.run.id_in(phase);
    let policies: HashMap<ObjectKey, &Hook> = situation
        .hooks
        .unwrap_or_default()
        .iter()
        .map(|hook| (hook.key_in(phase, situation.run), hook))
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
            // As in Argo CD: what ran before the objects go is one of them.
            let goes_along = phase == Phase::PreDelete && cascade(situation.finalizers).is_some();
            let deleted = match hook_outcome(live) {
                Outcome::Succeeded(_) => {
                    goes_along || policy.is_some_and(|policy| policy.on_success)
                }
                _ => policy.is_some_and(|policy| policy.on_failure),
            };
            let uid = live.uid.clone();
            let (verb, reason) = if deleted {
                (Verb::DeleteHook { uid }, "its delete policy says so")
            } else {
                (Verb::ReleaseHook, "its result was read")
            };
            action(phase, &live.key, verb, reason)
        })
        .collect()
}

/// The next step of the objects: the last wave first, and inside it what depends on others first.
/// `None` when all are gone.
fn objects(situation: &Situation<'_>, propagation: Propagation) -> Option<Next> {
    let mut groups: BTreeMap<(Reverse<i64>, usize), Vec<&LiveObject>> = BTreeMap::new();
    for live in to_delete(situation) {
        groups
            .entry((Reverse(live.wave), kinds::prune_rank(&live.key.kind)))
            .or_default()
            .push(live);
    }
    let ((Reverse(wave), _), group) = groups.pop_first()?;
    let actions: Vec<Action> = group
        .iter()
        .filter_map(|live| {
            let uid = live.uid.clone();
            let verb = match live.deleting {
                false if live.hook => Verb::DeleteHook { uid },
                false => Verb::Delete { uid, propagation },
                // It would be waited for as long as the agent itself keeps it.
                true if live.held => Verb::ReleaseHook,
                true => return None,
            };
            let reason = "its Application is deleted";
            Some(action(Phase::Delete, &live.key, verb, reason))
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
