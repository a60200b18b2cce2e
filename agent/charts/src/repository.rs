//! What a user configures about a chart repository, and what follows from it: its base URL
//! without credentials, its identity for caches, and which hosts its credentials may go to.
//!
//! Never connects to anything.

use std::fmt;

use gitops_transport::redact::user_information;
use gitops_transport::{ClientCertificate, CredentialScope, ProxySettings};
use sha2::{Digest as _, Sha256};
use url::Url;

use crate::error::ChartError;

/// A place charts are published, as a repository Secret describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChartRepository {
    /// `https://…` of a chart repository; for a registry the host and path, with or without
    /// `oci://` (Argo CD writes it without).
    pub url: String,
    /// Which protocol it speaks.
    pub kind: RepositoryKind,
    /// Name and password, or token.
    pub credentials: Option<BasicCredentials>,
    /// PEM certificates of authorities trusted besides the system's.
    pub ca_pem: Option<String>,
    /// Certificate to identify with.
    pub client_certificate: Option<ClientCertificate>,
    /// Accept any server certificate.
    pub insecure: bool,
    /// Send the credentials also to other hosts that archives are kept on (Helm's
    /// `--pass-credentials`).
    pub pass_credentials: bool,
    /// Proxy for this repository; the environment's (`HTTPS_PROXY`, `NO_PROXY`) when absent.
    pub proxy: Option<ProxySettings>,
}

/// Protocol of a repository.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RepositoryKind {
    /// `index.yaml` and archives over HTTP or HTTPS.
    #[default]
    Http,
    /// An OCI registry.
    Oci {
        /// Speak HTTP without TLS.
        plain_http: bool,
    },
}

/// A name and a password or token. Printing it shows the name only.
#[derive(Clone, PartialEq, Eq)]
pub struct BasicCredentials {
    /// User name.
    pub username: String,
    /// Password or token.
    pub password: String,
}

impl fmt::Debug for BasicCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BasicCredentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// A repository whose settings were read: what the rest of this crate works with.
#[derive(Clone)]
pub(crate) struct Endpoint {
    /// Base URL without user, query or fragment, its path ending in `/`.
    pub(crate) base: Url,
    /// The query of the configured URL, which Helm appends to every request (some hosts keep a
    /// token there). Never shown.
    pub(crate) query: Option<String>,
    pub(crate) credentials: Option<BasicCredentials>,
    pub(crate) settings: ChartRepository,
    /// Base URL for messages.
    pub(crate) shown: String,
    /// Digest over everything configured: two repositories with different credentials never share
    /// what they have learnt.
    pub(crate) identity: [u8; 32],
}

impl Endpoint {
    /// Reads the settings; the error names what to change.
    pub(crate) fn of(repository: &ChartRepository) -> Result<Self, ChartError> {
        let oci = matches!(repository.kind, RepositoryKind::Oci { .. });
        let bare = repository.url.trim();
        let bare = if oci {
            bare.strip_prefix("oci://").unwrap_or(bare)
        } else {
            bare
        };
        let text = match repository.kind {
            RepositoryKind::Oci { plain_http } if !bare.contains("://") => {
                format!("{}://{bare}", if plain_http { "http" } else { "https" })
            }
            _ => bare.to_owned(),
        };
        let invalid = |reason: &str| ChartError::InvalidRepository {
            repository: shown_text(bare),
            reason: reason.to_owned(),
        };
        let mut url = Url::parse(&text).map_err(|_| {
            invalid("this is not a URL; write https://HOST/PATH, or oci://HOST/PATH for a registry")
        })?;
        if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
            return Err(invalid(
                "only https://, http:// and oci:// are understood; a registry needs enableOCI or oci://",
            ));
        }
        let credentials = repository.credentials.clone().or_else(|| {
            let (username, password) = user_information(&url)?;
            Some(BasicCredentials { username, password })
        });
        // Cannot fail for http and https, whose URLs always have an authority.
        let _ = url.set_username("");
        let _ = url.set_password(None);
        let query = url.query().map(str::to_owned);
        url.set_query(None);
        url.set_fragment(None);
        if oci
            && url.host_str() == Some("docker.io")
            && url.set_host(Some("registry-1.docker.io")).is_err()
        {
            return Err(invalid(
                "docker.io has no registry behind it; write registry-1.docker.io",
            ));
        }
        let shown = url.as_str().trim_end_matches('/');
        let shown = if oci {
            format!(
                "oci://{}",
                shown.split_once("://").map_or(shown, |(_, rest)| rest)
            )
        } else {
            shown.to_owned()
        };
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(Self {
            base: url,
            query,
            credentials,
            settings: repository.clone(),
            shown,
            identity: identity(repository),
        })
    }

    /// The same place without anything secret: for an archive a repository keeps in someone else's
    /// registry.
    pub(crate) fn stranger(&self, url: &str) -> Result<Self, ChartError> {
        Self::of(&ChartRepository {
            url: url.to_owned(),
            kind: RepositoryKind::Oci { plain_http: false },
            credentials: self
                .credentials
                .clone()
                .filter(|_| self.settings.pass_credentials),
            client_certificate: None,
            ..self.settings.clone()
        })
    }

    /// Under which name archives are kept: of these very settings, so that nobody reads what was
    /// fetched with somebody else's credentials.
    pub(crate) fn store_key(&self) -> String {
        format!("{} {}", self.base, hex::encode(self.identity))
    }

    /// Where what identifies this repository may go: to its own origin, or where the repository
    /// says so (Helm's rule since CVE-2021-32690).
    pub(crate) fn scope(&self) -> CredentialScope {
        CredentialScope::of(self.base.clone()).with_other_hosts(self.settings.pass_credentials)
    }
}

