//! Reads a repository URL into where to connect and what to ask for there. Refuses what could
//! become a program option or reach the machine's files. Never connects.

use std::path::PathBuf;

use gitops_transport::redact::{
    host_and_port, percent_decode, user_information, without_user_information,
};

use crate::error::GitError;

/// Where a repository is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    /// Smart HTTP at this URL, which has no user information and no trailing slash.
    Http(url::Url),
    /// `git-upload-pack` through `ssh`.
    Ssh {
        user: String,
        host: String,
        port: Option<u16>,
        path: String,
    },
    /// A repository on this machine.
    File(PathBuf),
}

/// A parsed repository URL.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct RemoteUrl {
    pub(crate) location: Location,
    /// User name and password found inside an HTTP URL, decoded.
    pub(crate) user_information: Option<(String, String)>,
    /// For messages: without user information.
    pub(crate) display: String,
}

impl RemoteUrl {
    pub(crate) fn parse(text: &str, allow_file: bool) -> Result<Self, GitError> {
        let text = text.trim();
        let display = without_user_information(text);
        let invalid = |reason: &str| GitError::InvalidUrl {
            url: display.clone(),
            reason: reason.to_owned(),
        };
        let (location, user_information) = if text.contains("://") {
            parse_url(text).map_err(|reason| invalid(&reason))?
        } else if let Some((host, path)) = split_scp(text) {
            let (user, host) = host.rsplit_once('@').unwrap_or(("git", host));
            let host = host.trim_start_matches('[').trim_end_matches(']');
            let location = Location::Ssh {
                user: user.into(),
                host: host.into(),
                port: None,
                path: path.into(),
            };
            (location, None)
        } else if text.starts_with('/') {
            (Location::File(PathBuf::from(text)), None)
        } else {
            return Err(invalid(
                "use https://HOST/PATH, ssh://git@HOST/PATH or git@HOST:PATH",
            ));
        };
        match &location {
            Location::File(_) if !allow_file => {
                return Err(invalid(
                    "repositories on the agent's own disk are not allowed; use https:// or ssh",
                ));
            }
            Location::Ssh {
                user, host, path, ..
            } => {
                if host.is_empty() || path.trim_matches('/').is_empty() {
                    return Err(invalid("host and path must both be given"));
                }
                if [user, host, path]
                    .iter()
                    .any(|part| part.starts_with('-') || part.contains(['\0', '\n']))
                {
                    return Err(invalid("user, host and path must not begin with `-`"));
                }
            }
            Location::File(_) | Location::Http(_) => {}
        }
        Ok(Self {
            location,
            user_information,
            display,
        })
    }
}

/// The URL as all spellings of it are written: host in lower case, default port and trailing slashes
/// left out; user information stays. A URL that cannot be read stays as it is.
pub fn canonical_url(text: &str) -> String {
    let text = text.trim();
    let Ok(remote) = RemoteUrl::parse(text, true) else {
        return text.to_owned();
    };
    match remote.location {
        Location::Http(mut url) => {
            // Taken from the text as it is, since other spellings of a password are other passwords.
            if let Ok(written) = url::Url::parse(text) {
                let _ = url.set_username(written.username());
                let _ = url.set_password(written.password());
            }
            url.into()
        }
        // Paths of `ssh://` and of `host:path` do not mean the same.
        Location::Ssh { .. } | Location::File(_) => text.to_owned(),
    }
}

/// The host a URL names, with its port where one is written; empty for files and what cannot be read.
pub fn host_of(text: &str) -> String {
    match RemoteUrl::parse(text, true).map(|remote| remote.location) {
        Ok(Location::Http(url)) => host_and_port(&url),
        Ok(Location::Ssh { host, port, .. }) => {
            let host = host.to_ascii_lowercase();
            port.map_or_else(|| host.clone(), |port| format!("{host}:{port}"))
        }
        Ok(Location::File(_)) | Err(_) => String::new(),
    }
}

type Parsed = (Location, Option<(String, String)>);

fn parse_url(text: &str) -> Result<Parsed, String> {
    let mut url = url::Url::parse(text).map_err(|error| error.to_string())?;
    match url.scheme() {
        "http" | "https" => {
            let user_information = user_information(&url);
            // Cannot fail: http URLs always have a host.
            let _ = url.set_username("");
            let _ = url.set_password(None);
            url.set_fragment(None);
            if url.query().is_some() {
                return Err("a repository URL has no `?`".to_owned());
            }
            let path = url.path().trim_end_matches('/').to_owned();
            url.set_path(&path);
            Ok((Location::Http(url), user_information))
        }
        "ssh" | "git+ssh" | "ssh+git" => {
            let host = url.host_str().unwrap_or_default();
            let host = host
                .trim_start_matches('[')
                .trim_end_matches(']')
                .to_owned();
            let user = if url.username().is_empty() {
                "git".to_owned()
            } else {
                percent_decode(url.username())
            };
            let path = percent_decode(url.path());
            // As git: `ssh://host/~joe/repo` is in joe's home.
            let path = if path.starts_with("/~") {
                path[1..].to_owned()
            } else {
                path
            };
            Ok((
                Location::Ssh {
                    user,
                    host: percent_decode(&host),
                    port: url.port(),
                    path,
                },
                None,
            ))
        }
        "file" => {
            let path = url
                .to_file_path()
                .map_err(|()| "file:// needs an absolute path".to_owned())?;
            Ok((Location::File(path), None))
        }
        scheme => Err(format!(
            "scheme `{scheme}` is not supported; use https or ssh"
        )),
    }
}

