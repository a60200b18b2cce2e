//! The tasks of a sync: each object and hook, its slot in the order, and its state.

use std::collections::HashMap;

use gitops_api::HealthStatusCode;

use super::slot::SyncSlot;
use super::{Situation, hooks, is_of_this_run};
use crate::compare::comparison::State;
use crate::live::object::LiveObject;
use crate::manifest::desired::DesiredObject;
use crate::manifest::kinds;
use crate::manifest::object::ObjectKey;
use crate::manifest::phase::Phase;
use crate::sync::action::{Action, Verb};
use crate::sync::record::Outcome;

/// State of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    /// To be done.
    Open(Box<Action>),
    /// Done, and not healthy yet; its health.
    Running(String),
    /// Deleted, to be created again when it is gone.
    Terminating,
    /// Done, and it will not become healthy; why.
    Degraded(String),
    /// Done.
    Done,
    /// Failed; why.
    Failed(String),
}

/// One task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) slot: SyncSlot,
    /// Position of its kind inside the slot.
    pub(super) rank: usize,
    pub(super) key: ObjectKey,
    pub(super) is_hook: bool,
    pub(super) state: TaskState,
}

impl Task {
    /// Whether everything later waits for it, and not only what waits for health.
    pub(super) fn blocks_all(&self) -> bool {
        match self.state {
            TaskState::Terminating => true,
            TaskState::Running(_) => self.is_hook,
            _ => false,
        }
    }
}

/// All tasks of a sync.
pub(super) fn all(situation: &Situation<'_>) -> Vec<Task> {
    let mut tasks = objects(situation);
    tasks.extend(hook_tasks(situation));
    bring_forward(situation, &mut tasks);
    tasks.extend(prunes(situation));
    tasks
}

fn objects(situation: &Situation<'_>) -> Vec<Task> {
    let tasks = situation.desired.objects.values().filter_map(|object| {
        let key = &object.key;
        let action = situation.plan.actions.get(key);
        let action = action.filter(|action| action.verb == Verb::Apply);
        let known = situation.record.get(Phase::Sync, key);
        // A sync of single objects does not wait for those it is not about.
        if !situation.complete && action.is_none() && known.is_none() {
            return None;
        }
        let state = match (known, action) {
            (Some(Outcome::Failed(why)), _) => TaskState::Failed(why.clone()),
            (Some(Outcome::Pruned), _) | (None, Some(_))
                if is_terminating(situation, object, known) =>
            {
                TaskState::Terminating
            }
            (None | Some(Outcome::Pruned), Some(action)) => {
                TaskState::Open(Box::new(action.clone()))
            }
            _ => health(situation, key, known.is_some()),
        };
        Some(Task {
            slot: SyncSlot::of_apply(Phase::Sync, object),
            rank: kinds::rank(&key.kind),
            key: key.clone(),
            is_hook: false,
            state,
        })
    });
    tasks.collect()
}

/// Whether an object is being deleted to be created again, by this reconciliation or, when the
/// agent ended before it could note that down, by the one before.
fn is_terminating(
    situation: &Situation<'_>,
    object: &DesiredObject,
    known: Option<&Outcome>,
) -> bool {
    situation.live.get(&object.key).is_some_and(|live| {
        live.deleting
            && (known.is_some() || situation.options.forces(object.options, Some(live.options)))
    })
}

/// State of an object that is applied, in this sync or before.
fn health(situation: &Situation<'_>, key: &ObjectKey, applied: bool) -> TaskState {
    // What this sync cannot change is not waited for either.
    let own = applied || situation.comparison.get(key).is_some_and(State::is_synced);
    let Some(live) = situation.live.get(key) else {
        // What ended by itself is gone and as Git wants it.
        return if applied && !situation.comparison.get(key).is_some_and(State::is_synced) {
            TaskState::Degraded("it is gone: it was deleted by another client".into())
        } else {
            TaskState::Done
        };
    };
    let Some(health) = live.health.as_ref().filter(|_| own && !live.ignore_health) else {
        return TaskState::Done;
    };
    match health.status {
        HealthStatusCode::Healthy => TaskState::Done,
        // It is bound to the first Pod that uses it, and that may be what comes later.
        _ if live.awaits_consumer.is_some() => TaskState::Done,
        HealthStatusCode::Degraded => {
            TaskState::Degraded(described(health.status, &health.message))
        }
        _ => TaskState::Running(described(health.status, &health.message)),
    }
}

fn described(status: HealthStatusCode, message: &str) -> String {
    if message.is_empty() {
        status.to_string()
    } else {
        format!("{status}: {message}")
    }
}

