//! Deletion of an Application: carries out what core says is next, until something has to be waited
//! for. Finalizers go only when their part is done, or by a user's hand.

mod prepare;
mod progress;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use gitops_api::constants::annotation;
use gitops_api::{Application, SyncPolicy};
use gitops_core::live::object::{LiveObject, OnDeletion};
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::manifest::hook::{Hook, Run};
use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::options::{AppOptions, Removal};
use gitops_core::project::{Gate, NoPermit};
use gitops_core::reason::{Names, Reason};
use gitops_core::sync::action::{Action, Verb};
use gitops_core::sync::approval::Subject;
use gitops_core::sync::deletion;
use gitops_core::sync::deletion::{Next, Situation};
use gitops_core::sync::guests::Guests;
use gitops_transport::chain;
use kube::ResourceExt;

use crate::app_key::AppKey;
use crate::applications::cache::AppCache;
use crate::applications::controller::Controller;
use crate::applications::handover;
use crate::applications::permission;
use crate::applications::requeue::Requeue;
use crate::applications::sync::deliver::propagation;
use crate::applications::sync::hooks;
use crate::cluster::Cluster;
use crate::cluster::write::WriteError;

/// What the deletion of one Application works with.
struct Deletion<'a> {
    controller: &'a Controller,
    key: &'a AppKey,
    app: Application,
    /// Name under which its objects are tracked.
    instance: String,
    /// The cluster its objects are in; `None` when the agent does not know it.
    cluster: Option<Arc<Cluster>>,
    run: Run,
    /// Why nothing can be done.
    blocker: Option<String>,
    /// All repositories its hooks were made from.
    repositories: Vec<String>,
    /// Namespaces among its objects with what is in them that is not its own.
    guests: Guests,
    /// Its hooks, or why they cannot be known.
    hooks: Result<Vec<Hook>, String>,
}

/// Deletes an application as far as possible now; returns when to go on, if nothing else may ever
/// wake it.
pub(crate) async fn delete(
    controller: &Controller,
    key: &AppKey,
    app: &Application,
    cache: &mut AppCache,
) -> Requeue {
    let instance = controller.configuration.instance(key);
    let cluster = controller.clusters.of(&app.spec.destination);
    // Whoever else wants one of its objects may have it.
    let nothing = DesiredSet::default();
    for cluster in controller.clusters.all() {
        controller.requeue(cluster.index.other_claimants(&instance));
        controller.requeue(cluster.index.register_desired(&instance, Some(&nothing)));
    }
    handover::forget(controller, key);
    let finalizers = app.finalizers();
    if deletion::cascade(finalizers).is_none() && !deletion::needs_hooks(finalizers) {
        return Requeue::AwaitChange;
    }
    let known = cluster.as_deref().ok();
    if let Err(error) = prepare::find_objects(controller, known, app).await {
        let detail = format!("cannot look up its objects: {error}");
        return Box::pin(progress::report_blocked(
            &controller.reporter,
            app,
            cache,
            Reason::DeletionFailed { detail },
        ))
        .await;
    }
    if let Some(requeue) = prepare::awaits_next_owners(controller, known, key, app).await {
        return requeue;
    }
    let mut deletion = Box::pin(prepare::prepare(controller, key, app, cluster, cache)).await;
    let mut last = Vec::new();
    loop {
        match deletion.with_situation(deletion::next) {
            Next::Ended => return Requeue::AwaitChange,
            // A watch tells when it had its effect.
            Next::Act(actions) if actions == last => return Requeue::AwaitChange,
            Next::Act(actions) => {
                if let Some(failures) = deletion.perform_all(&actions).await {
                    return Box::pin(progress::report_blocked(
                        &controller.reporter,
                        &deletion.app,
                        cache,
                        failures,
                    ))
                    .await;
                }
                cache.failures = 0;
                last = actions;
            }
            Next::Finish {
                cleanup,
                finalizers,
            } => {
                if let Some(failures) = deletion.perform_all(&cleanup).await {
                    return Box::pin(progress::report_blocked(
                        &controller.reporter,
                        &deletion.app,
                        cache,
                        failures,
                    ))
                    .await;
                }
                match deletion.take_off(cache, &finalizers).await {
                    Ok(Some(app)) => deletion.app = app,
                    Ok(None) => return Requeue::AwaitChange,
                    // Somebody changed it meanwhile: the next event brings the newer one.
                    Err(error) => {
                        tracing::debug!(error = chain(&error), "finalizer stays for now");
                        return Requeue::After(Duration::from_secs(1));
                    }
                }
            }
            Next::Wait {
                reason,
                blocked,
                failed,
            } => {
                let reason = progress::with_log_tails(&deletion, reason, &failed).await;
                return Box::pin(progress::wait(&deletion, cache, reason, blocked)).await;
            }
        }
    }
}

