//! Applications of a test: built, applied, watched.

use gitops_api::constants::finalizer;
use gitops_api::status::{OperationState, ResourceStatus};
use gitops_api::{Application, ApplicationStatus, HealthStatusCode, SyncStatusCode};
use kube::Api;
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};

use crate::repository::Repo;
use crate::world::World;
use crate::{must, wait};

impl World {
    /// An Application to be put together.
    pub fn app(&self, name: &str) -> AppBuilder<'_> {
        AppBuilder::new(self, name)
    }

    /// An Application that exists.
    pub fn existing_app(&self, name: &str) -> App<'_> {
        App::new(self, name)
    }
}

/// Puts an Application together.
#[must_use]
pub struct AppBuilder<'a> {
    world: &'a World,
    value: Value,
}

impl<'a> AppBuilder<'a> {
    pub(crate) fn new(world: &'a World, name: &str) -> Self {
        let value = json!({
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Application",
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": {
                "project": "default",
                "destination": {
                    "server": "https://kubernetes.default.svc", "namespace": world.target,
                },
                "source": {"repoURL": "", "path": ".", "targetRevision": "main"},
            },
        });
        Self { world, value }
    }

    /// The repository, at its address without a password.
    pub fn repo(self, repo: &Repo) -> Self {
        self.set("/spec/source/repoURL", json!(repo.url()))
    }

    /// The folder in the repository.
    pub fn path(self, path: &str) -> Self {
        self.set("/spec/source/path", json!(path))
    }

    /// The revision to follow.
    pub fn revision(self, revision: &str) -> Self {
        self.set("/spec/source/targetRevision", json!(revision))
    }

    /// Automated sync with prune and self-heal.
    pub fn automated(self) -> Self {
        self.set(
            "/spec/syncPolicy/automated",
            json!({"prune": true, "selfHeal": true}),
        )
    }

    /// Deleted, it takes its objects with it.
    pub fn cascading(self) -> Self {
        self.set("/metadata/finalizers", json!([finalizer::RESOURCES]))
    }

    /// Any field by JSON pointer; objects on the way are made.
    pub fn set(mut self, pointer: &str, value: Value) -> Self {
        let mut place = &mut self.value;
        for part in pointer.split('/').skip(1) {
            place = match place {
                Value::Array(_) => &mut place[part.parse::<usize>().unwrap_or(0)],
                _ => &mut place[part.replace("~1", "/")],
            };
        }
        *place = value;
        self
    }

    /// Several sources instead of one.
    pub fn sources(mut self, sources: Value) -> Self {
        if let Some(spec) = self.value["spec"].as_object_mut() {
            spec.remove("source");
        }
        self.set("/spec/sources", sources)
    }

    /// Applies it.
    pub async fn create(self) -> App<'a> {
        let name = self.value["metadata"]["name"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        self.world
            .plane
            .apply_value_as("gitops-e2e", self.value)
            .await;
        self.world.existing_app(&name)
    }
}

/// An Application in the cluster.
pub struct App<'a> {
    world: &'a World,
    api: Api<Application>,
    /// Its name.
    pub name: String,
}

impl<'a> App<'a> {
    pub(crate) fn new(world: &'a World, name: &str) -> Self {
        let api = Api::namespaced(world.plane.client.clone(), &world.namespace);
        Self {
            world,
            api,
            name: name.into(),
        }
    }

    /// Watches until the status satisfies a condition.
    ///
    /// # Panics
    /// When it does not in time, with the last status and the agent's log.
    pub async fn wait(
        &self,
        what: &str,
        mut found: impl FnMut(&Application) -> bool,
    ) -> Application {
        let until = wait::until(self.api.clone(), &self.name, |app| {
            app.is_some_and(&mut found)
        });
        match until.await {
            Ok(app) => app.unwrap_or_else(|| panic!("{} is gone", self.name)),
            Err(last) => panic!(
                "Application {} did not become: {what}\n{}\n{}",
                self.name,
                without_managed_fields(&last),
                self.world.agent_tail(),
            ),
        }
    }

    /// Waits until it is synced.
    pub async fn synced(&self) -> Application {
        self.wait("Synced", is_synced).await
    }

    /// Waits until it is synced to a commit.
    pub async fn synced_to(&self, commit: &str) -> Application {
        self.wait(&format!("Synced to {commit}"), |app| {
            is_synced(app) && revision(app) == commit && settled(app)
        })
        .await
    }

    /// Waits until it is synced and healthy.
    pub async fn healthy(&self) -> Application {
        self.wait("Synced and Healthy", |app| {
            is_synced(app) && is_healthy(app)
        })
        .await
    }

    /// Waits until a commit was compared, whatever came of it.
    pub async fn compared_to(&self, commit: &str) -> Application {
        self.wait(&format!("compared to {commit}"), |app| {
            revision(app) == commit
        })
        .await
    }

