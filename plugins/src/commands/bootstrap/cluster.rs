//! What bootstrap reads from a cluster and applies to it. Decides nothing.

use futures::StreamExt;
use gitops_api::constants::{FIELD_MANAGER, LEASE_NAME, annotation, label, secret_type};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text;
use gitops_views::status::agent::Agent;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, Error};
use serde_json::{Value, json};

use crate::cluster::connection::Connection;
use crate::cluster::failure;
use crate::commands::bootstrap::controllers::{Controller, Controllers, Role};
use crate::commands::bootstrap::plan::{ObjectChange, Verb};

/// Objects asked for at a time.
const PAGE: u32 = 500;
/// Objects compared at the same time.
const CONCURRENT: usize = 8;

/// A cluster and the user's rights in it.
#[derive(Clone, Copy)]
pub struct Cluster<'a> {
    /// Connection.
    pub connection: &'a Connection,
}

/// Kind and name of an object, for messages: `Deployment argocd/gitops-agent`.
pub fn shown(object: &Value) -> String {
    let text = |value: &Value| text::one_line(value.as_str().unwrap_or_default());
    let name = text(&object["metadata"]["name"]);
    let kind = text(&object["kind"]);
    match object["metadata"]["namespace"].as_str() {
        Some(namespace) => format!("{kind} {}/{name}", text::one_line(namespace)),
        None => format!("{kind} {name}"),
    }
}

