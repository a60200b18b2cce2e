//! The cluster as the user sees it: which kinds it serves, and what it answers to dry runs of
//! what Git holds. Every request that could write is a dry run.

use futures::{StreamExt, stream};
use gitops_api::Application;
use gitops_api::constants::FIELD_MANAGER;
use gitops_api::preview::{PreviewCounts, PreviewObject};
use gitops_core::compare::pipeline::Pipeline;
use gitops_core::compare::{comparison, pipeline};
use gitops_core::live::discovery::{ServedKind, ServedKinds};
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::{DesiredObject, Scope};
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::manifest::options::AppOptions;
use gitops_core::manifest::tracking;
use gitops_core::manifest::undeclared::KnownFields;
use gitops_core::project::ProjectRules;
use gitops_core::report::preview::{DryRun, ObjectPreview, SyncPreview};
use gitops_core::report::refusal::Refusal;
use gitops_core::report::status::identity;
use gitops_core::report::{preview, refusal};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text;
use kube::Api;
use kube::api::{DynamicObject, Patch, PatchParams, ValidationDirective};
use kube::core::{ApiResource, Status};
use kube::discovery::{self, ApiCapabilities, Discovery, verbs};
use serde_json::Value;

use crate::cluster::connection::Connection;
use crate::cluster::failure;
use crate::commands::diff::place;

/// Requests under way at the same time.
const REQUESTS: usize = 8;

/// Which kinds the cluster serves.
pub(super) async fn served_kinds(connection: &Connection) -> Result<ServedKinds, CommandError> {
    const WHAT: &str = "ask the cluster which kinds it serves";
    let client = &connection.client;
    let found = connection.ask(WHAT, Discovery::new(client.clone()).run_aggregated());
    let version = connection.ask(WHAT, client.apiserver_version());
    let (found, version) = tokio::try_join!(found, version)?;
    let groups = found.groups();
    let versions = groups.flat_map(|group| group.versions().map(move |name| (group, name)));
    let served = versions.flat_map(|(group, name)| group.versioned_resources(name));
    let served = served.map(|(kind, can)| served_kind(kind, &can));
    Ok(ServedKinds::new(version.git_version, served))
}

fn served_kind(resource: ApiResource, capabilities: &ApiCapabilities) -> ServedKind {
    ServedKind {
        gvk: GroupVersionKind {
            group: resource.group,
            version: resource.version,
            kind: resource.kind,
        },
        plural: resource.plural,
        scope: match capabilities.scope {
            discovery::Scope::Namespaced => Scope::Namespaced,
            discovery::Scope::Cluster => Scope::Cluster,
        },
        watchable: capabilities.supports_operation(verbs::WATCH)
            && capabilities.supports_operation(verbs::LIST),
    }
}

/// What is compared with what.
pub(super) struct Comparison<'a> {
    pub(super) connection: &'a Connection,
    pub(super) pipeline: Pipeline<'a>,
    /// The rules of the Application's project, where it may be read.
    pub(super) rules: Option<&'a ProjectRules>,
    /// What is desired.
    pub(super) preview: SyncPreview<'a>,
}

/// What came of one object.
enum Answer {
    Compared(Box<ObjectPreview>),
    /// The user may not look.
    Forbidden(String),
}

impl From<ObjectPreview> for Answer {
    fn from(preview: ObjectPreview) -> Self {
        Self::Compared(Box::new(preview))
    }
}

