//! What an AppProject allows: sources, destinations and kinds.
//!
//! Only judges; callers ask again at every action (sync, prune, delete, hook, preview). Roles and
//! sync windows are not looked at here. The rules are Argo CD's ("Projects").

use gitops_api::{
    ApplicationDestination, constants,
    project::{AppProjectSpec, ClusterResourceRule, GroupKindRule},
};

use crate::{
    glob, mask,
    object::ObjectKey,
    source::{has_dot_segments, normalise},
};

/// Why a project refuses something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denial {
    /// The rule that would allow it, or the one that denies it, as the project spells it.
    pub rule: String,
    /// Project, what was denied, and the change that would allow it.
    pub message: String,
}

impl Denial {
    fn not_allowed(project: &str, what: &str, field: &str, rule: &str) -> Self {
        Self {
            rule: rule.into(),
            message: format!(
                "project {project} does not allow {what}; to allow it, add {rule} to \
                 spec.{field} of the AppProject"
            ),
        }
    }

    fn denied(project: &str, what: &str, field: &str, rule: &str) -> Self {
        Self {
            rule: rule.into(),
            message: format!(
                "project {project} denies {what} by {rule} in spec.{field} of the AppProject"
            ),
        }
    }
}

/// Whether a repository may be used: some pattern of `sourceRepos` matches and none denies.
///
/// URLs are compared normalised; `*` stays within a path segment, `**` does not, a lone `*`
/// allows all. A pattern `!x` denies x, and allows everything else, as in Argo CD.
pub fn permits_source(spec: &AppProjectSpec, project: &str, url: &str) -> Result<(), Denial> {
    let shown = mask::mask_text::<&str>(url, &[]);
    let what = format!("repository {shown}");
    let wanted = normalise(url);
    let mut allowed = false;
    for pattern in &spec.source_repos {
        match pattern.strip_prefix('!') {
            Some(denied) if matches_url(denied, &wanted) => {
                return Err(Denial::denied(
                    project,
                    &what,
                    "sourceRepos",
                    &quoted(pattern),
                ));
            }
            Some(_) => allowed = true,
            None => allowed |= matches_url(pattern, &wanted),
        }
    }
    // Such a URL names another place than the one the pattern was written for.
    if allowed && !has_dot_segments(url) {
        Ok(())
    } else {
        Err(Denial::not_allowed(
            project,
            &what,
            "sourceRepos",
            &quoted(&shown),
        ))
    }
}

fn matches_url(pattern: &str, url: &str) -> bool {
    pattern == "*" || glob::matches_path(&normalise(pattern), url)
}

/// Whether a cluster and namespace may be deployed to.
///
/// An entry matches when its server or its name matches, and its namespace; patterns with `!`
/// deny. `permitOnlyProjectScopedClusters` refuses every cluster, because no cluster can belong to
/// a project while the agent delivers to its own cluster only.
pub fn permits_destination(
    spec: &AppProjectSpec,
    project: &str,
    destination: &ApplicationDestination,
) -> Result<(), Denial> {
    let cluster = Cluster::of(destination);
    let namespace = destination.namespace.as_str();
    let what = format!("destination {}", describe(&cluster, namespace));
    if spec.permit_only_project_scoped_clusters {
        return Err(Denial::denied(
            project,
            &what,
            "permitOnlyProjectScopedClusters",
            "permitOnlyProjectScopedClusters: true",
        ));
    }
    let mut allowed = false;
    for entry in &spec.destinations {
        let server = !cluster.server.is_empty() && matches_entry(&entry.server, cluster.server);
        let name = !cluster.name.is_empty() && matches_entry(&entry.name, cluster.name);
        let in_namespace = matches_entry(&entry.namespace, namespace);
        if (server || name) && in_namespace {
            allowed = true;
            continue;
        }
        // A denied name counts whatever the namespace, as in Argo CD.
        if (!name && is_denial(&entry.name))
            || (!server && is_denial(&entry.server) && in_namespace)
            || (!in_namespace && is_denial(&entry.namespace) && (server || name))
        {
            return Err(Denial::denied(
                project,
                &what,
                "destinations",
                &destination_rule(entry),
            ));
        }
    }
    if allowed {
        Ok(())
    } else {
        let rule = destination_rule(&ApplicationDestination {
            server: cluster.server.into(),
            name: if cluster.server.is_empty() {
                cluster.name.into()
            } else {
                String::new()
            },
            namespace: namespace.into(),
            ..ApplicationDestination::default()
        });
        Err(Denial::not_allowed(project, &what, "destinations", &rule))
    }
}

