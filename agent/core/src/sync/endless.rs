//! Waits that can never end: what is waited for needs what comes only after it.
//!
//! Question: what may an object of a wave need that a later wave brings? Answer: whatever its Pods cannot
//! start without ([`references`]). Such an object holds nothing up, and the one it needs says so. A hook
//! cannot be passed over, because what comes later relies on it: its wait says what is wrong. Claims that
//! wait for their first Pod are the same case, known from their class.

use std::fmt::Write as _;

use super::tasks::{Task, TaskState};
use super::{Situation, hooks};
use crate::manifest::object::ObjectKey;
use crate::manifest::phase::Phase;
use crate::manifest::references;

/// Lets go what waits for later objects, and says so.
pub(super) fn let_go(situation: &Situation<'_>, tasks: &mut [Task]) {
    let waiting: Vec<usize> = (0..tasks.len())
        .filter(|index| matches!(tasks[*index].state, TaskState::Running(_)))
        .collect();
    for index in waiting {
        let task = &tasks[index];
        let Some(manifest) = manifest(situation, task) else {
            continue;
        };
        let (slot, is_hook, key) = (task.slot, task.is_hook, task.key.clone());
        let later = references::required(&manifest)
            .into_iter()
            .filter(|needed| !situation.live.contains_key(needed))
            .find_map(|needed| {
                let comes = |other: &Task| {
                    !other.is_hook && other.key == needed && other.slot.is_after(slot)
                };
                let found = tasks.iter().position(comes)?;
                matches!(tasks[found].state, TaskState::Open(_)).then_some(found)
            });
        let Some(later) = later else { continue };
        if is_hook {
            let needed = tasks[later].key.clone();
            if let TaskState::Running(why) = &mut tasks[index].state {
                let _ = write!(
                    why,
                    "; it can never start: it needs {needed}, which comes only after it; make that a \
                     hook of an earlier wave"
                );
            }
            continue;
        }
        tasks[index].state = TaskState::Done;
        if let TaskState::Open(action) = &mut tasks[later].state {
            let _ = write!(action.reason, "; {key} of an earlier wave waits for it");
        }
    }
}

fn manifest(situation: &Situation<'_>, task: &Task) -> Option<serde_json::Value> {
    if task.is_hook {
        let mut all = hooks(situation);
        let (_, _, hook) = all.find(|(_, key, _)| *key == task.key)?;
        return Some(hook.object.manifest());
    }
    Some(situation.desired.objects.get(&task.key)?.manifest())
}

/// The objects of hooks that run, of those phases that have begun.
pub fn waiting_hooks(situation: &Situation<'_>) -> Vec<(Phase, ObjectKey)> {
    hooks(situation)
        .filter(|(phase, key, _)| {
            matches!(
                situation.record.get(*phase, key),
                Some(super::Outcome::Running(_))
            )
        })
        .map(|(phase, key, _)| (phase, key))
        .collect()
}
