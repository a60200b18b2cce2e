//! Which objects a project allows: by kind, and by the namespace they are in.

use gitops_api::ApplicationDestination;
use gitops_api::project::{AppProjectSpec, ClusterResourceRule, GroupKindRule};

use super::denial::{Denial, quoted};
use super::destinations::permits_destination;
use crate::glob::{self, GlobError};
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
    for rule in &spec.namespace_resource_blacklist {
        let shown = || kind_rule(&rule.group, &rule.kind);
        let verdict = covers(kind_patterns(rule, key));
        denied_by(verdict, project, &what, "namespaceResourceBlacklist", shown)?;
    }
    if let Some(allowed) = &spec.namespace_resource_whitelist
        && !allowed
            .iter()
            .any(|rule| covers(kind_patterns(rule, key)).unwrap_or(false))
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
    for rule in &spec.cluster_resource_blacklist {
        let verdict = covers(cluster_patterns(rule, key));
        let shown = || cluster_rule(rule);
        denied_by(verdict, project, &what, "clusterResourceBlacklist", shown)?;
    }
    if spec
        .cluster_resource_whitelist
        .iter()
        .any(|rule| covers(cluster_patterns(rule, key)).unwrap_or(false))
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

/// A pattern and the text it is for.
type Pattern<'a> = (&'a str, &'a str);

fn kind_patterns<'a>(rule: &'a GroupKindRule, key: &'a ObjectKey) -> [Pattern<'a>; 2] {
    [(&rule.group, &key.group), (&rule.kind, &key.kind)]
}

fn cluster_patterns<'a>(rule: &'a ClusterResourceRule, key: &'a ObjectKey) -> [Pattern<'a>; 3] {
    let name = match rule.name.as_str() {
        "" => "*",
        name => name,
    };
    [
        (&rule.group, &key.group),
        (&rule.kind, &key.kind),
        (name, &key.name),
    ]
}

/// Whether a rule covers an object. An error when that hangs on a pattern that cannot be read: the
/// others do not rule it out.
fn covers<const N: usize>(patterns: [Pattern<'_>; N]) -> Result<bool, GlobError> {
    let mut covers = Ok(true);
    for (pattern, text) in patterns {
        match glob::matches_name(pattern, text) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => covers = Err(error),
        }
    }
    covers
}

/// Denies what a denying rule covers, or may cover. `shown` is the rule.
fn denied_by(
    covers: Result<bool, GlobError>,
    project: &str,
    what: &str,
    field: &str,
    shown: impl FnOnce() -> String,
) -> Result<(), Denial> {
    match covers {
        Ok(false) => Ok(()),
        Ok(true) => Err(Denial::denied(project, what, field, &shown())),
        Err(error) => Err(Denial::unreadable(project, what, field, &shown(), error)),
    }
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
    fn a_kind_rule_that_cannot_be_read_denies_or_does_not_allow() {
        let key = |kind: &str, namespace: &str| ObjectKey {
            group: "apps".into(),
            kind: kind.into(),
            namespace: namespace.into(),
            name: "a".into(),
        };
        let verdict = |rules: serde_json::Value, key: &ObjectKey| {
            let mut value = rules;
            value["destinations"] = json!([{"name": "in-cluster", "namespace": "shop"}]);
            permits_object(
                &spec(value),
                "team",
                &destination("in-cluster", "shop"),
                key,
            )
            .map_err(|denial| denial.message)
        };
        let all = json!([{"group": "*", "kind": "*"}]);
        for unreadable in ["[", "a\\", &"a".repeat(2000), &"{".repeat(100_000)] {
            for (namespace, white, black) in [
                (
                    "shop",
                    "namespaceResourceWhitelist",
                    "namespaceResourceBlacklist",
                ),
                ("", "clusterResourceWhitelist", "clusterResourceBlacklist"),
            ] {
                let rule = json!([{"group": unreadable, "kind": "Deployment"}]);
                let covered = key("Deployment", namespace);
                let denied = verdict(json!({white: all, black: rule}), &covered).unwrap_err();
                assert!(denied.contains("cannot be read"), "{denied}");
                // The part that can be read still says whom it is not for.
                let other = key("StatefulSet", namespace);
                assert_eq!(verdict(json!({white: all, black: rule}), &other), Ok(()));
                assert!(verdict(json!({white: rule}), &covered).is_err());
            }
            let rule = json!([{"group": "*", "kind": "*", "name": unreadable}]);
            let covered = key("Deployment", "");
            let rules = json!({"clusterResourceWhitelist": all, "clusterResourceBlacklist": rule});
            assert!(verdict(rules, &covered).is_err());
        }
    }

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