impl Comparison<'_> {
    /// Asks about every object.
    pub(super) async fn run(&self) -> Result<(Vec<PreviewObject>, PreviewCounts), CommandError> {
        let desired = self.preview.desired.objects.values();
        let desired = desired.map(|object| Ask::Desired(object));
        let extra = self
            .leftovers()
            .into_iter()
            .map(|(kind, key)| Ask::Extra(kind, key));
        let answers: Vec<(ObjectKey, Result<Answer, CommandError>)> =
            stream::iter(desired.chain(extra))
                .map(async |ask| match ask {
                    Ask::Desired(object) => (object.key.clone(), self.desired(object).await),
                    Ask::Extra(kind, key) => {
                        let answer = self.extra(&kind, &key).await;
                        (key, answer)
                    }
                })
                .buffer_unordered(REQUESTS)
                .collect()
                .await;
        let all = answers.len();
        let (mut compared, mut forbidden) = (Vec::new(), Vec::new());
        for (key, answer) in answers {
            match answer? {
                Answer::Compared(preview) => compared.push((key, *preview)),
                Answer::Forbidden(why) => forbidden.push(why),
            }
        }
        if let Some(first) = forbidden.first() {
            return Err(self.forbidden(forbidden.len(), all, first));
        }
        Ok(preview::collect(compared))
    }

    /// What the agent last listed and the working tree no longer holds. What the project does not
    /// allow, and what the settings leave alone, is not this Application's to prune.
    fn leftovers(&self) -> Vec<(GroupVersionKind, ObjectKey)> {
        let spec = self.preview.spec;
        let permits = |key: &ObjectKey| {
            let rules = self.rules.as_ref();
            rules.is_none_or(|rules| rules.permits_object(&spec.destination, key).is_ok())
        };
        let status = self.pipeline.application.status.iter();
        status
            .flat_map(|status| &status.resources)
            .filter(|resource| !resource.hook)
            .map(identity)
            .filter(|(_, key)| !self.preview.desired.objects.contains_key(key))
            .filter(|(_, key)| !self.pipeline.settings.excludes(&key.group, &key.kind))
            .filter(|(_, key)| permits(key))
            .collect()
    }

    async fn desired(&self, object: &DesiredObject) -> Result<Answer, CommandError> {
        let Some(api) = self.api(&object.gvk, &object.key.namespace) else {
            let answer = DryRun::UnknownKind;
            return Ok(self.preview.with_dry_run(object, None, answer).into());
        };
        let live = match self.connection.wait(api.get_opt(&object.key.name)).await? {
            Ok(live) => live.map(|live| value(&live)),
            Err(error) => return self.not_read(error),
        };
        if let Some(record) = live
            .as_ref()
            .and_then(|live| LiveObject::observe(live, true))
        {
            let instance = self.pipeline.instance();
            let held = self.is_held_by_another(&record, &instance).await?;
            let state = comparison::judge(object, &instance, Some(&record), None, |_, _| held);
            if let Some(known) = self.preview.without_dry_run(object, &state) {
                return Ok(known.into());
            }
        }
        let answer = self.dry_run(&api, object).await?;
        let preview = |answer: DryRun<'_>| {
            let preview = self.preview.with_dry_run(object, live.as_ref(), answer);
            Ok(preview.into())
        };
        match answer {
            Ok(applied) => preview(DryRun::Applied(&applied)),
            Err(kube::Error::Api(status))
                if !is_forbidden(&status)
                    && !refusal::is_transient(status.code, &status.message) =>
            {
                preview(DryRun::Refused {
                    code: status.code,
                    message: &refusal_text(&status, &object.key),
                })
            }
            Err(error) => self.not_read(error),
        }
    }

    /// What an apply would make of an object, as the agent would write it.
    async fn dry_run(
        &self,
        api: &Api<DynamicObject>,
        object: &DesiredObject,
    ) -> Result<Result<Value, kube::Error>, CommandError> {
        let options = AppOptions::of(self.preview.spec.sync_policy.as_ref());
        let validates = options.validates(object.options);
        let params = PatchParams {
            dry_run: true,
            force: true,
            field_manager: Some(FIELD_MANAGER.to_owned()),
            field_validation: Some(if validates {
                ValidationDirective::Strict
            } else {
                ValidationDirective::Ignore
            }),
        };
        let send = async |manifest: &Value| {
            let patch = Patch::Apply(manifest);
            let answer = api.patch(&object.key.name, &params, &patch);
            self.connection.wait(answer).await
        };
        let manifest = object.manifest();
        let mut answer = send(&manifest).await?;
        if !validates {
            let mut known = KnownFields::of(&manifest);
            while let Err(kube::Error::Api(status)) = &answer
                && let Some(fewer) = known.after(&status.message)
            {
                answer = send(fewer).await?;
            }
        }
        Ok(answer.map(|applied| value(&applied)))
    }

    /// Whether another Application has an object and may still want it. One that may not be looked
    /// at may.
    async fn is_held_by_another(
        &self,
        record: &LiveObject,
        instance: &str,
    ) -> Result<bool, CommandError> {
        let owner = record.tracking.as_ref().map(|id| id.instance.as_str());
        let Some(other) = owner.filter(|owner| *owner != instance) else {
            return Ok(false);
        };
        let (namespace, name) = tracking::application_of(other, self.pipeline.controller_namespace);
        let api: Api<Application> = Api::namespaced(self.connection.client.clone(), namespace);
        Ok(match self.connection.wait(api.get_opt(name)).await? {
            Ok(Some(application)) => pipeline::may_want(&application, &record.key),
            Ok(None) => false,
            Err(_) => true,
        })
    }

    /// An object the Application no longer holds, if it is still there and still the Application's.
    async fn extra(
        &self,
        kind: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<Answer, CommandError> {
        let nothing = || Ok(ObjectPreview::default().into());
        let Some(api) = self.api(kind, &key.namespace) else {
            return nothing();
        };
        let live = match self.connection.wait(api.get_opt(&key.name)).await? {
            Ok(Some(live)) => value(&live),
            Ok(None) => return nothing(),
            Err(error) => return self.not_read(error),
        };
        let instance = self.pipeline.instance();
        let is_extra = LiveObject::observe(&live, false)
            .is_some_and(|record| comparison::judge_extra(&record, &instance).is_some());
        if !is_extra {
            return nothing();
        }
        let pruned = self.preview.extra(key, &kind.version, &live);
        Ok(ObjectPreview::from(pruned).into())
    }

    /// `None`: the cluster does not serve the kind in this version.
    fn api(&self, kind: &GroupVersionKind, namespace: &str) -> Option<Api<DynamicObject>> {
        let served = self.pipeline.kinds.served(kind)?;
        let resource = ApiResource {
            group: kind.group.clone(),
            version: kind.version.clone(),
            api_version: kind.api_version(),
            kind: kind.kind.clone(),
            plural: served.plural.clone(),
        };
        let client = self.connection.client.clone();
        Some(if namespace.is_empty() {
            Api::all_with(client, &resource)
        } else {
            Api::namespaced_with(client, namespace, &resource)
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
        let (namespace, name) = place(self.pipeline.application);
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
    Desired(&'a DesiredObject),
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

fn refusal_text(status: &Status, key: &ObjectKey) -> String {
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
