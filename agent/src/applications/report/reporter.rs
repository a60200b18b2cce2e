//! What the agent says: the status of an Application and Kubernetes Events.
//!
//! The only writer of Applications: status, finalizers, and what was asked for on them and is done. A
//! status equal to the one before is not written.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use gitops_api::constants::annotation;
use gitops_api::status::OperationState;
use gitops_api::{Application, ApplicationStatus, constants};
use gitops_core::compare::drift;
use gitops_core::compare::field::DriftedField;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::report::memory::Memory;
use gitops_core::report::size;
use gitops_core::report::status::merge_patch;
use gitops_core::source::revision::short;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::applications::app_state::AppState;
use crate::applications::cache::AppCache;
use crate::cluster::Cluster;
use crate::events::Events;
use crate::finalizers;
use crate::metrics::Metrics;

/// What was asked for on an Application and is done: the agent takes it off.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HandledRequests {
    /// The operation has ended.
    pub(crate) operation: bool,
    /// It was refreshed.
    pub(crate) refresh: bool,
    /// The hold on it has ended.
    pub(crate) hold: bool,
}

/// The API server does not store a status of this size.
#[derive(Clone, Debug, thiserror::Error)]
#[error(
    "Application.status is too large to be stored ({0}); make the Application or its spec smaller"
)]
pub(crate) struct StatusTooLarge(String);

/// Writes statuses and events.
pub(crate) struct Reporter {
    client: Client,
    events: Events,
    permits: Semaphore,
    metrics: Arc<Metrics>,
    /// Whether the definition of Applications drops what this project adds to a status, once that
    /// was seen.
    drops: Mutex<Option<bool>>,
}

impl Reporter {
    /// Reports through this client.
    pub(crate) fn new(client: Client, metrics: Arc<Metrics>) -> Self {
        Self {
            events: Events::new(client.clone(), metrics.clone()),
            client,
            permits: Semaphore::new(16),
            metrics,
            drops: Mutex::new(None),
        }
    }

