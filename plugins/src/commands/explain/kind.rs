//! What users call a kind (`deploy`, `pods`, `certificate.cert-manager.io`) to what the API calls
//! it. Kinds of Kubernetes are known; for others the cluster is asked.

use kube::core::{ApiResource, GroupVersionKind};
use kube::discovery::{Discovery, Scope};

use crate::cluster::connection::Connection;

/// Kinds of Kubernetes users ask about, with the names kubectl knows them by.
const KNOWN: &[(&str, &str, &[&str])] = &[
    ("v1", "Pod", &["po"]),
    ("v1", "Service", &["svc"]),
    ("v1", "ConfigMap", &["cm"]),
    ("v1", "Secret", &[]),
    ("v1", "ServiceAccount", &["sa"]),
    ("v1", "PersistentVolumeClaim", &["pvc"]),
    ("v1", "ReplicationController", &["rc"]),
    ("apps/v1", "Deployment", &["deploy"]),
    ("apps/v1", "ReplicaSet", &["rs"]),
    ("apps/v1", "StatefulSet", &["sts"]),
    ("apps/v1", "DaemonSet", &["ds"]),
    ("batch/v1", "Job", &[]),
    ("batch/v1", "CronJob", &["cj"]),
    ("networking.k8s.io/v1", "Ingress", &["ing"]),
    ("networking.k8s.io/v1", "NetworkPolicy", &["netpol"]),
    ("autoscaling/v2", "HorizontalPodAutoscaler", &["hpa"]),
    ("policy/v1", "PodDisruptionBudget", &["pdb"]),
];

/// A kind, and whether its objects live in namespaces.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) resource: ApiResource,
    pub(super) namespaced: bool,
}

/// A kind everybody has.
pub(super) fn known(word: &str) -> Option<Kind> {
    let word = word.to_lowercase();
    KNOWN.iter().find_map(|(version, kind, names)| {
        let resource = resource(version, kind);
        let group = &resource.group;
        let matches =
            |name: &str| word == name || (!group.is_empty() && word == format!("{name}.{group}"));
        let is = matches(&kind.to_lowercase())
            || matches(&resource.plural)
            || names.iter().any(|name| matches(name));
        is.then_some(Kind {
            resource,
            namespaced: true,
        })
    })
}

/// A kind of this cluster; `None` when it serves none of this name, or cannot be asked.
pub(super) async fn served(word: &str, connection: &Connection) -> Option<Kind> {
    let word = word.to_lowercase();
    let asked = Discovery::new(connection.client.clone()).run_aggregated();
    let discovery = connection.wait(asked).await.ok()?.ok()?;
    let found = discovery
        .groups()
        .flat_map(kube::discovery::ApiGroup::recommended_resources)
        .find(|(resource, _)| {
            [&resource.plural, &resource.kind.to_lowercase()]
                .into_iter()
                .any(|name| word == *name || word == format!("{name}.{}", resource.group))
        });
    found.map(|(resource, capabilities)| Kind {
        resource,
        namespaced: capabilities.scope == Scope::Namespaced,
    })
}

/// How the API is asked for a kind that objects name by `apiVersion` and `kind`. The plural is
/// formed as Kubernetes forms it; a kind with another one is not found, which callers bear.
pub(super) fn resource(api_version: &str, kind: &str) -> ApiResource {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_go_by_the_names_kubectl_knows() {
        let table = [
            ("deploy", "Deployment"),
            ("Deployments", "Deployment"),
            ("deployment.apps", "Deployment"),
            ("po", "Pod"),
            ("ingress", "Ingress"),
            ("ingresses", "Ingress"),
            ("netpol", "NetworkPolicy"),
            ("networkpolicies", "NetworkPolicy"),
        ];
        for (word, kind) in table {
            let found = known(word).map(|kind| kind.resource.kind);
            assert_eq!(found.as_deref(), Some(kind), "{word}");
        }
        assert!(known("argocd").is_none());
    }
}
