//! Which clusters and namespaces a project allows.

use gitops_api::project::AppProjectSpec;
use gitops_api::{ApplicationDestination, constants};

use super::denial::{Denial, quoted};
use crate::glob::{self, GlobError};

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
        if let Some(error) = unreadable(entry, &cluster, namespace) {
            if [&entry.server, &entry.name, &entry.namespace]
                .iter()
                .any(|pattern| is_denial(pattern))
            {
                return Err(Denial::unreadable(
                    project,
                    &what,
                    "destinations",
                    &destination_rule(entry),
                    error,
                ));
            }
            // It allows nothing.
            continue;
        }
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

pub(super) struct Cluster<'a> {
    pub(super) server: &'a str,
    pub(super) name: &'a str,
}

impl<'a> Cluster<'a> {
    /// A destination says one of address and name; rules may say either.
    pub(super) fn of(destination: &'a ApplicationDestination) -> Self {
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

/// Whether an entry cannot be read, and why.
fn unreadable(
    entry: &ApplicationDestination,
    cluster: &Cluster<'_>,
    namespace: &str,
) -> Option<GlobError> {
    [
        (&entry.server, cluster.server),
        (&entry.name, cluster.name),
        (&entry.namespace, namespace),
    ]
    .into_iter()
    .find_map(|(pattern, text)| try_matches_entry(pattern, text).err())
}

/// An entry that cannot be read matches nothing here: [`unreadable`] was asked before.
fn matches_entry(pattern: &str, text: &str) -> bool {
    try_matches_entry(pattern, text).unwrap_or(false)
}

fn try_matches_entry(pattern: &str, text: &str) -> Result<bool, GlobError> {
    let (denies, pattern) = match pattern.strip_prefix('!') {
        Some(denied) => (true, denied),
        None => (false, pattern),
    };
    let matches = pattern == "*" || glob::matches(pattern, text)?;
    Ok(matches != denies)
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::project::tests::{destination, spec};

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
        for unreadable in ["[", "{a", &"a".repeat(2000), &"{}".repeat(100_000)] {
            let anywhere = json!({"server": "*", "namespace": "*"});
            let denied = |entry: serde_json::Value| {
                let project = spec(json!({"destinations": [anywhere, entry]}));
                permits_destination(&project, "team", &destination(home, "shop"))
                    .map_err(|denial| denial.message)
            };
            for entry in [
                json!({"server": "*", "namespace": format!("!{unreadable}")}),
                json!({"server": format!("!{unreadable}"), "namespace": "*"}),
                json!({"name": format!("!{unreadable}"), "namespace": "*"}),
                json!({"server": unreadable, "namespace": "!kube-system"}),
            ] {
                let message = denied(entry).unwrap_err();
                assert!(message.contains("cannot be read"), "{message}");
            }
            assert_eq!(
                denied(json!({"server": "*", "namespace": unreadable})),
                Ok(())
            );
            let only = spec(json!({"destinations": [{"server": "*", "namespace": unreadable}]}));
            assert!(permits_destination(&only, "team", &destination(home, "shop")).is_err());
        }
        let scoped = spec(json!({"destinations": [{"server": "*", "namespace": "*"}],
            "permitOnlyProjectScopedClusters": true}));
        assert!(permits_destination(&scoped, "team", &destination(home, "shop")).is_err());
    }
}
