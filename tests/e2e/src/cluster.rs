//! Clusters of a test's own, for what would disturb others: outages and real Pods.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use crate::environment::Servers;
use crate::{Environment, must};

/// A cluster that ends when dropped.
pub struct Cluster {
    folder: TempDir,
}

impl Cluster {
    /// Starts one; `pods` is `fake` or `real`.
    ///
    /// # Panics
    /// When it does not come up, with what it printed.
    pub fn up(pods: &str, images: &[&Path]) -> Self {
        let folder = must(TempDir::with_prefix("gitops-e2e-cluster-"), "make a folder");
        let cluster = Self { folder };
        let mut arguments = vec!["--pods".to_owned(), pods.to_owned()];
        arguments.extend(["--parent".to_owned(), std::process::id().to_string()]);
        for image in images {
            arguments.extend(["--image".to_owned(), image.to_string_lossy().into_owned()]);
        }
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        cluster.run("up", &arguments);
        cluster
    }

    /// Kubeconfig of an administrator.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.path().join("kubeconfig")
    }

    /// Address at which Pods reach a server on this machine.
    pub fn host_address(&self) -> String {
        let text = must(
            std::fs::read_to_string(self.folder.path().join("cluster.json")),
            "read it",
        );
        let state: Value = must(serde_json::from_str(&text), "read the cluster's state");
        state["hostAddress"].as_str().unwrap_or_default().to_owned()
    }

    /// Stops a component, as an outage would.
    pub fn hold(&self, component: &str) {
        self.run("hold", &[component]);
    }

    /// Lets it run again.
    pub fn release(&self, component: &str) {
        self.run("release", &[component]);
    }

    fn run(&self, command: &str, arguments: &[&str]) {
        let output = Command::new(&Environment::get().cluster)
            .arg(command)
            .arg("--dir")
            .arg(self.folder.path())
            .args(arguments)
            .output();
        let output = must(output, "run gitops-cluster");
        assert!(
            output.status.success(),
            "gitops-cluster {command}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = Command::new(&Environment::get().cluster)
            .arg("down")
            .arg("--dir")
            .arg(self.folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
    }
}

/// Git, chart and image servers of a test's own, on an address that Pods reach.
pub struct OwnServers {
    child: Child,
    /// Their addresses.
    pub servers: Servers,
    _folder: TempDir,
}

impl OwnServers {
    /// Starts them.
    pub fn start(host: &str) -> Self {
        let folder = must(TempDir::with_prefix("gitops-e2e-servers-"), "make a folder");
        let child = Command::new(&Environment::get().cluster)
            .arg("servers")
            .arg("--dir")
            .arg(folder.path())
            .args(["--host", host, "--parent", &std::process::id().to_string()])
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let mut child = must(child, "start the servers");
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            let mut output = std::io::BufReader::new(output);
            must(
                std::io::BufRead::read_line(&mut output, &mut line),
                "read their addresses",
            );
        }
        let servers = must(
            serde_json::from_str(&line),
            "read the addresses of the servers",
        );
        Self {
            child,
            servers,
            _folder: folder,
        }
    }
}

impl Drop for OwnServers {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Whether this process may start containers.
pub fn is_root() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let user = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    user.and_then(|ids| ids.split_whitespace().nth(1)) == Some("0")
}
