//! How to reach a repository: its Secrets, certificates and known hosts put together.
//!
//! Parsed when one of them changes, not when a repository is used. Never reads a cluster and never
//! logs a value.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gitops_api::constants::label;
use gitops_charts::{BasicCredentials, ChartRepository, RepositoryKind};
use gitops_core::project::SourcePermit;
use gitops_core::source::{
    self, RepositoryEntry, RepositorySecret, RepositorySecrets, SecretProblem,
};
use gitops_git::{
    ClientCertificate, Credentials, DiskLimits, Limits, LocalAddresses, ProxySettings,
    RepositoryAccess,
};
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::ResourceExt;
use parking_lot::RwLock;

use super::identity::{Scope, ScopedAccess};

/// The credentials of the agent's namespace as its watches last brought them.
pub(crate) struct CurrentCredentials(RwLock<Arc<RepositoryCredentials>>);

impl CurrentCredentials {
    /// None yet.
    pub(crate) fn new(policy: RepositoryPolicy) -> Self {
        Self(RwLock::new(Arc::new(RepositoryCredentials {
            policy,
            ..RepositoryCredentials::default()
        })))
    }

    /// The credentials now.
    pub(crate) fn get(&self) -> Arc<RepositoryCredentials> {
        Arc::clone(&self.0.read())
    }

    /// Takes over the repository and repo-creds Secrets there are now; says whether that changed
    /// anything. What is wrong with one is logged when it begins to be wrong.
    pub(crate) fn set_secrets(&self, secrets: &[Arc<Secret>]) -> bool {
        let parsed = parse(secrets);
        let mut current = self.0.write();
        if *current.secrets == parsed {
            return false;
        }
        for problem in new_problems(&current.secrets, &parsed) {
            tracing::warn!(%problem, label = label::SECRET_TYPE, "ignoring repository Secret");
        }
        Arc::make_mut(&mut current).secrets = Arc::new(parsed);
        true
    }

    /// Takes over argocd-tls-certs-cm and argocd-ssh-known-hosts-cm as they are now; says whether
    /// that changed anything.
    pub(crate) fn set_trust(
        &self,
        certificates: Option<&ConfigMap>,
        known_hosts: Option<&ConfigMap>,
    ) -> bool {
        let certificates = certificates.and_then(|map| map.data.clone());
        let certificates = certificates.unwrap_or_default();
        let known_hosts = known_hosts
            .and_then(|map| source::known_hosts(map.data.as_ref()?))
            .map(str::to_owned);
        let mut current = self.0.write();
        if *current.certificates == certificates && current.known_hosts == known_hosts {
            return false;
        }
        let current = Arc::make_mut(&mut current);
        current.certificates = Arc::new(certificates);
        current.known_hosts = known_hosts;
        true
    }
}

/// The credentials of the agent's namespace at one moment.
#[derive(Clone, Default)]
pub(crate) struct RepositoryCredentials {
    secrets: Arc<RepositorySecrets>,
    /// Host name to PEM.
    certificates: Arc<BTreeMap<String, String>>,
    known_hosts: Option<String>,
    policy: RepositoryPolicy,
}

/// What holds for all repositories, by the agent's flags.
#[derive(Clone, Debug, Default)]
pub(crate) struct RepositoryPolicy {
    /// `file://` repositories are read (tests).
    pub(crate) allow_file: bool,
    /// Whether servers on the machine itself may be asked.
    pub(crate) local_addresses: LocalAddresses,
    /// Time limits.
    pub(crate) limits: Limits,
    /// Limits of what is kept on disk.
    pub(crate) disk: DiskLimits,
}

fn parse(secrets: &[Arc<Secret>]) -> RepositorySecrets {
    let texts: Vec<_> = secrets
        .iter()
        .map(|secret| {
            let data: BTreeMap<String, Vec<u8>> = secret
                .data
                .iter()
                .flatten()
                .map(|(key, value)| (key.clone(), value.0.clone()))
                .collect();
            (secret.name_any(), secret.labels(), data)
        })
        .collect();
    RepositorySecrets::from_secrets(texts.iter().map(|(name, labels, data)| RepositorySecret {
        name,
        labels,
        data,
    }))
}

