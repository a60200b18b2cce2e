//! Which repository Secret belongs to a URL: Argo CD's Secrets of the agent's namespace.

use std::collections::BTreeMap;
use std::fmt;

use gitops_api::constants::{label, secret_type};

use super::credentials::RepositoryEntry;
use super::url::{has_dot_segments, host, normalize, unusable};

/// A Secret of the agent's namespace, as far as it matters here.
#[derive(Clone, Copy)]
pub struct RepositorySecret<'a> {
    /// `metadata.name`.
    pub name: &'a str,
    /// `metadata.labels`.
    pub labels: &'a BTreeMap<String, String>,
    /// `data`, decoded.
    pub data: &'a BTreeMap<String, Vec<u8>>,
}

/// A Secret that cannot be used as it is written. Never holds a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretProblem {
    /// Name of the Secret.
    pub secret: String,
    /// What is wrong.
    pub problem: String,
}

impl fmt::Display for SecretProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret {}: {}", self.secret, self.problem)
    }
}

/// All repository and repo-creds Secrets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepositorySecrets {
    repositories: Vec<(String, RepositoryEntry)>,
    prefixes: Vec<(String, RepositoryEntry)>,
    problems: Vec<SecretProblem>,
}

impl RepositorySecrets {
    /// Reads the Secrets that the label `argocd.argoproj.io/secret-type` marks as `repository` or
    /// `repo-creds`; all others are passed over.
    pub fn from_secrets<'a>(secrets: impl IntoIterator<Item = RepositorySecret<'a>>) -> Self {
        let mut all = Self::default();
        for secret in secrets {
            let list = match secret.labels.get(label::SECRET_TYPE).map(String::as_str) {
                Some(secret_type::REPOSITORY) => &mut all.repositories,
                Some(secret_type::REPO_CREDS) => &mut all.prefixes,
                _ => continue,
            };
            let (entry, mut problems) = RepositoryEntry::read(secret.name, secret.data);
            let url = identity(&entry.url);
            if url.is_empty() {
                problems.push("key url is missing: it says which repository this is for".into());
            } else if has_dot_segments(&entry.url) {
                problems.push(
                    "key url holds \".\" or \"..\" as a path segment; no repository matches it"
                        .into(),
                );
            } else {
                list.push((url, entry));
            }
            all.problems
                .extend(problems.into_iter().map(|problem| SecretProblem {
                    secret: secret.name.into(),
                    problem,
                }));
        }
        // By name, so that the order of a list request never decides.
        for list in [&mut all.repositories, &mut all.prefixes] {
            list.sort_by(|(_, left), (_, right)| left.secret.cmp(&right.secret));
        }
        all
    }

    /// Secrets that cannot be used as they are written.
    pub fn problems(&self) -> &[SecretProblem] {
        &self.problems
    }

    /// URLs of the repositories that belong to a project, which it may use whatever its
    /// `sourceRepos` say. Source: Argo CD, "Project scoped repositories and clusters".
    pub fn of_project(&self, project: &str) -> Vec<String> {
        let own = self.repositories.iter();
        own.filter(|(_, entry)| !project.is_empty() && entry.project == project)
            .map(|(_, entry)| entry.url.clone())
            .collect()
    }

    /// How to reach `url` for an application of `project`; `None` means anonymously.
    ///
    /// The Secret of that very URL and project comes first, then the one of that URL for all
    /// projects. If it holds no credentials, or there is none, the repo-creds Secret with the
    /// longest prefix adds them. A prefix matches at a path boundary only, so that credentials for
    /// `https://host/org` are never sent to `https://host/org-evil`; Argo CD compares characters.
    pub fn select(&self, url: &str, project: &str) -> Option<RepositoryEntry> {
        // Its prefix would name another place than the one it is fetched from.
        if unusable(url).is_some() {
            return None;
        }
        let wanted = identity(url);
        let of_project = |wanted_project: &str| {
            self.repositories
                .iter()
                .find(|(url, entry)| *url == wanted && entry.project == wanted_project)
                .map(|(_, entry)| entry)
        };
        let repository = of_project(project).or_else(|| of_project(""));
        if let Some(entry) = repository.filter(|entry| entry.has_credentials()) {
            return Some(entry.clone());
        }
        let prefix = self.longest_prefix(&wanted, project);
        match (repository.cloned(), prefix) {
            (Some(mut entry), Some(prefix)) => {
                entry.complete_from(prefix);
                Some(entry)
            }
            (None, Some(prefix)) => {
                let mut entry = prefix.clone();
                entry.url = url.into();
                entry.credentials_secret = Some(prefix.secret.clone());
                Some(entry)
            }
            (entry, None) => entry,
        }
    }

    fn longest_prefix(&self, wanted: &str, project: &str) -> Option<&RepositoryEntry> {
        self.prefixes
            .iter()
            .filter(|(prefix, entry)| {
                is_prefix(prefix, wanted) && (entry.project.is_empty() || entry.project == project)
            })
            // The first one of several that are equally long.
            .max_by(|(left, a), (right, b)| {
                left.len()
                    .cmp(&right.len())
                    .then_with(|| b.secret.cmp(&a.secret))
            })
            .map(|(_, entry)| entry)
    }
}

