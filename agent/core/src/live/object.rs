//! What the agent remembers of an object in the cluster: identity and verdicts, not the object.
//!
//! A record is a few hundred bytes whatever the object's size, so memory follows the number of
//! managed objects only.

use gitops_api::constants;
use jiff::Timestamp;
use serde_json::Value;

use crate::live::health::Health;
use crate::live::shown::Shown;
use crate::live::{ended, given_up, health, injected, ownership, takeover};
use crate::manifest::object::{GroupVersionKind, ObjectKey};
use crate::manifest::options::{ObjectOptions, Removal};
use crate::manifest::order::Order;
use crate::manifest::tracking::{Tracking, TrackingId, TrackingMethod};
use crate::manifest::{hook, object, tracking};

/// An object of the cluster, observed once.
#[derive(Clone, Debug, PartialEq)]
pub struct LiveObject {
    /// Identity.
    pub key: ObjectKey,
    /// API version it was read at, without the group.
    pub version: String,
    /// `metadata.uid`.
    pub uid: String,
    /// `metadata.resourceVersion`.
    pub resource_version: String,
    /// `metadata.generation`, for kinds that have one.
    pub generation: Option<i64>,
    /// `metadata.deletionTimestamp` is set.
    pub deleting: bool,
    /// The application that owns it, when its tracking annotation names the object itself
    /// (operators copy annotations to objects they create).
    pub tracking: Option<TrackingId>,
    /// Value of the label `app.kubernetes.io/instance`, of a hook without tracking only.
    pub labelled: Option<Box<str>>,
    /// It carries the label by which the watches of this kind of agent find it.
    pub marked: bool,
    /// Digest of the manifest it was last applied from.
    pub desired_digest: Option<String>,
    /// Digest of the fields the agent holds; empty when it holds none.
    pub owned: String,
    /// When the agent, or a client that says it is the agent, last changed one of them.
    pub applied_at: Option<Timestamp>,
    /// The fields the agent holds, as JSON; kept only until they were compared once with what it
    /// wants.
    pub fields: Option<Box<str>>,
    /// Health, for kinds that have one.
    pub health: Option<Health>,
    /// Never delete it: `Prune=false`, `Delete=false` or `helm.sh/resource-policy: keep`.
    pub keep: bool,
    /// `compare-options: IgnoreExtraneous`: that it is not in Git does not count.
    pub ignore_extraneous: bool,
    /// Its sync options.
    pub options: ObjectOptions,
    /// Whether it goes with its Application.
    pub on_deletion: OnDeletion,
    /// `argocd.argoproj.io/ignore-healthcheck: "true"`.
    pub ignore_health: bool,
    /// It is a hook, and so no part of what is synchronized.
    pub hook: bool,
    /// The run of an operation that created it, when it is a hook.
    pub operation: Option<String>,
    /// When it is deleted, if it is a hook.
    pub deletion: hook::Deletion,
    /// The agent's finalizer keeps it until its result was read.
    pub held: bool,
    /// Its wave, which prunes go through in reverse.
    pub wave: i64,
    /// A controller keeps entries in one of its maps that an apply has to send along.
    pub injected: bool,
    /// It has done its work and may be taken away any time.
    pub ended: bool,
    /// The class of a claim that is not bound: it may wait for the first Pod that uses it. Nothing, too,
    /// once it is known that the class does not wait.
    pub awaits_consumer: Option<Box<str>>,
    /// The order of its lists, as far as it counts.
    pub order: Order,
    /// Another manager holds fields that the agent holds, too.
    pub shares: bool,
    /// The agent holds the number of replicas.
    pub holds_replicas: bool,
    /// It is the Deployment of an agent, and scaled to zero.
    pub stopped_agent: bool,
    /// What it contributes to `status.summary`; nothing, for most.
    pub shown: Option<Box<Shown>>,
}

impl LiveObject {
    /// Observes an object; `None` when it has no identity.
    ///
    /// `keep_fields` keeps the fields the agent holds, for an object that was never confirmed.
    pub fn observe(object: &Value, keep_fields: bool) -> Option<Self> {
        Self::observe_with(object, keep_fields, health::assess)
    }

