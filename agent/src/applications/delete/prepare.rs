//! What a deletion has to know before anything is decided: objects, hooks, what stands in the way.

use std::collections::BTreeSet;

use gitops_api::Application;
use gitops_core::manifest::hook::{Hook, Run};
use gitops_core::report::status::{Condition, identity};
use gitops_core::sync::deletion;
use jiff::Timestamp;
use kube::ResourceExt;

use super::super::{AppCache, AppKey, Controller};
use super::Deletion;
use crate::applications::sources::render::is_in_cluster;
use crate::cluster::write::{WriteError, chain};

impl Controller {
    /// Makes sure that the records hold every object of the application.
    pub(super) async fn find_objects(&self, key: &AppKey, app: &Application) -> Result<(), String> {
        let cluster = &self.cluster;
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
            if !unmarked && !cluster.index.is_unprobed(&object) {
                continue;
            }
            match cluster.writer.get(&gvk, &object).await {
                Ok(Some(value)) => {
                    cluster.index.observe(&value);
                }
                // With its kind, all objects of it went.
                Ok(None) | Err(WriteError::UnknownKind(_)) => {
                    cluster.index.remove(&object);
                    cluster.index.note_absent(&object);
                }
                Err(error) => return Err(error.to_string()),
            }
        }
        tracing::debug!(application = %key, "deleting");
        Ok(())
    }

    /// Whether another application has still to look at the commit that deleted this one: it may
    /// want its objects. A repository that cannot be read holds nothing up.
    pub(super) async fn awaits_next_owners(&self, key: &AppKey, app: &Application) -> bool {
        if self.cluster.index.tracked(&self.instance(key)).is_empty() {
            return false;
        }
        let sources = app.spec.effective_sources();
        self.follow(key, &app.spec);
        let found = self
            .resolve_sources(&app.spec, sources, false, &mut BTreeSet::new())
            .await;
        let Ok(found) = found else { return false };
        let revisions: Vec<String> = found.into_iter().map(|found| found.revision).collect();
        let behind = self.unobserved_apps(key, sources, &revisions);
        if !behind.is_empty() {
            tracing::debug!(application = %key, ?behind, "the deletion waits for the look of others");
        }
        !behind.is_empty()
    }

    pub(super) async fn prepare_deletion(
        &self,
        key: &AppKey,
        app: &Application,
        cache: &mut AppCache,
    ) -> Deletion {
        let since = app.metadata.deletion_timestamp.as_ref();
        let revision = app
            .status
            .iter()
            .filter_map(|status| status.sync.as_ref())
            .map(|sync| sync.revisions.first().unwrap_or(&sync.revision).clone())
            .next();
        let hooks = if deletion::needs_hooks(app.finalizers()) {
            self.hooks_of(key, app, cache).await
        } else {
            Ok(vec![])
        };
        Deletion {
            app: app.clone(),
            run: Run {
                started: since.map_or_else(Timestamp::now, |time| time.0),
                revision: revision.unwrap_or_default(),
            },
            obstacle: self.obstacle(key, app),
            hooks,
        }
    }

    /// Why the objects of an application cannot be worked on. Where nothing was ever delivered,
    /// nothing stands in the way.
    fn obstacle(&self, key: &AppKey, app: &Application) -> Option<String> {
        let delivered = app
            .status
            .as_ref()
            .is_some_and(|status| !status.resources.is_empty() || !status.history.is_empty())
            || !self.cluster.index.tracked(&self.instance(key)).is_empty();
        if !delivered {
            return None;
        }
        let destination = &app.spec.destination;
        if !is_in_cluster(&app.spec) {
            let name = if destination.name.is_empty() {
                &destination.server
            } else {
                &destination.name
            };
            return Some(format!(
                "its objects are in cluster {name}, which this agent cannot reach; make it \
                 reachable or correct spec.destination"
            ));
        }
        let name = app.spec.effective_project();
        self.project(name).err().map(|_| {
            format!(
                "project {name} does not exist, and it says what may be deleted; create it again"
            )
        })
    }

    /// The hooks of the tracked revision.
    async fn hooks_of(
        &self,
        key: &AppKey,
        app: &Application,
        cache: &mut AppCache,
    ) -> Result<Vec<Hook>, String> {
        let sources = app.spec.effective_sources();
        self.follow(key, &app.spec);
        let wanted = async {
            self.validate(&app.spec, sources)?;
            let mut conditions = BTreeSet::new();
            let found = self
                .resolve_sources(&app.spec, sources, false, &mut conditions)
                .await?;
            self.render_app(key, app, found, &mut cache.rendered, false)
                .await
        };
        let wanted = wanted
            .await
            .map_err(|condition: Condition| condition.message)?;
        let of_deletion = |hook: &&Hook| !hook.deletion_phases.is_empty();
        let hooks: Vec<Hook> = wanted
            .desired
            .hooks
            .iter()
            .filter(of_deletion)
            .cloned()
            .collect();
        let kinds: BTreeSet<_> = hooks.iter().map(|hook| hook.object.gvk.clone()).collect();
        self.cluster.watches.ensure(kinds).await;
        for hook in hooks.iter().filter(|hook| !hook.generates_name) {
            if self.cluster.index.is_unprobed(&hook.key) {
                let live = self.cluster.writer.get(&hook.object.gvk, &hook.key).await;
                match live.map_err(|error| error.to_string())? {
                    Some(object) => {
                        self.cluster.index.observe(&object);
                    }
                    None => self.cluster.index.note_absent(&hook.key),
                }
            }
        }
        Ok(hooks)
    }
}