impl Cluster<'_> {
    /// The API of an object's kind, in its namespace.
    pub(super) fn api(self, object: &Value) -> Api<DynamicObject> {
        let (group, version) = object["apiVersion"]
            .as_str()
            .unwrap_or_default()
            .split_once('/')
            .unwrap_or(("", "v1"));
        let kind = object["kind"].as_str().unwrap_or_default();
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        let client = self.connection.client.clone();
        match object["metadata"]["namespace"].as_str() {
            Some(namespace) => Api::namespaced_with(client, namespace, &resource),
            None => Api::all_with(client, &resource),
        }
    }

    /// Version of the API server: major, minor, and as it calls itself.
    pub async fn version(self) -> Result<(u32, u32, String), CommandError> {
        let info = self
            .connection
            .ask(
                "ask for the version",
                self.connection.client.apiserver_version(),
            )
            .await?;
        let number = |text: &str| {
            let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
            digits.parse().unwrap_or(0)
        };
        Ok((
            number(&info.major),
            number(&info.minor),
            text::one_line(&info.git_version),
        ))
    }

    /// The live object; `None`: it, or its kind, is not there.
    pub async fn live(self, object: &Value) -> Result<Option<Value>, CommandError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let api = self.api(object);
        match self.connection.wait(api.get_opt(name)).await? {
            Ok(found) => Ok(found.and_then(|found| serde_json::to_value(found).ok())),
            Err(Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => {
                let what = format!("read {}", shown(object));
                Err(failure::of(error, &what, &self.connection.endpoint))
            }
        }
    }

    /// What an object would become; nothing is stored. The inner error is a conflict: somebody else
    /// holds the fields.
    pub async fn dry_run(
        self,
        object: &Value,
        force: bool,
    ) -> Result<Result<Value, String>, CommandError> {
        let params = PatchParams {
            dry_run: true,
            force,
            field_manager: Some(FIELD_MANAGER.into()),
            ..PatchParams::default()
        };
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let api = self.api(object);
        let patch = Patch::Apply(object);
        match self
            .connection
            .wait(api.patch(name, &params, &patch))
            .await?
        {
            Ok(applied) => Ok(Ok(serde_json::to_value(applied).unwrap_or_default())),
            Err(Error::Api(status)) if status.code == 409 && !force => {
                Ok(Err(text::one_line(&status.message)))
            }
            Err(error) => {
                let what = format!("apply {}", shown(object));
                Err(failure::of(error, &what, &self.connection.endpoint))
            }
        }
    }

    /// Applies an object, with the agent's own field manager for what the agent will own.
    pub async fn apply(self, object: &Value, manager: &str) -> Result<Value, CommandError> {
        let params = PatchParams::apply(manager).force();
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let api = self.api(object);
        let what = format!("apply {}", shown(object));
        let patch = Patch::Apply(object);
        let applied = self
            .connection
            .ask(&what, api.patch(name, &params, &patch))
            .await?;
        Ok(serde_json::to_value(applied).unwrap_or_default())
    }

    /// Changes an object in place.
    pub async fn merge(self, object: &Value, patch: &Value) -> Result<(), CommandError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let api = self.api(object);
        let what = format!("change {}", shown(object));
        let params = PatchParams::default();
        let patch = Patch::Merge(patch);
        self.connection
            .ask(&what, api.patch(name, &params, &patch))
            .await
            .map(drop)
    }

    /// Applies an object as the agent will from then on. What the agent wrote on it stays, but for
    /// the digest of what it applied: it has to look again.
    pub async fn apply_for_agent(self, object: &Value) -> Result<(), CommandError> {
        let mut marked = match self.live(object).await? {
            Some(live) => with_marks(object, &live),
            None => object.clone(),
        };
        if let Some(annotations) = marked["metadata"]["annotations"].as_object_mut() {
            annotations.remove(annotation::DESIRED_DIGEST);
        }
        self.apply(&marked, FIELD_MANAGER).await.map(drop)
    }

    /// Changes an object in place under a field manager's name; `false` when it was changed by
    /// somebody since it was read.
    pub async fn merge_as(
        self,
        object: &Value,
        patch: &Value,
        manager: &str,
    ) -> Result<bool, CommandError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let api = self.api(object);
        let params = PatchParams {
            field_manager: Some(manager.into()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        match self
            .connection
            .wait(api.patch(name, &params, &patch))
            .await?
        {
            Ok(_) => Ok(true),
            Err(Error::Api(status)) if status.code == 409 => Ok(false),
            Err(error) => {
                let what = format!("change {}", shown(object));
                Err(failure::of(error, &what, &self.connection.endpoint))
            }
        }
    }

    /// Compares objects with the live ones, as the API server sees it.
    pub async fn compare(
        self,
        objects: &[&Value],
        namespace: &str,
        namespace_exists: bool,
    ) -> Result<Vec<ObjectChange>, CommandError> {
        let compare = async |object: &Value| {
            let change = |verb| ObjectChange {
                verb,
                object: shown(object),
            };
            let in_new_namespace =
                !namespace_exists && object["metadata"]["namespace"] == namespace;
            if in_new_namespace {
                return Ok(change(Verb::Create));
            }
            let Some(before) = self.live(object).await? else {
                // Whether it would be accepted is told by the error.
                let _ = self.dry_run(object, true).await?;
                return Ok(change(Verb::Create));
            };
            let marked = with_marks(object, &before);
            let same = match self.dry_run(&marked, true).await? {
                Ok(after) => substance(before) == substance(after),
                Err(_) => false,
            };
            Ok::<_, CommandError>(change(if same { Verb::Same } else { Verb::Change }))
        };
        let mut compared = futures::stream::iter(objects.iter().map(|object| compare(object)))
            .buffered(CONCURRENT);
        let mut changes = Vec::new();
        while let Some(change) = compared.next().await {
            changes.push(change?);
        }
        Ok(changes)
    }

    /// All controllers of the GitOps kind in the cluster.
    pub async fn controllers(self) -> Result<Controllers, CommandError> {
        let mut controllers = Controllers::default();
        for kind in ["Deployment", "StatefulSet"] {
            let api = self.api(&json!({"apiVersion": "apps/v1", "kind": kind}));
            let mut params = ListParams::default().limit(PAGE);
            let what = format!("list {kind}s in all namespaces");
            loop {
                let page = self.connection.ask(&what, api.list(&params)).await?;
                for object in page.items {
                    let object = serde_json::to_value(object).unwrap_or_default();
                    controllers.all.extend(Controller::of(kind, &object));
                }
                match page.metadata.continue_.filter(|token| !token.is_empty()) {
                    Some(token) => params.continue_token = Some(token),
                    None => break,
                }
            }
        }
        let mut namespaces: Vec<String> = controllers
            .all
            .iter()
            .filter(|controller| controller.role == Role::ArgoApplications)
            .map(|controller| controller.namespace.clone())
            .collect();
        namespaces.dedup();
        for namespace in namespaces {
            let settings = json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "argocd-cmd-params-cm", "namespace": namespace},
            });
            if let Some(live) = self.live(&settings).await?
                && let Some(patterns) = live["data"]["application.namespaces"].as_str()
            {
                controllers.reach.push((namespace, patterns.to_owned()));
            }
        }
        Ok(controllers)
    }

    /// Whether a namespace exists; refuses one that is being deleted.
    pub async fn has_namespace(self, name: &str) -> Result<bool, CommandError> {
        let api: Api<Namespace> = Api::all(self.connection.client.clone());
        let found = self
            .connection
            .ask("read the namespace", api.get_opt(name))
            .await?;
        let deleting = found
            .as_ref()
            .is_some_and(|found| found.metadata.deletion_timestamp.is_some());
        if deleting {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                format!("the namespace {name} is being deleted"),
            )
            .hint(format!(
                "wait until it is gone: kubectl get namespace {name} -w"
            )));
        }
        Ok(found.is_some())
    }

    /// All objects of a kind in a namespace; none when the kind is not served.
    pub async fn list(
        self,
        api_version: &str,
        kind: &str,
        namespace: &str,
        selector: &str,
    ) -> Result<Vec<Value>, CommandError> {
        let api = self.api(&json!({
            "apiVersion": api_version, "kind": kind, "metadata": {"namespace": namespace},
        }));
        let mut params = ListParams::default().limit(PAGE).labels(selector);
        let mut objects = Vec::new();
        loop {
            let page = match self.connection.wait(api.list(&params)).await? {
                Ok(page) => page,
                Err(Error::Api(status)) if status.code == 404 => return Ok(objects),
                Err(error) => {
                    let what = format!("list {kind}s in {namespace}");
                    return Err(failure::of(error, &what, &self.connection.endpoint));
                }
            };
            for object in page.items {
                let mut object = serde_json::to_value(object).unwrap_or_default();
                object["apiVersion"] = json!(api_version);
                object["kind"] = json!(kind);
                objects.push(object);
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => return Ok(objects),
            }
        }
    }

    /// Deletes an object, if it is there; what it owns goes with it.
    pub async fn delete(self, object: &Value) -> Result<(), CommandError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let api = self.api(object);
        let params = DeleteParams::background();
        match self.connection.wait(api.delete(name, &params)).await? {
            Ok(_) => Ok(()),
            Err(Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => {
                let what = format!("delete {}", shown(object));
                Err(failure::of(error, &what, &self.connection.endpoint))
            }
        }
    }

    /// Secrets with repositories and their credentials.
    pub async fn repository_secrets(self, namespace: &str) -> Result<Vec<Secret>, CommandError> {
        let api: Api<Secret> = Api::namespaced(self.connection.client.clone(), namespace);
        let selector = format!(
            "{} in ({}, {})",
            label::SECRET_TYPE,
            secret_type::REPOSITORY,
            secret_type::REPO_CREDS
        );
        let params = ListParams::default().labels(&selector);
        let listed = self
            .connection
            .ask("list repository Secrets", api.list(&params))
            .await?;
        Ok(listed.items)
    }

    /// Whether an agent is alive in a namespace.
    pub async fn agent_runs(self, namespace: &str) -> bool {
        let api: Api<Lease> = Api::namespaced(self.connection.client.clone(), namespace);
        matches!(
            self.connection.wait(api.get_opt(LEASE_NAME)).await,
            Ok(Ok(Some(lease)))
                if matches!(Agent::of(&lease, Timestamp::now()), Agent::Running { .. })
        )
    }
}