/// A URL that could not be parsed, without what may be a password in it.
fn shown_text(text: &str) -> String {
    let without_query = text.split(['?', '#']).next().unwrap_or_default();
    match without_query.rsplit_once('@') {
        Some((before, after)) => {
            let scheme = before
                .split_once("://")
                .map(|(scheme, _)| format!("{scheme}://"));
            format!("{}{after}", scheme.unwrap_or_default())
        }
        None => without_query.to_owned(),
    }
}

fn identity(repository: &ChartRepository) -> [u8; 32] {
    let ChartRepository {
        url,
        kind,
        credentials,
        ca_pem,
        client_certificate,
        insecure,
        pass_credentials,
        proxy,
    } = repository;
    let mut hasher = Sha256::new();
    let mut part = |bytes: Option<&[u8]>| {
        hasher.update([u8::from(bytes.is_some())]);
        let bytes = bytes.unwrap_or_default();
        hasher.update((bytes.len() as u64).to_le_bytes());
        hasher.update(bytes);
    };
    part(Some(url.as_bytes()));
    part(Some(match kind {
        RepositoryKind::Http => b"http",
        RepositoryKind::Oci { plain_http: false } => b"oci",
        RepositoryKind::Oci { plain_http: true } => b"oci+http",
    }));
    part(credentials.as_ref().map(|c| c.username.as_bytes()));
    part(credentials.as_ref().map(|c| c.password.as_bytes()));
    part(ca_pem.as_ref().map(String::as_bytes));
    part(
        client_certificate
            .as_ref()
            .map(|c| c.certificate_pem.as_bytes()),
    );
    part(client_certificate.as_ref().map(|c| c.key_pem.as_bytes()));
    part(Some(&[u8::from(*insecure), u8::from(*pass_credentials)]));
    part(proxy.as_ref().map(|p| p.url.as_bytes()));
    part(proxy.as_ref().map(|p| p.no_proxy.as_bytes()));
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository(url: &str, oci: bool) -> ChartRepository {
        let kind = if oci {
            RepositoryKind::Oci { plain_http: false }
        } else {
            RepositoryKind::Http
        };
        ChartRepository {
            url: url.into(),
            kind,
            ..ChartRepository::default()
        }
    }

    #[test]
    fn urls_are_shown_without_secrets() {
        let cases = [
            (
                "https://charts.example.com/a/",
                false,
                "https://charts.example.com/a",
            ),
            (
                "https://me:pw@charts.example.com?token=s",
                false,
                "https://charts.example.com",
            ),
            (
                "registry.example.com/charts",
                true,
                "oci://registry.example.com/charts",
            ),
            (
                "oci://registry.example.com:5000/charts",
                true,
                "oci://registry.example.com:5000/charts",
            ),
            (
                "oci://docker.io/team",
                true,
                "oci://registry-1.docker.io/team",
            ),
        ];
        for (url, oci, shown) in cases {
            let endpoint = Endpoint::of(&repository(url, oci)).unwrap();
            assert_eq!(endpoint.shown, shown);
            assert!(endpoint.base.path().ends_with('/'));
        }
    }

    #[test]
    fn credentials_in_the_url_are_used_and_decoded() {
        let endpoint = Endpoint::of(&repository(
            "https://me:p%40ss+w%26rd@charts.example.com",
            false,
        ))
        .unwrap();
        let credentials = endpoint.credentials.unwrap();
        assert_eq!(
            (credentials.username.as_str(), credentials.password.as_str()),
            ("me", "p@ss+w&rd")
        );
        assert!(!format!("{credentials:?}").contains("p@ss"));
    }

    #[test]
    fn other_schemes_are_refused_without_showing_passwords() {
        for url in [
            "ftp://me:secret@host/x",
            "git@host:me/x",
            "me:secret@host:x:y/charts?k=secret",
            "",
        ] {
            let Err(error) = Endpoint::of(&repository(url, false)) else {
                panic!("{url} was accepted");
            };
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn credentials_stay_with_their_origin() {
        let mut configured = repository("https://charts.example.com/a", false);
        let targets = [
            ("https://charts.example.com/b.tgz", true, true),
            ("https://charts.example.com:443/b.tgz", true, true),
            ("https://charts.example.com:8443/b.tgz", false, true),
            // Never from https to http, whatever the repository says.
            ("http://charts.example.com/b.tgz", false, false),
            ("https://charts.example.com.evil.net/b.tgz", false, true),
        ];
        for (target, alone, passing) in targets {
            let url = Url::parse(target).unwrap();
            configured.pass_credentials = false;
            let scope = Endpoint::of(&configured).unwrap().scope();
            assert_eq!(scope.allows(&url), alone, "{target}");
            configured.pass_credentials = true;
            let scope = Endpoint::of(&configured).unwrap().scope();
            assert_eq!(scope.allows(&url), passing, "{target}");
        }
    }

    #[test]
    fn identity_depends_on_every_setting() {
        let plain = repository("https://charts.example.com", false);
        let changed: [fn(&mut ChartRepository); 7] = [
            |r| r.url.push('x'),
            |r| r.kind = RepositoryKind::Oci { plain_http: true },
            |r| {
                r.credentials = Some(BasicCredentials {
                    username: String::new(),
                    password: String::new(),
                });
            },
            |r| r.ca_pem = Some(String::new()),
            |r| r.insecure = true,
            |r| r.pass_credentials = true,
            |r| {
                r.proxy = Some(ProxySettings {
                    url: "http://p".into(),
                    no_proxy: String::new(),
                });
            },
        ];
        for change in changed {
            let mut other = plain.clone();
            change(&mut other);
            assert_ne!(identity(&plain), identity(&other), "{other:?}");
        }
    }
}