    /// As [`observe`](Self::observe), with the health that `assess` gives it.
    pub fn observe_with(
        object: &Value,
        keep_fields: bool,
        assess: impl FnOnce(&Value) -> Option<Health>,
    ) -> Option<Self> {
        let key = ObjectKey::of(object)?;
        let metadata = object.get("metadata")?;
        let text = |name: &str| {
            metadata
                .get(name)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let options = ObjectOptions::of(object);
        let marks = hook::marks(object);
        let is_hook = marks.is_some();
        let finalizers = metadata.get("finalizers").and_then(Value::as_array);
        let tracking =
            tracking::owner(object).filter(|_| metadata.get("ownerReferences").is_none());
        let labelled = metadata["labels"][constants::label::INSTANCE].as_str();
        let labelled = labelled.filter(|_| is_hook && tracking.is_none());
        Some(Self {
            version: GroupVersionKind::of(object)?.version,
            uid: text("uid").into(),
            resource_version: text("resourceVersion").into(),
            generation: metadata.get("generation").and_then(Value::as_i64),
            deleting: metadata
                .get("deletionTimestamp")
                .is_some_and(Value::is_string),
            labelled: labelled.map(Into::into),
            tracking,
            marked: object::label(object, constants::label::MANAGED_BY).is_some(),
            desired_digest: object::annotation(object, constants::annotation::DESIRED_DIGEST)
                .map(Into::into),
            owned: ownership::applied_digest(object, constants::FIELD_MANAGER),
            applied_at: ownership::applied_at(object, constants::FIELD_MANAGER),
            fields: ownership::applied_fields(object, constants::FIELD_MANAGER)
                .filter(|_| keep_fields)
                .map(|fields| fields.to_string().into()),
            health: if is_hook {
                hook_health(object, assess)
            } else {
                assess(object)
            },
            keep: is_kept(object, options),
            ignore_extraneous: object::has_option(
                object,
                constants::annotation::COMPARE_OPTIONS,
                "IgnoreExtraneous",
            ),
            options,
            on_deletion: OnDeletion::of(object, options),
            ignore_health: object::annotation(object, constants::annotation::IGNORE_HEALTHCHECK)
                == Some("true"),
            hook: is_hook,
            operation: object::annotation(object, constants::annotation::OPERATION).map(Into::into),
            deletion: marks.map_or_else(Default::default, |marks| marks.deletion),
            held: finalizers
                .is_some_and(|set| set.iter().any(|name| name == constants::finalizer::HOOK)),
            wave: object::wave(object),
            injected: injected::has_entries(object),
            ended: ended::has_ended(object),
            awaits_consumer: ended::unbound_class(object).map(Into::into),
            order: Order::of(object),
            shares: given_up::is_shared(object, constants::FIELD_MANAGER),
            stopped_agent: is_stopped_agent(object),
            holds_replicas: given_up::holds_replicas(object, constants::FIELD_MANAGER),
            shown: Shown::of(object),
            key,
        })
    }

    /// Group, version and kind it was read at.
    pub fn gvk(&self) -> GroupVersionKind {
        GroupVersionKind {
            group: self.key.group.clone(),
            version: self.version.clone(),
            kind: self.key.kind.clone(),
        }
    }

    /// The same, with the label taken for its tracking when objects are tracked by labels and Argo CD
    /// itself applied it: the label alone is copied to much that controllers make.
    #[must_use]
    pub fn tracked_by(mut self, object: &Value, tracking: &Tracking) -> Self {
        let own = tracking.method == TrackingMethod::Label
            && self.tracking.is_none()
            && !self.hook
            && object["metadata"].get("ownerReferences").is_none()
            && takeover::is_applied_by_argo_cd(object);
        if own && let Some(instance) = object::label(object, &tracking.label_key) {
            self.tracking = Some(TrackingId {
                instance: instance.into(),
                key: self.key.clone(),
            });
        }
        self
    }

    /// Whether it may be as Git wants it although the agent never applied it: it was delivered for
    /// this application before, by Argo CD.
    pub fn is_inherited(&self, instance: &str, implicit: bool) -> bool {
        self.desired_digest.is_none()
            && self.owned.is_empty()
            && (implicit
                || self
                    .tracking
                    .as_ref()
                    .is_some_and(|tracking| tracking.instance == instance))
    }

    /// The same, as far as the agent is known to have written it: at `until` at the latest. What was
    /// applied later under its name proves nothing, whoever holds the fields.
    #[must_use]
    pub fn doubted_after(self, until: Option<Timestamp>) -> Self {
        if self.applied_at > until {
            Self {
                fields: None,
                ..self
            }
        } else {
            self
        }
    }

    /// Whether the agent still holds every field `wanted` sets; `false` when that is not known.
    pub fn covers(&self, wanted: &Value) -> bool {
        self.fields
            .as_deref()
            .and_then(|fields| serde_json::from_str(fields).ok())
            .is_some_and(|fields| ownership::covers(wanted, &fields))
    }

    /// Whether this observation is of a later state than `other`. Resource versions are ordered
    /// numbers: <https://kubernetes.io/docs/reference/using-api/api-concepts/#resource-versions>.
    pub fn is_newer_than(&self, other: &Self) -> bool {
        let number = |version: &str| version.parse::<u64>().ok();
        match (
            number(&self.resource_version),
            number(&other.resource_version),
        ) {
            (Some(mine), Some(theirs)) => mine > theirs,
            _ => self.resource_version != other.resource_version,
        }
    }
}

/// A hook that did its work did it, although somebody deletes it: a Job with a time to live is
/// gone in the moment it ends, and only its finalizer keeps it.
fn hook_health(object: &Value, assess: impl FnOnce(&Value) -> Option<Health>) -> Option<Health> {
    if object.pointer("/metadata/deletionTimestamp").is_none() {
        return assess(object);
    }
    let mut alive = object.clone();
    if let Some(metadata) = alive.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("deletionTimestamp");
    }
    assess(&alive)
}

