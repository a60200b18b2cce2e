//! Which objects a project allows: by kind, and by the namespace they are in.

use gitops_api::ApplicationDestination;
use gitops_api::project::{AppProjectSpec, ClusterResourceRule, GroupKindRule};

use super::denial::{Denial, quoted};
use super::destinations::permits_destination;
use crate::glob;
use crate::manifest::desired::DesiredSet;
use crate::manifest::object::ObjectKey;

/// Whether an object may be applied, pruned or deleted: its kind, and the namespace it is in.
///
/// Cluster-scoped kinds need an entry in `clusterResourceWhitelist`; namespaced ones are allowed
/// when `namespaceResourceWhitelist` is absent, and none is when it is empty. Blacklists win.
pub fn permits_object(
    spec: &AppProjectSpec,
    project: &str,
    destination: &ApplicationDestination,
    key: &ObjectKey,
) -> Result<(), Denial> {
    if key.namespace.is_empty() {
        return permits_cluster_object(spec, project, key);
    }
    let what = key.to_string();
    if let Some(rule) = spec
        .namespace_resource_blacklist
        .iter()
        .find(|r| matches_kind(r, key))
    {
        let rule = kind_rule(&rule.group, &rule.kind);
        return Err(Denial::denied(
            project,
            &what,
            "namespaceResourceBlacklist",
            &rule,
        ));
    }
    if let Some(allowed) = &spec.namespace_resource_whitelist
        && !allowed.iter().any(|rule| matches_kind(rule, key))
    {
        let rule = kind_rule(&key.group, &key.kind);
        return Err(Denial::not_allowed(
            project,
            &what,
            "namespaceResourceWhitelist",
            &rule,
        ));
    }
    let namespace = ApplicationDestination {
        namespace: key.namespace.clone(),
        ..destination.clone()
    };
    permits_destination(spec, project, &namespace).map_err(|denial| Denial {
        message: format!("{what}: {}", denial.message),
        ..denial
    })
}

/// Why a project does not allow a set of objects, one text for each that it does not.
pub fn denied_objects(
    spec: &AppProjectSpec,
    project: &str,
    destination: &ApplicationDestination,
    desired: &DesiredSet,
) -> Vec<String> {
    desired
        .objects
        .values()
        .filter(|object| object.kind_known && !object.implicit)
        .filter_map(|object| {
            permits_object(spec, project, destination, &object.key)
                .err()
                .map(|denial| format!("{}: {denial}", object.origin))
        })
        .collect()
}

fn permits_cluster_object(
    spec: &AppProjectSpec,
    project: &str,
    key: &ObjectKey,
) -> Result<(), Denial> {
    let what = format!("{key}, which is cluster-scoped");
    if let Some(rule) = spec
        .cluster_resource_blacklist
        .iter()
        .find(|r| matches_cluster(r, key))
    {
        let rule = cluster_rule(rule);
        return Err(Denial::denied(
            project,
            &what,
            "clusterResourceBlacklist",
            &rule,
        ));
    }
    if spec
        .cluster_resource_whitelist
        .iter()
        .any(|rule| matches_cluster(rule, key))
    {
        Ok(())
    } else {
        let rule = kind_rule(&key.group, &key.kind);
        Err(Denial::not_allowed(
            project,
            &what,
            "clusterResourceWhitelist",
            &rule,
        ))
    }
}

fn matches_kind(rule: &GroupKindRule, key: &ObjectKey) -> bool {
    glob::matches_name(&rule.group, &key.group) && glob::matches_name(&rule.kind, &key.kind)
}

fn matches_cluster(rule: &ClusterResourceRule, key: &ObjectKey) -> bool {
    glob::matches_name(&rule.group, &key.group)
        && glob::matches_name(&rule.kind, &key.kind)
        && (rule.name.is_empty() || glob::matches_name(&rule.name, &key.name))
}

fn kind_rule(group: &str, kind: &str) -> String {
    format!("{{group: {}, kind: {}}}", quoted(group), quoted(kind))
}

fn cluster_rule(rule: &ClusterResourceRule) -> String {
    if rule.name.is_empty() {
        kind_rule(&rule.group, &rule.kind)
    } else {
        format!(
            "{{group: {}, kind: {}, name: {}}}",
            quoted(&rule.group),
            quoted(&rule.kind),
            quoted(&rule.name)
        )
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::project::tests::{destination, spec};

    #[test]
    fn objects() {
        let key = |group: &str, kind: &str, namespace: &str| ObjectKey {
            group: group.into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: "a".into(),
        };
        let deployment = key("apps", "Deployment", "shop");
        let quota = key("", "ResourceQuota", "shop");
        let role = key("rbac.authorization.k8s.io", "ClusterRole", "");
        let elsewhere = key("apps", "Deployment", "kube-system");
        let cases = [
            (json!({}), &deployment, true),
            (
                json!({"namespaceResourceWhitelist": []}),
                &deployment,
                false,
            ),
            (
                json!({"namespaceResourceWhitelist": null}),
                &deployment,
                true,
            ),
            (
                json!({"namespaceResourceWhitelist": [{"group": "apps", "kind": "*"}]}),
                &deployment,
                true,
            ),
            (
                json!({"namespaceResourceWhitelist": [{"group": "apps", "kind": "*"}]}),
                &quota,
                false,
            ),
            (
                json!({"namespaceResourceBlacklist": [{"group": "", "kind": "ResourceQuota"}]}),
                &quota,
                false,
            ),
            (
                json!({"namespaceResourceBlacklist": [{"group": "", "kind": "ResourceQuota"}]}),
                &deployment,
                true,
            ),
            (
                json!({"namespaceResourceWhitelist": [{"group": "*", "kind": "*"}],
                "namespaceResourceBlacklist": [{"group": "a*", "kind": "Dep*"}]}),
                &deployment,
                false,
            ),
            (json!({}), &role, false),
            (
                json!({"clusterResourceWhitelist": [{"group": "*", "kind": "*"}]}),
                &role,
                true,
            ),
            (
                json!({"clusterResourceWhitelist": [{"group": "*", "kind": "*", "name": "b*"}]}),
                &role,
                false,
            ),
            (
                json!({"clusterResourceWhitelist": [{"group": "*", "kind": "*", "name": "a*"}]}),
                &role,
                true,
            ),
            (
                json!({"clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
                "clusterResourceBlacklist": [{"group": "rbac.*", "kind": "ClusterRole"}]}),
                &role,
                false,
            ),
            (json!({}), &elsewhere, false),
        ];
        for (rules, key, expected) in cases {
            let mut value = rules.clone();
            value["destinations"] = json!([{"name": "in-cluster", "namespace": "shop"}]);
            let verdict = permits_object(
                &spec(value),
                "team",
                &destination("in-cluster", "shop"),
                key,
            );
            assert_eq!(verdict.is_ok(), expected, "{rules} {key} {verdict:?}");
        }
    }
}