    /// Waits for a condition of a type whose message contains all these texts.
    pub async fn condition(&self, condition_type: &str, texts: &[&str]) -> Application {
        self.wait(&format!("{condition_type} with {texts:?}"), |app| {
            conditions(app).iter().any(|(kind, message)| {
                kind == condition_type && texts.iter().all(|text| message.contains(text))
            })
        })
        .await
    }

    /// Waits until it is gone.
    pub async fn gone(&self) {
        if let Err(last) = wait::until(self.api.clone(), &self.name, |app| app.is_none()).await {
            panic!(
                "Application {} is still there\n{last}\n{}",
                self.name,
                self.world.agent_tail()
            );
        }
    }

    /// Changes it with a merge patch.
    pub async fn patch(&self, patch: Value) -> Application {
        let params = PatchParams::default();
        must(
            self.api
                .patch(&self.name, &params, &Patch::Merge(&patch))
                .await,
            "patch the Application",
        )
    }

    /// Asks for a refresh and waits until it was done.
    pub async fn refresh(&self, kind: &str) -> Application {
        let patch = json!({"metadata": {"annotations": {"argocd.argoproj.io/refresh": kind}}});
        self.patch(patch).await;
        self.wait("refreshed", |app| {
            let annotations = app.metadata.annotations.as_ref();
            annotations.is_none_or(|a| !a.contains_key("argocd.argoproj.io/refresh"))
        })
        .await
    }

    /// Asks for a sync and waits until it ended.
    pub async fn sync(&self, sync: Value) -> Application {
        let before = self.get().await;
        let before = status(&before)
            .operation_state
            .and_then(|state| state.started_at);
        let who = json!({"username": "tester"});
        self.patch(json!({"operation": {"sync": sync, "initiatedBy": who}}))
            .await;
        self.wait("synced on request", |app| {
            let state = status(app).operation_state;
            app.operation.is_none()
                && state.is_some_and(|state| {
                    state.phase.is_completed()
                        && (before.is_none()
                            || state
                                .operation
                                .initiated_by
                                .is_some_and(|who| who.username == "tester"))
                })
        })
        .await
    }

    /// Deletes it; does not wait.
    pub async fn delete(&self) {
        must(
            self.api.delete(&self.name, &DeleteParams::default()).await,
            "delete the Application",
        );
    }

    /// Reads it.
    pub async fn get(&self) -> Application {
        must(self.api.get(&self.name).await, "read the Application")
    }
}

/// The status; an empty one when there is none.
pub fn status(app: &Application) -> ApplicationStatus {
    app.status.clone().unwrap_or_default()
}

/// The operation under way, or the last one.
pub fn operation(app: &Application) -> OperationState {
    status(app).operation_state.unwrap_or_default()
}

/// Whether live is what Git says.
pub fn is_synced(app: &Application) -> bool {
    sync_code(app) == Some(SyncStatusCode::Synced)
}

/// Whether live is not what Git says.
pub fn is_out_of_sync(app: &Application) -> bool {
    sync_code(app) == Some(SyncStatusCode::OutOfSync)
}

/// The verdict of the last comparison.
pub fn sync_code(app: &Application) -> Option<SyncStatusCode> {
    Some(app.status.as_ref()?.sync.as_ref()?.status)
}

/// Whether all objects are healthy.
pub fn is_healthy(app: &Application) -> bool {
    health(app) == Some(HealthStatusCode::Healthy)
}

/// The health of the whole.
pub fn health(app: &Application) -> Option<HealthStatusCode> {
    Some(app.status.as_ref()?.health.as_ref()?.status)
}

/// The revision that was compared.
pub fn revision(app: &Application) -> &str {
    let sync = app.status.as_ref().and_then(|status| status.sync.as_ref());
    sync.map_or("", |sync| &sync.revision)
}

/// Whether no operation is under way or asked for.
pub fn settled(app: &Application) -> bool {
    app.operation.is_none()
        && status(app)
            .operation_state
            .is_none_or(|state| state.phase.is_completed())
}

/// Type and message of each condition.
pub fn conditions(app: &Application) -> Vec<(String, String)> {
    status(app)
        .conditions
        .into_iter()
        .map(|condition| (condition.condition_type, condition.message))
        .collect()
}

/// The report on one object.
pub fn resource(app: &Application, kind: &str, name: &str) -> Option<ResourceStatus> {
    status(app)
        .resources
        .into_iter()
        .find(|resource| resource.kind == kind && resource.name == name)
}

fn without_managed_fields(text: &str) -> String {
    let Ok(mut value) = serde_json::from_str::<Value>(text) else {
        return text.into();
    };
    if let Some(metadata) = value["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    serde_json::to_string_pretty(&value).unwrap_or_default()
}
