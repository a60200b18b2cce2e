//! Health of one object, and of an application from its objects.
//!
//! Judges only what an object says of itself; asks no server, waits for nothing, and leaves rules
//! that users write (`resource.customizations.health.*`) to its callers. The rules are Argo CD's:
//! its documentation, "Resource Health", gitops-engine's built-in checks and its scripts for
//! custom resources. Kubernetes' own kinds are judged by code, custom resources by the table in
//! `custom_resources.rules`, every other kind by what it says in the words of kstatus.

mod aggregate;
mod application;
mod argo;
mod autoscaling;
mod batch;
mod conditions;
mod definitions;
mod gateway;
mod kruise;
mod network;
mod operators;
mod pods;
mod promoter;
mod rule;
mod table;
mod workloads;

use gitops_api::constants;
use serde_json::Value;

use crate::manifest::object::GroupVersionKind;
use crate::mask;

pub use aggregate::{Member, aggregate};
pub use gitops_api::HealthStatusCode;

/// A verdict and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Health {
    /// How the object stands.
    pub status: HealthStatusCode,
    /// Why, for people; may be empty.
    pub message: String,
}

impl Health {
    /// A verdict with its reason.
    pub fn new(status: HealthStatusCode, message: impl Into<String>) -> Self {
        Self {
            status,
            message: message.into(),
        }
    }

    fn healthy(message: impl Into<String>) -> Self {
        Self::new(HealthStatusCode::Healthy, message)
    }

    fn suspended(message: impl Into<String>) -> Self {
        Self::new(HealthStatusCode::Suspended, message)
    }

    fn progressing(message: impl Into<String>) -> Self {
        Self::new(HealthStatusCode::Progressing, message)
    }

    fn degraded(message: impl Into<String>) -> Self {
        Self::new(HealthStatusCode::Degraded, message)
    }

    fn unknown(message: impl Into<String>) -> Self {
        Self::new(HealthStatusCode::Unknown, message)
    }
}

/// A rule for one kind.
type Rule = fn(&Value) -> Health;

/// Health of a live object; `None` for kinds that say nothing of theirs, which do not count.
///
/// An object that is being deleted is Progressing whatever its kind, unless the hook finalizer
/// holds it (Argo CD, `GetResourceHealth`).
pub fn assess(object: &Value) -> Option<Health> {
    assess_with(object, |_| Customized::NoRule)
}

/// What the rules of users say of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Customized {
    /// There is no rule for its kind: the built-in ones decide.
    NoRule,
    /// The rule gives no status, so the object does not count.
    NoHealth,
    /// The verdict.
    Health(Health),
}

/// As [`assess`], with the rules of users, which come before the built-in ones but after deletion
/// (Argo CD, `GetResourceHealth`).
pub fn assess_with(
    object: &Value,
    customized: impl FnOnce(&Value) -> Customized,
) -> Option<Health> {
    if let Some(deletion) = deletion(object) {
        return Some(deletion);
    }
    match customized(object) {
        Customized::NoRule => {}
        Customized::NoHealth => return None,
        Customized::Health(health) => return Some(told(health)),
    }
    let gvk = GroupVersionKind::of(object)?;
    match built_in(&gvk) {
        Some(Judge::By(rule)) => Some(rule(object)),
        Some(Judge::UnsupportedVersion) => Some(Health::unknown(format!(
            "no health rule for {gvk}: this API version is not supported"
        ))),
        None => {
            let rule = table::rule(&gvk).or_else(table::generic)?;
            rule.judge(object).0.map(told)
        }
    }
}

/// A verdict in the words of a controller that nobody here knows, without the values of settings it
/// quotes.
fn told(mut health: Health) -> Health {
    if !health.message.is_empty() {
        health.message = mask::mask_output::<&str>(&health.message, &[]);
    }
    health
}

/// The verdict on an object that is being deleted, with the finalizers that hold it. It comes
/// before every rule, users' own too.
fn deletion(object: &Value) -> Option<Health> {
    is_being_deleted(object).then(|| {
        let finalizers = object["metadata"]["finalizers"].as_array();
        let names: Vec<&str> = finalizers
            .into_iter()
            .flatten()
            .filter_map(Value::as_str)
            .collect();
        Health::progressing(if names.is_empty() {
            "Pending deletion".to_owned()
        } else {
            format!(
                "Pending deletion; blocked by finalizers: {}",
                names.join(", ")
            )
        })
    })
}

fn is_being_deleted(object: &Value) -> bool {
    let metadata = &object["metadata"];
    let held = metadata["finalizers"]
        .as_array()
        .is_some_and(|all| all.iter().any(|name| name == constants::finalizer::HOOK));
    metadata["deletionTimestamp"].is_string() && !held
}

enum Judge {
    By(Rule),
    UnsupportedVersion,
}

