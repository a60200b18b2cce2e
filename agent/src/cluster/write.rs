//! The one place where the agent changes objects of the cluster it delivers to.
//!
//! Server-side apply, delete, and the take-over of fields that earlier tools held. Limits how many
//! writes are under way at the same time, and is patient with refusals of a moment.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use gitops_api::constants;
use gitops_core::attempts::Ask;
use gitops_core::live::discovery::ServedKind;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::manifest::undeclared::{KnownFields, LeftOut};
use gitops_core::project::{DeletePermit, NoPermit, NotOwn, WritePermit};
use kube::api::{
    DeleteParams, DynamicObject, GetParams, ListParams, Patch, PatchParams, PropagationPolicy,
    ValidationDirective,
};
use kube::{Api, Client, Error};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::Semaphore;

use super::discovery::{Discovery, api_resource};
pub(crate) use super::write_error::WriteError;
use super::write_error::{explain, unreachable};
use crate::metrics::Metrics;
use crate::patience::patiently;

/// What became of an object that was to be deleted.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// It is not there any more.
    Gone,
    /// It is on its way out: finalizers, or what depends on it, go first.
    Leaving(Box<Value>),
    /// Another object has its name now, or another application took it over.
    Another,
}

/// Writes to one cluster.
#[derive(Clone)]
pub(crate) struct Writer {
    client: Client,
    discovery: Discovery,
    permits: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// What the API server answers to an apply.
#[derive(Clone, Debug)]
pub(crate) struct Answer {
    /// The object as it is, or would be, then.
    pub(crate) object: Value,
    /// What of the manifest it did not take.
    pub(crate) left_out: Vec<LeftOut>,
}

impl Writer {
    /// `concurrency` is how many writes may be under way at the same time.
    pub(crate) fn new(
        client: Client,
        discovery: Discovery,
        concurrency: u16,
        metrics: Arc<Metrics>,
    ) -> Self {
        let permits = Arc::new(Semaphore::new(usize::from(concurrency)));
        Self {
            client,
            discovery,
            permits,
            metrics,
        }
    }

    /// Applies the manifest of the object that is permitted; the answer is the object as it is now.
    /// Without validation, what the API server does not know or finds repeated is left out.
    pub(crate) async fn apply(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        manifest: &Value,
        validates: bool,
    ) -> Result<Answer, WriteError> {
        covers(permit, gvk, manifest)?;
        match self.known_fields(gvk, manifest, validates, false).await {
            Err(refusal) if refusal.may_exclude() => {
                self.apply_alone(permit, gvk, manifest, validates, refusal)
                    .await
            }
            answer => answer,
        }
    }

    /// What the object would be after an apply; nothing is stored.
    pub(crate) async fn dry_run(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        manifest: &Value,
        validates: bool,
    ) -> Result<Answer, WriteError> {
        covers(permit, gvk, manifest)?;
        match self.known_fields(gvk, manifest, validates, true).await {
            Err(refusal) if refusal.may_exclude() => {
                self.dry_run_alone(gvk, manifest, refusal).await
            }
            answer => answer,
        }
    }

    /// Counts a write of a kind.
    pub(super) fn count(&self, verb: &'static str) {
        self.metrics.write(verb);
    }

    pub(super) async fn known_fields(
        &self,
        gvk: &GroupVersionKind,
        manifest: &Value,
        validates: bool,
        dry_run: bool,
    ) -> Result<Answer, WriteError> {
        let mut answer = self.patch(gvk, manifest, validates, dry_run).await;
        let mut known = KnownFields::of(manifest);
        while !validates
            && let Err(WriteError::Refused { message, .. }) = &answer
            && let Some(fewer) = known.after(message)
        {
            answer = self.patch(gvk, fewer, validates, dry_run).await;
        }
        let left_out = known.left_out();
        answer.map(|object| Answer { object, left_out })
    }

    async fn patch(
        &self,
        gvk: &GroupVersionKind,
        manifest: &Value,
        validates: bool,
        dry_run: bool,
    ) -> Result<Value, WriteError> {
        let key = ObjectKey::of(manifest).ok_or_else(|| WriteError::UnknownKind(gvk.clone()))?;
        let api = self.api(gvk, &key.namespace).await?;
        let params = PatchParams {
            dry_run,
            force: true,
            field_manager: Some(constants::FIELD_MANAGER.into()),
            field_validation: Some(if validates {
                ValidationDirective::Strict
            } else {
                ValidationDirective::Ignore
            }),
        };
        self.metrics
            .write(if dry_run { "dry-run" } else { "apply" });
        let patch = Patch::Apply(manifest);
        self.object(Ask::Apply, &key, || api.patch(&key.name, &params, &patch))
            .await
            .map_err(|error| error.about(manifest))
    }

