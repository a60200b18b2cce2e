//! The tasks of a sync: each object and hook, where it belongs in the order, and how it stands.

use std::collections::{BTreeMap, BTreeSet};

use gitops_api::{HealthStatusCode, SyncPhase};

use super::{Action, Outcome, Situation, Verb, hooks, of_this_run};
use crate::compare::comparison::State;
use crate::live::object::LiveObject;
use crate::manifest::desired::DesiredObject;
use crate::manifest::hook::PHASES;
use crate::manifest::kinds;
use crate::manifest::object::{GroupKind, ObjectKey};
use crate::reason::SyncStep;
use crate::sync::plan;

/// Where a task belongs: phase, applies before prunes, wave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SyncSlot {
    pub(super) phase: SyncPhase,
    prunes: bool,
    /// A prune that waits until what was applied is healthy (`PruneLast`).
    last: bool,
    wave: i64,
}

impl SyncSlot {
    /// Whether what is done here waits until all of an earlier place is healthy. What goes out does
    /// not wait for what comes in, unless the option says so.
    pub(super) fn waits_for(self, earlier: Self) -> bool {
        let replaces = self.phase == earlier.phase && self.prunes && !earlier.prunes;
        self > earlier && (self.last || !replaces)
    }

    /// As it is said.
    pub(super) fn step(self) -> SyncStep {
        SyncStep {
            phase: self.phase,
            wave: self.wave,
            prune: self.prunes,
        }
    }

    fn order(self) -> (usize, bool, bool, i64) {
        let phase = PHASES.iter().position(|phase| *phase == self.phase);
        // Prunes go through the waves backwards.
        let wave = if self.prunes {
            self.wave.saturating_neg()
        } else {
            self.wave
        };
        (phase.unwrap_or(1), self.prunes, self.last, wave)
    }
}

impl Ord for SyncSlot {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for SyncSlot {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// How a task stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TaskState {
    /// To be done.
    Open(Box<Action>),
    /// Done, and not yet as it should be; how it stands.
    Running(String),
    /// Deleted, to be created again when it is gone.
    Leaving,
    /// Done, and it will not become as it should be; why.
    Broken(String),
    /// Done.
    Done,
    /// Failed; why.
    Failed(String),
}

/// One task.
#[derive(Clone, Debug)]
pub(super) struct Task {
    pub(super) slot: SyncSlot,
    pub(super) rank: usize,
    pub(super) key: ObjectKey,
    pub(super) is_hook: bool,
    pub(super) state: TaskState,
}

impl Task {
    /// Whether everything later waits for it, and not only what waits for health.
    pub(super) fn always_holds(&self) -> bool {
        match self.state {
            TaskState::Leaving => true,
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
    let actions: BTreeMap<&ObjectKey, &plan::Action> = situation
        .plan
        .steps
        .iter()
        .flat_map(|step| &step.actions)
        .filter(|action| action.verb == plan::Verb::Apply)
        .map(|action| (&action.key, action))
        .collect();
    situation
        .desired
        .objects
        .values()
        // A sync of single objects does not wait for those it is not about.
        .filter(|object| {
            situation.complete
                || actions.contains_key(&object.key)
                || situation.record.get(SyncPhase::Sync, &object.key).is_some()
        })
        .map(|object| {
            let key = &object.key;
            let known = situation.record.get(SyncPhase::Sync, key);
            let state = match (known, actions.get(key)) {
                (Some(Outcome::Failed(why)), _) => TaskState::Failed(why.clone()),
                (Some(Outcome::Pruned), _) | (None, Some(_))
                    if leaves(situation, object, known) =>
                {
                    TaskState::Leaving
                }
                (None | Some(Outcome::Pruned), Some(action)) => TaskState::Open(Box::new(Action {
                    phase: SyncPhase::Sync,
                    key: key.clone(),
                    verb: Verb::Apply,
                    reason: action.reason.clone(),
                })),
                _ => health(situation, key, known.is_some()),
            };
            Task {
                slot: SyncSlot {
                    phase: SyncPhase::Sync,
                    prunes: false,
                    last: false,
                    wave: object.wave,
                },
                rank: kinds::rank(&key.kind),
                key: key.clone(),
                is_hook: false,
                state,
            }
        })
        .collect()
}

/// Whether an object is on its way out to be created again, in this pass or, when the agent ended
/// before it could note that down, in the one before.
fn leaves(situation: &Situation<'_>, object: &DesiredObject, known: Option<&Outcome>) -> bool {
    situation.live.get(&object.key).is_some_and(|live| {
        live.deleting
            && (known.is_some() || situation.options.forces(object.options, Some(live.options)))
    })
}

/// How an object stands that is applied, in this sync or before.
fn health(situation: &Situation<'_>, key: &ObjectKey, applied: bool) -> TaskState {
    // What this sync cannot change is not waited for either.
    let own = applied || situation.comparison.get(key).is_some_and(State::is_synced);
    let Some(live) = situation.live.get(key) else {
        return if applied {
            TaskState::Broken("it is gone: it was deleted by another client".into())
        } else {
            TaskState::Done
        };
    };
    let Some(health) = live.health.as_ref().filter(|_| own && !live.ignore_health) else {
        return TaskState::Done;
    };
    match health.status {
        HealthStatusCode::Healthy => TaskState::Done,
        HealthStatusCode::Degraded => TaskState::Broken(said(health.status, &health.message)),
        _ => TaskState::Running(said(health.status, &health.message)),
    }
}

fn said(status: HealthStatusCode, message: &str) -> String {
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
                    Some(live) if of_this_run(live, situation.run) => {
                        TaskState::Running("just created".into())
                    }
                    Some(live) if live.deleting => {
                        TaskState::Running("the one of an earlier sync is being deleted".into())
                    }
                    Some(live) if hook.is_replaced() => open(
                        Verb::DeleteHook {
                            uid: live.uid.clone(),
                        },
                        "it is of an earlier sync",
                    ),
                    _ => open(Verb::RunHook, "it is a hook of this phase"),
                },
            };
            Task {
                slot: SyncSlot {
                    phase,
                    prunes: false,
                    last: false,
                    wave: hook.object.wave,
                },
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
            Outcome::Failed(said(health.status, &health.message))
        }
        status => Outcome::Running(said(status, &health.message)),
    }
}

