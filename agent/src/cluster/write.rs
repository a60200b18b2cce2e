//! The one place where the agent changes objects of the cluster it delivers to.
//!
//! Server-side apply, delete, and the take-over of fields that earlier tools held. Limits how many
//! writes are under way at the same time, waits when the API server asks for it, and never retries
//! what a retry cannot mend.

use std::sync::Arc;
use std::time::Duration;

use gitops_api::constants;
use gitops_api::constants::finalizer;
use gitops_core::backoff;
use gitops_core::live::discovery::ServedKind;
use gitops_core::live::takeover;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::manifest::undeclared::KnownFields;
use gitops_core::mask;
use gitops_core::mask::Mask;
use gitops_core::project::{DeletePermit, NoPermit, NotOwn, ReleasePermit, WritePermit};
use gitops_core::reason::Code;
use gitops_core::report::refusal;
use gitops_core::report::refusal::Refusal;
use gitops_transport::chain;
use kube::api::{
    DeleteParams, DynamicObject, GetParams, ListParams, Patch, PatchParams, PropagationPolicy,
    ValidationDirective,
};
use kube::{Api, Client, Error};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::discovery::{Discovery, api_resource};
use crate::finalizers;
use crate::metrics::Metrics;

/// Attempts of one request while the API server asks to slow down or cannot be reached.
const MAX_ATTEMPTS: u32 = 5;
/// First pause between attempts, and by how much each further one is longer, unless the API server
/// asks for more.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_FACTOR: u32 = 3;
/// Longest single pause the agent obeys.
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// Why an object could not be changed or read.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum WriteError {
    /// The cluster does not serve the kind.
    #[error("{}", refusal::unknown_kind(.0))]
    UnknownKind(GroupVersionKind),
    /// The API server refused; the text says why.
    #[error("{message}")]
    Refused {
        /// HTTP status.
        code: u16,
        /// Masked message with advice.
        message: String,
        /// Which kind of refusal.
        kind: Code,
        /// All it says is that fields cannot be changed any more.
        immutable: bool,
    },
    /// There is no permit for it.
    #[error(transparent)]
    NotPermitted(#[from] NoPermit),
    /// The API server could not be reached or did not answer properly.
    #[error("the API server cannot be reached: {0}")]
    Unreachable(String),
}

impl WriteError {
    /// The code of the reason it gives.
    pub(crate) fn code(&self) -> Code {
        match self {
            Self::UnknownKind(_) => Code::ObjectKindUnknown,
            Self::NotPermitted(NoPermit::Denied(_)) => Code::ProjectDenies,
            Self::NotPermitted(NoPermit::NotOwn(_)) => Code::ObjectNotOwn,
            Self::Refused { kind, .. } => *kind,
            Self::Unreachable(_) => Code::ApiServerUnreachable,
        }
    }

    /// The same without values of the manifest that are hidden: whoever refuses it may quote them.
    fn about(mut self, manifest: &Value) -> Self {
        if let Self::Refused { message, .. } = &mut self {
            *message = Mask::default().message(message, manifest);
        }
        self
    }

    /// Whether the object is not there.
    pub(crate) fn is_not_found(&self) -> bool {
        matches!(self, Self::Refused { code: 404, .. })
    }

    /// Whether only deleting the object and creating it again could help.
    pub(crate) fn is_immutable(&self) -> bool {
        matches!(
            self,
            Self::Refused {
                immutable: true,
                ..
            }
        )
    }

    /// Whether trying again later, without a change in Git, may help.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable(_) => true,
            Self::Refused { code, message, .. } => refusal::is_transient(*code, message),
            Self::UnknownKind(_) | Self::NotPermitted(_) => false,
        }
    }
}

/// What became of an object that was to be deleted.
#[derive(Debug)]
pub(crate) enum Deleted {
    /// It is not there any more.
    Gone,
    /// It is on its way out: finalizers, or what depends on it, go first.
    Leaving(Box<Value>),
    /// Another object has its name now.
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
    /// Without validation, fields the API server does not know are left out.
    pub(crate) async fn apply(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        manifest: &Value,
        validates: bool,
    ) -> Result<Value, WriteError> {
        covers(permit, gvk, manifest)?;
        self.known_fields(gvk, manifest, validates, false).await
    }

    /// What the object would be after an apply; nothing is stored.
    pub(crate) async fn dry_run(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        manifest: &Value,
        validates: bool,
    ) -> Result<Value, WriteError> {
        covers(permit, gvk, manifest)?;
        self.known_fields(gvk, manifest, validates, true).await
    }

