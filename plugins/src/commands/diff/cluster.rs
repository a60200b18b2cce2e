//! The cluster as the person sees it: which kinds it serves, and what it answers to dry runs of
//! what Git holds. Every request that could write is a dry run.

use std::collections::HashMap;
use std::sync::Arc;

use futures::{StreamExt, stream};
use gitops_api::Application;
use gitops_api::constants::FIELD_MANAGER;
use gitops_api::preview::{PreviewCounts, PreviewObject};
use gitops_core::manifest::desired::{DesiredObject, DesiredSet, Scope};
use gitops_core::manifest::object::{GroupKind, GroupVersionKind, ObjectKey};
use gitops_core::manifest::tracking;
use gitops_core::report::preview;
use gitops_core::report::preview::Applied;
use gitops_core::report::refusal::Refusal;
use gitops_core::report::status::identity;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text;
use jiff::Timestamp;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::{ApiResource, Status};
use kube::discovery::{self, Discovery};
use serde_json::Value;

use crate::cluster::connection::Connection;
use crate::cluster::failure;
use crate::commands::diff::place;

/// Requests under way at the same time.
const REQUESTS: usize = 8;

/// Which kinds the cluster serves.
pub(super) struct Cluster {
    served: HashMap<GroupVersionKind, ApiResource>,
    scopes: HashMap<GroupKind, Scope>,
    /// `v1`, `apps/v1`, `apps/v1/Deployment`, …: what charts call API versions. Sorted.
    pub(super) api_versions: Arc<[String]>,
    /// Version of the cluster, such as `v1.36.3`.
    pub(super) version: String,
}

impl Cluster {
    /// Asks the cluster.
    pub(super) async fn of(connection: &Connection) -> Result<Self, CommandError> {
        const WHAT: &str = "ask the cluster which kinds it serves";
        let client = &connection.client;
        let found = connection.ask(WHAT, Discovery::new(client.clone()).run_aggregated());
        let version = connection.ask(WHAT, client.apiserver_version());
        let (found, version) = tokio::try_join!(found, version)?;
        let mut cluster = Self {
            served: HashMap::new(),
            scopes: HashMap::new(),
            api_versions: Arc::default(),
            version: version.git_version,
        };
        let mut api_versions = Vec::new();
        for group in found.groups() {
            for version in group.versions() {
                for (resource, capabilities) in group.versioned_resources(version) {
                    api_versions.push(resource.api_version.clone());
                    api_versions.push(format!("{}/{}", resource.api_version, resource.kind));
                    let scope = match capabilities.scope {
                        discovery::Scope::Namespaced => Scope::Namespaced,
                        discovery::Scope::Cluster => Scope::Cluster,
                    };
                    let kind = GroupVersionKind {
                        group: resource.group.clone(),
                        version: resource.version.clone(),
                        kind: resource.kind.clone(),
                    };
                    cluster.scopes.insert(kind.group_kind(), scope);
                    cluster.served.insert(kind, resource);
                }
            }
        }
        api_versions.sort_unstable();
        api_versions.dedup();
        cluster.api_versions = api_versions.into();
        Ok(cluster)
    }

    /// Whether objects of a kind live in namespaces.
    pub(super) fn scope(&self, kind: &GroupKind) -> Option<Scope> {
        self.scopes.get(kind).copied()
    }

    /// `None`: the cluster does not serve the kind in this version.
    fn api(
        &self,
        connection: &Connection,
        kind: &GroupVersionKind,
        namespace: &str,
    ) -> Option<Api<DynamicObject>> {
        let resource = self.served.get(kind)?;
        let client = connection.client.clone();
        Some(if namespace.is_empty() {
            Api::all_with(client, resource)
        } else {
            Api::namespaced_with(client, namespace, resource)
        })
    }
}

/// What is compared with what.
pub(super) struct Comparison<'a> {
    pub(super) connection: &'a Connection,
    pub(super) cluster: &'a Cluster,
    pub(super) application: &'a Application,
    pub(super) desired: &'a DesiredSet,
    /// Answer with whole objects.
    pub(super) whole: bool,
}

/// What came of one object.
enum Answer {
    Equal,
    Differs(Box<PreviewObject>),
    /// The same, with differences that are ignored: how many.
    Ignoring(Box<Self>, usize),
    /// The person may not look.
    Forbidden(String),
}

