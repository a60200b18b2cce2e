//! How to reach a repository: its Secrets, certificates and known hosts put together.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_api::constants::{config_map, label};
use gitops_charts::{BasicCredentials, ChartRepository, RepositoryKind};
use gitops_core::source;
use gitops_core::source::{RepositoryEntry, RepositorySecret, RepositorySecrets};
use gitops_git::{ClientCertificate, Credentials, ProxySettings, RepositoryAccess};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;

use crate::configuration::Configuration;

/// The credentials of the agent's namespace, as they are now.
pub(crate) struct Repositories {
    secrets: RepositorySecrets,
    certificates: Option<Arc<ConfigMap>>,
    known_hosts: Option<String>,
    allow_file: bool,
}

impl Repositories {
    /// Reads what the watches brought.
    pub(crate) fn new(configuration: &Configuration, namespace: &str, allow_file: bool) -> Self {
        let secrets = configuration.secrets.state();
        let texts: Vec<_> = secrets
            .iter()
            .map(|secret| {
                let data: BTreeMap<String, Vec<u8>> = secret
                    .data
                    .iter()
                    .flatten()
                    .map(|(key, value)| (key.clone(), value.0.clone()))
                    .collect();
                (secret.name_any(), secret.labels().clone(), data)
            })
            .collect();
        let found = RepositorySecrets::from_secrets(
            texts
                .iter()
                .map(|(name, labels, data)| RepositorySecret { name, labels, data }),
        );
        for problem in found.problems() {
            tracing::warn!(%problem, label = label::SECRET_TYPE, "a repository Secret is ignored");
        }
        let config_map = |name: &str| {
            configuration
                .config_maps
                .get(&ObjectRef::new(name).within(namespace))
        };
        let known_hosts = config_map(config_map::SSH_KNOWN_HOSTS)
            .and_then(|map| source::known_hosts(map.data.as_ref()?).map(str::to_owned));
        Self {
            secrets: found,
            certificates: config_map(config_map::TLS_CERTS),
            known_hosts,
            allow_file,
        }
    }

    /// Access to a Git repository for an application of this project.
    pub(crate) fn git(&self, url: &str, project: &str) -> RepositoryAccess {
        let access = RepositoryAccess {
            url: url.into(),
            ca_pem: self.certificates_for(url),
            known_hosts: self.known_hosts.clone(),
            allow_file: self.allow_file,
            ..RepositoryAccess::default()
        };
        let Some(entry) = self.secrets.select(url, project) else {
            return access;
        };
        RepositoryAccess {
            credentials: credentials(&entry),
            client_certificate: client_certificate(&entry),
            insecure_skip_tls: entry.insecure,
            insecure_ignore_host_key: entry.insecure,
            proxy: proxy(&entry),
            depth: entry.depth,
            ..access
        }
    }

    /// Access to a chart repository for an application of this project.
    pub(crate) fn chart(
        &self,
        url: &str,
        project: &str,
        pass_credentials: bool,
    ) -> ChartRepository {
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
        let data = self.certificates.as_ref()?.data.as_ref()?;
        source::certificates_for(data, url).map(str::to_owned)
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
