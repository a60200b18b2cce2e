//! Deletion of an Application: its objects go with it when its finalizer says so.

use std::{collections::BTreeMap, time::Duration};

use gitops_api::{
    Application,
    constants::{condition, finalizer},
};
use gitops_core::{
    kinds,
    object::ObjectKey,
    project::permits_object,
    status::{Condition, identity},
};
use kube::{
    Api, ResourceExt,
    api::{Patch, PatchParams, PropagationPolicy},
};
use serde_json::json;

use super::{AppKey, Controller};

impl Controller {
    /// Deletes the objects of an application that is being deleted, last created first, and takes
    /// its finalizer off when they are gone.
    pub(crate) async fn delete(&self, key: &AppKey, app: &Application) -> Option<Duration> {
        let finalizer = cascades(app)?;
        let instance = self.instance(key);
        let listed = app.status.iter().flat_map(|status| &status.resources);
        let gvks: Vec<_> = listed
            .filter(|resource| !resource.hook)
            .map(|resource| identity(resource).0)
            .collect();
        self.cluster.watches.ensure(gvks).await;
        let name = app.spec.effective_project();
        let project = match self.project(name) {
            Ok(project) => project,
            Err(condition) => {
                self.say_stuck(app, &condition.message).await;
                return Some(Duration::from_secs(30));
            }
        };
        let destination = &app.spec.destination;
        let mut ranks: BTreeMap<usize, Vec<ObjectKey>> = BTreeMap::new();
        for object in self.cluster.index.tracked(&instance) {
            let kept = self
                .cluster
                .index
                .get(&object)
                .is_none_or(|record| record.keep)
                || permits_object(&project.spec, name, destination, &object).is_err();
            if !kept {
                ranks
                    .entry(kinds::prune_rank(&object.kind))
                    .or_default()
                    .push(object);
            }
        }
        let Some((_, objects)) = ranks.pop_first() else {
            return self.take_off(app, finalizer).await;
        };
        // Each object that goes wakes the application through its watch.
        for object in objects {
            let Some(record) = self.cluster.index.get(&object) else {
                continue;
            };
            if record.deleting {
                continue;
            }
            let gvk = record.gvk();
            let foreground = PropagationPolicy::Foreground;
            if let Err(error) = self
                .cluster
                .delete(&gvk, &object, &record.uid, foreground)
                .await
            {
                tracing::warn!(application = %key, %object, %error, "an object cannot be deleted");
                self.say_stuck(app, &format!("{object} cannot be deleted: {error}"))
                    .await;
                return Some(Duration::from_secs(10));
            }
        }
        None
    }

    async fn take_off(&self, app: &Application, finalizer: &str) -> Option<Duration> {
        let kept: Vec<_> = app
            .finalizers()
            .iter()
            .filter(|set| *set != finalizer)
            .collect();
        let patch = json!({"metadata": {
            "resourceVersion": app.resource_version(), "finalizers": kept,
        }});
        match self
            .applications_of(app)
            .patch(
                &app.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await
        {
            Ok(_) => None,
            Err(kube::Error::Api(error)) if error.code == 404 => None,
            // Somebody changed it meanwhile: the next event brings the newer one.
            Err(error) => {
                tracing::debug!(
                    error = crate::cluster::write::chain(&error),
                    "finalizer stays for now"
                );
                Some(Duration::from_secs(1))
            }
        }
    }

    async fn say_stuck(&self, app: &Application, message: &str) {
        let mut status = app.status.clone().unwrap_or_default();
        let condition = Condition::new(condition::DELETION_ERROR, message);
        let report = gitops_core::status::Report {
            live: None,
            previous: &status.clone(),
            spec: &app.spec,
            compared: None,
            conditions: &std::collections::BTreeSet::from([condition]),
            operation: None,
            namespace: &self.namespace,
            now: jiff::Timestamp::now(),
        };
        status.conditions = gitops_core::status::build(&report).conditions;
        let patch = json!({"status": {"conditions": status.conditions}});
        let written = self
            .applications_of(app)
            .patch(
                &app.name_any(),
                &PatchParams::default(),
                &Patch::Merge(&patch),
            )
            .await;
        if let Err(error) = written {
            tracing::debug!(
                error = crate::cluster::write::chain(&error),
                "condition not written"
            );
        }
    }

    fn applications_of(&self, app: &Application) -> Api<Application> {
        Api::namespaced(self.client.clone(), &app.namespace().unwrap_or_default())
    }
}

/// Whether deleting the application deletes its objects.
fn cascades(app: &Application) -> Option<&'static str> {
    let finalizers = app.metadata.finalizers.as_deref().unwrap_or_default();
    [
        finalizer::RESOURCES,
        finalizer::FOREGROUND,
        finalizer::BACKGROUND,
    ]
    .into_iter()
    .find(|known| finalizers.iter().any(|set| set == known))
}
