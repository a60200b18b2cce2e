//! When a remote of a clone is the repository an Application names, and which names are safe to
//! hand to git.

use gitops_core::source::{host, normalize};

/// Whether two addresses mean one repository. Users often clone over ssh what the agent reads
/// over https: host and path decide, unless the scheme is the same and so must be the rest.
pub fn same_repository(one: &str, other: &str) -> bool {
    let (one, other) = (normalize(one), normalize(other));
    if one == other {
        return true;
    }
    let (Some(first), Some(second)) = (parts(&one), parts(&other)) else {
        return false;
    };
    let ports_agree = first.scheme != second.scheme || first.port == second.port;
    first.host == second.host && first.path == second.path && ports_agree
}

struct Parts<'a> {
    scheme: &'a str,
    host: String,
    port: Option<&'a str>,
    path: &'a str,
}

/// The parts of a normalized address that is reached over a network.
fn parts(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    if !matches!(scheme, "http" | "https" | "ssh" | "git") {
        return None;
    }
    let (authority, path) = rest.split_once('/')?;
    let after_host = authority
        .rsplit_once(']')
        .map_or(authority, |(_, rest)| rest);
    Some(Parts {
        scheme,
        host: host(url)?,
        port: after_host.rsplit_once(':').map(|(_, port)| port),
        path: path.trim_start_matches('/'),
    })
}

/// Whether an address that a cluster named may be handed to git: over a network, nothing that
/// runs a program or reads this machine's files.
pub(super) fn is_remote(url: &str) -> bool {
    let normal = normalize(url);
    parts(&normal).is_some_and(|parts| !parts.host.starts_with('-') && !parts.path.is_empty())
        && !url.trim_start().starts_with('-')
        && !url.contains(['\0', '\n', '\r'])
        && !url.split("://").next().unwrap_or_default().contains("::")
}

/// Whether a text can be a branch's name, by git's own rules.
pub fn valid_branch(name: &str) -> bool {
    let forbidden = |c: char| {
        c.is_ascii_control() || matches!(c, ' ' | '~' | '^' | ':' | '?' | '*' | '[' | '\\')
    };
    !name.is_empty()
        && name != "@"
        && !name.starts_with('-')
        && !name.ends_with(['/', '.'])
        && !name.contains(forbidden)
        && !name.contains("..")
        && !name.contains("@{")
        && name.split('/').all(|part| {
            !part.is_empty()
                && !part.starts_with('.')
                && std::path::Path::new(part)
                    .extension()
                    .is_none_or(|extension| extension != "lock")
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_repository_over_many_ways() {
        let same = [
            ("https://host/org/repo.git", "https://HOST/org/repo"),
            ("git@host:org/repo.git", "https://host/org/repo"),
            ("ssh://git@host:2222/org/repo", "https://host/org/repo"),
            ("https://ana@host/org/repo", "https://host/org/repo"),
            ("/srv/repo.git", "/srv/repo"),
        ];
        for (one, other) in same {
            assert!(same_repository(one, other), "{one} {other}");
            assert!(same_repository(other, one), "{other} {one}");
        }
        let different = [
            ("https://host/org/repo", "https://host/org/other"),
            ("https://host/org/repo", "https://elsewhere/org/repo"),
            ("https://host:1/org/repo", "https://host:2/org/repo"),
            ("file:///srv/repo", "https://srv/repo"),
            ("/srv/repo", "https://srv/repo"),
            ("", "https://host/x"),
        ];
        for (one, other) in different {
            assert!(!same_repository(one, other), "{one} {other}");
        }
    }

    #[test]
    fn only_addresses_of_servers_are_taken_from_a_cluster() {
        for url in [
            "https://h/x",
            "http://h:1/x",
            "git@h:x",
            "ssh://git@h/x",
            "https://[::1]/x",
        ] {
            assert!(is_remote(url), "{url}");
        }
        for url in [
            "ext::sh -c x",
            "file:///etc",
            "/etc",
            "-x",
            "",
            "https://",
            "ssh://-o/x",
            "x",
        ] {
            assert!(!is_remote(url), "{url}");
        }
    }

    #[test]
    fn branch_names() {
        for name in ["main", "a/b", "gitops/rollback/web/91be07a", "v1.2", "ünï"] {
            assert!(valid_branch(name), "{name}");
        }
        for name in [
            "", "@", "-x", "a b", "a:b", "+a:b", "a..b", "a.lock", "a.lock/b", "/a", "a//b", ".a",
            "a*", "a@{1}", "a\n",
        ] {
            assert!(!valid_branch(name), "{name}");
        }
    }
}
