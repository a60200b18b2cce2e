//! Deletion of an Application: carries out what core says is next, until something has to be waited
//! for. Finalizers go only when their part is done, or by a person's hand.

mod prepare;
mod progress;

use std::collections::HashMap;
use std::time::Duration;

use futures::future::join_all;
use gitops_api::constants::{annotation, finalizer};
use gitops_api::{Application, SyncPolicy};
use gitops_core::live::object::{LiveObject, OnDeletion};
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::manifest::hook::{Hook, Run};
use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::options::{AppOptions, Removal};
use gitops_core::project::permits_object;
use gitops_core::sync::approval::{Subject, shortened};
use gitops_core::sync::deletion;
use gitops_core::sync::deletion::{Action, Next, Propagation, Situation, Verb};
use kube::api::{Patch, PatchParams, PropagationPolicy};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::{AppCache, AppKey, Controller};
use crate::cluster::write::{WriteError, chain};

/// What the deletion of one Application works with.
pub(super) struct Deletion {
    app: Application,
    run: Run,
    /// Why nothing can be done.
    obstacle: Option<String>,
    /// Its hooks, or why they cannot be known.
    hooks: Result<Vec<Hook>, String>,
}

impl Controller {
    /// Deletes an application as far as possible now; returns when to go on, if nothing else may
    /// ever wake it.
    pub(crate) async fn delete(
        &self,
        key: &AppKey,
        app: &Application,
        cache: &mut AppCache,
    ) -> Option<Duration> {
        // Whoever else wants one of its objects may have it.
        self.requeue(self.cluster.index.other_claimants(&self.instance(key)));
        for waiting in self.observed_revisions.forget(key) {
            self.queue.add(waiting);
        }
        let nothing = DesiredSet::default();
        self.requeue(
            self.cluster
                .index
                .register_desired(&self.instance(key), Some(&nothing)),
        );
        let finalizers = app.finalizers();
        if deletion::cascade(finalizers).is_none() && !deletion::needs_hooks(finalizers) {
            return None;
        }
        if let Err(error) = self.find_objects(key, app).await {
            let text = format!("its objects cannot be looked up: {error}");
            return Box::pin(self.report_blocked(app, cache, text)).await;
        }
        if self.awaits_next_owners(key, app).await {
            return None;
        }
        let mut deletion = Box::pin(self.prepare_deletion(key, app, cache)).await;
        let mut last = Vec::new();
        loop {
            match self.next_of(key, &deletion) {
                Next::Ended => return None,
                // A watch tells when it had its effect.
                Next::Act(actions) if actions == last => return None,
                Next::Act(actions) => {
                    if let Some(failures) = self.perform_all(&deletion, &actions).await {
                        return Box::pin(self.report_blocked(&deletion.app, cache, failures)).await;
                    }
                    cache.failures = 0;
                    last = actions;
                }
                Next::Finish {
                    cleanup,
                    finalizers,
                } => {
                    if let Some(failures) = self.perform_all(&deletion, &cleanup).await {
                        return Box::pin(self.report_blocked(&deletion.app, cache, failures)).await;
                    }
                    match self.take_off(key, &deletion, &finalizers).await {
                        Ok(Some(app)) => deletion.app = app,
                        Ok(None) => return None,
                        // Somebody changed it meanwhile: the next event brings the newer one.
                        Err(error) => {
                            tracing::debug!(error = chain(&error), "finalizer stays for now");
                            return Some(Duration::from_secs(1));
                        }
                    }
                }
                Next::Wait {
                    reason,
                    blocked,
                    failed,
                } => {
                    let reason = self.with_log_tail(reason, &failed).await;
                    return Box::pin(self.wait(key, &deletion, cache, reason, blocked)).await;
                }
            }
        }
    }

    fn next_of(&self, key: &AppKey, deletion: &Deletion) -> Next {
        self.with_situation(key, deletion, deletion::next)
    }

