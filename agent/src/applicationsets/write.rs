//! Carries out plans, and writes what a set's status says. Every write goes through the fence of the
//! lease, which stands in the client.

use std::collections::BTreeMap;

use futures::future::join_all;
use gitops_api::Application;
use gitops_api::application_set::{ApplicationSetStatus, WrittenApplicationSet};
use gitops_api::constants;
use gitops_core::applicationset::{Change, Invalid, Verb};
use gitops_core::report::status::merge_patch;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};

use super::controller::SetController;
use crate::app_key::AppKey;

/// Writes for one set under way at the same time.
const CONCURRENCY: usize = 8;

/// What came of a plan.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// What the API server refused.
    pub(super) refused: Vec<Invalid>,
    /// Somebody was faster, or the API server did not answer: look again soon.
    pub(super) again: bool,
}

enum Outcome {
    Done,
    Again,
    Refused(String),
}

impl SetController {
    /// Carries out changes: first what is created and changed, then what is deleted.
    pub(super) async fn carry_out(&self, key: &AppKey, changes: &[Change]) -> Carried {
        let mut carried = Carried::default();
        let mut first = Vec::new();
        let mut then = Vec::new();
        for change in changes {
            match change.verb {
                Verb::Keep => {}
                Verb::Delete => then.push(change),
                Verb::Create(_) | Verb::Update(_) => first.push(change),
            }
        }
        for changes in [first, then] {
            for some in changes.chunks(CONCURRENCY) {
                self.side_by_side(key, some, &mut carried).await;
            }
        }
        carried
    }

    async fn side_by_side(&self, key: &AppKey, changes: &[&Change], carried: &mut Carried) {
        let mut writes = Vec::new();
        for change in changes {
            writes.push(self.write(key, change));
        }
        for (change, outcome) in changes.iter().zip(join_all(writes).await) {
            match outcome {
                Outcome::Done => {}
                Outcome::Again => carried.again = true,
                Outcome::Refused(why) => carried.refused.push(Invalid {
                    name: change.name.clone(),
                    reason: "UpdateApplicationError",
                    message: format!("Application {:?}: {why}", change.name),
                }),
            }
        }
    }

    async fn write(&self, key: &AppKey, change: &Change) -> Outcome {
        let api: Api<Application> = Api::namespaced(self.client.clone(), &key.namespace);
        let name = &change.name;
        let metrics = &self.controller.metrics;
        let log = |verb: &str| {
            tracing::info!(applicationset = %key, application = name, why = change.why, "{verb}");
        };
        let result = match &change.verb {
            Verb::Keep => return Outcome::Done,
            Verb::Create(object) => {
                let application: Application = match serde_json::from_value(object.clone()) {
                    Ok(application) => application,
                    Err(error) => return Outcome::Refused(error.to_string()),
                };
                drop(application);
                log("creating");
                metrics.write("create");
                self.create(&key.namespace, object).await
            }
            Verb::Update(patch) => {
                log("changing");
                metrics.write("patch");
                let params = PatchParams {
                    field_manager: Some(constants::FIELD_MANAGER.into()),
                    ..PatchParams::default()
                };
                api.patch(name, &params, &Patch::Merge(patch))
                    .await
                    .map(|_| ())
            }
            Verb::Delete => {
                log("deleting");
                metrics.write("delete");
                let reference =
                    kube::runtime::reflector::ObjectRef::new(name).within(&key.namespace);
                let known = self.controller.configuration.applications.get(&reference);
                // The one that was judged and no other of its name.
                let params = DeleteParams {
                    preconditions: known.map(|one| Preconditions {
                        uid: one.uid(),
                        resource_version: None,
                    }),
                    ..DeleteParams::background()
                };
                api.delete(name, &params).await.map(|_| ())
            }
        };
        match result {
            Ok(()) => Outcome::Done,
            Err(kube::Error::Api(error)) => match error.code {
                404 if change.verb == Verb::Delete => Outcome::Done,
                404 | 409 | 429 | 500..=599 => Outcome::Again,
                _ => Outcome::Refused(error.message),
            },
            Err(error) => {
                tracing::warn!(applicationset = %key, application = name, %error, "not written");
                Outcome::Again
            }
        }
    }