/// `[user@]host:path`, the host possibly an IPv6 address in brackets; a slash before the colon
/// makes it a path instead.
fn split_scp(text: &str) -> Option<(&str, &str)> {
    let colon = match text.find(']') {
        Some(bracket) if text.contains('[') => bracket + 1,
        _ => text.find(':')?,
    };
    let (host, path) = text.split_at_checked(colon)?;
    let path = path.strip_prefix(':')?;
    (!host.contains('/')).then_some((host, path))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ssh(user: &str, host: &str, port: Option<u16>, path: &str) -> Location {
        Location::Ssh {
            user: user.into(),
            host: host.into(),
            port,
            path: path.into(),
        }
    }

    #[test]
    fn urls_users_write() {
        let http = |url: &str| Location::Http(url::Url::parse(url).unwrap());
        let cases = [
            (
                "https://example.com/a/b.git",
                http("https://example.com/a/b.git"),
            ),
            (
                " https://example.com/a/b/ ",
                http("https://example.com/a/b"),
            ),
            (
                "https://u:p@example.com:8443/a",
                http("https://example.com:8443/a"),
            ),
            (
                "git@example.com:a/b.git",
                ssh("git", "example.com", None, "a/b.git"),
            ),
            (
                "example.com:a/b.git",
                ssh("git", "example.com", None, "a/b.git"),
            ),
            (
                "joe@[::1]:/srv/b.git",
                ssh("joe", "::1", None, "/srv/b.git"),
            ),
            (
                "ssh://git@example.com:2222/a%20b.git",
                ssh("git", "example.com", Some(2222), "/a b.git"),
            ),
            (
                "ssh://example.com/~joe/b",
                ssh("git", "example.com", None, "~joe/b"),
            ),
            ("file:///srv/a.git", Location::File("/srv/a.git".into())),
            ("/srv/a.git", Location::File("/srv/a.git".into())),
        ];
        for (text, expected) in cases {
            assert_eq!(
                RemoteUrl::parse(text, true).unwrap().location,
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn user_information_is_kept_apart() {
        let remote = RemoteUrl::parse("https://joe%40x:p%2Fw@example.com/a", false).unwrap();
        assert_eq!(
            remote.user_information,
            Some(("joe@x".into(), "p/w".into()))
        );
        assert_eq!(remote.display, "https://***@example.com/a");
    }

    #[test]
    fn dangerous_and_malformed_urls_are_refused() {
        let cases = [
            ("file:///etc", "agent's own disk"),
            ("/etc", "agent's own disk"),
            ("ssh://-oProxyCommand=x/a", "must not begin with `-`"),
            ("-oProxyCommand=x:a", "must not begin with `-`"),
            ("git@host:-x", "must not begin with `-`"),
            ("ssh://host/", "host and path"),
            ("ext::sh -c id", "must not begin with `-`"),
            ("git://example.com/a", "scheme `git`"),
            ("https://example.com/a?b=c", "no `?`"),
            ("justaname", "use https://"),
            ("https://", "empty host"),
        ];
        for (text, reason) in cases {
            if text.starts_with("ext::") {
                // Reads as host `ext`: nothing is executed, ssh just fails to find it.
                assert!(matches!(
                    RemoteUrl::parse(text, false).unwrap().location,
                    Location::Ssh { .. }
                ));
                continue;
            }
            let error = RemoteUrl::parse(text, false)
                .err()
                .map(|e| e.to_string())
                .unwrap_or_default();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn spellings_of_one_url_are_one() {
        for (text, expected) in [
            ("https://HOST.example/Org/x/", "https://host.example/Org/x"),
            ("https://host.example:443/x ", "https://host.example/x"),
            ("https://host.example:8443/x", "https://host.example:8443/x"),
            (
                "https://u:p%40@host.example/x/",
                "https://u:p%40@host.example/x",
            ),
            ("git@host:a/b", "git@host:a/b"),
            ("ssh://git@host/a/b", "ssh://git@host/a/b"),
            ("nothing", "nothing"),
        ] {
            assert_eq!(canonical_url(text), expected, "{text}");
            assert_eq!(canonical_url(expected), expected);
        }
        assert_ne!(
            canonical_url("https://host/Org/x"),
            canonical_url("https://host/org/x")
        );
        assert_eq!(host_of("git@HOST:a/b"), "host");
        assert_eq!(host_of("https://host.example:8443/x"), "host.example:8443");
        assert_eq!(host_of("/srv/x"), "");
    }
}
