//! What `cargo xtask test` prepared: programs, the shared control plane, and the servers.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::Deserialize;

use crate::http;

/// Programs and addresses, read once a process.
#[derive(Debug)]
pub struct Environment {
    /// The agent.
    pub agent: PathBuf,
    /// Its render worker.
    pub renderer: PathBuf,
    /// The binary that makes clusters, serves repositories, and is kubectl.
    pub cluster: PathBuf,
    /// Folder of the project's own programs.
    pub programs: PathBuf,
    /// The helm command of the version the worker links.
    pub helm: PathBuf,
    /// Folder of krew's programs, `krew` and `validate-krew-manifest`.
    pub krew: PathBuf,
    /// Kubeconfig of an administrator of the shared control plane.
    pub kubeconfig: PathBuf,
    /// Addresses of the Git, chart and image servers, and the credentials they ask for.
    pub servers: Servers,
}

/// Addresses and credentials; the private ones want `username` and `password`, or `token`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Servers {
    /// Git over HTTP.
    pub git: String,
    /// Git over HTTP for those who have credentials.
    pub git_private: String,
    /// Git over HTTPS, certified by `ca`.
    pub git_tls: String,
    /// Both.
    pub git_tls_private: String,
    /// Git over ssh.
    pub git_ssh: String,
    /// Helm repository.
    pub charts: String,
    /// Helm repository for those who have credentials.
    pub charts_private: String,
    /// Registry, host and port, plain HTTP.
    pub oci: String,
    /// Where outages are asked for.
    pub control: String,
    /// User of the private addresses.
    pub username: String,
    /// Password of the private addresses.
    pub password: String,
    /// Bearer token of the private addresses.
    pub token: String,
    /// File of the private authority's certificate.
    pub ca: PathBuf,
    /// File of the key that ssh accepts.
    pub client_key: PathBuf,
    /// File of the ssh server's key, as a known_hosts line.
    pub known_hosts: PathBuf,
    /// Folder of the bare repositories.
    pub git_root: PathBuf,
    /// Folder of the Helm repository.
    pub charts_root: PathBuf,
}

impl Servers {
    /// Address of the double of Gitea, whose API takes `token`.
    pub fn forge(&self) -> &str {
        self.control.strip_suffix("/control").unwrap_or_default()
    }

    /// Makes the server answer every request about a repository with 503, until [`Self::back`].
    pub fn away(&self, repository: &str) {
        http::request(
            "PUT",
            &format!("{}/outage/{repository}?status=503", self.control),
        );
    }

    /// Makes the server accept requests about a repository and not answer, until [`Self::back`].
    pub fn hang(&self, repository: &str) {
        http::request(
            "PUT",
            &format!("{}/outage/{repository}?hang=true", self.control),
        );
    }

    /// Ends an outage.
    pub fn back(&self, repository: &str) {
        http::request("DELETE", &format!("{}/outage/{repository}", self.control));
    }
}

impl Environment {
    /// The environment of this test run.
    ///
    /// # Panics
    /// When the tests were not started by `cargo xtask test`.
    pub fn get() -> &'static Self {
        static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
        ENVIRONMENT.get_or_init(Self::read)
    }

    fn read() -> Self {
        let programs = path("GITOPS_BIN_DIR");
        let servers =
            std::env::var("GITOPS_TEST_SERVERS").unwrap_or_else(|_| missing("GITOPS_TEST_SERVERS"));
        // The JSON itself, or the file that holds it.
        let text = if servers.trim_start().starts_with('{') {
            servers
        } else {
            crate::must(
                std::fs::read_to_string(&servers),
                &format!("read {servers}"),
            )
        };
        Self {
            agent: programs.join("gitops-agent"),
            programs,
            renderer: path("GITOPS_RENDERER"),
            cluster: path("GITOPS_CLUSTER"),
            helm: path("GITOPS_HELM"),
            krew: path("GITOPS_KREW"),
            kubeconfig: path("GITOPS_TEST_KUBECONFIG"),
            servers: crate::must(serde_json::from_str(&text), "read GITOPS_TEST_SERVERS"),
        }
    }
}

fn path(name: &str) -> PathBuf {
    match std::env::var_os(name) {
        Some(value) => Path::new(&value).to_path_buf(),
        None => missing(name),
    }
}

fn missing<T>(name: &str) -> T {
    panic!("{name} is not set: run cargo xtask test")
}
