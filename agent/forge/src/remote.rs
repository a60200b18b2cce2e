//! Reads a Git address: where the forge behind it answers, and what it calls the repository.
//! Decides nothing about which forge it is, sends nothing.

use url::Url;

/// A repository on a forge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remote {
    /// Address of the forge's pages, without a slash at the end: `https://git.example.org:3000`.
    pub web: String,
    /// Host name, lower case.
    pub host: String,
    /// Owner and name, without `.git`: `acme/fleet`, on GitLab also `acme/team/fleet`.
    pub path: String,
}

impl Remote {
    /// Reads `https://…`, `ssh://…` and `user@host:path`. `None`: a local path, or an address that
    /// names no owner.
    pub fn parse(address: &str) -> Option<Self> {
        let address = address.trim();
        if let Ok(url) = Url::parse(address)
            && url.has_host()
        {
            let host = url.host_str()?.to_lowercase();
            let web = match url.scheme() {
                // The port of ssh says nothing about the pages.
                "ssh" | "git+ssh" => format!("https://{host}"),
                scheme @ ("http" | "https") => {
                    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
                    format!("{scheme}://{host}{port}")
                }
                _ => return None,
            };
            return Self::of(web, host, url.path());
        }
        // user@host:path, which is no URL.
        let (before, path) = address.split_once(':')?;
        if before.contains('/') || path.starts_with("//") {
            return None;
        }
        let host = before.rsplit_once('@').map_or(before, |(_, host)| host);
        if host.len() < 2 {
            // One letter: a drive of Windows.
            return None;
        }
        let host = host.to_lowercase();
        Self::of(format!("https://{host}"), host, path)
    }

    fn of(web: String, host: String, path: &str) -> Option<Self> {
        let path = path.trim_matches('/');
        let path = path.strip_suffix(".git").unwrap_or(path);
        let path = path.trim_end_matches('/');
        let fine = path.contains('/')
            && path.split('/').all(|part| {
                !part.is_empty()
                    && part != "."
                    && part != ".."
                    && part
                        .chars()
                        .all(|c| c.is_ascii_alphanumeric() || "-_.~%".contains(c))
            });
        fine.then(|| Self {
            web,
            host,
            path: path.to_owned(),
        })
    }

    /// Host name and port of the forge's pages, lower case, which tokens are kept for; without the
    /// port that https has anyway.
    pub(crate) fn web_authority(&self) -> String {
        let address = self
            .web
            .split_once("://")
            .map_or("", |(_, address)| address);
        let authority = address.split('/').next().unwrap_or_default();
        // What stands before an @ is no host.
        let authority = authority
            .rsplit_once('@')
            .map_or(authority, |(_, authority)| authority);
        let authority = authority.strip_suffix(":443").unwrap_or(authority);
        authority.to_lowercase()
    }

    /// The same repository with its forge's pages at another address.
    #[must_use]
    pub fn with_web(mut self, web: &str) -> Self {
        web.trim_end_matches('/').clone_into(&mut self.web);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_repositories() {
        let table = [
            (
                "https://github.com/acme/fleet.git",
                Some("https://github.com acme/fleet"),
            ),
            (
                "https://me:secret@Github.com/acme/fleet/",
                Some("https://github.com acme/fleet"),
            ),
            (
                "git@github.com:acme/fleet.git",
                Some("https://github.com acme/fleet"),
            ),
            (
                "ssh://git@git.example.org:2222/acme/fleet",
                Some("https://git.example.org acme/fleet"),
            ),
            (
                "https://gitlab.com/a/b/c.git",
                Some("https://gitlab.com a/b/c"),
            ),
            (
                "http://127.0.0.1:3000/acme/fleet",
                Some("http://127.0.0.1:3000 acme/fleet"),
            ),
            ("host:acme/fleet", Some("https://host acme/fleet")),
            ("/srv/git/fleet.git", None),
            ("file:///srv/git/fleet.git", None),
            ("C:/git/fleet", None),
            ("https://example.org/fleet.git", None),
            ("https://example.org/a/../fleet", None),
            (
                "https://example.org/a b/fleet?x=1",
                Some("https://example.org a%20b/fleet"),
            ),
            ("git@host:acme/fl eet", None),
            ("", None),
        ];
        for (address, expected) in table {
            let found =
                Remote::parse(address).map(|remote| format!("{} {}", remote.web, remote.path));
            assert_eq!(found.as_deref(), expected, "{address}");
        }
    }
}
