//! Comparing one application: making sure that the records say enough, and asking the API server
//! where they cannot.

use std::collections::{BTreeSet, HashMap};

use futures::{StreamExt, stream};
use gitops_core::compare::comparison;
use gitops_core::compare::comparison::{Comparison, Confirmation, State};
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::manifest::options::AppOptions;
use gitops_core::project;
use gitops_core::report::status::{Condition, identity};

use crate::applications::reconcile::{AppState, Reconciliation};
use crate::applications::sources::render;
use crate::applications::sources::render::{RenderedApp, comparison_error};
use crate::cluster::inspect;

/// Requests under way at the same time to look up or confirm the objects of one application.
const INSPECTIONS: usize = 8;

impl Reconciliation<'_> {
    /// Compares, after making sure that the index knows what it has to.
    pub(crate) async fn compare(&mut self, wanted: RenderedApp) -> Result<AppState, Condition> {
        let cluster = &self.controller.cluster;
        let kinds: BTreeSet<_> = wanted
            .desired
            .objects
            .values()
            .map(|object| object.gvk.clone())
            .chain(
                wanted
                    .desired
                    .hooks
                    .iter()
                    .filter(|hook| hook.runs && hook.object.kind_known)
                    .map(|hook| hook.object.gvk.clone()),
            )
            .collect();
        let earlier = self
            .previous
            .resources
            .iter()
            .filter(|r| !r.hook)
            .map(|resource| identity(resource).0);
        cluster
            .watches
            .ensure(kinds.into_iter().chain(earlier).collect::<BTreeSet<_>>())
            .await;
        self.probe(&wanted).await?;
        let (mut comparison, live) = self.judge(&wanted.desired)?;
        self.invalidate_admission_cache(&wanted.desired, &mut comparison);
        self.confirm(&wanted.desired, &mut comparison, &live)
            .await?;
        let ignored = self.ignored(&wanted.desired);
        Ok(AppState {
            wanted,
            comparison,
            live,
            ignored,
        })
    }

    /// Which fields of which objects differ and are ignored.
    pub(crate) fn ignored(&self, desired: &DesiredSet) -> HashMap<ObjectKey, Vec<String>> {
        let index = &self.controller.cluster.index;
        desired
            .objects
            .iter()
            .filter(|(_, object)| object.ignore.is_some())
            .map(|(key, _)| (key.clone(), index.ignored(key)))
            .collect()
    }

    pub(crate) fn judge(
        &self,
        desired: &DesiredSet,
    ) -> Result<(Comparison, HashMap<ObjectKey, LiveObject>), Condition> {
        let controller = self.controller;
        let spec = &self.app.spec;
        let name = spec.effective_project();
        let project = controller.project(name)?;
        let index = &controller.cluster.index;
        let (mut comparison, mut live) =
            index.compare(desired, &controller.instance(self.key), |instance| {
                controller.exists(instance)
            });
        // An application that is among its own objects does not wait for itself, and what broke it
        // once would keep it broken.
        if let Some(itself) = live.get_mut(&self.key.object()) {
            itself.ignore_health = true;
        }
        // What the project does not allow is not this application's to prune, whatever its marks
        // say; and what another one wants is for that one to take over.
        let instance = controller.instance(self.key);
        comparison.retain(|key, state| {
            !state.is_extra()
                || (project::permits_object(&project.spec, name, &spec.destination, key).is_ok()
                    && controller.next_owner(&instance, key).is_none())
        });
        for (key, state) in &comparison {
            // Judged equal by ownership alone: remember it, so that the fields need not be kept.
            if let (State::Synced, Some(live), Some(object)) =
                (state, live.get(key), desired.objects.get(key))
                && live.fields.is_some()
            {
                index.confirm(key, Confirmation::of(live, object));
            }
        }
        Ok((comparison, live))
    }

    /// Looks up objects nobody marked yet, and objects an earlier tool left behind.
    async fn probe(&self, wanted: &RenderedApp) -> Result<(), Condition> {
        let cluster = &self.controller.cluster;
        let unknown: Vec<_> = wanted
            .desired
            .objects
            .values()
            .filter(|object| object.kind_known && cluster.index.is_unprobed(&object.key))
            .cloned()
            .collect();
        let results: Vec<_> = stream::iter(unknown)
            .map(async |object| inspect::probe(&cluster.writer, &cluster.index, &object).await)
            .buffer_unordered(INSPECTIONS)
            .collect()
            .await;
        for result in results {
            result.map_err(|error| comparison_error(error.to_string()))?;
        }
        self.probe_leftovers(wanted).await
    }

    /// Objects the status lists but Git no longer holds: those Argo CD applied carry no label that
    /// a watch would show.
    async fn probe_leftovers(&self, wanted: &RenderedApp) -> Result<(), Condition> {
        let cluster = &self.controller.cluster;
        for resource in self
            .previous
            .resources
            .iter()
            .filter(|resource| !resource.hook)
        {
            let (gvk, key) = identity(resource);
            if wanted.desired.objects.contains_key(&key) || !cluster.index.is_unprobed(&key) {
                continue;
            }
            match cluster.writer.get(&gvk, &key).await {
                Ok(Some(object)) => {
                    cluster.index.observe(&object);
                }
                Ok(None) => cluster.index.note_absent(&key),
                Err(error) => {
                    tracing::debug!(application = %self.key, object = %key, %error, "a left-over object cannot be read");
                }
            }
        }
        Ok(())
    }

    /// Asks the API server about objects the records cannot judge.
    async fn confirm(
        &mut self,
        desired: &DesiredSet,
        comparison: &mut Comparison,
        live: &HashMap<ObjectKey, LiveObject>,
    ) -> Result<(), Condition> {
        let cluster = &self.controller.cluster;
        // Where a sync follows anyway, what Git changed needs no confirmation; elsewhere people
        // want to see what exactly differs.
        let automated = self.automated().is_some();
        let options = AppOptions::of(self.app.spec.sync_policy.as_ref());
        let doubtful: Vec<_> = comparison
            .iter()
            .filter(|(key, state)| {
                matches!(state, State::Unconfirmed)
                    || (matches!(state, State::Changed) && !automated && live.contains_key(*key))
            })
            .filter_map(|(key, _)| desired.objects.get(key).cloned())
            .collect();
        let verdicts: Vec<_> = stream::iter(doubtful)
            .map(async |object| {
                (
                    object.key.clone(),
                    inspect::confirm(&cluster.writer, &cluster.index, &object, &options).await,
                )
            })
            .buffer_unordered(INSPECTIONS)
            .collect()
            .await;
        for (key, verdict) in verdicts {
            let state = match verdict {
                Ok((state, problems)) => {
                    let problems = problems.into_iter().map(render::invalid_rule);
                    self.conditions.extend(problems);
                    match (state, desired.objects.get(&key), live.get(&key)) {
                        (State::Drifted(_), Some(object), Some(live))
                            if automated && comparison::is_changed_in_git(object, live) =>
                        {
                            State::Changed
                        }
                        (state, _, _) => state,
                    }
                }
                // What Git holds is refused: it differs, and a sync will say why.
                Err(error) if !error.is_transient() => State::Changed,
                Err(error) => return Err(comparison_error(error.to_string())),
            };
            comparison.insert(key, state);
        }
        Ok(())
    }
}
