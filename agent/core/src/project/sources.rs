//! Which repositories a project allows.
//!
//! A rule that allows is read as strictly as Argo CD reads it and never beyond what the URL means;
//! one that denies is read generously, so that no other spelling of a repository leads around it.
//! `*` stays within a path segment, `**` does not, a lone `*` allows all.

use std::fmt;

use gitops_api::project::AppProjectSpec;

use super::denial::{Denial, quoted};
use super::patterns::denied;
use crate::source::{canonical_forms, comparable, unusable, without_user};
use crate::{glob, mask};

/// May use this repository. Credentials are given for it only.
#[derive(Clone)]
pub struct SourcePermit {
    url: String,
}

impl fmt::Debug for SourcePermit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A URL may hold a password.
        let url = mask::mask_text::<&str>(&self.url, &[]);
        f.debug_tuple("SourcePermit").field(&url).finish()
    }
}

impl SourcePermit {
    pub(super) fn new(url: &str) -> Self {
        Self { url: url.into() }
    }

    /// For a generator of an ApplicationSet whose Applications are of projects that parameters decide
    /// about: there is no project yet to ask. Credentials are then those that belong to none.
    ///
    /// # Errors
    /// When the URL means another place than it seems to.
    pub fn without_project(url: &str) -> Result<Self, Denial> {
        match unusable(url) {
            None => Ok(Self::new(url)),
            Some(why) => Err(Denial {
                rule: String::new(),
                message: format!("repository {}: {why}", mask::mask_text::<&str>(url, &[])),
            }),
        }
    }

