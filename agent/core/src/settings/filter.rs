//! Which kinds the agent leaves alone: `resource.exclusions` and `resource.inclusions`.

use gitops_api::constants;
use serde::Deserialize;

use super::Settings;
use crate::glob::{self, Glob};

/// Kinds of some clusters, by globs; an empty list means all.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ResourceRule {
    /// API groups; `""` is the core group.
    pub api_groups: Vec<String>,
    /// Kinds.
    pub kinds: Vec<String>,
    /// Addresses of clusters.
    pub clusters: Vec<String>,
}

impl ResourceRule {
    /// `unreadable` is what a pattern counts as that cannot be read.
    fn covers_cluster(&self, cluster: &str, unreadable: bool) -> bool {
        any(&self.clusters, cluster, unreadable)
    }

    fn covers(&self, group: &str, kind: &str, cluster: &str, unreadable: bool) -> bool {
        any(&self.api_groups, group, unreadable)
            && any(&self.kinds, kind, unreadable)
            && self.covers_cluster(cluster, unreadable)
    }

    /// Patterns that cannot be read, each with its field and why.
    pub(super) fn problems(&self) -> impl Iterator<Item = String> {
        [
            ("apiGroups", &self.api_groups),
            ("kinds", &self.kinds),
            ("clusters", &self.clusters),
        ]
        .into_iter()
        .flat_map(|(field, patterns)| {
            patterns
                .iter()
                .enumerate()
                .filter_map(move |(place, pattern)| {
                    let error = Glob::text(pattern).err()?;
                    Some(format!("{field}[{place}] cannot be read: {error}"))
                })
        })
    }
}

fn any(patterns: &[String], text: &str, unreadable: bool) -> bool {
    patterns.is_empty()
        || patterns
            .iter()
            .any(|pattern| glob::matches(pattern, text).unwrap_or(unreadable))
}

/// Kinds the agent neither watches nor manages.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResourceFilter {
    /// `resource.exclusions`.
    pub exclusions: Vec<ResourceRule>,
    /// `resource.inclusions`.
    pub inclusions: Vec<ResourceRule>,
}

impl ResourceFilter {
    /// Whether a kind is left out in a cluster: by Argo CD's built-in exclusions, by an exclusion,
    /// or because there are inclusions for that cluster and none covers it. Exclusions win. A
    /// pattern that cannot be read excludes everything and includes nothing.
    pub fn excludes(&self, group: &str, kind: &str, cluster: &str) -> bool {
        is_never_managed(group, kind)
            || self
                .exclusions
                .iter()
                .any(|rule| rule.covers(group, kind, cluster, true))
            || (self
                .inclusions
                .iter()
                .any(|rule| rule.covers_cluster(cluster, true))
                && !self
                    .inclusions
                    .iter()
                    .any(|rule| rule.covers(group, kind, cluster, false)))
    }
}

impl Settings {
    /// Whether the agent leaves a kind of its own cluster alone.
    pub fn excludes(&self, group: &str, kind: &str) -> bool {
        let cluster = constants::IN_CLUSTER_SERVER;
        self.resources.excludes(group, kind, cluster)
    }
}

/// Records that change all the time and that nobody keeps in Git.
fn is_never_managed(group: &str, kind: &str) -> bool {
    matches!(
        (group, kind),
        ("events.k8s.io" | "metrics.k8s.io", _) | ("", "Event") | ("coordination.k8s.io", "Lease")
    )
}
