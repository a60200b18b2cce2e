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

/// The text by which a URL and an entry of `sourceRepos` that allows it are compared. Source: Argo
/// CD, `NormalizeGitURL`: lower case, without `.git`, scp-style and `ssh://` alike; a slash at the
/// end counts.
pub fn comparable(url: &str) -> String {
    let lower = url.trim().to_lowercase();
    let url = if is_scp_style(&lower) {
        lower.replacen(':', "/", 1)
    } else {
        lower
    };
    let url = url.strip_suffix(".git").unwrap_or(&url);
    url.strip_prefix("ssh://").unwrap_or(url).to_owned()
}

/// A repository as other tools are told of it: [`comparable`], without who asks for it.
pub fn shown(url: &str) -> String {
    without_user(&comparable(url))
}

/// A [`comparable`] text without the user before the host.
pub fn without_user(text: &str) -> String {
    let (scheme, rest) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    format!("{scheme}{host}{path}")
}

/// All spellings by which an entry that denies may mean a repository: without user, dot after the
/// host, repeated and last slashes and `.git`; with and without the port that its scheme has anyway;
/// charts' registries with and without `oci://`. Also takes a pattern.
pub fn canonical_forms(url: &str) -> Vec<String> {
    let lower = url.trim().to_lowercase();
    let lower = if is_scp_style(&lower) {
        format!("ssh://{}", lower.replacen(':', "/", 1))
    } else {
        lower
    };
    let (scheme, rest) = match lower.split_once("://") {
        Some((scheme, rest)) => (scheme, rest),
        None => ("oci", &*lower),
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let (host, port, path) = match host.rsplit_once(':') {
        // An address in brackets has colons of its own.
        Some((name, port)) if !port.contains(']') => {
            // `ssh://git@host:path`, as people write it.
            let is_path = scheme == "ssh" && !port.chars().all(|c| c.is_ascii_digit() || c == '*');
            if is_path {
                (name, None, format!("/{port}{path}"))
            } else {
                (name, Some(port), path.to_owned())
            }
        }
        _ => (host, None, path.to_owned()),
    };
    let host = host.trim_end_matches('.');
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let path = segments.join("/");
    let path = path.strip_suffix(".git").unwrap_or(&path);
    let default = match scheme {
        "https" | "oci" => "443",
        "http" => "80",
        "ssh" => "22",
        "git" => "9418",
        _ => "",
    };
    let implied = port.is_none_or(|port| port == default);
    let mut forms = Vec::new();
    if implied {
        forms.push(format!("{scheme}://{host}/{path}"));
    }
    let port = port.unwrap_or(default);
    if !port.is_empty() {
        forms.push(format!("{scheme}://{host}:{port}/{path}"));
    }
    forms
}

/// Why nothing can be fetched from a URL, or why it must not be: it could mean another place to
/// whoever fetches it than to the rule that allowed it.
pub fn unusable(url: &str) -> Option<&'static str> {
    let url = url.trim();
    if url.starts_with('-') || url.chars().any(|c| c.is_whitespace() || c.is_control()) {
        return Some("it is not a URL");
    }
    if url.contains(['#', '?', '\\']) {
        return Some("\"#\", \"?\" and \"\\\" are not allowed in it");
    }
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) => (scheme.to_ascii_lowercase(), rest),
        None => (String::new(), url),
    };
    if !matches!(
        &*scheme,
        "" | "https" | "http" | "ssh" | "git" | "oci" | "file"
    ) {
        return Some("the scheme is not supported; use https, ssh or oci");
    }
    if has_dot_segments(url) {
        return Some("\".\" and \"..\" are not allowed in it");
    }
    if has_needless_escapes(url) {
        return Some(
            "it writes a character with % that needs none, or that separates; write it plainly",
        );
    }
    if scheme.is_empty() || scheme == "file" {
        return None;
    }
    let authority = rest.split('/').next().unwrap_or_default();
    let (user, host) = authority.rsplit_once('@').unwrap_or(("", authority));
    let port = match host.rsplit_once(']') {
        Some((_, port)) => port.strip_prefix(':'),
        None => host.split_once(':').map(|(_, port)| port),
    };
    let name = host.split(':').next().unwrap_or_default();
    let port_is_number = port.is_none_or(|port| port.chars().all(|c| c.is_ascii_digit()));
    if user.contains('@') || name.is_empty() || !port_is_number || host.contains('%') {
        return Some("what stands before its path is not a host");
    }
    None
}

/// Percent-encoding of what needs none, or hides a separator, so that one place has two spellings.
/// A password before the host may be encoded as it likes.
fn has_needless_escapes(url: &str) -> bool {
    let without_user = without_user(url);
    let mut rest = without_user.split('%');
    rest.next();
    rest.any(|part| {
        let code = part
            .get(..2)
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        code.is_none_or(|code| {
            code.is_ascii_alphanumeric()
                || code.is_ascii_control()
                || matches!(code, b'-' | b'.' | b'_' | b'~' | b'/' | b'\\')
        })
    })
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