    async fn known_fields(
        &self,
        gvk: &GroupVersionKind,
        manifest: &Value,
        validates: bool,
        dry_run: bool,
    ) -> Result<Value, WriteError> {
        let mut answer = self.patch(gvk, manifest, validates, dry_run).await;
        if validates {
            return answer;
        }
        let mut known = KnownFields::of(manifest);
        while let Err(WriteError::Refused { message, .. }) = &answer
            && let Some(fewer) = known.after(message)
        {
            answer = self.patch(gvk, fewer, validates, dry_run).await;
        }
        answer
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
        self.attempt(&key, || api.patch(&key.name, &params, &patch))
            .await
            .map_err(|error| error.about(manifest))
    }

    /// Deletes the object that is permitted, if it is still the same one.
    pub(crate) async fn delete(
        &self,
        permit: &DeletePermit,
        gvk: &GroupVersionKind,
        propagation: PropagationPolicy,
    ) -> Result<Deleted, WriteError> {
        let key = permit.key();
        is_of_kind(gvk, key)?;
        let api = self.api(gvk, &key.namespace).await?;
        let params = DeleteParams {
            propagation_policy: Some(propagation),
            preconditions: Some(kube::api::Preconditions {
                uid: Some(permit.uid().into()),
                resource_version: None,
            }),
            ..DeleteParams::default()
        };
        self.metrics.write("delete");
        let _permit = self.permits.acquire().await;
        match api.delete(&key.name, &params).await {
            Ok(answer) => Ok(match answer.left().map(serde_json::to_value) {
                Some(Ok(object)) => Deleted::Leaving(Box::new(object)),
                _ => Deleted::Gone,
            }),
            Err(Error::Api(status)) if status.code == 404 => Ok(Deleted::Gone),
            Err(Error::Api(status)) if status.code == 409 => Ok(Deleted::Another),
            Err(error) => Err(explain(&error, key)),
        }
    }

    /// Makes the agent the holder of what client-side apply, Argo CD or Helm set on an object and Git
    /// holds or held, so that fields removed from Git really go: see [`takeover`]. Returns whether
    /// anything was taken over.
    pub(crate) async fn take_over(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        live: &Value,
        (desired, tracked): (&Value, bool),
    ) -> Result<bool, WriteError> {
        match takeover::taken_over(live, constants::FIELD_MANAGER, desired, tracked) {
            Some(list) => self.hold(permit, gvk, live, list).await.map(|()| true),
            None => Ok(false),
        }
    }

    /// Makes the agent the holder of all that anybody set on an object, so that its next apply
    /// leaves nothing but the manifest.
    pub(crate) async fn take_over_all(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        live: &Value,
    ) -> Result<(), WriteError> {
        match takeover::taken_over_from_all(live, constants::FIELD_MANAGER) {
            Some(list) => self.hold(permit, gvk, live, list).await,
            None => Ok(()),
        }
    }