    /// Writes what changed of a status, and takes off the Application what was answered.
    ///
    /// # Errors
    /// [`StatusTooLarge`] when only a smaller one can be stored; whatever else keeps it from being
    /// written.
    pub(crate) async fn write(
        &self,
        app: &Application,
        cache: &mut AppCache,
        status: ApplicationStatus,
        handled: HandledRequests,
    ) -> anyhow::Result<()> {
        let remembered = cache.annotation(app, annotation::MEMORY);
        let of_status = Memory::of(&status);
        let keeps = *self.drops.lock();
        let drops = keeps.unwrap_or_else(|| Memory::read(remembered).is_of_status());
        let memory = |drops: bool| {
            let mut memory = if drops {
                of_status.clone()
            } else {
                Memory::default()
            };
            memory.delivered.clone_from(&cache.delivered);
            memory.text()
        };
        let memorized = memory(drops);
        let in_case = memory(true);
        let remembers = memorized.as_deref() != remembered;
        let before = serde_json::to_value(cache.status(app))?;
        let mut after = serde_json::to_value(&status)?;
        let mut patch = json!({});
        let mut done: Vec<&str> = Vec::new();
        if handled.refresh {
            // Whoever asked wants to see that it was done.
            after["reconciledAt"] =
                json!(gitops_core::report::status::seconds(jiff::Timestamp::now()));
            done.extend([annotation::REFRESH, annotation::REFRESH_TIMESTAMP]);
        }
        if handled.hold {
            done.push(annotation::HOLD);
        }
        for name in &done {
            patch["metadata"]["annotations"][*name] = Value::Null;
        }
        if handled.operation {
            patch["operation"] = Value::Null;
        }
        if remembers {
            patch["metadata"]["annotations"][annotation::MEMORY] = memorized.into();
        }
        match merge_patch(&before, &after) {
            Some(change) => patch["status"] = change,
            None if done.is_empty() && !handled.operation && !remembers => return Ok(()),
            None => {}
        }
        let api = self.applications_of(app);
        let params = PatchParams {
            field_manager: Some(constants::FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        self.metrics.write("status");
        let _permit = self.permits.acquire().await;
        let (name, patch) = (app.name_any(), Patch::Merge(&patch));
        let write = api.patch(&name, &params, &patch);
        let mut written = match tokio::time::timeout(Duration::from_secs(30), write).await {
            Ok(Ok(written)) => written,
            // The Application was deleted meanwhile: there is nobody to tell.
            Ok(Err(kube::Error::Api(error))) if error.code == 404 => return Ok(()),
            Ok(Err(kube::Error::Api(error))) if size::is_too_large(error.code, &error.message) => {
                return Err(StatusTooLarge(error.message).into());
            }
            Ok(Err(error)) => return Err(error).context("writing Application.status"),
            Err(_) => anyhow::bail!("writing Application.status took longer than 30 s"),
        };
        if of_status.is_of_status() {
            let stored = written.status.as_ref().map(Memory::of).unwrap_or_default();
            let drops_now = stored != of_status;
            *self.drops.lock() = Some(drops_now);
            if drops_now && !drops {
                let patch = json!({"metadata": {"annotations": {annotation::MEMORY: in_case}}});
                let patch = Patch::Merge(&patch);
                let write = api.patch(&name, &params, &patch);
                let write = tokio::time::timeout(Duration::from_secs(30), write).await;
                let what = "writing down what the status does not keep";
                written = write.context(what)?.context(what)?;
            }
        }
        let stored = written.status.clone().unwrap_or_default();
        cache.sent = (stored != status).then_some((stored, status));
        written.metadata.managed_fields = None;
        cache.written = Some(Arc::new(written));
        Ok(())
    }

    /// Tells the end of an operation, and on each healed object what was taken back.
    pub(crate) fn operation(
        &self,
        cluster: &Cluster,
        app: &Application,
        app_state: &AppState,
        operation: &OperationState,
        healed: &[(ObjectKey, Vec<DriftedField>)],
    ) {
        let revision = app_state
            .wanted
            .revisions
            .first()
            .map(|r| short(r))
            .unwrap_or_default();
        let succeeded = operation.phase.is_successful();
        let event = Event {
            type_: if succeeded {
                EventType::Normal
            } else {
                EventType::Warning
            },
            reason: if succeeded {
                "OperationCompleted"
            } else {
                "OperationFailed"
            }
            .into(),
            note: Some(limit(&format!("sync to {revision}: {}", operation.message))),
            action: "Sync".into(),
            secondary: None,
        };
        self.events.publish(event, app.object_ref(&()));
        for (key, fields) in healed {
            let described: Vec<_> = fields.iter().map(drift::describe).collect();
            let what = if described.is_empty() {
                "it was deleted".to_owned()
            } else {
                described.join("; ")
            };
            let note = format!(
                "application {} put back what Git has at {revision}: {what}",
                app.name_any()
            );
            let event = || Event {
                type_: EventType::Normal,
                reason: "SelfHealed".into(),
                note: Some(limit(&note)),
                action: "SelfHeal".into(),
                secondary: None,
            };
            tracing::info!(application = app.name_any(), object = %key, what, "healed");
            cluster.events.publish(event(), reference(app_state, key));
            self.events.publish(event(), app.object_ref(&()));
        }
    }

    /// Tells that an object changed hands, on the object and on the application that has it now.
    pub(crate) fn handed_over(
        &self,
        cluster: &Cluster,
        app: &Application,
        app_state: &AppState,
        key: &ObjectKey,
        from: &str,
    ) {
        let name = app.name_any();
        tracing::info!(application = name, object = %key, from, "taken over");
        let note = format!(
            "{key} was handed over from application {from} to application {name} without being \
             deleted"
        );
        let event = || Event {
            type_: EventType::Normal,
            reason: "HandedOver".into(),
            note: Some(limit(&note)),
            action: "Sync".into(),
            secondary: None,
        };
        cluster.events.publish(event(), reference(app_state, key));
        self.events.publish(event(), app.object_ref(&()));
    }

    /// Sets the finalizers of an Application, if nobody changed it since it was read. The answer is
    /// the Application as it is then, `None` when it went with its last finalizer.
    pub(crate) async fn set_finalizers<'a>(
        &self,
        app: &Application,
        finalizers: impl IntoIterator<Item = &'a str>,
    ) -> kube::Result<Option<Application>> {
        let patch = finalizers::patch(app.resource_version().as_deref(), finalizers);
        let params = PatchParams::default();
        let api = self.applications_of(app);
        match api
            .patch(&app.name_any(), &params, &Patch::Merge(&patch))
            .await
        {
            Ok(app) if app.finalizers().is_empty() => Ok(None),
            Ok(app) => Ok(Some(app)),
            Err(kube::Error::Api(error)) if error.code == 404 => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn applications_of(&self, app: &Application) -> Api<Application> {
        Api::namespaced(self.client.clone(), &app.namespace().unwrap_or_default())
    }
}

fn reference(app_state: &AppState, key: &ObjectKey) -> ObjectReference {
    let desired = app_state.wanted.desired.objects.get(key);
    ObjectReference {
        api_version: desired.map(|desired| desired.gvk.api_version()),
        kind: Some(key.kind.clone()),
        name: Some(key.name.clone()),
        namespace: Some(key.namespace.clone()).filter(|n| !n.is_empty()),
        uid: app_state.live.get(key).map(|live| live.uid.clone()),
        ..ObjectReference::default()
    }
}

/// Events hold at most 1024 bytes of text.
fn limit(text: &str) -> String {
    const MAX_BYTES: usize = 1000;
    if text.len() <= MAX_BYTES {
        return text.into();
    }
    let mut end = MAX_BYTES;
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    format!("{}…", &text[..end])
}