/// Secrets of registries leave out `oci://`, sources of charts may too.
fn identity(url: &str) -> String {
    let url = normalize(url);
    url.strip_prefix("oci://").map(str::to_owned).unwrap_or(url)
}

fn is_prefix(prefix: &str, url: &str) -> bool {
    url.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// PEM certificates to trust for the host of `url`, from the data of argocd-tls-certs-cm.
pub fn certificates_for<'a>(
    config_map: &'a BTreeMap<String, String>,
    url: &str,
) -> Option<&'a str> {
    let host = host(url)?;
    config_map
        .iter()
        .find(|(name, _)| name.to_lowercase() == host)
        .map(|(_, pem)| pem.as_str())
        .filter(|pem| !pem.trim().is_empty())
}

/// Keys of ssh hosts, from the data of argocd-ssh-known-hosts-cm.
pub fn known_hosts(config_map: &BTreeMap<String, String>) -> Option<&str> {
    config_map
        .get("ssh_known_hosts")
        .map(String::as_str)
        .filter(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    type Row = (
        &'static str,
        &'static str,
        &'static [(&'static str, &'static str)],
    );

    fn secrets(rows: &[Row]) -> RepositorySecrets {
        let owned: Vec<_> = rows
            .iter()
            .map(|(name, kind, keys)| {
                let labels = BTreeMap::from([(label::SECRET_TYPE.to_owned(), (*kind).to_owned())]);
                let data: BTreeMap<_, _> = keys
                    .iter()
                    .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
                    .collect();
                (*name, labels, data)
            })
            .collect();
        RepositorySecrets::from_secrets(owned.iter().map(|(name, labels, data)| RepositorySecret {
            name,
            labels,
            data,
        }))
    }

    #[test]
    fn the_most_specific_secret_is_chosen() {
        let all = secrets(&[
            (
                "repo-all",
                "repository",
                &[("url", "https://host/org/repo.git"), ("password", "all")],
            ),
            (
                "repo-team",
                "repository",
                &[
                    ("url", "https://host/org/repo"),
                    ("project", "team"),
                    ("password", "team"),
                ],
            ),
            (
                "repo-other",
                "repository",
                &[
                    ("url", "https://host/other/repo"),
                    ("project", "team"),
                    ("password", "t"),
                ],
            ),
            (
                "repo-bare",
                "repository",
                &[("url", "https://host/org/bare"), ("insecure", "true")],
            ),
            (
                "creds-host",
                "repo-creds",
                &[
                    ("url", "https://host"),
                    ("password", "host"),
                    ("username", "h"),
                ],
            ),
            (
                "creds-org",
                "repo-creds",
                &[("url", "https://host/org/"), ("password", "org")],
            ),
            (
                "creds-org-again",
                "repo-creds",
                &[("url", "https://host/org"), ("password", "late")],
            ),
            (
                "creds-scoped",
                "repo-creds",
                &[
                    ("url", "https://host/org/scoped"),
                    ("project", "team"),
                    ("password", "scoped"),
                ],
            ),
            (
                "creds-ssh",
                "repo-creds",
                &[("url", "git@host:org"), ("sshPrivateKey", "key")],
            ),
            (
                "oci",
                "repository",
                &[
                    ("url", "registry.example.org/charts"),
                    ("type", "helm"),
                    ("enableOCI", "true"),
                    ("password", "oci"),
                ],
            ),
            ("cluster", "cluster", &[("url", "https://host/never")]),
        ]);
        let cases = [
            ("https://host/org/repo", "any", Some("all")),
            ("https://HOST/org/Repo.git", "team", Some("team")),
            ("https://host/other/repo", "team", Some("t")),
            ("https://host/other/repo", "any", Some("host")),
            ("https://host/org/bare", "any", Some("org")),
            ("https://host/org/unknown", "any", Some("org")),
            ("https://host/org", "any", Some("org")),
            ("https://host/org/scoped/x", "team", Some("scoped")),
            ("https://host/org/scoped/x", "any", Some("org")),
            ("https://host/org-evil/repo", "any", Some("host")),
            ("https://host/org/../evil", "any", None),
            ("https://host.evil/org/repo", "any", None),
            ("https://host:8443/org/repo", "any", None),
            ("https://evil/https://host/org", "any", None),
            ("ssh://git@host/org/repo", "any", Some("")),
            ("git@host:org/repo", "any", Some("")),
            ("git@host:org-evil/repo", "any", None),
            ("oci://registry.example.org/charts", "any", Some("oci")),
            ("registry.example.org/charts", "any", Some("oci")),
        ];
        for (url, project, expected) in cases {
            let found = all.select(url, project);
            assert_eq!(
                found.as_ref().map(|e| e.password.expose()),
                expected,
                "{url} {project}"
            );
        }
        let bare = all.select("https://host/org/bare", "any").unwrap();
        assert!(bare.insecure);
        assert_eq!(
            bare.username, "",
            "credentials are never mixed of two prefixes"
        );
        assert_eq!(
            (bare.secret.as_str(), bare.credentials_secret.as_deref()),
            ("repo-bare", Some("creds-org"))
        );
        let made = all.select("https://host/org/unknown", "any").unwrap();
        assert_eq!(made.url, "https://host/org/unknown");
        assert_eq!(
            all.select("git@host:org/repo", "p")
                .unwrap()
                .ssh_private_key
                .expose(),
            "key"
        );
        assert_eq!(all.problems(), []);
    }

    #[test]
    fn secrets_that_cannot_be_used_are_named() {
        let all = secrets(&[
            ("no-url", "repository", &[("password", "s3cret")]),
            (
                "dots",
                "repo-creds",
                &[("url", "https://host/a/../b"), ("password", "s3cret")],
            ),
            (
                "flag",
                "repository",
                &[("url", "https://host/x"), ("insecure", "yes")],
            ),
        ]);
        let shown: Vec<String> = all.problems().iter().map(ToString::to_string).collect();
        assert_eq!(shown.len(), 3, "{shown:?}");
        assert!(
            shown[0].starts_with("Secret no-url: key url is missing"),
            "{shown:?}"
        );
        assert!(!format!("{shown:?} {all:?}").contains("s3cret"));
        assert!(all.select("https://host/b", "any").is_none());
    }

    #[test]
    fn certificates_and_known_hosts() {
        let map = BTreeMap::from([
            ("Git.example.org".to_owned(), "PEM".to_owned()),
            ("empty".to_owned(), "\n".to_owned()),
            (
                "ssh_known_hosts".to_owned(),
                "host ssh-ed25519 AAAA".to_owned(),
            ),
        ]);
        assert_eq!(
            certificates_for(&map, "https://git.example.org:8443/x"),
            Some("PEM")
        );
        assert_eq!(certificates_for(&map, "https://other/x"), None);
        assert_eq!(certificates_for(&map, "https://empty/x"), None);
        assert_eq!(known_hosts(&map), Some("host ssh-ed25519 AAAA"));
        assert_eq!(known_hosts(&BTreeMap::new()), None);
    }
}