/// What is wrong now and was not before.
fn new_problems<'a>(
    before: &RepositorySecrets,
    now: &'a RepositorySecrets,
) -> impl Iterator<Item = &'a SecretProblem> {
    let known: BTreeSet<String> = before.problems().iter().map(ToString::to_string).collect();
    now.problems()
        .iter()
        .filter(move |problem| !known.contains(&problem.to_string()))
}

impl RepositoryCredentials {
    /// Whether servers on the machine itself may be asked.
    pub(crate) fn local_addresses(&self) -> LocalAddresses {
        self.policy.local_addresses
    }

    /// URLs of the repositories that belong to a project.
    pub(crate) fn of_project(&self, project: &str) -> Vec<String> {
        self.secrets.of_project(project)
    }

    /// Access to a Git repository for an application of this project.
    pub(crate) fn git(&self, permit: &SourcePermit, project: &str) -> ScopedAccess {
        let url = permit.url();
        let access = RepositoryAccess {
            url: url.into(),
            ca_pem: self.certificates_for(url),
            known_hosts: self.known_hosts.clone(),
            allow_file: self.policy.allow_file,
            local_addresses: self.policy.local_addresses,
            limits: self.policy.limits,
            disk: self.policy.disk.clone(),
            ..RepositoryAccess::default()
        };
        let Some(entry) = self.secrets.select(url, project) else {
            return ScopedAccess::new(Scope::Anonymous, access);
        };
        let access = RepositoryAccess {
            credentials: credentials(&entry),
            client_certificate: client_certificate(&entry),
            insecure_skip_tls: entry.insecure,
            insecure_ignore_host_key: entry.insecure,
            proxy: proxy(&entry),
            depth: entry.depth,
            ..access
        };
        ScopedAccess::new(Scope::of(&entry), access)
    }

    /// How a single file is had: as from a chart repository over HTTP at its address.
    pub(crate) fn file(&self, permit: &SourcePermit, project: &str) -> ChartRepository {
        ChartRepository {
            kind: RepositoryKind::Http,
            ..self.chart(permit, project, false)
        }
    }

    /// Access to a chart repository for an application of this project.
    pub(crate) fn chart(
        &self,
        permit: &SourcePermit,
        project: &str,
        pass_credentials: bool,
    ) -> ChartRepository {
        let url = permit.url();
        let entry = self.secrets.select(url, project);
        let is_registry = url.starts_with("oci://")
            || entry.as_ref().is_some_and(|entry| entry.enable_oci)
            // Argo CD writes registries without a scheme.
            || !url.contains("://");
        let kind = if is_registry {
            let plain_http = entry.as_ref().is_some_and(|entry| entry.oci_plain_http);
            RepositoryKind::Oci { plain_http }
        } else {
            RepositoryKind::Http
        };
        let repository = ChartRepository {
            url: url.into(),
            kind,
            ca_pem: self.certificates_for(url),
            pass_credentials,
            ..ChartRepository::default()
        };
        let Some(entry) = entry else {
            return repository;
        };
        let password = entry.password.expose();
        ChartRepository {
            credentials: (!entry.username.is_empty() || !password.is_empty()).then(|| {
                BasicCredentials {
                    username: entry.username.clone(),
                    password: password.into(),
                }
            }),
            client_certificate: client_certificate(&entry),
            insecure: entry.insecure,
            proxy: proxy(&entry),
            ..repository
        }
    }

    fn certificates_for(&self, url: &str) -> Option<String> {
        source::certificates_for(&self.certificates, url).map(str::to_owned)
    }
}

fn credentials(entry: &RepositoryEntry) -> Credentials {
    let (key, token) = (entry.ssh_private_key.expose(), entry.bearer_token.expose());
    let password = entry.password.expose();
    if !key.is_empty() {
        Credentials::SshKey(key.into())
    } else if !token.is_empty() {
        Credentials::Bearer(token.into())
    } else if !password.is_empty() || !entry.username.is_empty() {
        // Forges accept any name beside a token, but not an empty one.
        let username = if entry.username.is_empty() {
            "git"
        } else {
            &entry.username
        };
        Credentials::Basic {
            username: username.into(),
            password: password.into(),
        }
    } else {
        Credentials::None
    }
}

