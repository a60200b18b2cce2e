//! Which mirror belongs to whom. Pure.
//!
//! A mirror belongs to a scope: everybody who reads a repository by the same Secret, or without any. No
//! secret is part of its identity, so that a rotated token fetches nothing again; and no scope reads what
//! another one fetched, since it never showed the server credentials of its own.

use gitops_core::manifest::digest;
use gitops_core::source::RepositoryEntry;
use gitops_git::{RepositoryAccess, canonical_url};

/// Identity of a repository as one scope sees it; also the name of its directory.
pub(super) type Id = String;

/// Who reads a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Scope {
    /// Everybody, without a Secret.
    #[default]
    Anonymous,
    /// Applications that an administrator gave this Secret.
    Secret {
        /// The Secret the repository is described in, or whose prefix it has.
        name: String,
        /// The repo-creds Secret that its credentials are from, where that is another one.
        credentials: Option<String>,
        /// The only project that may use it; empty for all. A Secret that is given to another project
        /// does not hand over what was fetched.
        project: String,
    },
}

impl Scope {
    /// The scope of a Secret.
    pub(crate) fn of(entry: &RepositoryEntry) -> Self {
        Self::Secret {
            name: entry.secret.clone(),
            credentials: entry.credentials_secret.clone(),
            project: entry.project.clone(),
        }
    }
}

/// How somebody reaches a repository, and who that is.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScopedAccess {
    /// Who.
    pub(crate) scope: Scope,
    /// How.
    pub(crate) access: RepositoryAccess,
}

impl ScopedAccess {
    /// Access to the repository of `access`, its URL as all its spellings are written.
    pub(crate) fn new(scope: Scope, mut access: RepositoryAccess) -> Self {
        access.url = canonical_url(&access.url);
        Self { scope, access }
    }

    /// SHA-256 over the scope and the URL.
    pub(super) fn id(&self) -> Id {
        // What an Application writes into the URL is a secret, too, but one that whoever reads with it
        // has to know: another one is another URL.
        let url = self.access.url.as_bytes();
        match &self.scope {
            Scope::Anonymous => digest::sha256_of_parts([b"anonymous".as_slice(), url]),
            Scope::Secret {
                name,
                credentials,
                project,
            } => digest::sha256_of_parts([
                b"secret".as_slice(),
                url,
                name.as_bytes(),
                credentials.as_deref().unwrap_or_default().as_bytes(),
                project.as_bytes(),
            ]),
        }
    }
}

/// Whether what a server showed to `before` it would show to `after`: it is told the same about who
/// asks. Trust, proxies and limits decide about the way only.
pub(super) fn is_same_reader(before: &RepositoryAccess, after: &RepositoryAccess) -> bool {
    before.url == after.url
        && before.credentials == after.credentials
        && before.client_certificate == after.client_certificate
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use gitops_git::{ClientCertificate, Credentials, ProxySettings};

    use super::*;

    fn access(url: &str) -> RepositoryAccess {
        RepositoryAccess {
            url: url.into(),
            ..RepositoryAccess::default()
        }
    }

    fn secret(name: &str, project: &str) -> Scope {
        Scope::Secret {
            name: name.into(),
            credentials: None,
            project: project.into(),
        }
    }

    /// Everything a Secret, the CA and the known hosts may change.
    fn changes() -> Vec<(RepositoryAccess, bool)> {
        let plain = access("https://host/x");
        let certificate = |key: &str| ClientCertificate {
            certificate_pem: "certificate".into(),
            key_pem: key.into(),
        };
        let proxy = |no_proxy: &str| ProxySettings {
            url: "http://proxy:3128".into(),
            no_proxy: no_proxy.into(),
        };
        let with = |change: &dyn Fn(&mut RepositoryAccess)| {
            let mut access = plain.clone();
            change(&mut access);
            access
        };
        vec![
            (
                with(&|it| it.credentials = Credentials::Bearer("a".into())),
                false,
            ),
            (
                with(&|it| it.credentials = Credentials::SshKey("b".into())),
                false,
            ),
            (
                with(&|it| it.client_certificate = Some(certificate("one"))),
                false,
            ),
            (
                with(&|it| it.client_certificate = Some(certificate("two"))),
                false,
            ),
            (with(&|it| it.proxy = Some(proxy(""))), true),
            (with(&|it| it.proxy = Some(proxy("host"))), true),
            (with(&|it| it.ca_pem = Some("ca".into())), true),
            (with(&|it| it.known_hosts = Some("hosts".into())), true),
            (with(&|it| it.insecure_skip_tls = true), true),
            (with(&|it| it.depth = Some(1)), true),
        ]
    }

    #[test]
    fn a_rotated_secret_is_the_same_repository_and_another_reader() {
        let plain = access("https://host/x");
        let id = ScopedAccess::new(secret("repo", ""), plain.clone()).id();
        assert_eq!(id.len(), 64, "a whole SHA-256");
        for (changed, same_reader) in changes() {
            assert_eq!(
                ScopedAccess::new(secret("repo", ""), changed.clone()).id(),
                id,
                "{changed:?}"
            );
            assert_eq!(is_same_reader(&plain, &changed), same_reader, "{changed:?}");
        }
    }

    #[test]
    fn no_scope_shares_a_mirror_with_another() {
        let url = "https://host/x";
        let with_template = Scope::Secret {
            name: "one".into(),
            credentials: Some("template".into()),
            project: String::new(),
        };
        let all = [
            ScopedAccess::new(Scope::Anonymous, access(url)),
            ScopedAccess::new(secret("one", ""), access(url)),
            ScopedAccess::new(secret("two", ""), access(url)),
            ScopedAccess::new(secret("one", "a"), access(url)),
            ScopedAccess::new(secret("one", "b"), access(url)),
            ScopedAccess::new(with_template, access(url)),
            ScopedAccess::new(Scope::Anonymous, access("https://token@host/x")),
            ScopedAccess::new(Scope::Anonymous, access("https://other@host/x")),
            // Case-sensitive servers keep two repositories under these.
            ScopedAccess::new(Scope::Anonymous, access("https://host/X")),
        ];
        let ids: BTreeSet<Id> = all.iter().map(ScopedAccess::id).collect();
        assert_eq!(ids.len(), all.len());
        for spelling in ["https://HOST/x", "https://host:443/x", "https://host/x/"] {
            let spelled = ScopedAccess::new(Scope::Anonymous, access(spelling));
            assert_eq!(spelled.id(), all[0].id(), "{spelling}");
        }
    }
}
