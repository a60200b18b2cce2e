//! What the agent says: the status of an Application and Kubernetes Events.
//!
//! The only writer of Applications: status, finalizers, and what was asked for on them and is done. A
//! status equal to the one before is not written.

use std::sync::Arc;

use anyhow::Context;
use gitops_api::constants::annotation;
use gitops_api::{Application, ApplicationStatus, constants};
use gitops_core::compare::drift;
use gitops_core::compare::field::DriftedField;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::report::conflict::Standing;
use gitops_core::report::memory::Memory;
use gitops_core::report::status::merge_patch;
use gitops_core::report::transitions::{ended, transitions};
use gitops_core::report::{compared, conflict, size};
use gitops_core::source::revision::short;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::api::{Patch, PatchParams};
use kube::runtime::events::{Event, EventType};
use kube::{Api, Client, Error, Resource, ResourceExt};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::applications::app_state::AppState;
use crate::applications::cache::AppCache;
use crate::applications::report::handled::HandledRequests;
use crate::cluster::Cluster;
use crate::events::Events;
use crate::finalizers;
use crate::metrics::Metrics;

/// So often a status is tried to be written while others change the Application.
const MAX_CONFLICTS: u32 = 8;

/// Somebody else wrote the status meanwhile: what is to be said is found out anew.
#[derive(Clone, Debug, thiserror::Error)]
#[error("Application.status was written by another client meanwhile")]
pub(crate) struct Superseded;

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

    /// Writes what changed of a status, and takes off the Application what was answered: on the
    /// condition that the status is the one it was made from, so that nothing that another agent
    /// recorded is lost.
    ///
    /// # Errors
    /// [`StatusTooLarge`] when only a smaller one can be stored, [`Superseded`] when somebody else
    /// wrote the status; whatever else keeps it from being written.
    pub(crate) async fn write(
        &self,
        app: &Application,
        cache: &mut AppCache,
        status: ApplicationStatus,
        handled: HandledRequests,
    ) -> anyhow::Result<()> {
        // A status is large, and so is what holds it.
        Box::pin(self.write_boxed(app, cache, Box::new(status), handled)).await
    }

    async fn write_boxed(
        &self,
        app: &Application,
        cache: &mut AppCache,
        status: Box<ApplicationStatus>,
        mut handled: HandledRequests,
    ) -> anyhow::Result<()> {
        let remembered = cache.annotation(app, annotation::MEMORY).map(str::to_owned);
        let of_status = Memory::of(&status);
        let keeps = *self.drops.lock();
        let drops = keeps.unwrap_or_else(|| Memory::read(remembered.as_deref()).is_of_status());
        let memory = |drops: bool| {
            let mut memory = if drops {
                of_status.clone()
            } else {
                Memory::default()
            };
            memory.delivered.clone_from(&cache.delivered);
            memory.text()
        };
        let (memorized, in_case) = (memory(drops), memory(true));
        let remembers = (memorized != remembered).then_some(memorized);
        let read = Arc::new(cache.latest(app).clone());
        let known = cache.status(app).into_owned();
        let mut now = Arc::clone(&read);
        for _ in 0..MAX_CONFLICTS {
            // What definitions drop of a status is not sent again and again.
            let stored = now.status.clone().unwrap_or_default();
            let before = if now.status == read.status {
                &known
            } else {
                &stored
            };
            let Some(patch) = patch_of(app, (&now, before), &status, handled, remembers.as_ref())?
            else {
                return Ok(());
            };
            let error = match Box::pin(self.patch(app, &patch)).await {
                Ok(mut written) => {
                    if of_status.is_of_status() {
                        let stored = written.status.as_ref().map(Memory::of).unwrap_or_default();
                        let drops_now = stored != of_status;
                        *self.drops.lock() = Some(drops_now);
                        if drops_now && !drops {
                            let annotations = json!({annotation::MEMORY: in_case});
                            let patch = json!({"metadata": {"annotations": annotations}});
                            let remembered = Box::pin(self.patch(app, &patch)).await;
                            written =
                                remembered.context("writing down what the status does not keep")?;
                        }
                    }
                    self.tell(app, before, &status);
                    let stored = written.status.clone().unwrap_or_default();
                    cache.sent = (stored != *status).then_some((stored, *status));
                    cache.written = Some(written);
                    return Ok(());
                }
                Err(Error::Api(error)) => error,
                Err(error) => return Err(error).context("writing Application.status"),
            };
            if size::is_too_large(error.code, &error.message) {
                return Err(StatusTooLarge(error.message).into());
            }
            match error.code {
                // The Application was deleted meanwhile: there is nobody to tell.
                404 => return Ok(()),
                409 => {}
                _ => return Err(Error::Api(error)).context("writing Application.status"),
            }
            let Some(found) = Box::pin(self.read(app)).await? else {
                return Ok(());
            };
            now = found;
            match conflict::standing(&read, &status, &now) {
                Standing::Holds => {}
                Standing::HoldsUnanswered => handled.operation = false,
                Standing::Superseded => {
                    cache.written = Some(now);
                    return Err(Superseded.into());
                }
            }
        }
        anyhow::bail!(
            "the Application was changed {MAX_CONFLICTS} times while its status was written"
        )
    }

    /// Tells what a status that was written says anew.
    fn tell(&self, app: &Application, before: &ApplicationStatus, after: &ApplicationStatus) {
        if let Some(state) = ended(before, after) {
            self.metrics.argo_cd.ended(app, state);
        }
        for told in transitions(before, after) {
            let event = Event {
                type_: if told.is_warning {
                    EventType::Warning
                } else {
                    EventType::Normal
                },
                reason: told.reason.into(),
                note: Some(limit(&told.note)),
                action: "Reconcile".into(),
                secondary: None,
            };
            self.events.publish(event, app.object_ref(&()));
        }
    }

    async fn read(&self, app: &Application) -> anyhow::Result<Option<Arc<Application>>> {
        let api = self.applications_of(app);
        let found = api.get_opt(&app.name_any()).await;
        Ok(found.context("reading the Application")?.map(kept))
    }

    async fn patch(&self, app: &Application, patch: &Value) -> kube::Result<Arc<Application>> {
        let params = PatchParams {
            field_manager: Some(constants::FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        self.metrics.write("status");
        let _permit = self.permits.acquire().await;
        let api = self.applications_of(app);
        api.patch(&app.name_any(), &params, &Patch::Merge(patch))
            .await
            .map(kept)
    }

    /// Tells on each healed object, and on the Application, what was taken back.
    pub(crate) fn healed(
        &self,
        cluster: &Cluster,
        app: &Application,
        app_state: &AppState,
        healed: &[(ObjectKey, Vec<DriftedField>)],
    ) {
        let revision = app_state
            .wanted
            .revisions
            .first()
            .map(|r| short(r))
            .unwrap_or_default();
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

    /// Sets the finalizers of an Application, if nobody changed it since it was read, and takes note
    /// of it: a watch that is behind must not show one that was taken off. The answer is the
    /// Application as it is then, `None` when it went with its last finalizer.
    pub(crate) async fn set_finalizers<'a>(
        &self,
        app: &Application,
        cache: &mut AppCache,
        finalizers: impl IntoIterator<Item = &'a str>,
    ) -> kube::Result<Option<Application>> {
        let patch = finalizers::patch(app.resource_version().as_deref(), finalizers);
        let params = PatchParams::default();
        let api = self.applications_of(app);
        let patch = Patch::Merge(&patch);
        let written = match api.patch(&app.name_any(), &params, &patch).await {
            Ok(written) => written,
            Err(Error::Api(error)) if error.code == 404 => {
                cache.gone.clone_from(&app.metadata.uid);
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        if written.metadata.deletion_timestamp.is_some() && written.finalizers().is_empty() {
            cache.gone = written.metadata.uid;
            return Ok(None);
        }
        cache.written = Some(kept(written.clone()));
        Ok(Some(written))
    }

    fn applications_of(&self, app: &Application) -> Api<Application> {
        Api::namespaced(self.client.clone(), &app.namespace().unwrap_or_default())
    }
}

/// An Application without what only servers need to know.
fn kept(mut app: Application) -> Arc<Application> {
    app.metadata.managed_fields = None;
    Arc::new(app)
}

/// The patch that makes the Application say this; `None` when it does. It is refused when the
/// Application is no longer as it is given here.
fn patch_of(
    asked: &Application,
    (now, before): (&Application, &ApplicationStatus),
    status: &ApplicationStatus,
    handled: HandledRequests,
    remembers: Option<&Option<String>>,
) -> anyhow::Result<Option<Value>> {
    let before = serde_json::to_value(before)?;
    let mut after = serde_json::to_value(status)?;
    let mut patch = json!({});
    let mut done: Vec<&str> = Vec::new();
    if handled.refresh {
        // Whoever asked wants to see that it was done.
        after["reconciledAt"] = json!(compared::seconds(jiff::Timestamp::now()));
        done.extend([annotation::REFRESH, annotation::REFRESH_TIMESTAMP]);
    }
    if handled.hold {
        done.push(annotation::HOLD);
    }
    // Argo CD's server asks for it with every refresh; without a hydrator there is nothing to do.
    if asked.annotations().contains_key(annotation::HYDRATE) && asked.spec.source_hydrator.is_none()
    {
        done.push(annotation::HYDRATE);
    }
    // What was asked for since is not answered yet.
    done.retain(|name| asked.annotations().get(*name) == now.annotations().get(*name));
    for name in &done {
        patch["metadata"]["annotations"][*name] = Value::Null;
    }
    if handled.operation {
        patch["operation"] = Value::Null;
    }
    if let Some(memory) = remembers {
        patch["metadata"]["annotations"][annotation::MEMORY] = json!(memory);
    }
    match merge_patch(&before, &after) {
        Some(change) => patch["status"] = change,
        None if done.is_empty() && !handled.operation && remembers.is_none() => return Ok(None),
        None => {}
    }
    if let Some(version) = &now.metadata.resource_version {
        patch["metadata"]["resourceVersion"] = json!(version);
    }
    Ok(Some(patch))
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
