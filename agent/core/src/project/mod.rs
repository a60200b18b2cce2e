//! What an AppProject allows: sources, destinations and kinds, and when (`windows`).
//!
//! Only judges; callers ask again at every action (sync, prune, delete, hook, preview). Roles are
//! not looked at. The rules are Argo CD's ("Projects").

mod denial;
mod destinations;
mod kinds;
pub mod windows;

use gitops_api::project::AppProjectSpec;

use self::denial::quoted;
use crate::glob::{self, GlobError};
use crate::mask;
use crate::source::{has_dot_segments, normalize};

pub use self::denial::Denial;
pub use self::destinations::permits_destination;
pub use self::kinds::{denied_objects, permits_object};

/// Whether a repository may be used: some pattern of `sourceRepos` matches and none denies.
///
/// URLs are compared normalized; `*` stays within a path segment, `**` does not, a lone `*`
/// allows all. A pattern `!x` denies x, and allows everything else, as in Argo CD. A pattern that
/// cannot be read denies everything after `!` and allows nothing without.
pub fn permits_source(spec: &AppProjectSpec, project: &str, url: &str) -> Result<(), Denial> {
    let shown = mask::mask_text::<&str>(url, &[]);
    let what = format!("repository {shown}");
    let wanted = normalize(url);
    let mut allowed = false;
    for pattern in &spec.source_repos {
        match pattern.strip_prefix('!') {
            Some(denied) => match matches_url(denied, &wanted) {
                Ok(false) => allowed = true,
                Ok(true) => {
                    return Err(Denial::denied(
                        project,
                        &what,
                        "sourceRepos",
                        &quoted(pattern),
                    ));
                }
                Err(error) => {
                    return Err(Denial::unreadable(
                        project,
                        &what,
                        "sourceRepos",
                        &quoted(pattern),
                        error,
                    ));
                }
            },
            // What cannot be read allows nothing.
            None => allowed |= matches_url(pattern, &wanted).unwrap_or(false),
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

fn matches_url(pattern: &str, url: &str) -> Result<bool, GlobError> {
    if pattern == "*" {
        return Ok(true);
    }
    glob::matches_path(&normalize(pattern), url)
}

#[cfg(test)]
mod tests {
    use gitops_api::ApplicationDestination;
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::object::ObjectKey;

    pub(super) fn spec(value: Value) -> AppProjectSpec {
        serde_json::from_value(value).unwrap()
    }

    pub(super) fn destination(cluster: &str, namespace: &str) -> ApplicationDestination {
        let field = if cluster.starts_with("https://") {
            "server"
        } else {
            "name"
        };
        serde_json::from_value(json!({field: cluster, "namespace": namespace})).unwrap()
    }

    #[test]
    fn a_source_pattern_that_cannot_be_read_denies_or_does_not_allow() {
        let url = "https://host/org/repo";
        let long = format!("https://host/{}**", "a".repeat(2000));
        for unreadable in [
            long.as_str(),
            "https://host/{{{{{org}}}}}/**",
            "https://host/[org/**",
            "https://host/{org",
        ] {
            let denial = |patterns: &[&str], url: &str| {
                let project = spec(json!({"sourceRepos": patterns}));
                permits_source(&project, "team", url).map_err(|denial| denial.message)
            };
            let denied = denial(&["*", &format!("!{unreadable}")], url).unwrap_err();
            assert!(denied.contains("cannot be read"), "{denied}");
            assert!(denied.len() < 700, "{denied}");
            assert!(denial(&[unreadable], url).is_err(), "{unreadable}");
            assert!(denial(&[unreadable, "*"], url).is_ok(), "{unreadable}");
        }
        let long = format!("https://host/{}", "a".repeat(5000));
        for (patterns, allowed) in [
            (json!(["https://host/**"]), false),
            (json!(["*", "!https://host/secret/**"]), false),
            (json!(["*"]), true),
        ] {
            let project = spec(json!({"sourceRepos": patterns}));
            assert_eq!(
                permits_source(&project, "team", &long).is_ok(),
                allowed,
                "{patterns}"
            );
        }
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