struct Cluster<'a> {
    server: &'a str,
    name: &'a str,
}

impl<'a> Cluster<'a> {
    /// A destination says one of address and name; rules may say either.
    fn of(destination: &'a ApplicationDestination) -> Self {
        let server = destination.server.trim_end_matches('/');
        match (server, destination.name.as_str()) {
            (constants::IN_CLUSTER_SERVER, _) | ("", constants::IN_CLUSTER_NAME) => Self {
                server: constants::IN_CLUSTER_SERVER,
                name: constants::IN_CLUSTER_NAME,
            },
            (server, name) => Self { server, name },
        }
    }
}

fn describe(cluster: &Cluster<'_>, namespace: &str) -> String {
    let cluster = if cluster.server.is_empty() {
        cluster.name
    } else {
        cluster.server
    };
    if namespace.is_empty() {
        format!("{cluster} without a namespace")
    } else {
        format!("namespace {namespace} of {cluster}")
    }
}

fn is_denial(pattern: &str) -> bool {
    pattern.starts_with('!')
}

fn matches_entry(pattern: &str, text: &str) -> bool {
    match pattern.strip_prefix('!') {
        Some(denied) => !(denied == "*" || glob::matches(denied, text)),
        None => pattern == "*" || glob::matches(pattern, text),
    }
}

fn destination_rule(entry: &ApplicationDestination) -> String {
    let mut parts = Vec::new();
    for (name, value) in [
        ("server", &entry.server),
        ("name", &entry.name),
        ("namespace", &entry.namespace),
    ] {
        if !value.is_empty() {
            parts.push(format!("{name}: {}", quoted(value)));
        }
    }
    format!("{{{}}}", parts.join(", "))
}

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

fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    fn spec(value: Value) -> AppProjectSpec {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn sources() {
        let cases: [(&[&str], &str, bool); 17] = [
            (&["*"], "https://host/any/where", true),
            (&[], "https://host/org/repo", false),
            (
                &["https://host/org/repo"],
                "https://HOST/Org/repo.git",
                true,
            ),
            (
                &["https://HOST/org/repo.git"],
                "https://host/org/repo/",
                true,
            ),
            (&["git@host:org/repo"], "ssh://git@host/org/repo.git", true),
            (&["https://host/org/*"], "https://host/org/repo", true),
            (&["https://host/org/*"], "https://host/org/sub/repo", false),
            (&["https://host/org/**"], "https://host/org/sub/repo", true),
            (&["https://host/org/*"], "https://host/org-evil/repo", false),
            (&["https://host/org/**"], "https://host/org/../evil", false),
            (&["*"], "https://host/org/%2e%2e/evil", false),
            (
                &["*", "!https://host/secret/*"],
                "https://host/secret/repo",
                false,
            ),
            (
                &["*", "!https://host/secret/*"],
                "https://host/open/repo",
                true,
            ),
            (
                &["!https://host/secret/*", "*"],
                "https://host/Secret/repo.git",
                false,
            ),
            (&["!https://host/secret/*"], "https://host/open/repo", true),
            (&["!*"], "https://host/open/repo", false),
            (&["[broken"], "[broken", false),
        ];
        for (patterns, url, expected) in cases {
            let project = spec(json!({"sourceRepos": patterns}));
            let verdict = permits_source(&project, "team", url);
            assert_eq!(verdict.is_ok(), expected, "{patterns:?} {url} {verdict:?}");
        }
    }

    fn destination(cluster: &str, namespace: &str) -> ApplicationDestination {
        let field = if cluster.starts_with("https://") {
            "server"
        } else {
            "name"
        };
        serde_json::from_value(json!({field: cluster, "namespace": namespace})).unwrap()
    }

    #[test]
    fn destinations() {
        let home = "https://kubernetes.default.svc";
        let cases = [
            (json!([]), home, "shop", false),
            (
                json!([{"server": "*", "namespace": "*"}]),
                home,
                "shop",
                true,
            ),
            (
                json!([{"server": home, "namespace": "shop"}]),
                "https://kubernetes.default.svc/",
                "shop",
                true,
            ),
            (
                json!([{"server": home, "namespace": "shop"}]),
                home,
                "bank",
                false,
            ),
            (
                json!([{"server": home, "namespace": "team-*"}]),
                home,
                "team-a",
                true,
            ),
            (
                json!([{"server": home, "namespace": "*"}]),
                "in-cluster",
                "shop",
                true,
            ),
            (
                json!([{"name": "in-cluster", "namespace": "*"}]),
                home,
                "shop",
                true,
            ),
            (
                json!([{"name": "in-cluster", "namespace": "*"}]),
                "https://other",
                "shop",
                false,
            ),
            (
                json!([{"server": "https://*.corp", "namespace": "*"}]),
                "https://a.b.corp",
                "shop",
                true,
            ),
            (
                json!([{"server": "*", "namespace": "*"}, {"server": "*", "namespace": "!kube-system"}]),
                home,
                "kube-system",
                false,
            ),
            (
                json!([{"server": "*", "namespace": "*"}, {"server": "*", "namespace": "!kube-system"}]),
                home,
                "shop",
                true,
            ),
            (
                json!([{"server": "*", "namespace": "!kube-system"}]),
                home,
                "shop",
                true,
            ),
            (
                json!([{"server": "*", "namespace": "*"}, {"server": "!https://prod", "namespace": "*"}]),
                "https://prod",
                "shop",
                false,
            ),
            (
                json!([{"server": "*", "namespace": "*"}, {"server": "!https://prod", "namespace": "bank"}]),
                "https://prod",
                "shop",
                true,
            ),
            (
                json!([{"server": "*", "namespace": "*"}, {"name": "!prod", "namespace": "bank"}]),
                "prod",
                "shop",
                false,
            ),
        ];
        for (rules, cluster, namespace, expected) in cases {
            let project = spec(json!({"destinations": rules}));
            let verdict = permits_destination(&project, "team", &destination(cluster, namespace));
            assert_eq!(
                verdict.is_ok(),
                expected,
                "{rules} {cluster} {namespace} {verdict:?}"
            );
        }
        let scoped = spec(json!({"destinations": [{"server": "*", "namespace": "*"}],
            "permitOnlyProjectScopedClusters": true}));
        assert!(permits_destination(&scoped, "team", &destination(home, "shop")).is_err());
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

    #[test]
    fn messages_say_what_to_do() {
        let project = spec(
            json!({"destinations": [{"server": "https://x", "namespace": "a"}], "sourceRepos": ["*", "!https://host/x"]}),
        );
        let message = |result: Result<(), Denial>| result.unwrap_err().message;
        assert_eq!(
            message(permits_source(
                &spec(json!({})),
                "team",
                "https://bob:hunter2@host/r"
            )),
            "project team does not allow repository https://***@host/r; to allow it, add \
             \"https://***@host/r\" to spec.sourceRepos of the AppProject"
        );
        assert_eq!(
            message(permits_source(&project, "team", "https://host/x")),
            "project team denies repository https://host/x by \"!https://host/x\" in \
             spec.sourceRepos of the AppProject"
        );
        assert_eq!(
            message(permits_destination(
                &project,
                "team",
                &destination("in-cluster", "shop")
            )),
            "project team does not allow destination namespace shop of \
             https://kubernetes.default.svc; to allow it, add {server: \
             \"https://kubernetes.default.svc\", namespace: \"shop\"} to spec.destinations of the \
             AppProject"
        );
        let role = ObjectKey {
            group: "rbac.authorization.k8s.io".into(),
            kind: "ClusterRole".into(),
            namespace: String::new(),
            name: "admin".into(),
        };
        let denial =
            permits_object(&project, "team", &destination("https://x", "a"), &role).unwrap_err();
        assert_eq!(
            denial.rule,
            "{group: \"rbac.authorization.k8s.io\", kind: \"ClusterRole\"}"
        );
        assert!(
            denial.message.contains("spec.clusterResourceWhitelist"),
            "{denial}"
        );
    }

    proptest! {
        #[test]
        fn a_repository_is_allowed_by_its_own_url_and_denied_by_its_denial(
            path in "[a-z]{1,6}(/[a-z]{1,6}){0,3}", other in "[a-z]{1,6}(/[a-z]{1,6}){0,3}",
        ) {
            let (url, other) = (format!("https://host/{path}"), format!("https://host/{other}"));
            let only = spec(json!({"sourceRepos": [url]}));
            prop_assert_eq!(permits_source(&only, "p", &other).is_ok(), url == other);
            let except = spec(json!({"sourceRepos": ["*", format!("!{url}")]}));
            prop_assert_eq!(permits_source(&except, "p", &other).is_ok(), url != other);
            let inside = spec(json!({"sourceRepos": ["https://host/**"]}));
            prop_assert!(permits_source(&inside, "p", &url).is_ok());
        }
    }
}