    /// The URL, as the source has it.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Whether a repository may be used: some entry of `sourceRepos` allows it, or the repository
/// belongs to the project, and no entry denies it.
pub(super) fn permits(
    spec: &AppProjectSpec,
    project: &str,
    repositories: &[String],
    url: &str,
) -> Result<(), Denial> {
    let shown = mask::mask_text::<&str>(url, &[]);
    let what = format!("repository {shown}");
    // A URL that means another place than it seems to must not reach any rule.
    if let Some(why) = unusable(url) {
        return Err(Denial {
            rule: String::new(),
            message: format!("project {project} does not allow {what}: {why}"),
        });
    }
    for entry in &spec.source_repos {
        if denied(entry).is_some_and(|pattern| denies(pattern, url)) {
            return Err(Denial::denied(
                project,
                &what,
                "sourceRepos",
                &quoted(entry),
            ));
        }
    }
    let allows = |entry: &String| denied(entry).is_none() && allows(entry, url);
    let forms = canonical_forms(url);
    let is_own = |own: &String| unusable(own).is_none() && canonical_forms(own) == forms;
    if spec.source_repos.iter().any(allows) || repositories.iter().any(is_own) {
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

fn allows(pattern: &str, url: &str) -> bool {
    let pattern = pattern.trim();
    if pattern == "*" {
        return true;
    }
    if !is_readable(pattern) {
        return false;
    }
    let (pattern, url) = (comparable(pattern), comparable(url));
    // Without the user, too: the user of a URL is no part of the host that a pattern is about.
    let matches = |pattern: &str, url: &str| glob::matches_path(pattern, url).unwrap_or(false);
    matches(&pattern, &url) && matches(&without_user(&pattern), &without_user(&url))
}

/// Whether Argo CD could read a pattern as a URL: others allow nothing there.
fn is_readable(pattern: &str) -> bool {
    if pattern.contains(['{', '}', '\\', ' ', '"', '<', '>', '^', '`', '|']) {
        return false;
    }
    let Some((scheme, rest)) = pattern.split_once("://") else {
        return true;
    };
    let scheme_is_plain = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.'));
    let authority = rest.split('/').next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let port = match host.rsplit_once(']') {
        Some((_, port)) if host.starts_with('[') => port.strip_prefix(':'),
        _ => host.rsplit_once(':').map(|(_, port)| port),
    };
    scheme_is_plain && port.is_none_or(|port| port.chars().all(|c| c.is_ascii_digit()))
}

fn denies(pattern: &str, url: &str) -> bool {
    let pattern = pattern.trim();
    if pattern == "*" {
        return true;
    }
    // Also as it is written: a pattern need not begin with a scheme.
    let mut forms = canonical_forms(url);
    forms.extend([comparable(url), url.to_lowercase()]);
    let mut patterns = canonical_forms(pattern);
    patterns.push(comparable(pattern));
    patterns.iter().any(|pattern| {
        // One that cannot be read is refused with its project; should it come here, it denies.
        let matches = |form: &String| glob::matches_path(pattern, form).unwrap_or(true);
        forms.iter().any(matches)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::project::tests::spec;

    fn is_permitted(patterns: &[&str], url: &str) -> bool {
        let project = spec(json!({"sourceRepos": patterns}));
        permits(&project, "team", &[], url).is_ok()
    }

    #[test]
    fn entries_allow_what_argo_cd_lets_them_allow() {
        let cases: [(&[&str], &str, bool); 33] = [
            (&["*"], "https://host/any/where", true),
            (&[], "https://host/org/repo", false),
            (
                &["https://host/org/repo"],
                "https://HOST/Org/repo.git",
                true,
            ),
            (
                &["HTTPS://HOST/org/repo.git"],
                "https://host/org/repo",
                true,
            ),
            (&["https://host/org/repo"], "https://host/org/repo/", false),
            (&["https://host/org/repo"], "http://host/org/repo", false),
            (&["git@host:org/repo"], "ssh://git@host/org/repo.git", true),
            (&["git@host:org/*"], "git@host:org/repo", true),
            (&["git@host:org/*"], "other@host:org/repo", false),
            (&["https://host/*/*"], "git@host:org/repo", false),
            (&["https://host/org/*"], "https://host/org/repo", true),
            (&["https://host/org/*"], "https://host/org/sub/repo", false),
            (&["https://host/org/**"], "https://host/org/sub/repo", true),
            (&["https://host/org/*"], "https://host/org-evil/repo", false),
            (&["https://host/org/r[ae]po"], "https://host/org/repo", true),
            (&["https://host/org/re?o"], "https://host/org/repo", true),
            (&["https://*/org/repo"], "https://host/org/repo", true),
            (&["https://**.git"], "https://host/org/repo", true),
            (&["https://*"], "https://host/org/repo", false),
            (&["http*://host/org/repo"], "https://host/org/repo", false),
            (
                &["https://host:*/org/repo"],
                "https://host:8443/org/repo",
                false,
            ),
            (
                &["https://host/{org,other}/repo"],
                "https://host/org/repo",
                false,
            ),
            (&["https://host/o\\rg/repo"], "https://host/org/repo", false),
            (&[" https://host/org/repo "], "https://host/org/repo", true),
            (&["https://host/o rg/repo"], "https://host/org/repo", false),
            (&["[broken"], "[broken", false),
            (&["registry:5000/charts"], "registry:5000/charts", true),
            (&["10.0.0.1:5000/charts"], "10.0.0.1:5000/charts", true),
            (&["10.0.0.1:5000/charts"], "127.0.0.1:1/other", false),
            (
                &["https://git.example.com:*/team/*"],
                "127.0.0.1:1/other",
                false,
            ),
            (
                &["https://org@dev.example.com/**"],
                "https://org@dev.example.com/org/p/_git/r",
                true,
            ),
            (&["https://**"], "https://org@dev.example.com/org/r", true),
            (&["oci://host/*"], "oci://host/charts", true),
        ];
        for (patterns, url, expected) in cases {
            assert_eq!(is_permitted(patterns, url), expected, "{patterns:?} {url}");
        }
    }

    #[test]
    fn an_entry_that_denies_allows_nothing() {
        for patterns in [
            &["!https://host/secret/*"][..],
            &["!*"],
            &["*", "!**"],
            &["*", "!https**"],
            &["!"],
            &["!ssh://git@host:org/repo", "https://host/nothing"],
            &["https://host/nothing", "!http://other:*/**"],
        ] {
            assert!(
                !is_permitted(patterns, "https://host/open/repo"),
                "{patterns:?}"
            );
        }
    }

    #[test]
    fn no_other_spelling_leads_around_an_entry_that_denies() {
        let denied: [(&str, &[&str]); 9] = [
            (
                "!https://host/secret/**",
                &[
                    "https://host/secret/r",
                    "https://host:443/secret/r",
                    "https://x@host/secret/r",
                    "https://x:y@host/secret/r",
                    "https://host./secret/r",
                    "https://HOST/Secret/r.git/",
                    "https://host//secret//r",
                ],
            ),
            (
                "!https://host/secret/r",
                &["https://host/secret/r.git", "https://host/secret/r/"],
            ),
            (
                "!git@host:secret/*",
                &[
                    "ssh://git@host/secret/r",
                    "ssh://host/secret/r",
                    "ssh://other@host:22/secret/r",
                    "git@host:secret/r",
                    "git@host:/secret/r",
                ],
            ),
            (
                "!ssh://git@host:secret/r",
                &["git@host:secret/r", "ssh://git@host/secret/r.git"],
            ),
            (
                "!http://127.0.0.1:*/**",
                &["http://127.0.0.1:8080/a/b", "http://127.0.0.1/a"],
            ),
            (
                "!https://host/{secret,other}/*",
                &["https://host/secret/r", "https://host/other/r"],
            ),
            (" !https://host/secret/r", &["https://host/secret/r"]),
            (
                "!*://host/secret/r",
                &["https://host/secret/r", "ssh://git@host/secret/r"],
            ),
            (
                "!**/secret/**",
                &["https://host/secret/r", "git@host:secret/r"],
            ),
        ];
        for (entry, urls) in denied {
            for url in urls {
                assert!(!is_permitted(&["*", entry], url), "{entry} {url}");
                assert!(!is_permitted(&[entry, "*"], url), "{entry} {url}");
            }
            assert!(
                is_permitted(&["*", entry], "https://host/open/repo"),
                "{entry}"
            );
        }
    }

    #[test]
    fn a_url_that_means_another_place_is_allowed_by_nothing() {
        for url in [
            "https://evil.example#.corp.example/x",
            "https://evil.example?.corp.example/x",
            "https://evil.example\\.corp.example/x",
            "https://host/org/../evil",
            "https://host/org/%2e%2e/evil",
            "https://host/org/.\t./evil",
            "https://host/%73ecret/r",
            "https://host/org%2frepo",
            "https://a@b@host/x",
            "https://host:port/x",
            "https:///x",
            "http://trusted.example.com@evil.example/x",
        ] {
            let patterns = [
                "https://*.corp.example/**",
                "http://trusted.example.com*/**",
            ];
            assert!(!is_permitted(&patterns, url), "{url}");
            if !url.contains("trusted") {
                assert!(!is_permitted(&["*"], url), "{url}");
            }
        }
    }

    #[test]
    fn a_repository_of_the_project_is_allowed_by_its_own_url_only() {
        let project = spec(json!({"sourceRepos": ["*", "!https://host/denied"]}));
        let none = spec(json!({}));
        let own = |urls: &[&str], url: &str| {
            let urls: Vec<String> = urls.iter().map(|url| (*url).to_owned()).collect();
            permits(&none, "team", &urls, url).is_ok()
        };
        assert!(own(&["https://host/org/repo.git"], "https://host/org/repo"));
        assert!(!own(&["https://host/org/*"], "https://host/org/repo"));
        assert!(!own(&["*"], "https://host/org/repo"));
        assert!(!own(&["!x"], "https://host/org/repo"));
        let denied = "https://host/denied".to_owned();
        assert!(permits(&project, "team", std::slice::from_ref(&denied), &denied).is_err());
    }

    proptest! {
        #[test]
        fn a_repository_is_allowed_by_its_own_url_and_denied_by_its_denial(
            path in "[a-z]{1,6}(/[a-z]{1,6}){0,3}", other in "[a-z]{1,6}(/[a-z]{1,6}){0,3}",
        ) {
            let (url, other) = (format!("https://host/{path}"), format!("https://host/{other}"));
            prop_assert_eq!(is_permitted(&[&url], &other), url == other);
            prop_assert_eq!(is_permitted(&["*", &format!("!{url}")], &other), url != other);
            prop_assert!(is_permitted(&["https://host/**"], &url));
        }

        #[test]
        fn no_entry_or_url_panics(entry in "\\PC{0,40}", url in "\\PC{0,40}") {
            let _ = is_permitted(&[&entry, "*"], &url);
        }
    }
}
