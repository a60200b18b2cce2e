//! URLs of repositories and the rules of projects for them: a URL in the first line, then a pattern
//! per line.

use gitops_api::AppProject;
use gitops_api::project::AppProjectSpec;
use gitops_core::project::{ProjectRules, Surroundings};
use gitops_core::source::{has_dot_segments, host, normalize};

pub(crate) const WORDS: &[&str] = &[
    "https://", "http://", "ssh://", "oci://", "git@", "host", "/org/", ".git", ":443", "user:pw@",
    "%2e%2e", "..", "/", "\\", "#", "?", "*", "**", "!", "\n", "[::1]", "\t",
];

pub(crate) fn run(data: &[u8]) {
    let (url, rules) = crate::halves(data);
    let normal = normalize(&url);
    let _ = (has_dot_segments(&url), host(&url), host(&normal));
    gitops_git::fuzz::location(&url);
    gitops_charts::fuzz::repository(&url);
    let spec = AppProjectSpec {
        source_repos: rules.lines().map(str::to_owned).collect(),
        ..AppProjectSpec::default()
    };
    if let Some(Err(denial)) = rules_of(&spec).map(|rules| rules.permits_source(&url)) {
        assert!(!denial.message.is_empty());
    }
    // A rule that denies everything leaves nothing allowed.
    let mut denying = spec.clone();
    denying.source_repos.push("!**".to_owned());
    assert!(rules_of(&denying).is_none_or(|rules| rules.permits_source(&url).is_err()));
    // No rule allows nothing.
    let none = rules_of(&AppProjectSpec::default());
    assert!(none.is_none_or(|rules| rules.permits_source(&url).is_err()));
    let destination = gitops_api::ApplicationDestination {
        server: url,
        namespace: rules.lines().next().unwrap_or_default().to_owned(),
        ..gitops_api::ApplicationDestination::default()
    };
    let everywhere = AppProjectSpec {
        destinations: vec![destination.clone()],
        ..AppProjectSpec::default()
    };
    if let Some(rules) = rules_of(&everywhere) {
        let _ = rules.permits_destination(&destination);
    }
}

/// The rules of a project; `None` when they cannot be read.
fn rules_of(spec: &AppProjectSpec) -> Option<ProjectRules> {
    let project = AppProject {
        spec: spec.clone(),
        ..AppProject::default()
    };
    ProjectRules::of(&project, &Surroundings::default()).ok()
}