    /// Creates the object as it was generated: types would leave out what has its default value.
    async fn create(&self, namespace: &str, object: &Value) -> kube::Result<()> {
        let kind = kube::api::ApiResource::erase::<Application>(&());
        let api: Api<kube::api::DynamicObject> =
            Api::namespaced_with(self.client.clone(), namespace, &kind);
        let object = serde_json::from_value(object.clone()).map_err(kube::Error::SerdeError)?;
        let params = PostParams {
            field_manager: Some(constants::FIELD_MANAGER.into()),
            ..PostParams::default()
        };
        api.create(&params, &object).await.map(|_| ())
    }

    /// Asks Applications to sync that are still as they were judged.
    pub(super) async fn request_syncs(
        &self,
        key: &AppKey,
        operations: &BTreeMap<String, Value>,
        carried: &mut Carried,
    ) {
        let api: Api<Application> = Api::namespaced(self.client.clone(), &key.namespace);
        let metrics = &self.controller.metrics;
        for (name, operation) in operations {
            let Some(app) = self.application(key, name) else {
                continue;
            };
            tracing::info!(applicationset = %key, application = name, "its step has its turn: syncing");
            metrics.write("patch");
            let patch = json!({
                "metadata": {"resourceVersion": app.resource_version()},
                "operation": operation,
            });
            let params = PatchParams::default();
            let asked = api.patch(name, &params, &Patch::Merge(&patch)).await;
            if let Err(error) = asked {
                tracing::debug!(applicationset = %key, application = name, %error, "not asked to sync");
                carried.again = true;
            }
        }
    }

    /// Writes the finalizers of a set, if it is still as it was judged.
    pub(super) async fn set_finalizers(
        &self,
        set: &WrittenApplicationSet,
        finalizers: &[String],
    ) -> anyhow::Result<()> {
        let metadata = json!({
            "finalizers": finalizers,
            "resourceVersion": set.resource_version(),
        });
        self.write_metadata(set, metadata).await
    }

    /// Writes what changed of a status; a status equal to the one before is not written.
    pub(super) async fn write_status(
        &self,
        set: &WrittenApplicationSet,
        status: &ApplicationSetStatus,
    ) -> anyhow::Result<()> {
        let before = serde_json::to_value(set.status.clone().unwrap_or_default())?;
        let Some(change) = merge_patch(&before, &serde_json::to_value(status)?) else {
            return Ok(());
        };
        self.controller.metrics.write("status");
        let api = self.sets_of(set);
        let params = PatchParams::default();
        let patch = json!({ "status": change });
        match api
            .patch_status(&set.name_any(), &params, &Patch::Merge(&patch))
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Takes a request off a set that was answered: an annotation.
    pub(super) async fn answered(
        &self,
        set: &WrittenApplicationSet,
        request: &str,
    ) -> anyhow::Result<()> {
        let metadata = json!({"annotations": {request: null}});
        self.write_metadata(set, metadata).await
    }

    async fn write_metadata(
        &self,
        set: &WrittenApplicationSet,
        metadata: Value,
    ) -> anyhow::Result<()> {
        let patch = json!({ "metadata": metadata });
        self.controller.metrics.write("patch");
        let api = self.sets_of(set);
        let params = PatchParams::default();
        match api
            .patch(&set.name_any(), &params, &Patch::Merge(&patch))
            .await
        {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    fn sets_of(&self, set: &WrittenApplicationSet) -> Api<WrittenApplicationSet> {
        Api::namespaced(self.client.clone(), &set.namespace().unwrap_or_default())
    }
}