    /// Writes the list of who holds which field.
    async fn hold(
        &self,
        permit: &WritePermit,
        gvk: &GroupVersionKind,
        live: &Value,
        list: Value,
    ) -> Result<(), WriteError> {
        covers(permit, gvk, live)?;
        let key = ObjectKey::of(live).ok_or_else(|| WriteError::UnknownKind(gvk.clone()))?;
        let api = self.api(gvk, &key.namespace).await?;
        // The resource version makes the API server refuse when somebody was faster.
        let patch = json!({"metadata": {
            "resourceVersion": live["metadata"]["resourceVersion"],
            "managedFields": list,
        }});
        let params = PatchParams {
            field_manager: Some(constants::FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        self.metrics.write("take-over");
        let patch = Patch::Merge(&patch);
        self.attempt(&key, || api.patch(&key.name, &params, &patch))
            .await
            .map(drop)
    }

    /// Takes the finalizer of hooks off the object that is permitted, if it is there and has it.
    pub(crate) async fn release_hook(
        &self,
        permit: &ReleasePermit,
        gvk: &GroupVersionKind,
    ) -> Result<(), WriteError> {
        let (key, finalizer) = (permit.key(), finalizer::HOOK);
        is_of_kind(gvk, key)?;
        let Some(live) = self.get(gvk, key).await? else {
            return Ok(());
        };
        let held: Vec<&str> = live["metadata"]["finalizers"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        if !held.contains(&finalizer) {
            return Ok(());
        }
        let kept = held.into_iter().filter(|held| *held != finalizer);
        let version = live["metadata"]["resourceVersion"].as_str();
        let patch = finalizers::patch(version, kept);
        let api = self.api(gvk, &key.namespace).await?;
        let params = PatchParams {
            field_manager: Some(constants::FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        self.metrics.write("finalizer");
        let patch = Patch::Merge(&patch);
        match self
            .attempt(key, || api.patch(&key.name, &params, &patch))
            .await
        {
            Err(error) if error.is_not_found() => Ok(()),
            other => other.map(drop),
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
        match self.attempt(key, || api.get_with(&key.name, params)).await {
            Ok(object) => Ok(Some(object)),
            Err(error) if error.is_not_found() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// All objects of a kind that has no namespaces.
    pub(crate) async fn list(&self, gvk: &GroupVersionKind) -> Result<Vec<Value>, WriteError> {
        let api = self.api(gvk, "").await?;
        let _permit = self.permits.acquire().await;
        let list = api.list(&ListParams::default()).await;
        let objects = list.map_err(|error| unreachable(&error))?.items.into_iter();
        Ok(objects
            .filter_map(|object| serde_json::to_value(object).ok())
            .collect())
    }

    /// How a kind is served now; asks the API server again when it is not known.
    pub(crate) async fn served(&self, gvk: &GroupVersionKind) -> Result<ServedKind, WriteError> {
        if let Some(served) = self.discovery.kinds().served(gvk) {
            return Ok(served.clone());
        }
        self.discovery
            .refresh()
            .await
            .map_err(|error| unreachable(&error))?;
        self.discovery
            .kinds()
            .served(gvk)
            .cloned()
            .ok_or_else(|| WriteError::UnknownKind(gvk.clone()))
    }

    async fn api(
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

    /// Runs a request, again when the API server is busy or away for a moment.
    async fn attempt<F>(
        &self,
        key: &ObjectKey,
        request: impl Fn() -> F,
    ) -> Result<Value, WriteError>
    where
        F: Future<Output = kube::Result<DynamicObject>>,
    {
        let mut retries = 0;
        loop {
            let result = {
                let _permit = self.permits.acquire().await;
                request().await
            };
            let error = match result {
                Ok(object) => {
                    return serde_json::to_value(object)
                        .map_err(|error| WriteError::Unreachable(error.to_string()));
                }
                Err(error) => error,
            };
            let busy = match &error {
                Error::Api(status) => matches!(status.code, 429 | 503 | 504),
                Error::Service(_) | Error::HyperError(_) => true,
                _ => false,
            };
            if !busy || retries + 1 == MAX_ATTEMPTS {
                return Err(explain(&error, key));
            }
            let asked = match &error {
                Error::Api(status) => status.details.as_ref().map(|d| d.retry_after_seconds),
                _ => None,
            };
            let asked = asked
                .map(|seconds| Duration::from_secs(seconds.into()))
                .unwrap_or_default();
            let pause = backoff::delay(retries, FIRST_PAUSE, PAUSE_FACTOR, MAX_PAUSE)
                .max(asked)
                .min(MAX_PAUSE);
            tokio::time::sleep(pause).await;
            retries += 1;
        }
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
fn is_of_kind(gvk: &GroupVersionKind, key: &ObjectKey) -> Result<(), WriteError> {
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

fn unreachable(error: &Error) -> WriteError {
    WriteError::Unreachable(mask::mask_text::<&str>(&chain(error), &[]))
}

/// An API server's refusal in words that say what to do.
fn explain(error: &Error, key: &ObjectKey) -> WriteError {
    let Error::Api(status) = error else {
        return unreachable(error);
    };
    let fields: Vec<&str> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| cause.field.as_str())
        .collect();
    // Where something else is wrong too, creating the object again would be refused as well.
    let causes = status.details.iter().flat_map(|details| &details.causes);
    let immutable = status.code == 422
        && refusal::is_immutable(&status.message)
        && causes
            .into_iter()
            .all(|cause| refusal::is_immutable(&cause.message));
    let refusal = Refusal {
        code: status.code,
        reason: &status.reason,
        message: &status.message,
        fields: &fields,
    };
    let grant = if status.code == 403
        && status.reason == "Forbidden"
        && status.message.contains("cannot patch")
    {
        "; grant this to the agent's service account"
    } else {
        ""
    };
    WriteError::Refused {
        code: status.code,
        kind: refusal.kind(),
        message: refusal.text(key) + grant,
        immutable,
    }
}