/// An object with what the agent wrote on the live one: applied under the agent's name without
/// these, they would be taken away.
fn with_marks(object: &Value, live: &Value) -> Value {
    let mut marked = object.clone();
    let marks = [
        ("annotations", annotation::TRACKING_ID),
        ("annotations", annotation::DESIRED_DIGEST),
        ("labels", label::MANAGED_BY),
    ];
    for (field, name) in marks {
        let mark = &live["metadata"][field][name];
        if mark.is_string() {
            marked["metadata"][field][name] = mark.clone();
        }
    }
    marked
}

/// What counts when two versions of an object are compared.
fn substance(mut object: Value) -> Value {
    if let Some(object) = object.as_object_mut() {
        object.remove("status");
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            for field in ["managedFields", "resourceVersion", "generation"] {
                metadata.remove(field);
            }
        }
    }
    object
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_agent_wrote_stays() {
        let object = json!({"kind": "ConfigMap", "metadata": {"name": "a", "labels": {"x": "y"}}});
        let live = json!({"metadata": {
            "labels": {"gitops-agent.io/managed-by": "argocd", "other": "z"},
            "annotations": {"argocd.argoproj.io/tracking-id": "t", "mine": "m"},
        }});
        assert_eq!(
            with_marks(&object, &live)["metadata"],
            json!({
                "name": "a",
                "labels": {"x": "y", "gitops-agent.io/managed-by": "argocd"},
                "annotations": {"argocd.argoproj.io/tracking-id": "t"},
            })
        );
        assert_eq!(with_marks(&object, &json!({})), object);
    }

    #[test]
    fn versions_differ_in_substance_only() {
        let one = json!({"metadata": {"name": "a", "resourceVersion": "1"}, "status": {"x": 1}, "data": {}});
        let two = json!({"metadata": {"name": "a", "resourceVersion": "2"}, "data": {}});
        assert_eq!(substance(one), substance(two));
    }
}
