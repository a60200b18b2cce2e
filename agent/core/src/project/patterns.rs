//! Patterns of rules that deny. A rule that allows and cannot be read allows nothing; one that
//! denies and cannot be read has to stop everything, because nobody knows what it was to keep away.

use gitops_api::project::AppProjectSpec;

use super::denial::shortened;
use super::problem::ProjectProblem;
use crate::glob;

/// What an entry denies; `None` for one that allows.
pub(super) fn denied(entry: &str) -> Option<&str> {
    entry.trim().strip_prefix('!')
}

/// Whether a rule that denies kinds names this one. Read generously: in any case, as a resource
/// (`secrets`), with alternatives (`{A,B}`).
pub(super) fn denies_name(pattern: &str, text: &str) -> bool {
    if glob::matches_name(pattern, text).unwrap_or(false) {
        return true;
    }
    let (pattern, text) = (pattern.trim().to_lowercase(), text.to_lowercase());
    // One that cannot be read is refused with its project; should it come here, it denies.
    glob::matches(&pattern, &text).unwrap_or(true)
}

/// The same for a kind, which may be written as the resource of its URLs.
pub(super) fn denies_kind(pattern: &str, kind: &str) -> bool {
    denies_name(pattern, kind) || denies_name(pattern, &plural(kind))
}

/// How Kubernetes usually spells the resource of a kind.
fn plural(kind: &str) -> String {
    let kind = kind.to_lowercase();
    match kind.strip_suffix('y') {
        Some(stem) if !stem.ends_with(['a', 'e', 'i', 'o', 'u']) => format!("{stem}ies"),
        _ if kind.ends_with('s') || kind.ends_with('x') || kind.ends_with("ch") => {
            format!("{kind}es")
        }
        _ => format!("{kind}s"),
    }
}

/// Entries of a project that deny and cannot be read.
pub(super) fn malformed(project: &str, spec: &AppProjectSpec) -> Vec<ProjectProblem> {
    let sources = spec.source_repos.iter().filter_map(|entry| denied(entry));
    let sources = sources.map(|pattern| ("sourceRepos", pattern));
    let destinations = spec.destinations.iter();
    let destinations = destinations
        .flat_map(|entry| [&entry.server, &entry.name, &entry.namespace])
        .filter_map(|entry| denied(entry))
        .map(|pattern| ("destinations", pattern));
    let namespaced = spec.namespace_resource_blacklist.iter();
    let namespaced = namespaced
        .flat_map(|rule| [&rule.group, &rule.kind])
        .map(|pattern| ("namespaceResourceBlacklist", pattern.as_str()));
    let cluster = spec.cluster_resource_blacklist.iter();
    let cluster = cluster
        .flat_map(|rule| [&rule.group, &rule.kind, &rule.name])
        .map(|pattern| ("clusterResourceBlacklist", pattern.as_str()));
    sources
        .chain(destinations)
        .chain(namespaced)
        .chain(cluster)
        .filter(|(field, pattern)| {
            let names_nothing = pattern.is_empty() && *field == "sourceRepos";
            names_nothing || glob::matches(pattern, "").is_err()
        })
        .map(|(field, pattern)| ProjectProblem::Malformed {
            project: project.into(),
            field,
            pattern: shortened(pattern),
        })
        .collect()
}