/// What becomes of an object when its Application is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OnDeletion {
    /// It says nothing: it is deleted, unless the Application says otherwise.
    #[default]
    Delete,
    /// `Delete=confirm`: nothing is deleted before it is approved.
    Confirm,
    /// `Delete=false` or `helm.sh/resource-policy: keep`.
    Retain,
}

impl OnDeletion {
    /// Reads the annotations of an object.
    fn of(object: &Value, options: ObjectOptions) -> Self {
        let kept =
            object::annotation(object, constants::annotation::HELM_RESOURCE_POLICY) == Some("keep");
        match options.delete {
            _ if kept => Self::Retain,
            Some(Removal::Never) => Self::Retain,
            Some(Removal::Confirmed) => Self::Confirm,
            Some(Removal::Allowed) | None => Self::Delete,
        }
    }
}

/// Whether it is the Deployment of an agent that somebody scaled to zero.
fn is_stopped_agent(object: &Value) -> bool {
    object["kind"] == "Deployment"
        && object::label(object, "app.kubernetes.io/name") == Some(constants::FIELD_MANAGER)
        && object["spec"]["replicas"] == 0
}

fn is_kept(object: &Value, options: ObjectOptions) -> bool {
    options.prune == Some(Removal::Never)
        || options.delete == Some(Removal::Never)
        || object::annotation(object, constants::annotation::HELM_RESOURCE_POLICY) == Some("keep")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn observes_marks_and_ownership() {
        let wanted = json!({"apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "a", "namespace": "n"}, "data": {"x": "1"}});
        let mut object = wanted.clone();
        object["metadata"] = json!({
            "name": "a", "namespace": "n", "uid": "u", "resourceVersion": "7",
            "annotations": {"argocd.argoproj.io/tracking-id": "shop:/ConfigMap:n/a",
                            "gitops-agent.io/desired-digest": "d",
                            "argocd.argoproj.io/sync-options": "Replace=true, Prune=false"},
            "managedFields": [{"manager": "gitops-agent", "operation": "Apply",
                               "fieldsV1": {"f:data": {"f:x": {}}}}]
        });
        let live = LiveObject::observe(&object, true).unwrap();
        assert_eq!(live.tracking.as_ref().unwrap().instance, "shop");
        assert_eq!(live.desired_digest.as_deref(), Some("d"));
        assert!(live.covers(&wanted));
        assert!(live.keep && !live.deleting && !live.owned.is_empty());

        object["metadata"]["managedFields"][0]["fieldsV1"] = json!({"f:data": {"f:y": {}}});
        object["metadata"]["resourceVersion"] = json!("10");
        let later = LiveObject::observe(&object, true).unwrap();
        assert!(!later.covers(&wanted));
        assert_ne!(later.owned, live.owned);
        assert!(
            later.is_newer_than(&live),
            "7 is before 10: numbers, not texts"
        );
    }
}
