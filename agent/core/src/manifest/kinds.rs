//! In which order kinds are created inside one wave, and pruned: what others depend on first.
//!
//! Looks at the kind's name only, never at its group, as Argo CD does (gitops-engine,
//! `sync_tasks.go`). Waves, phases and dependencies between single objects are decided elsewhere.

/// Kinds with a place of their own, earliest first.
const ORDER: [&str; 35] = [
    "Namespace",
    "NetworkPolicy",
    "ResourceQuota",
    "LimitRange",
    "PodSecurityPolicy",
    "PodDisruptionBudget",
    "ServiceAccount",
    "Secret",
    "SecretList",
    "ConfigMap",
    "StorageClass",
    "PersistentVolume",
    "PersistentVolumeClaim",
    "CustomResourceDefinition",
    "ClusterRole",
    "ClusterRoleList",
    "ClusterRoleBinding",
    "ClusterRoleBindingList",
    "Role",
    "RoleList",
    "RoleBinding",
    "RoleBindingList",
    "Service",
    "DaemonSet",
    "Pod",
    "ReplicationController",
    "ReplicaSet",
    "Deployment",
    "HorizontalPodAutoscaler",
    "StatefulSet",
    "Job",
    "CronJob",
    "IngressClass",
    "Ingress",
    "APIService",
];

/// Position of a kind when objects are created: smaller is earlier. Every kind without a place of
/// its own (custom resources, webhooks) comes last.
pub fn rank(kind: &str) -> usize {
    ORDER
        .iter()
        .position(|known| *known == kind)
        .unwrap_or(ORDER.len())
}

/// Position of a kind when objects are pruned: the reverse of [`rank`].
pub fn prune_rank(kind: &str) -> usize {
    ORDER.len() - rank(kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn creation_order_and_its_reverse() {
        let mut kinds = [
            "Rollout",
            "Deployment",
            "Service",
            "Namespace",
            "Ingress",
            "ConfigMap",
            "APIService",
        ];
        kinds.sort_by_key(|kind| rank(kind));
        assert_eq!(
            kinds,
            [
                "Namespace",
                "ConfigMap",
                "Service",
                "Deployment",
                "Ingress",
                "APIService",
                "Rollout"
            ]
        );
        let created = kinds;
        kinds.sort_by_key(|kind| prune_rank(kind));
        kinds.reverse();
        assert_eq!(kinds, created);
    }

    #[test]
    fn unknown_kinds_share_the_last_place() {
        assert_eq!(rank("Certificate"), rank("ValidatingWebhookConfiguration"));
        assert!(rank("Certificate") > rank("APIService"));
        assert_eq!(prune_rank("Certificate"), 0);
    }

    #[test]
    fn no_kind_is_listed_twice() {
        for (position, kind) in ORDER.iter().enumerate() {
            assert_eq!(rank(kind), position);
        }
    }
}
