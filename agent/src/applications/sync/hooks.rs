//! Hooks: their objects, what became of them, and the end of the log of those that failed.

use std::collections::HashMap;
use std::time::Duration;

use gitops_api::constants::finalizer;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::hook::{Hook, Run};
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::manifest::options::AppOptions;
use gitops_core::manifest::phase::Phase;
use gitops_core::mask;
use gitops_core::sync::Outcome;
use gitops_core::sync::action::Action;
use kube::api::PropagationPolicy;

use crate::applications::app_state::AppState;
use crate::cluster::Cluster;
use crate::cluster::log_tail::LogTail;
use crate::cluster::write::WriteError;

/// Longest wait for a log: the failure itself is told in any case.
const LOG_TIMEOUT: Duration = Duration::from_secs(5);

/// Looks for the objects of a sync's hooks that no watch shows, because somebody else made them.
pub(crate) async fn find(cluster: &Cluster, app_state: &AppState, run: &Run) {
    for (hook, key) in keys(app_state, run) {
        if !cluster.index.is_unprobed(&key) {
            continue;
        }
        if let Err(error) = cluster.refresh(&hook.object.gvk, &key).await {
            tracing::debug!(hook = %key, %error, "cannot look up hook");
        }
    }
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

/// Creates the object of a hook for a phase of a run.
pub(crate) async fn run(
    cluster: &Cluster,
    hook: &Hook,
    phase: Phase,
    run: &Run,
    options: &AppOptions,
) -> Result<(), WriteError> {
    let validates = options.validates(hook.object.options);
    let manifest = hook.manifest_in(phase, run);
    let created = cluster
        .writer
        .apply(&hook.object.gvk, &manifest, validates)
        .await?;
    cluster.index.observe(&created);
    if let Some(key) = ObjectKey::of(&created) {
        tracing::info!(hook = %key, %phase, "hook created");
    }
    Ok(())
}

/// Deletes the object of a hook, whatever it is in the middle of.
pub(crate) async fn delete(
    cluster: &Cluster,
    gvk: &GroupVersionKind,
    key: &ObjectKey,
    uid: &str,
) -> Result<(), WriteError> {
    // One that an agent left behind in the middle of its work would never go.
    release(cluster, gvk, key).await?;
    let propagation = PropagationPolicy::Foreground;
    cluster.delete(gvk, key, uid, propagation).await
}

/// Lets the object of a hook go once it is deleted.
pub(crate) async fn release(
    cluster: &Cluster,
    gvk: &GroupVersionKind,
    key: &ObjectKey,
) -> Result<(), WriteError> {
    cluster
        .writer
        .take_off_finalizer(gvk, key, finalizer::HOOK)
        .await
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
