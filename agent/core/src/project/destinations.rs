//! Which clusters and namespaces a project allows.

use gitops_api::project::AppProjectSpec;
use gitops_api::{ApplicationDestination, constants};

use super::denial::{Denial, quoted};
use super::patterns::denied;
use crate::glob;

/// Whether a cluster and namespace may be deployed to: some entry allows it and none denies it.
///
/// An entry allows when its server or its name matches, and its namespace. One with `!` in any
/// field allows nothing: it denies what one of those fields names, where its other fields match.
/// `permitOnlyProjectScopedClusters` refuses every cluster, because no cluster can belong to
/// a project while the agent delivers to its own cluster only.
pub(super) fn permits(
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
        match judge(entry, &cluster, namespace) {
            Verdict::Denies => {
                return Err(Denial::denied(
                    project,
                    &what,
                    "destinations",
                    &destination_rule(entry),
                ));
            }
            Verdict::Allows => allowed = true,
            Verdict::SaysNothing => {}
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

enum Verdict {
    Allows,
    Denies,
    SaysNothing,
}

fn judge(entry: &ApplicationDestination, cluster: &Cluster<'_>, namespace: &str) -> Verdict {
    let fields = [
        (entry.server.as_str(), cluster.server),
        (entry.name.as_str(), cluster.name),
    ];
    // A field that says nothing neither allows nor denies a cluster.
    let said = |(pattern, _): &&(&str, &str)| !pattern.is_empty() && denied(pattern).is_none();
    let cluster_fields: Vec<_> = fields.iter().filter(said).collect();
    let cluster_matches = cluster_fields
        .iter()
        .any(|(pattern, text)| !text.is_empty() && matches(pattern, text));
    let denies_namespace = denied(&entry.namespace);
    let in_namespace = denies_namespace.is_none() && matches(&entry.namespace, namespace);
    let denial = |(pattern, text): &(&str, &str)| {
        let pattern = denied(pattern);
        pattern.is_some_and(|pattern| !text.is_empty() && denies(pattern, text))
    };
    let is_denial = denies_namespace.is_some() || fields.iter().any(|(p, _)| denied(p).is_some());
    if !is_denial {
        return if cluster_matches && in_namespace {
            Verdict::Allows
        } else {
            Verdict::SaysNothing
        };
    }
    let [by_server, by_name] = fields.each_ref().map(denial);
    // Where an entry denies both a cluster and a namespace, each is denied by itself.
    let anywhere = denies_namespace.is_some() || in_namespace;
    let any_cluster = cluster_fields.is_empty() || cluster_matches;
    let denied_here = (by_server && anywhere)
        // A denied name counts whatever the namespace, as in Argo CD.
        || by_name
        || denies_namespace.is_some_and(|pattern| any_cluster && denies(pattern, namespace));
    if denied_here {
        Verdict::Denies
    } else {
        Verdict::SaysNothing
    }
}

/// A pattern that cannot be read allows nothing.
fn matches(pattern: &str, text: &str) -> bool {
    pattern == "*" || glob::matches(pattern, text).unwrap_or(false)
}

/// As [`matches`], in any case and with or without a slash at the end of an address.
fn denies(pattern: &str, text: &str) -> bool {
    let pattern = pattern.trim().to_lowercase();
    let pattern = pattern.trim_end_matches('/');
    // One that cannot be read is refused with its project; should it come here, it denies.
    pattern == "*" || glob::matches(pattern, &text.to_lowercase()).unwrap_or(true)
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
                false,
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
            // An entry that denies allows nothing, whatever else it says.
            (
                json!([{"name": "!remote", "namespace": "*"}]),
                home,
                "shop",
                false,
            ),
            (
                json!([{"server": "!https://a", "namespace": "!b"}, {"server": "*", "namespace": "*"}]),
                "https://a",
                "b",
                false,
            ),
            (
                json!([{"server": "!https://a", "namespace": "!b"}, {"server": "*", "namespace": "*"}]),
                "https://a",
                "c",
                false,
            ),
            (
                json!([{"server": "!https://a", "namespace": "!b"}, {"server": "*", "namespace": "*"}]),
                home,
                "b",
                false,
            ),
            (
                json!([{"server": "!https://a", "namespace": "!b"}, {"server": "*", "namespace": "*"}]),
                home,
                "c",
                true,
            ),
            (
                json!([{"name": "in-cluster", "namespace": "!shop"}, {"server": "*", "namespace": "*"}]),
                "in-cluster",
                "shop",
                false,
            ),
            (
                json!([{"name": "!in-cluster", "server": "*", "namespace": "*"}, {"server": "*", "namespace": "*"}]),
                home,
                "shop",
                false,
            ),
            (
                json!([{"name": "*", "server": format!("!{home}"), "namespace": "*"}]),
                home,
                "shop",
                false,
            ),
            (
                json!([{"server": format!("!{home}"), "namespace": "elsewhere"}, {"server": "*", "namespace": "*"}]),
                home,
                "shop",
                true,
            ),
            (
                json!([{"server": "*", "namespace": "*"}, {"server": "!HTTPS://Kubernetes.default.svc/", "namespace": "*"}]),
                home,
                "shop",
                false,
            ),
        ];
        for (rules, cluster, namespace, expected) in cases {
            let project = spec(json!({"destinations": rules}));
            let verdict = permits(&project, "team", &destination(cluster, namespace));
            assert_eq!(
                verdict.is_ok(),
                expected,
                "{rules} {cluster} {namespace} {verdict:?}"
            );
        }
        let scoped = spec(json!({"destinations": [{"server": "*", "namespace": "*"}],
            "permitOnlyProjectScopedClusters": true}));
        assert!(permits(&scoped, "team", &destination(home, "shop")).is_err());
    }
}
