//! What is needed to reach one repository: its URL, credentials, trust and limits. Holds secrets,
//! so `Debug` shows only whether each of them is set. Never reads files, environment or
//! configuration: the caller fills it in from a repository Secret.

use std::fmt;

use std::path::PathBuf;

use gitops_transport::redact::without_user_information;
use gitops_transport::{ClientCertificate, Limits, LocalAddresses, ProxySettings};

/// How to identify ourselves to the server.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Anonymous (or the user information inside the URL, when there is any).
    #[default]
    None,
    /// HTTP basic authentication; also what access tokens of most forges use.
    Basic {
        /// User name; forges accept any text beside a token.
        username: String,
        /// Password or access token.
        password: String,
    },
    /// HTTP bearer token.
    Bearer(String),
    /// Private key for ssh in PEM or OpenSSH form, without a passphrase.
    SshKey(String),
}

/// Everything needed to reach one repository.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RepositoryAccess {
    /// `https://`, `http://`, `ssh://`, scp-style `git@host:path`, or (with [`Self::allow_file`])
    /// `file://`.
    pub url: String,
    /// Who we are.
    pub credentials: Credentials,
    /// Certificates to trust instead of the system's, PEM.
    pub ca_pem: Option<String>,
    /// Client certificate for mutual TLS.
    pub client_certificate: Option<ClientCertificate>,
    /// Accept any TLS certificate.
    pub insecure_skip_tls: bool,
    /// Lines of an OpenSSH `known_hosts` file; without it no ssh host is trusted.
    pub known_hosts: Option<String>,
    /// Accept any ssh host key.
    pub insecure_ignore_host_key: bool,
    /// HTTP(S) or SOCKS proxy; without it the usual environment variables (`HTTPS_PROXY`,
    /// `NO_PROXY`, …) apply.
    pub proxy: Option<ProxySettings>,
    /// Number of commits of history to keep; none means all of it.
    pub depth: Option<u32>,
    /// Whether `file://` and plain paths may be read. Off wherever the URL comes from a user of a
    /// cluster.
    pub allow_file: bool,
    /// Whether servers on the machine itself may be asked.
    pub local_addresses: LocalAddresses,
    /// Time limits.
    pub limits: Limits,
    /// Limits of what is kept on disk.
    pub disk: DiskLimits,
}

/// How much room mirrors may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskLimits {
    /// Packs of one repository, in bytes.
    pub repository: u64,
    /// Everything in the cache directory; none without a limit.
    pub cache: Option<CacheLimit>,
}

/// How much room a directory may take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheLimit {
    /// The directory, which holds all mirrors.
    pub directory: PathBuf,
    /// Its size with everything below, in bytes.
    pub bytes: u64,
}

impl Default for DiskLimits {
    /// 2 GiB per repository: a hundred times what manifests usually need.
    fn default() -> Self {
        Self {
            repository: 2 << 30,
            cache: None,
        }
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Basic { .. } => "Basic(***)",
            Self::Bearer(_) => "Bearer(***)",
            Self::SshKey(_) => "SshKey(***)",
        })
    }
}

impl fmt::Debug for RepositoryAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RepositoryAccess")
            .field("url", &without_user_information(&self.url))
            .field("credentials", &self.credentials)
            .field("ca_pem", &self.ca_pem.is_some())
            .field("client_certificate", &self.client_certificate)
            .field("insecure_skip_tls", &self.insecure_skip_tls)
            .field("known_hosts", &self.known_hosts.is_some())
            .field("insecure_ignore_host_key", &self.insecure_ignore_host_key)
            .field("proxy", &self.proxy)
            .field("depth", &self.depth)
            .field("allow_file", &self.allow_file)
            .field("local_addresses", &self.local_addresses)
            .field("limits", &self.limits)
            .field("disk", &self.disk)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_shows_no_secret() {
        let access = RepositoryAccess {
            url: "https://joe:s3cret-a@example.com/r.git".into(),
            credentials: Credentials::Basic {
                username: "joe".into(),
                password: "s3cret-b".into(),
            },
            client_certificate: Some(ClientCertificate {
                certificate_pem: "s3cret-c".into(),
                key_pem: "s3cret-d".into(),
            }),
            proxy: Some(ProxySettings {
                url: "http://p:s3cret-e@proxy:3128".into(),
                no_proxy: String::new(),
            }),
            ..RepositoryAccess::default()
        };
        let shown = format!("{access:?} {:?}", Credentials::Bearer("s3cret-f".into()));
        assert!(!shown.contains("s3cret"), "{shown}");
        assert!(shown.contains("https://***@example.com/r.git"), "{shown}");
        assert!(!format!("{:?}", Credentials::SshKey("s3cret".into())).contains("s3cret"));
    }
}
