//! What a deletion has to know before anything is decided: objects, hooks, what stands in the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use gitops_api::Application;
use gitops_core::manifest::hook::{Hook, Run};
use gitops_core::report::status::identity;
use gitops_core::sync::deletion;
use gitops_core::sync::guests::Guests;
use gitops_transport::chain;
use jiff::Timestamp;
use kube::ResourceExt;

use super::Deletion;
use crate::app_key::AppKey;
use crate::applications::cache::AppCache;
use crate::applications::context::ReconcileContext;
use crate::applications::controller::Controller;
use crate::applications::error::ReconcileError;
use crate::applications::guests;
use crate::applications::handover;
use crate::applications::permission;
use crate::applications::requeue::Requeue;
use crate::cluster::Cluster;
use crate::clusters::UnknownCluster;

/// Makes sure that the records hold every object of the application.
pub(super) async fn find_objects(
    controller: &Controller,
    cluster: Option<&Cluster>,
    app: &Application,
) -> Result<(), String> {
    let Some(cluster) = cluster else {
        // Something may have been delivered before the destination was changed to an unknown one.
        for cluster in controller.clusters.all() {
            let all = cluster.watches.ensure_all_in_use().await;
            all.map_err(|error| chain(&error))?;
        }
        return Ok(());
    };
    let all = cluster.watches.ensure_all_in_use().await;
    all.map_err(|error| chain(&error))?;
    let listed: Vec<_> = app
        .status
        .iter()
        .flat_map(|status| &status.resources)
        .filter(|resource| !resource.hook)
        .map(identity)
        .collect();
    let kinds = listed.iter().map(|(gvk, _)| gvk.clone());
    cluster.watches.ensure(kinds.collect::<BTreeSet<_>>()).await;
    for (gvk, object) in listed {
        let unmarked = cluster
            .index
            .get(&object)
            .is_some_and(|live| live.desired_digest.is_none());
        if unmarked || cluster.index.is_unprobed(&object) {
            let found = cluster.refresh(&gvk, &object).await;
            found.map_err(|error| error.to_string())?;
        }
    }
    tracing::debug!(application = %AppKey::of(app), "deleting");
    Ok(())
}

/// Whether another application has still to look at the commit that deleted this one: it may want
/// its objects. A repository that cannot be read holds nothing up, one that is still being fetched does:
/// `None` goes on, else this is when to look again.
pub(super) async fn awaits_next_owners(
    controller: &Controller,
    cluster: Option<&Cluster>,
    key: &AppKey,
    app: &Application,
) -> Option<Requeue> {
    let instance = controller.configuration.instance(key);
    if cluster.is_none_or(|cluster| cluster.index.tracked(&instance).is_empty()) {
        return None;
    }
    let sources = app.spec.effective_sources();
    controller.sources.follow(key, &app.spec);
    let found = controller
        .sources
        .resolve(&app.spec, sources, false, &mut BTreeSet::new())
        .await;
    let found = match found {
        Ok(found) => found,
        Err(error) if error.is_fetching() => return Some(Requeue::FETCHING),
        Err(_) => return None,
    };
    let revisions: Vec<String> = found.into_iter().map(|found| found.revision).collect();
    let behind = handover::unobserved_apps(controller, key, sources, &revisions);
    if !behind.is_empty() {
        tracing::debug!(application = %key, ?behind, "deletion waits for other applications to observe the revision");
    }
    (!behind.is_empty()).then_some(Requeue::AwaitChange)
}

/// Everything that is decided upon.
pub(super) async fn prepare<'a>(
    controller: &'a Controller,
    key: &'a AppKey,
    app: &Application,
    cluster: Result<Arc<Cluster>, UnknownCluster>,
    cache: &mut AppCache,
) -> Deletion<'a> {
    let since = app.metadata.deletion_timestamp.as_ref();
    let revision = app
        .status
        .iter()
        .filter_map(|status| status.sync.as_ref())
        .map(|sync| sync.revisions.first().unwrap_or(&sync.revision).clone())
        .next();
    let hooks = if deletion::needs_hooks(app.finalizers()) {
        hooks_of(controller, key, app, cache).await
    } else {
        Ok((vec![], vec![]))
    };
    let (hooks, repositories) = match hooks {
        Ok((hooks, repositories)) => (Ok(hooks), repositories),
        Err(why) => (Err(why), vec![]),
    };
    let instance = controller.configuration.instance(key);
    let guests = match &cluster {
        Ok(cluster) => {
            let objects = cluster.index.tracked(&instance).into_iter().collect();
            guests::find(cluster, &instance, objects).await
        }
        Err(_) => Guests::new(),
    };
    Deletion {
        guests,
        controller,
        key,
        app: app.clone(),
        instance,
        run: Run {
            started: since.map_or_else(Timestamp::now, |time| time.0),
            revision: revision.unwrap_or_default(),
        },
        blocker: blocker(controller, key, app, cluster.as_ref().err()),
        repositories,
        hooks,
        cluster: cluster.ok(),
    }
}

/// Why the objects of an application cannot be worked on. Where nothing was ever delivered, nothing
/// stands in the way.
fn blocker(
    controller: &Controller,
    key: &AppKey,
    app: &Application,
    unknown: Option<&UnknownCluster>,
) -> Option<String> {
    let instance = controller.configuration.instance(key);
    let mut clusters = controller.clusters.all();
    let delivered = app
        .status
        .as_ref()
        .is_some_and(|status| !status.resources.is_empty() || !status.history.is_empty())
        || clusters.any(|cluster| !cluster.index.tracked(&instance).is_empty());
    if !delivered {
        return None;
    }
    if let Some(UnknownCluster { name }) = unknown {
        return Some(format!(
            "its objects are in cluster {name}, which this agent cannot reach; make it reachable \
             or correct spec.destination"
        ));
    }
    let rules = permission::rules(&controller.configuration, &app.spec);
    let why = rules.err()?;
    Some(format!("{why}; the project says what may be deleted"))
}

/// The hooks of the tracked revision, and the repositories they were made from.
async fn hooks_of(
    controller: &Controller,
    key: &AppKey,
    app: &Application,
    cache: &mut AppCache,
) -> Result<(Vec<Hook>, Vec<String>), String> {
    let (sources, spec) = (&controller.sources, &app.spec);
    let sought = spec.effective_sources();
    sources.follow(key, spec);
    let wanted = async {
        let context = ReconcileContext::new(controller, key, app)?;
        let mut conditions = BTreeSet::new();
        let found = sources
            .resolve(spec, sought, false, &mut conditions)
            .await?;
        let target = context.target();
        let wanted = sources
            .render_app(&target, found, &mut cache.rendered, false)
            .await?;
        Ok((context.cluster, wanted))
    };
    let (cluster, wanted) = wanted
        .await
        .map_err(|error: ReconcileError| error.to_string())?;
    let of_deletion = |hook: &&Hook| hook.deletion_phases().next().is_some();
    let hooks: Vec<Hook> = wanted
        .desired
        .hooks
        .iter()
        .filter(of_deletion)
        .cloned()
        .collect();
    let kinds: BTreeSet<_> = hooks.iter().map(|hook| hook.object.gvk.clone()).collect();
    cluster.watches.ensure(kinds).await;
    for hook in hooks.iter().filter(|hook| !hook.generates_name) {
        if cluster.index.is_unprobed(&hook.key) {
            let found = cluster.refresh(&hook.object.gvk, &hook.key).await;
            found.map_err(|error| error.to_string())?;
        }
    }
    Ok((hooks, wanted.repositories))
}
