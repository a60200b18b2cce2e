//! When two repository URLs mean the same repository.

/// The form in which repository URLs are compared: lower case, without `.git` and a slash at the
/// end, scp-style (`git@host:path`) and `ssh://` alike. Not for connecting: the case is lost.
///
/// Source: Argo CD, `NormalizeGitURL`, which keeps a slash at the end.
pub fn normalize(url: &str) -> String {
    let lower = url.trim().to_lowercase();
    let url = lower.trim_end_matches('/');
    let url = url
        .strip_suffix(".git")
        .unwrap_or(url)
        .trim_end_matches('/');
    if is_scp_style(url) {
        format!("ssh://{}", url.replacen(':', "/", 1))
    } else {
        url.to_owned()
    }
}

/// `user@host:path`: a user before the first slash or colon, and no scheme.
fn is_scp_style(url: &str) -> bool {
    url.split_once('@')
        .is_some_and(|(user, _)| !user.contains(['/', ':']))
}

/// Whether a URL holds `.` or `..` as a path segment, also percent-encoded. Servers resolve those,
/// so such a URL names another place than it seems to, and no rule or credential may match it.
pub fn has_dot_segments(url: &str) -> bool {
    let decoded = url
        .to_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace('\\', "/");
    decoded
        .split(['/', ':', '?', '#'])
        .any(|segment| matches!(segment, "." | ".."))
}

/// Host name of a repository URL, lower-cased and without a port; also for scp-style URLs and for
/// registries written without a scheme (`registry.example.org/charts`).
pub fn host(url: &str) -> Option<String> {
    let url = url.trim();
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = match host.strip_prefix('[') {
        Some(address) => address.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    (!host.is_empty()).then(|| host.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_many_spellings() {
        let cases = [
            ("https://Host/Org/Repo.git", "https://host/org/repo"),
            ("https://host/org/repo/", "https://host/org/repo"),
            (" https://host/org/repo ", "https://host/org/repo"),
            ("git@host:org/repo.git", "ssh://git@host/org/repo"),
            ("ssh://git@host/org/repo", "ssh://git@host/org/repo"),
            (
                "ssh://git@host:2222/org/repo.git",
                "ssh://git@host:2222/org/repo",
            ),
            ("https://user@host/org/repo", "https://user@host/org/repo"),
            ("oci://registry/charts", "oci://registry/charts"),
            ("registry/charts", "registry/charts"),
            ("https://host/a@b:c", "https://host/a@b:c"),
            ("", ""),
        ];
        for (url, expected) in cases {
            assert_eq!(normalize(url), expected, "{url}");
            assert_eq!(normalize(&normalize(url)), expected, "{url}");
        }
    }

    #[test]
    fn dot_segments() {
        for url in [
            "https://host/org/../evil",
            "https://host/org/%2E%2e/evil",
            "https://host/org/..%2fevil",
            "https://host/org\\..\\evil",
            "git@host:../evil",
            "https://host/./repo",
        ] {
            assert!(has_dot_segments(url), "{url}");
        }
        for url in [
            "https://host/org/..repo",
            "https://host/.github",
            "git@host:org/a.b",
        ] {
            assert!(!has_dot_segments(url), "{url}");
        }
    }

    #[test]
    fn hosts() {
        let cases = [
            ("https://Host.example.org:8443/x", Some("host.example.org")),
            ("https://user:pass@host/x", Some("host")),
            ("git@host:org/repo", Some("host")),
            ("ssh://git@host:22/x", Some("host")),
            ("https://[2001:db8::1]:443/x", Some("2001:db8::1")),
            ("oci://registry/x", Some("registry")),
            ("registry.example.org/charts", Some("registry.example.org")),
            ("file:///srv/repo", None),
            ("", None),
        ];
        for (url, expected) in cases {
            assert_eq!(host(url).as_deref(), expected, "{url}");
        }
    }
}
