//! Hooks: their objects, what became of them, and the end of the log of those that failed.

use std::collections::HashMap;
use std::time::Duration;

use gitops_api::status::OperationState;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::hook::{Hook, Run};
use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::options::AppOptions;
use gitops_core::manifest::phase::Phase;
use gitops_core::mask;
use gitops_core::project::{Gate, ReleasePermit, not_own_hook};
use gitops_core::sync;
use gitops_core::sync::Outcome;
use gitops_core::sync::action::{Action, Verb};
use kube::api::PropagationPolicy;

use crate::applications::app_state::AppState;
use crate::cluster::Cluster;
use crate::cluster::log_tail::LogTail;
use crate::cluster::write::WriteError;

/// Longest wait for a log: the failure itself is told in any case.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks for the objects of a sync's hooks that no watch shows, because another client made them.
pub(crate) async fn find(cluster: &Cluster, instance: &str, app_state: &AppState, run: &Run) {
    for (hook, key) in keys(app_state, run) {
        if is_known(cluster, instance, &key) {
            continue;
        }
        if let Err(error) = cluster.refresh(&hook.object.gvk, &key).await {
            tracing::debug!(hook = %key, %error, "cannot look up hook");
        }
        // No watch shows when an object without our marks is gone.
        if cluster.index.get(&key).is_some_and(|live| live.deleting) {
            cluster.follow_for(hook.object.gvk.clone(), key.clone(), instance);
        }
        // How one of another controller ends shows a watch of its own.
        if cluster.index.get(&key).is_some_and(|live| !live.marked) {
            let kind = hook.object.gvk.clone();
            cluster.watches.ensure_unmarked([kind]);
        }
    }
}

/// Whether a watch tells what becomes of the object of a hook: of the application's own.
fn is_known(cluster: &Cluster, instance: &str, key: &ObjectKey) -> bool {
    let live = cluster.index.get(key);
    live.is_some_and(|live| not_own_hook(&live, instance).is_none())
}

/// The live objects of a sync's hooks.
pub(crate) fn live(
    cluster: &Cluster,
    app_state: &AppState,
    run: &Run,
) -> HashMap<ObjectKey, LiveObject> {
    keys(app_state, run)
        .filter_map(|(_, key)| {
            let live = cluster.index.get(&key)?;
            Some((key, live))
        })
        .collect()
}

/// Creates the object of a hook for a phase of a run, unless an object of its name is there that is
/// no hook of the application.
pub(crate) async fn run(
    (cluster, gate): (&Cluster, &Gate),
    hook: &Hook,
    phase: Phase,
    run: &Run,
    options: &AppOptions,
) -> Result<(), WriteError> {
    let validates = options.validates(hook.object.options);
    let (manifest, gvk) = (hook.manifest_in(phase, run), &hook.object.gvk);
    let key = hook.key_in(phase, run);
    // An apply would take over whatever has the name by now, and no watch shows what others made.
    cluster.refresh(gvk, &key).await?;
    let permit = gate.run_hook(&key, cluster.index.get(&key).as_ref())?;
    let writer = &cluster.writer;
    let created = writer.apply(&permit, gvk, &manifest, validates).await?;
    let created = created.object;
    // The run looks at the records afterwards; nobody else wants the object of a hook.
    let _ = cluster.index.observe(&created);
    if let Some(key) = ObjectKey::of(&created) {
        tracing::info!(hook = %key, %phase, "hook created");
    }
    Ok(())
}

/// Deletes the object of a hook, whatever it is in the middle of.
pub(crate) async fn delete(
    (cluster, gate): (&Cluster, &Gate),
    live: &LiveObject,
) -> Result<(), WriteError> {
    let permit = gate.delete_hook(live)?;
    // One that an agent left behind in the middle of its work would never go.
    release((cluster, gate), live).await?;
    let propagation = PropagationPolicy::Foreground;
    cluster.delete(&permit, &live.gvk(), propagation).await?;
    Ok(())
}

/// Lets the object of a hook go once it is deleted.
pub(crate) async fn release(
    (cluster, gate): (&Cluster, &Gate),
    live: &LiveObject,
) -> Result<(), WriteError> {
    cluster.release_hook(&gate.release(live)?, live).await
}