impl Deletion<'_> {
    /// The live objects of the application.
    fn objects(&self) -> Vec<LiveObject> {
        let indexes = self.cluster.iter().map(|cluster| &cluster.index);
        indexes
            .flat_map(|index| {
                let keys = index.tracked(&self.instance);
                keys.into_iter().filter_map(|key| index.get(&key))
            })
            .collect()
    }

    fn with_situation<T>(&self, decide: impl FnOnce(&Situation<'_>) -> T) -> T {
        let Self { app, run, key, .. } = self;
        let configuration = &self.controller.configuration;
        let hooks = self.hooks.iter().flatten();
        let live_hooks: HashMap<ObjectKey, LiveObject> = hooks
            .flat_map(|hook| hook.deletion_phases().map(|phase| hook.key_in(phase, run)))
            .filter_map(|key| {
                let live = self.cluster.as_ref()?.index.get(&key)?;
                Some((key, live))
            })
            .collect();
        let rules = permission::rules(configuration, &app.spec);
        let is_protected = |object: &ObjectKey| {
            let destination = &app.spec.destination;
            let rules = rules.as_ref();
            let allowed =
                rules.is_ok_and(|rules| rules.permits_object(destination, object).is_ok());
            let next_owner = |cluster: &Arc<Cluster>| {
                handover::next_owner(configuration, cluster, &self.instance, object)
            };
            !allowed || self.cluster.as_ref().and_then(next_owner).is_some()
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
            objects: &self.objects(),
            guests: &self.guests,
            is_protected: &is_protected,
            hooks: self.hooks.as_deref().map_err(String::as_str),
            live_hooks: &live_hooks,
            blocker: self.blocker.as_deref(),
            run,
        })
    }

    /// Does all of it at the same time; what was refused is told.
    async fn perform_all(&self, actions: &[Action]) -> Option<Reason> {
        // Without a cluster there is nothing to act upon.
        let cluster = self.cluster.as_ref()?;
        let (configuration, spec) = (&self.controller.configuration, &self.app.spec);
        let gate = match permission::gate(configuration, self.key, spec, &self.repositories) {
            Ok(gate) => gate,
            Err(error) => {
                let detail = error.to_string();
                return Some(Reason::DeletionFailed { detail });
            }
        };
        let by = (&**cluster, &gate);
        let all = actions.iter().map(|action| self.perform(by, action));
        let failures: Vec<String> = actions
            .iter()
            .zip(join_all(all).await)
            .filter_map(|(action, done)| {
                let what = match action.verb {
                    Verb::Delete { .. } | Verb::DeleteHook { .. } => "deleted",
                    Verb::Apply | Verb::RunHook => "created",
                    Verb::ReleaseHook => "released",
                };
                let error = done.err()?;
                Some(format!("{} cannot be {what}: {error}", action.key))
            })
            .collect();
        (!failures.is_empty()).then(|| Reason::DeletionFailed {
            detail: Names::of(failures).to_string(),
        })
    }

    async fn perform(&self, by: (&Cluster, &Gate), action: &Action) -> Result<(), WriteError> {
        let (cluster, gate) = by;
        let key = &action.key;
        if action.verb == Verb::RunHook {
            let mut hooks = self.hooks.iter().flatten();
            let found = hooks.find(|hook| {
                hook.phases.contains(&action.phase) && hook.key_in(action.phase, &self.run) == *key
            });
            let Some(hook) = found else { return Ok(()) };
            let options = AppOptions::of(self.app.spec.sync_policy.as_ref());
            return hooks::run(by, hook, action.phase, &self.run, &options).await;
        }
        let Some(live) = cluster.index.get(key) else {
            return Ok(());
        };
        match &action.verb {
            Verb::Delete {
                uid,
                propagation: policy,
            } if live.uid == *uid => {
                let policy = propagation(*policy);
                let configuration = &self.controller.configuration;
                let next = handover::next_owner(configuration, cluster, &self.instance, key);
                let permit = match gate.prune(&live, next) {
                    Err(NoPermit::Wanted(_)) => return Ok(()),
                    permit => permit?,
                };
                cluster.delete(&permit, &live.gvk(), policy).await?;
                Ok(())
            }
            Verb::DeleteHook { uid } if live.uid == *uid => hooks::delete(by, &live).await,
            Verb::ReleaseHook => hooks::release(by, &live).await,
            // Another object has the name by now; and a deletion applies nothing.
            _ => Ok(()),
        }
    }

    /// Takes finalizers off; the answer is the Application as it is then, if it is still there.
    async fn take_off(
        &self,
        cache: &mut AppCache,
        finalizers: &[&str],
    ) -> kube::Result<Option<Application>> {
        let left = self.app.finalizers().iter().map(String::as_str);
        let left = left.filter(|set| !finalizers.contains(set));
        let retained =
            self.with_situation(|situation| Names::of(deletion::retained(situation)).to_string());
        tracing::info!(application = %self.key, ?finalizers, retained, "removing finalizers");
        let reporter = &self.controller.reporter;
        reporter.set_finalizers(&self.app, cache, left).await
    }
}

/// What the application says of objects that say nothing themselves.
fn default_of(policy: Option<&SyncPolicy>) -> OnDeletion {
    match AppOptions::of(policy).delete {
        Removal::Never => OnDeletion::Retain,
        Removal::Confirmed => OnDeletion::Confirm,
        Removal::Allowed => OnDeletion::Delete,
    }
}