impl Comparison<'_> {
    /// Asks about every object.
    pub(super) async fn run(&self) -> Result<(Vec<PreviewObject>, PreviewCounts), CommandError> {
        let wanted = self
            .desired
            .objects
            .values()
            .map(|object| Ask::Wanted(object));
        let extra = self
            .leftovers()
            .into_iter()
            .map(|(kind, key)| Ask::Extra(kind, key));
        let mut answers: Vec<(ObjectKey, Result<Answer, CommandError>)> =
            stream::iter(wanted.chain(extra))
                .map(async |ask| match ask {
                    Ask::Wanted(object) => (object.key.clone(), self.wanted(object).await),
                    Ask::Extra(kind, key) => {
                        let answer = self.extra(&kind, &key).await;
                        (key, answer)
                    }
                })
                .buffer_unordered(REQUESTS)
                .collect()
                .await;
        answers.sort_by(|a, b| a.0.cmp(&b.0));
        let all = answers.len();
        let (mut objects, mut equal, mut forbidden) = (Vec::new(), 0, Vec::new());
        let mut ignored = 0;
        for (_, answer) in answers {
            let answer = match answer? {
                Answer::Ignoring(answer, count) => {
                    ignored += count;
                    *answer
                }
                answer => answer,
            };
            match answer {
                Answer::Equal | Answer::Ignoring(..) => equal += 1,
                Answer::Differs(object) => objects.push(*object),
                Answer::Forbidden(why) => forbidden.push(why),
            }
        }
        if let Some(first) = forbidden.first() {
            return Err(self.forbidden(forbidden.len(), all, first));
        }
        let counts = preview::counts(&objects, equal, ignored);
        Ok((objects, counts))
    }

    /// What the agent last listed and the working tree no longer holds.
    fn leftovers(&self) -> Vec<(GroupVersionKind, ObjectKey)> {
        let resources = self
            .application
            .status
            .iter()
            .flat_map(|status| &status.resources);
        resources
            .filter(|resource| !resource.hook)
            .map(identity)
            .filter(|(_, key)| !self.desired.objects.contains_key(key))
            .collect()
    }

    async fn wanted(&self, object: &DesiredObject) -> Result<Answer, CommandError> {
        let brings = || {
            preview::brings_namespace(&self.application.spec, self.desired, &object.key.namespace)
        };
        let refused =
            |message: &str| Ok(Answer::Differs(Box::new(preview::refused(object, message))));
        let Some(api) = self
            .cluster
            .api(self.connection, &object.gvk, &object.key.namespace)
        else {
            if object.kind_known {
                return Ok(self.judged(object, None, Applied::Later));
            }
            return refused(&format!(
                "the cluster does not serve {}; install its CustomResourceDefinition or correct \
                 apiVersion and kind",
                object.gvk
            ));
        };
        let manifest = object.manifest();
        let params = PatchParams {
            dry_run: true,
            force: true,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            field_validation: Some(ValidationDirective::Strict),
        };
        let patch = Patch::Apply(&manifest);
        let (live, applied) = tokio::join!(
            self.connection.wait(api.get_opt(&object.key.name)),
            self.connection
                .wait(api.patch(&object.key.name, &params, &patch))
        );
        let live = match live? {
            Ok(live) => live.map(|live| value(&live)),
            Err(error) => return self.not_read(error),
        };
        match applied? {
            Ok(applied) => {
                let applied = value(&applied);
                Ok(self.judged(object, live.as_ref(), Applied::As(&applied)))
            }
            Err(kube::Error::Api(status)) => {
                if is_forbidden(&status) {
                    Ok(Answer::Forbidden(text::one_line(&status.message)))
                } else if status.code == 404 && live.is_none() && brings() {
                    Ok(self.judged(object, None, Applied::Later))
                } else if status.code == 429 || status.code >= 500 {
                    self.not_read(kube::Error::Api(status))
                } else {
                    refused(&refusal(&status, &object.key))
                }
            }
            Err(error) => self.not_read(error),
        }
    }

    fn judged(&self, object: &DesiredObject, live: Option<&Value>, applied: Applied<'_>) -> Answer {
        let wanted = preview::wanted(object, live, applied, self.whole, Timestamp::now());
        let answer = match wanted.object {
            None => Answer::Equal,
            Some(differs) => Answer::Differs(Box::new(differs)),
        };
        Answer::Ignoring(Box::new(answer), wanted.ignored)
    }

    /// An object the Application no longer holds, if it is still there and still the Application's.
    async fn extra(
        &self,
        kind: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<Answer, CommandError> {
        let Some(api) = self.cluster.api(self.connection, kind, &key.namespace) else {
            return Ok(Answer::Equal);
        };
        let live = match self.connection.wait(api.get_opt(&key.name)).await? {
            Ok(Some(live)) => value(&live),
            Ok(None) => return Ok(Answer::Equal),
            Err(error) => return self.not_read(error),
        };
        if !self.is_ours(&live) {
            return Ok(Answer::Equal);
        }
        let object = preview::extra(key, &kind.version, &live, self.whole);
        Ok(Answer::Differs(Box::new(object)))
    }

    fn is_ours(&self, live: &Value) -> bool {
        let (namespace, name) = place(self.application);
        tracking::owner(live).is_some_and(|owner| {
            tracking::application_of(&owner.instance, namespace) == (namespace, name)
        })
    }

    /// A request that failed: without rights the others are still asked about, else this ends it.
    fn not_read(&self, error: kube::Error) -> Result<Answer, CommandError> {
        match error {
            kube::Error::Api(status) if is_forbidden(&status) => {
                Ok(Answer::Forbidden(text::one_line(&status.message)))
            }
            error => Err(failure::of(
                error,
                "compare with the cluster",
                &self.connection.endpoint,
            )),
        }
    }

    fn forbidden(&self, count: usize, all: usize, first: &str) -> CommandError {
        let (namespace, name) = place(self.application);
        CommandError::new(
            CommandErrorKind::Forbidden,
            format!(
                "you may not compare {count} of {all} objects, which takes the right to get and \
                 patch them (nothing is written): {first}"
            ),
        )
        .hint(format!(
            "the agent can compare what is pushed, with its own rights: kubectl gitops diff {name} \
             -n {namespace} --revision BRANCH"
        ))
    }
}

enum Ask<'a> {
    Wanted(&'a DesiredObject),
    Extra(GroupVersionKind, ObjectKey),
}

fn value(object: &DynamicObject) -> Value {
    // It came as JSON.
    serde_json::to_value(object).unwrap_or_default()
}

/// Whether a right is missing; admission and quotas refuse with the same code.
fn is_forbidden(status: &Status) -> bool {
    status.code == 403
        && status.message.contains(" cannot ")
        && status.message.contains(" resource ")
}

fn refusal(status: &Status, key: &ObjectKey) -> String {
    let fields: Vec<&str> = status
        .details
        .iter()
        .flat_map(|details| &details.causes)
        .map(|cause| cause.field.as_str())
        .collect();
    let refusal = Refusal {
        code: status.code,
        reason: &status.reason,
        message: &status.message,
        fields: &fields,
    };
    refusal.text(key)
}