/// Rules of Kubernetes' own kinds hold for the versions they were written for; those of custom
/// resources, which the table has, for every version, as Argo CD keys its scripts by group and
/// kind.
fn built_in(gvk: &GroupVersionKind) -> Option<Judge> {
    let of_versions = |versions: &[&str], rule: Rule| {
        if versions.contains(&gvk.version.as_str()) {
            Judge::By(rule)
        } else {
            Judge::UnsupportedVersion
        }
    };
    Some(match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("apps", "Deployment") => of_versions(&["v1"], workloads::deployment),
        ("apps", "StatefulSet") => of_versions(&["v1"], workloads::stateful_set),
        ("apps", "DaemonSet") => of_versions(&["v1"], workloads::daemon_set),
        ("apps", "ReplicaSet") => of_versions(&["v1"], workloads::replica_set),
        ("", "Pod") => of_versions(&["v1"], pods::pod),
        ("", "Service") => of_versions(&["v1"], network::service),
        ("", "PersistentVolumeClaim") => of_versions(&["v1"], network::persistent_volume_claim),
        ("extensions" | "networking.k8s.io", "Ingress") => Judge::By(network::ingress),
        ("batch", "Job") => of_versions(&["v1"], batch::job),
        ("batch", "CronJob") => Judge::By(batch::cron_job),
        ("autoscaling", "HorizontalPodAutoscaler") => match gvk.version.as_str() {
            "v1" => Judge::By(autoscaling::horizontal_pod_autoscaler_v1),
            version if version.starts_with("v2") => {
                Judge::By(autoscaling::horizontal_pod_autoscaler)
            }
            _ => Judge::UnsupportedVersion,
        },
        ("policy", "PodDisruptionBudget") => Judge::By(autoscaling::pod_disruption_budget),
        ("apiregistration.k8s.io", "APIService") => {
            of_versions(&["v1", "v1beta1"], definitions::api_service)
        }
        ("apiextensions.k8s.io", "CustomResourceDefinition") => {
            Judge::By(definitions::custom_resource_definition)
        }
        _ => return None,
    })
}

/// A number that Kubernetes leaves out when it is zero.
fn number(value: &Value) -> i64 {
    value.as_i64().unwrap_or(0)
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// `status.conditions`, in order.
fn status_conditions(object: &Value) -> &[Value] {
    object["status"]["conditions"]
        .as_array()
        .map_or(&[], Vec::as_slice)
}

/// The first condition of a type.
fn condition<'a>(object: &'a Value, name: &str) -> Option<&'a Value> {
    status_conditions(object)
        .iter()
        .find(|condition| condition["type"] == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn words_of_other_controllers_show_no_password() {
        let object = json!({"apiVersion": "acme.test/v1", "kind": "Database", "status": {"conditions": [
            {"type": "Ready", "status": "False", "message": "cannot log in with password=hunter2 at db"}]}});
        let said = Customized::Health(Health::degraded("token: abcdef"));
        for health in [assess(&object), assess_with(&object, |_| said.clone())] {
            let message = health.map(|health| health.message).unwrap_or_default();
            assert!(
                message.ends_with("=*** at db") || message == "token: ***",
                "{message}"
            );
        }
    }

    /// Asserts the verdict on each object of a table, and that its message holds a text.
    pub(super) fn check(cases: &[(Value, HealthStatusCode, &str)]) {
        for (object, status, message) in cases {
            let health = assess(object).expect("has a rule");
            assert_eq!(health.status, *status, "{object} {health:?}");
            assert!(health.message.contains(message), "{object} {health:?}");
        }
    }

    #[test]
    fn deletion_comes_before_every_rule() {
        let deleting = |finalizer: &str| {
            json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "a", "deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [finalizer]}})
        };
        check(&[
            (
                deleting("x/y"),
                HealthStatusCode::Progressing,
                "Pending deletion",
            ),
            (
                deleting("argocd.argoproj.io/hook-finalizer"),
                HealthStatusCode::Healthy,
                "",
            ),
        ]);
    }

    #[test]
    fn rules_of_users_come_after_deletion_and_before_all_others() {
        let mut object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}});
        let degraded = Health::degraded("mine");
        let mine = Customized::Health(degraded.clone());
        assert_eq!(assess_with(&object, |_| mine.clone()), Some(degraded));
        assert_eq!(assess_with(&object, |_| Customized::NoHealth), None);
        assert_eq!(
            assess_with(&object, |_| Customized::NoRule),
            assess(&object)
        );
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        assert_eq!(
            assess_with(&object, |_| mine),
            Some(Health::progressing("Pending deletion"))
        );
    }

    #[test]
    fn kinds_without_a_rule_have_no_health() {
        for object in [
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}),
            json!({"apiVersion": "example.org/v1", "kind": "Deployment"}),
            json!({}),
            json!(null),
        ] {
            assert_eq!(assess(&object), None, "{object}");
        }
    }

    #[test]
    fn versions_without_a_rule_are_unknown() {
        check(&[(
            json!({"apiVersion": "apps/v1beta1", "kind": "Deployment"}),
            HealthStatusCode::Unknown,
            "apps/v1beta1 Deployment",
        )]);
    }

    #[test]
    fn odd_shapes_never_panic() {
        let kinds = [
            ("apps/v1", "Deployment"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("apps/v1", "ReplicaSet"),
            ("v1", "Pod"),
            ("v1", "Service"),
            ("v1", "PersistentVolumeClaim"),
            ("networking.k8s.io/v1", "Ingress"),
            ("batch/v1", "Job"),
            ("batch/v1", "CronJob"),
            ("autoscaling/v1", "HorizontalPodAutoscaler"),
            ("autoscaling/v2", "HorizontalPodAutoscaler"),
            ("policy/v1", "PodDisruptionBudget"),
            ("apiregistration.k8s.io/v1", "APIService"),
            ("apiextensions.k8s.io/v1", "CustomResourceDefinition"),
            ("argoproj.io/v1alpha1", "Application"),
            ("argoproj.io/v1alpha1", "ApplicationSet"),
            ("argoproj.io/v1alpha1", "Rollout"),
            ("argoproj.io/v1alpha1", "AnalysisRun"),
            ("external-secrets.io/v1", "ExternalSecret"),
            ("cert-manager.io/v1", "Certificate"),
        ];
        for (api_version, kind) in kinds {
            for odd in [
                json!(null),
                json!([]),
                json!("x"),
                json!({"conditions": "x"}),
                json!({"conditions": [1, {}]}),
            ] {
                let object =
                    json!({"apiVersion": api_version, "kind": kind, "spec": odd, "status": odd});
                assert!(assess(&object).is_some(), "{object}");
            }
        }
    }
}
