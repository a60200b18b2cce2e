//! Which objects a project allows: by kind, and by the namespace they are in.

use gitops_api::ApplicationDestination;
use gitops_api::project::{AppProjectSpec, ClusterResourceRule, GroupKindRule};

use super::denial::{Denial, quoted};
use super::destinations;
use super::patterns::{denies_kind, denies_name};
use crate::glob;
use crate::manifest::object::ObjectKey;

/// Whether an object may be applied, pruned or deleted: its kind, and the namespace it is in.
///
/// Cluster-scoped kinds need an entry in `clusterResourceWhitelist`; namespaced ones are allowed
/// when `namespaceResourceWhitelist` is absent, and none is when it is empty. Blacklists win, and are
/// read generously: kinds in any case, as resources, with alternatives.
pub(super) fn permits(
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
        .find(|rule| denies_name(&rule.group, &key.group) && denies_kind(&rule.kind, &key.kind))
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
    destinations::permits(spec, project, &namespace).map_err(|denial| Denial {
        message: format!("{what}: {}", denial.message),
        ..denial
    })
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
        .find(|rule| denies_cluster(rule, key))
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
    covers(&rule.group, &key.group) && covers(&rule.kind, &key.kind)
}

/// A pattern that cannot be read allows nothing.
fn covers(pattern: &str, text: &str) -> bool {
    glob::matches_name(pattern, text).unwrap_or(false)
}

fn denies_cluster(rule: &ClusterResourceRule, key: &ObjectKey) -> bool {
    denies_name(&rule.group, &key.group)
        && denies_kind(&rule.kind, &key.kind)
        && (rule.name.is_empty() || denies_name(&rule.name, &key.name))
}

fn matches_cluster(rule: &ClusterResourceRule, key: &ObjectKey) -> bool {
    covers(&rule.group, &key.group)
        && covers(&rule.kind, &key.kind)
        && (rule.name.is_empty() || covers(&rule.name, &key.name))
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
            (
                json!({"namespaceResourceBlacklist": [{"group": "", "kind": "resourcequotas"}]}),
                &quota,
                false,
            ),
            (
                json!({"namespaceResourceBlacklist": [{"group": "", "kind": "{Secret,ResourceQuota}"}]}),
                &quota,
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
            let verdict = permits(
                &spec(value),
                "team",
                &destination("in-cluster", "shop"),
                key,
            );
            assert_eq!(verdict.is_ok(), expected, "{rules} {key} {verdict:?}");
        }
    }
}
