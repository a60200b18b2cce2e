//! Bringing one object to what Git has, in the way its options ask for.

use gitops_core::live::object::LiveObject;
use gitops_core::manifest::apply::{Way, recreates, way};
use gitops_core::manifest::desired::DesiredObject;
use gitops_core::manifest::options::{AppOptions, Propagation};
use gitops_core::project::Gate;
use gitops_core::sync::Outcome;
use kube::api::PropagationPolicy;

use crate::applications::sync::apply::apply;
use crate::cluster::Cluster;
use crate::cluster::write::WriteError;

/// Applies, replaces, or deletes so that the next step creates it, as far as the gate permits.
/// `deleted` says that this
/// sync deleted it before: once is enough.
pub(crate) async fn apply_action(
    (cluster, gate): (&Cluster, &Gate),
    desired: &DesiredObject,
    live: Option<&LiveObject>,
    options: &AppOptions,
    deleted: bool,
) -> Result<Outcome, WriteError> {
    let writer = &cluster.writer;
    let permit = &gate.write(&desired.key)?;
    let live = live.filter(|_| !deleted);
    let said = live.map(|live| live.options);
    let delivered = match way(&desired.key, options, desired.options, said) {
        Way::Merge => apply(cluster, permit, desired, live.is_some(), options).await,
        Way::Replace => {
            writer.take_over_all(permit, &desired.gvk).await?;
            apply(cluster, permit, desired, true, options).await
        }
        Way::Recreate => {
            // What cannot be created again is not deleted.
            let validates = options.validates(desired.options);
            match writer
                .dry_run(permit, &desired.gvk, &desired.manifest(), validates)
                .await
            {
                Err(error) if !error.is_immutable() => return Err(error),
                _ => return remove(cluster, gate, live, options).await,
            }
        }
    };
    match delivered {
        Err(error)
            if error.is_immutable()
                && live.is_some()
                && recreates(&desired.key, options, desired.options, said) =>
        {
            tracing::info!(object = %desired.key, %error, "deleted to be created again");
            remove(cluster, gate, live, options).await
        }
        delivered => delivered.map(|()| Outcome::Applied),
    }
}

/// Deletes an object that the next step creates again.
async fn remove(
    cluster: &Cluster,
    gate: &Gate,
    live: Option<&LiveObject>,
    options: &AppOptions,
) -> Result<Outcome, WriteError> {
    if let Some(live) = live {
        // What another application or nobody made is not this one's to delete.
        let permit = gate.recreate(live)?;
        let propagation = propagation(options.propagation);
        cluster.delete(&permit, &live.gvk(), propagation).await?;
    }
    Ok(Outcome::Pruned)
}

/// What happens to dependents, in the client's words.
pub(crate) fn propagation(wanted: Propagation) -> PropagationPolicy {
    match wanted {
        Propagation::Foreground => PropagationPolicy::Foreground,
        Propagation::Background => PropagationPolicy::Background,
        Propagation::Orphan => PropagationPolicy::Orphan,
    }
}
