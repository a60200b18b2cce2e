//! URLs of repositories and the rules of projects for them: a URL in the first line, then a pattern
//! per line.

use gitops_api::project::AppProjectSpec;
use gitops_core::project::{permits_destination, permits_source};
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
    let allowed = permits_source(&spec, "team", &url);
    if let Err(denial) = &allowed {
        assert!(!denial.message.is_empty());
    }
    // A rule that denies everything leaves nothing allowed.
    let mut denying = spec.clone();
    denying.source_repos.push("!**".to_owned());
    assert!(permits_source(&denying, "team", &url).is_err());
    // No rule allows nothing.
    assert!(permits_source(&AppProjectSpec::default(), "team", &url).is_err());
    let destination = gitops_api::ApplicationDestination {
        server: url,
        namespace: rules.lines().next().unwrap_or_default().to_owned(),
        ..gitops_api::ApplicationDestination::default()
    };
    let everywhere = AppProjectSpec {
        destinations: vec![destination.clone()],
        ..AppProjectSpec::default()
    };
    let _ = permits_destination(&everywhere, "team", &destination);
}