/// Does with the hooks of syncs that have ended what their policies say; whether all of it is done.
/// Only what the status tells already is done ([`sync::cleanup`]).
/// Without a gate, because the application cannot be compared or is denied, nothing is deleted; but
/// nothing is held any longer either.
pub(crate) async fn clean_up(
    cluster: &Cluster,
    instance: &str,
    gate: Option<&Gate>,
    operation: Option<&OperationState>,
) -> bool {
    let hooks = cluster.index.hooks_of(instance);
    let actions = sync::cleanup(&hooks, operation);
    let mut all_done = true;
    for action in &actions {
        let Some(live) = hooks.iter().find(|live| live.key == action.key) else {
            continue;
        };
        let done = match (&action.verb, gate) {
            (Verb::DeleteHook { .. }, Some(gate)) => delete((cluster, gate), live).await,
            _ if !live.held => continue,
            _ => let_go(cluster, live, instance).await,
        };
        all_done &= noted(&action.key, done);
    }
    all_done
}

/// The objects of an application's hooks that are live, but for those that go at once because their
/// sync has ended: that they are gone would be said in another write.
pub(crate) fn that_stay(
    cluster: &Cluster,
    instance: &str,
    operation: Option<&OperationState>,
) -> Vec<LiveObject> {
    let mut hooks = cluster.index.hooks_of(instance);
    let actions = sync::cleanup(&hooks, operation);
    let goes = |live: &LiveObject| {
        let mut own = actions.iter().filter(|action| action.key == live.key);
        live.deleting || own.any(|action| matches!(action.verb, Verb::DeleteHook { .. }))
    };
    hooks.retain(|live| !goes(live));
    hooks.sort_by(|a, b| a.key.cmp(&b.key));
    hooks
}

/// Lets the hooks of an application go that is gone; whether all of it is done.
pub(crate) async fn release_all(cluster: &Cluster, instance: &str) -> bool {
    let hooks = cluster.index.hooks_of(instance);
    let mut all_done = true;
    for live in sync::held(&hooks) {
        all_done &= noted(&live.key, let_go(cluster, live, instance).await);
    }
    all_done
}

async fn let_go(cluster: &Cluster, live: &LiveObject, instance: &str) -> Result<(), WriteError> {
    let permit = ReleasePermit::of(live, instance)?;
    cluster.release_hook(&permit, live).await
}

fn noted(key: &ObjectKey, done: Result<(), WriteError>) -> bool {
    match done {
        Ok(()) => true,
        // It will never be allowed; and what is not ours is none of our business.
        Err(WriteError::NotPermitted(why)) => {
            tracing::debug!(hook = %key, %why, "hook is not cleaned up");
            true
        }
        Err(error) => {
            tracing::warn!(hook = %key, %error, "hook could not be cleaned up; trying again");
            false
        }
    }
}

/// A failure together with the last lines the hook's Pod wrote, masked and shortened.
pub(crate) async fn with_log_tail(cluster: &Cluster, key: &ObjectKey, outcome: Outcome) -> Outcome {
    let Outcome::Failed(why) = outcome else {
        return outcome;
    };
    let log = tokio::time::timeout(LOG_TIMEOUT, cluster.log_tail(key)).await;
    let LogTail { text, secrets } = match log {
        Ok(Ok(tail)) => tail,
        Ok(Err(withheld)) => LogTail {
            text: Some(withheld),
            secrets: Vec::new(),
        },
        Err(_) => LogTail::default(),
    };
    // What the container itself said when it ended may be in the reason.
    let why = mask::mask_output(&why, &secrets);
    Outcome::Failed(match text {
        Some(text) => format!("{why}; {text}"),
        None => why,
    })
}

/// Every hook of a sync with the identity of its object, once per phase.
fn keys<'a>(app_state: &'a AppState, run: &'a Run) -> impl Iterator<Item = (&'a Hook, ObjectKey)> {
    app_state.wanted.desired.hooks.iter().flat_map(move |hook| {
        hook.sync_phases()
            .map(move |phase| (hook, hook.key_in(phase, run)))
    })
}

/// The hook an action is about.
pub(crate) fn of_action<'a>(
    app_state: &'a AppState,
    action: &Action,
    run: &Run,
) -> Option<&'a Hook> {
    app_state.wanted.desired.hooks.iter().find(|hook| {
        hook.phases.contains(&action.phase) && hook.key_in(action.phase, run) == action.key
    })
}