fn hook_tasks(situation: &Situation<'_>) -> Vec<Task> {
    hooks(situation)
        .map(|(phase, key, hook)| {
            let open = |verb, reason: &str| {
                TaskState::Open(Box::new(Action {
                    phase,
                    key: key.clone(),
                    verb,
                    reason: reason.into(),
                }))
            };
            let state = match situation.record.get(phase, &key) {
                Some(Outcome::Failed(why)) => TaskState::Failed(why.clone()),
                Some(Outcome::Running(why)) => TaskState::Running(why.clone()),
                Some(_) => TaskState::Done,
                None => match situation.live_hooks.get(&key) {
                    Some(live) if is_of_this_run(live, situation.run, phase, None) => {
                        TaskState::Running("just created".into())
                    }
                    Some(live) if live.deleting => {
                        TaskState::Running("the one that ran before is being deleted".into())
                    }
                    Some(live) if hook.is_replaced() => open(
                        Verb::DeleteHook {
                            uid: live.uid.clone(),
                        },
                        "it ran before",
                    ),
                    _ => open(Verb::RunHook, "it is a hook of this phase"),
                },
            };
            Task {
                slot: SyncSlot::of_apply(phase, &hook.object),
                rank: kinds::rank(&key.kind),
                key: key.clone(),
                is_hook: true,
                state,
            }
        })
        .collect()
}

/// What a hook's live object says of its work. A kind nobody can judge has done it by existing.
pub(crate) fn hook_outcome(live: &LiveObject) -> Outcome {
    let Some(health) = &live.health else {
        return Outcome::Succeeded(String::new());
    };
    match health.status {
        HealthStatusCode::Healthy => Outcome::Succeeded(health.message.clone()),
        HealthStatusCode::Degraded | HealthStatusCode::Unknown => {
            Outcome::Failed(described(health.status, &health.message))
        }
        status => Outcome::Running(described(status, &health.message)),
    }
}

/// Moves a Namespace before the first task that lives in it, and a CustomResourceDefinition before
/// the first task of its kind, whatever their waves say.
fn bring_forward(situation: &Situation<'_>, tasks: &mut [Task]) {
    let objects = &situation.desired.objects;
    let mut first_of_kind: HashMap<(&str, &str), Option<SyncSlot>> = HashMap::new();
    let mut first_in_namespace: HashMap<&str, Option<SyncSlot>> = HashMap::new();
    for object in objects.values() {
        if let Some(kind) = &object.defined_kind {
            first_of_kind.insert((&kind.group, &kind.kind), None);
        } else if is_namespace(&object.key) {
            first_in_namespace.insert(&object.key.name, None);
        }
    }
    if first_of_kind.is_empty() && first_in_namespace.is_empty() {
        return;
    }
    let earlier = |first: &mut Option<SyncSlot>, slot: SyncSlot| {
        *first = Some(first.map_or(slot, |first| first.min(slot)));
    };
    for task in tasks
        .iter()
        .filter(|task| task.slot.phase != Phase::SyncFail)
    {
        let key = &task.key;
        if let Some(first) = first_of_kind.get_mut(&(key.group.as_str(), key.kind.as_str())) {
            earlier(first, task.slot);
        }
        if let Some(first) = first_in_namespace.get_mut(key.namespace.as_str()) {
            earlier(first, task.slot);
        }
    }
    let needed_at = |task: &Task| {
        let object = objects.get(&task.key).filter(|_| !task.is_hook)?;
        let first = match &object.defined_kind {
            Some(kind) => first_of_kind.get(&(kind.group.as_str(), kind.kind.as_str())),
            None if is_namespace(&object.key) => first_in_namespace.get(object.key.name.as_str()),
            None => None,
        };
        *first?
    };
    let needed: Vec<Option<SyncSlot>> = tasks.iter().map(needed_at).collect();
    for (task, first) in tasks.iter_mut().zip(needed) {
        if let Some(first) = first {
            task.slot = task.slot.min(first);
            // Inside the slot it comes first, even before what its kind would come after.
            task.rank = 0;
        }
    }
}

fn is_namespace(key: &ObjectKey) -> bool {
    key.group.is_empty() && key.kind == "Namespace"
}

fn prunes(situation: &Situation<'_>) -> Vec<Task> {
    let running = || TaskState::Running("being deleted".into());
    let mut tasks = Vec::new();
    for (key, action) in &situation.plan.actions {
        let Some(live) = situation.live.get(key) else {
            continue;
        };
        if !matches!(action.verb, Verb::Delete { .. }) {
            continue;
        }
        let state = match situation.record.get(Phase::Sync, key) {
            Some(Outcome::Failed(why)) => TaskState::Failed(why.clone()),
            Some(_) => running(),
            None => TaskState::Open(Box::new(action.clone())),
        };
        tasks.push(prune(situation, live, state));
    }
    // Those being deleted are no longer in the plan, and still waited for.
    for (key, state) in situation.comparison {
        if state.is_extra()
            && situation.record.get(Phase::Sync, key) == Some(&Outcome::Pruned)
            && !situation.plan.actions.contains_key(key)
            && let Some(live) = situation.live.get(key)
        {
            tasks.push(prune(situation, live, running()));
        }
    }
    tasks
}

fn prune(situation: &Situation<'_>, live: &LiveObject, state: TaskState) -> Task {
    Task {
        slot: SyncSlot::of_prune(live, &situation.options),
        rank: kinds::prune_rank(&live.key.kind),
        key: live.key.clone(),
        is_hook: false,
        state,
    }
}