    fn with_situation<T>(
        &self,
        key: &AppKey,
        deletion: &Deletion,
        decide: impl FnOnce(&Situation<'_>) -> T,
    ) -> T {
        let Deletion {
            app,
            run,
            obstacle,
            hooks,
        } = deletion;
        let instance = self.instance(key);
        let index = &self.cluster.index;
        let record = |object| index.get(&object);
        let objects: Vec<LiveObject> = index
            .tracked(&instance)
            .into_iter()
            .filter_map(record)
            .collect();
        let live_hooks: HashMap<ObjectKey, LiveObject> = hooks
            .iter()
            .flatten()
            .flat_map(|hook| hook.deletion_phases.iter().map(|p| hook.key_at(*p, run)))
            .filter_map(|key| Some((key.clone(), index.get(&key)?)))
            .collect();
        let project = self.project(app.spec.effective_project()).ok();
        let spared = |object: &ObjectKey| {
            let allowed = project.as_ref().is_some_and(|project| {
                let (name, destination) = (app.spec.effective_project(), &app.spec.destination);
                permits_object(&project.spec, name, destination, object).is_ok()
            });
            !allowed || self.next_owner(&instance, object).is_some()
        };
        decide(&Situation {
            subject: Subject {
                namespace: &key.namespace,
                name: &key.name,
            },
            finalizers: app.finalizers(),
            since: run.started,
            approved: app
                .annotations()
                .get(annotation::DELETION_APPROVED)
                .map(String::as_str),
            default: default_of(app.spec.sync_policy.as_ref()),
            objects: &objects,
            spared: &spared,
            hooks: hooks.as_deref().map_err(String::as_str),
            live_hooks: &live_hooks,
            obstacle: obstacle.as_deref(),
            run,
        })
    }

    /// Does all of it at the same time; what was refused is told.
    async fn perform_all(&self, deletion: &Deletion, actions: &[Action]) -> Option<String> {
        let all = actions
            .iter()
            .map(|action| self.carry_out(deletion, action));
        let failures: Vec<String> = actions
            .iter()
            .zip(join_all(all).await)
            .filter_map(|(action, done)| {
                let what = match action.verb {
                    Verb::Delete { .. } | Verb::DeleteHook { .. } => "deleted",
                    Verb::RunHook(_) => "created",
                    Verb::ReleaseHook => "released",
                };
                let error = done.err()?;
                Some(format!("{} cannot be {what}: {error}", action.key))
            })
            .collect();
        (!failures.is_empty()).then(|| shortened(failures))
    }

    async fn carry_out(&self, deletion: &Deletion, action: &Action) -> Result<(), WriteError> {
        let cluster = &self.cluster;
        let key = &action.key;
        if let Verb::RunHook(phase) = &action.verb {
            let hooks = deletion.hooks.iter().flatten();
            let found = hooks
                .filter(|hook| hook.deletion_phases.contains(phase))
                .find(|hook| hook.key_at(*phase, &deletion.run) == *key);
            let Some(hook) = found else { return Ok(()) };
            let manifest = hook.manifest_at(*phase, &deletion.run);
            let options = AppOptions::of(deletion.app.spec.sync_policy.as_ref());
            let validates = options.validates(hook.object.options);
            let created = cluster
                .writer
                .apply(&hook.object.gvk, &manifest, validates)
                .await?;
            cluster.index.observe(&created);
            tracing::info!(hook = %key, %phase, "hook created");
            return Ok(());
        }
        let Some(live) = cluster.index.get(key) else {
            return Ok(());
        };
        let (gvk, foreground) = (live.gvk(), PropagationPolicy::Foreground);
        match &action.verb {
            Verb::Delete { uid, propagation } => {
                let policy = match propagation {
                    Propagation::Foreground => foreground,
                    Propagation::Background => PropagationPolicy::Background,
                };
                cluster.delete(&gvk, key, uid, policy).await
            }
            Verb::DeleteHook { uid } => {
                let writer = &cluster.writer;
                writer
                    .take_off_finalizer(&gvk, key, finalizer::HOOK)
                    .await?;
                cluster.delete(&gvk, key, uid, foreground).await
            }
            Verb::ReleaseHook => {
                let writer = &cluster.writer;
                writer.take_off_finalizer(&gvk, key, finalizer::HOOK).await
            }
            Verb::RunHook(_) => Ok(()),
        }
    }

    /// Takes finalizers off; the answer is the Application as it is then, if it is still there.
    async fn take_off(
        &self,
        key: &AppKey,
        deletion: &Deletion,
        finalizers: &[&str],
    ) -> kube::Result<Option<Application>> {
        let app = &deletion.app;
        let left: Vec<_> = app
            .finalizers()
            .iter()
            .filter(|set| !finalizers.contains(&set.as_str()))
            .collect();
        let patch = json!({"metadata": {
            "resourceVersion": app.resource_version(), "finalizers": left,
        }});
        let kept = self.with_situation(key, deletion, |situation| {
            shortened(deletion::kept(situation))
        });
        tracing::info!(application = %key, ?finalizers, kept, "a part of the deletion is done");
        let written = self
            .applications_of(app)
            .patch(
                &app.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await;
        match written {
            Ok(app) if app.finalizers().is_empty() => Ok(None),
            Ok(app) => Ok(Some(app)),
            Err(kube::Error::Api(error)) if error.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Gives an application the finalizers its hooks need, before it delivers anything.
    pub(super) async fn keep_finalizers(&self, app: &Application, hooks: &[Hook]) {
        let Some(wanted) = deletion::finalizers(app.finalizers(), hooks) else {
            return;
        };
        let patch = json!({"metadata": {
            "resourceVersion": app.resource_version(), "finalizers": wanted,
        }});
        let written = self
            .applications_of(app)
            .patch(
                &app.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await;
        if let Err(error) = written {
            // Somebody changed it meanwhile: the next event brings the newer one.
            tracing::debug!(error = chain(&error), "finalizers could not be set");
        }
    }

    fn applications_of(&self, app: &Application) -> Api<Application> {
        Api::namespaced(self.client.clone(), &app.namespace().unwrap_or_default())
    }
}

/// What the application says of objects that say nothing themselves.
fn default_of(policy: Option<&SyncPolicy>) -> OnDeletion {
    match AppOptions::of(policy).delete {
        Removal::Never => OnDeletion::Stays,
        Removal::Confirmed => OnDeletion::Asks,
        Removal::Allowed => OnDeletion::Goes,
    }
}