fn client_certificate(entry: &RepositoryEntry) -> Option<ClientCertificate> {
    let (cert, key) = (
        entry.tls_client_cert.expose(),
        entry.tls_client_key.expose(),
    );
    (!cert.is_empty() && !key.is_empty()).then(|| ClientCertificate {
        certificate_pem: cert.into(),
        key_pem: key.into(),
    })
}

fn proxy(entry: &RepositoryEntry) -> Option<ProxySettings> {
    let url = entry.proxy.expose();
    (!url.is_empty()).then(|| ProxySettings {
        url: url.into(),
        no_proxy: entry.no_proxy.clone(),
    })
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use k8s_openapi::ByteString;

    use gitops_core::project::{ProjectRules, Surroundings};

    use super::*;

    fn secret(name: &str, keys: &[(&str, &str)]) -> Arc<Secret> {
        let mut secret = Secret::default();
        secret.metadata.name = Some(name.into());
        secret.metadata.labels = Some(BTreeMap::from([(
            label::SECRET_TYPE.to_owned(),
            "repository".to_owned(),
        )]));
        let data = keys
            .iter()
            .map(|(key, value)| ((*key).to_owned(), ByteString(value.as_bytes().to_vec())));
        secret.data = Some(data.collect());
        Arc::new(secret)
    }

    #[test]
    fn a_bad_secret_is_named_once_until_it_changes() {
        let good = secret("good", &[("url", "https://host/x"), ("username", "me")]);
        let bad = secret("bad", &[("username", "me")]);
        let texts = |before: &[Arc<Secret>], now: &[Arc<Secret>]| -> Vec<String> {
            new_problems(&parse(before), &parse(now))
                .map(ToString::to_string)
                .collect()
        };
        let first = texts(&[], from_ref(&bad));
        assert_eq!(first.len(), 1);
        assert!(
            first[0].contains("Secret bad: key url is missing"),
            "{first:?}"
        );
        // Another Secret changes: nothing new about this one.
        assert!(texts(from_ref(&bad), &[good.clone(), bad.clone()]).is_empty());
        assert!(texts(from_ref(&bad), from_ref(&good)).is_empty());
        assert_eq!(texts(&[good], &[bad]).len(), 1);
    }

    fn permit(url: &str) -> SourcePermit {
        let project = serde_json::json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "default"}, "spec": {"sourceRepos": ["*"]}});
        let project = serde_json::from_value(project).unwrap();
        let rules = ProjectRules::of(&project, &Surroundings::default()).unwrap();
        rules.permits_source(url).unwrap()
    }

    #[test]
    fn a_changed_secret_is_in_force_and_what_was_handed_out_stays_as_it_was() {
        let current = CurrentCredentials::new(RepositoryPolicy::default());
        let anonymous = current.get();
        let login = |user: &str| {
            let keys = [
                ("url", "https://host/x"),
                ("username", user),
                ("password", "p"),
            ];
            vec![secret("repo", &keys)]
        };
        let user_of = |credentials: &RepositoryCredentials| match credentials
            .git(&permit("https://host/x.git"), "default")
            .access
            .credentials
        {
            Credentials::Basic { username, .. } => Some(username),
            _ => None,
        };
        current.set_secrets(&login("one"));
        let one = current.get();
        assert_eq!(user_of(&one).as_deref(), Some("one"));
        assert!(!current.set_secrets(&login("one")), "nothing changed");
        assert!(Arc::ptr_eq(&one, &current.get()), "parsed once");
        assert!(current.set_secrets(&login("two")));
        assert_eq!(user_of(&current.get()).as_deref(), Some("two"));
        assert_eq!(user_of(&one).as_deref(), Some("one"));
        assert_eq!(user_of(&anonymous), None);
        let mut known_hosts = ConfigMap::default();
        let line = "host ssh-ed25519 AAAA";
        known_hosts.data = Some(BTreeMap::from([(
            "ssh_known_hosts".to_owned(),
            line.to_owned(),
        )]));
        assert!(current.set_trust(None, Some(&known_hosts)));
        assert!(!current.set_trust(None, Some(&known_hosts)));
        let access = current
            .get()
            .git(&permit("https://host/x"), "default")
            .access;
        assert_eq!(access.known_hosts.as_deref(), Some(line));
        assert!(matches!(access.credentials, Credentials::Basic { .. }));
    }
}