    /// Deletes the object that is permitted, if it is still the one that was looked at.
    pub(crate) async fn delete(
        &self,
        permit: &DeletePermit,
        gvk: &GroupVersionKind,
        propagation: PropagationPolicy,
    ) -> Result<Deleted, WriteError> {
        let key = permit.key();
        is_of_kind(gvk, key)?;
        let api = self.api(gvk, &key.namespace).await?;
        self.metrics.write("delete");
        let is_another = AtomicBool::new(false);
        let looked_at = Mutex::new(permit.resource_version().map(str::to_owned));
        let deleted = self.attempt(Ask::Delete, || async {
            let params = DeleteParams {
                propagation_policy: Some(propagation.clone()),
                preconditions: Some(kube::api::Preconditions {
                    uid: Some(permit.uid().into()),
                    resource_version: looked_at.lock().clone(),
                }),
                ..DeleteParams::default()
            };
            let deleted = api.delete(&key.name, &params).await;
            // A conflict may be one of the moment, or a precondition: only the object tells.
            if matches!(&deleted, Err(Error::Api(status)) if status.code == 409) {
                let Some(live) = api.get_opt(&key.name).await? else {
                    return Ok(None);
                };
                let live = serde_json::to_value(live).map_err(Error::SerdeError)?;
                let live = LiveObject::observe(&live, false);
                let Some(live) = live.filter(|live| permit.still_covers(live)) else {
                    is_another.store(true, Ordering::Relaxed);
                    return Ok(None);
                };
                if let Some(looked_at) = &mut *looked_at.lock() {
                    *looked_at = live.resource_version;
                }
            }
            Ok(deleted?.left())
        });
        match deleted.await {
            Ok(_) if is_another.into_inner() => Ok(Deleted::Another),
            Ok(left) => Ok(match left.map(serde_json::to_value) {
                Some(Ok(object)) => Deleted::Leaving(Box::new(object)),
                _ => Deleted::Gone,
            }),
            Err(Error::Api(status)) if status.code == 404 => Ok(Deleted::Gone),
            Err(error) => Err(explain(&error, key)),
        }
    }

    /// Reads an object as it is now; `None` when it does not exist.
    pub(crate) async fn get(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<Option<Value>, WriteError> {
        self.read(gvk, key, &GetParams::default()).await
    }

    /// Reads an object as the API server's cache has it, which costs it far less and may be a
    /// moment old.
    pub(crate) async fn get_cached(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<Option<Value>, WriteError> {
        self.read(gvk, key, &GetParams::any()).await
    }

    async fn read(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
        params: &GetParams,
    ) -> Result<Option<Value>, WriteError> {
        let api = self.api(gvk, &key.namespace).await?;
        self.metrics.write("get");
        let read = self.object(Ask::Read, key, || api.get_with(&key.name, params));
        match read.await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects of a kind that has no namespaces.
    pub(crate) async fn list(&self, gvk: &GroupVersionKind) -> Result<Vec<Value>, WriteError> {
        let api = self.api(gvk, "").await?;
        let params = ListParams::default();
        let list = self.attempt(Ask::Read, || api.list(&params)).await;
        let objects = list.map_err(|error| unreachable(&error))?.items.into_iter();
        Ok(objects
            .filter_map(|object| serde_json::to_value(object).ok())
            .collect())
    }

    /// How a kind is served now; asks the API server again when it is not known.
    pub(crate) async fn served(&self, gvk: &GroupVersionKind) -> Result<ServedKind, WriteError> {
        let found = self.discovery.find(|kinds| kinds.served(gvk)).await;
        found
            .map_err(|error| unreachable(&error))?
            .ok_or_else(|| WriteError::UnknownKind(gvk.clone()))
    }

    pub(super) async fn api(
        &self,
        gvk: &GroupVersionKind,
        namespace: &str,
    ) -> Result<Api<DynamicObject>, WriteError> {
        let resource = api_resource(&self.served(gvk).await?);
        Ok(if namespace.is_empty() {
            Api::all_with(self.client.clone(), &resource)
        } else {
            Api::namespaced_with(self.client.clone(), namespace, &resource)
        })
    }

    /// Sends a request, again when the API server refuses it for a moment; no permit is held meanwhile.
    async fn attempt<T, F>(&self, ask: Ask, request: impl Fn() -> F) -> kube::Result<T>
    where
        F: Future<Output = kube::Result<T>>,
    {
        patiently(ask, || async {
            let _permit = self.permits.acquire().await;
            request().await
        })
        .await
    }

    /// The same for what answers with an object.
    pub(super) async fn object<F>(
        &self,
        ask: Ask,
        key: &ObjectKey,
        request: impl Fn() -> F,
    ) -> Result<Value, WriteError>
    where
        F: Future<Output = kube::Result<DynamicObject>>,
    {
        let object = self.attempt(ask, request).await;
        let object = object.map_err(|error| explain(&error, key))?;
        serde_json::to_value(object).map_err(|error| WriteError::Unreachable(error.to_string()))
    }
}

/// Whether a permit is for the object that is written.
fn covers(
    permit: &WritePermit,
    gvk: &GroupVersionKind,
    manifest: &Value,
) -> Result<(), WriteError> {
    let key = ObjectKey::of(manifest).ok_or_else(|| WriteError::UnknownKind(gvk.clone()))?;
    is_of_kind(gvk, &key)?;
    if *permit.key() == key {
        Ok(())
    } else {
        Err(other_object(&key))
    }
}

/// Whether the kind that is asked for is the one of the object.
pub(super) fn is_of_kind(gvk: &GroupVersionKind, key: &ObjectKey) -> Result<(), WriteError> {
    if gvk.group == key.group && gvk.kind == key.kind {
        Ok(())
    } else {
        Err(other_object(key))
    }
}

fn other_object(key: &ObjectKey) -> WriteError {
    WriteError::NotPermitted(NoPermit::NotOwn(NotOwn {
        why: format!("{key} is not the object that the project was asked about"),
    }))
}