/// Moves a Namespace before the first task that lives in it, and a CustomResourceDefinition before
/// the first task of its kind, whatever their waves say.
fn bring_forward(situation: &Situation<'_>, tasks: &mut [Task]) {
    let mut needed: Vec<(ObjectKey, SyncSlot)> = Vec::new();
    for object in situation.desired.objects.values() {
        let defines = object.key.kind == "CustomResourceDefinition";
        let is_namespace = object.key.group.is_empty() && object.key.kind == "Namespace";
        if !defines && !is_namespace {
            continue;
        }
        let kind = defines.then(|| defined_kind(&object.manifest())).flatten();
        let first = tasks
            .iter()
            .filter(|task| task.slot.phase != SyncPhase::SyncFail)
            .filter(|task| {
                if defines {
                    kind.as_ref() == Some(&task.key.group_kind())
                } else {
                    task.key.namespace == object.key.name
                }
            })
            .map(|task| task.slot)
            .min();
        if let Some(slot) = first {
            needed.push((object.key.clone(), slot));
        }
    }
    for (key, slot) in needed {
        if let Some(task) = tasks
            .iter_mut()
            .find(|task| !task.is_hook && task.key == key)
            && slot < task.slot
        {
            task.slot = slot;
        }
        // Inside the wave it comes first, even before what its kind would come after.
        if let Some(task) = tasks
            .iter_mut()
            .find(|task| !task.is_hook && task.key == key)
        {
            task.rank = 0;
        }
    }
}

fn defined_kind(definition: &serde_json::Value) -> Option<GroupKind> {
    let spec = definition.get("spec")?;
    Some(GroupKind {
        group: spec.get("group")?.as_str()?.into(),
        kind: spec.get("names")?.get("kind")?.as_str()?.into(),
    })
}

fn prunes(situation: &Situation<'_>) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut planned: BTreeSet<&ObjectKey> = BTreeSet::new();
    for action in situation.plan.steps.iter().flat_map(|step| &step.actions) {
        let plan::Verb::Prune { uid } = &action.verb else {
            continue;
        };
        let Some(live) = situation.live.get(&action.key) else {
            continue;
        };
        let state = match situation.record.get(SyncPhase::Sync, &action.key) {
            Some(Outcome::Failed(why)) => TaskState::Failed(why.clone()),
            Some(_) => TaskState::Running("being deleted".into()),
            None => TaskState::Open(Box::new(Action {
                phase: SyncPhase::Sync,
                key: action.key.clone(),
                verb: Verb::Prune { uid: uid.clone() },
                reason: action.reason.clone(),
            })),
        };
        planned.insert(&action.key);
        tasks.push(prune(situation, live, state));
    }
    // Those on their way out are no longer in the plan, and still waited for.
    for (key, state) in situation.comparison {
        if state.is_extra()
            && situation.record.get(SyncPhase::Sync, key) == Some(&Outcome::Pruned)
            && !planned.contains(key)
            && let Some(live) = situation.live.get(key)
        {
            tasks.push(prune(
                situation,
                live,
                TaskState::Running("being deleted".into()),
            ));
        }
    }
    tasks
}

fn prune(situation: &Situation<'_>, live: &LiveObject, state: TaskState) -> Task {
    Task {
        slot: SyncSlot {
            phase: SyncPhase::Sync,
            prunes: true,
            last: situation.options.prunes_last(live.options),
            wave: live.wave,
        },
        rank: kinds::prune_rank(&live.key.kind),
        key: live.key.clone(),
        is_hook: false,
        state,
    }
}
