//! A cluster and its servers for as long as this process runs.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::progress::say;

/// A cluster with fake Pods and the servers tests pull from. Both end with this value; should this
/// process be killed, they notice and end by themselves.
pub(crate) struct Session {
    folder: PathBuf,
    program: PathBuf,
    servers: Child,
    /// Kubeconfig of an administrator.
    pub(crate) kubeconfig: PathBuf,
    /// Description of the servers, JSON.
    pub(crate) description: String,
}

impl Session {
    /// Starts both with the cluster binary in `folder`, which is emptied before; `options` are for
    /// the cluster.
    pub(crate) fn start(program: &Path, folder: &Path, options: &[&str]) -> Result<Self> {
        let _ = end(program, folder);
        let _ = std::fs::remove_dir_all(folder);
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make {}", folder.display()))?;
        let parent = std::process::id().to_string();
        let up = Command::new(program)
            .args(["up", "--pods", "fake", "--parent", &parent, "--dir"])
            .arg(folder)
            .args(options)
            .stderr(Stdio::inherit())
            .output()
            .with_context(|| format!("cannot run {}", program.display()))?;
        ensure!(
            up.status.success(),
            "the cluster did not start; its logs are in {}",
            folder.display()
        );
        let answer = String::from_utf8_lossy(&up.stdout);
        let kubeconfig = answer
            .lines()
            .rev()
            .find_map(|line| line.strip_prefix("KUBECONFIG="))
            .context("the cluster did not say where its kubeconfig is")?
            .into();
        let mut servers = Command::new(program)
            .args(["servers", "--parent", &parent, "--dir"])
            .arg(folder.join("servers"))
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start the servers")?;
        let mut description = String::new();
        let output = servers
            .stdout
            .take()
            .context("the servers have no output")?;
        BufReader::new(output).read_line(&mut description)?;
        ensure!(
            !description.trim().is_empty(),
            "the servers did not say where they listen"
        );
        Ok(Self {
            folder: folder.into(),
            program: program.into(),
            servers,
            kubeconfig,
            description,
        })
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.servers.kill();
        let _ = self.servers.wait();
        if let Err(error) = end(&self.program, &self.folder) {
            say(&format!(
                "the cluster in {} is left: {error:#}",
                self.folder.display()
            ));
        }
    }
}

fn end(program: &Path, folder: &Path) -> Result<()> {
    let status = Command::new(program)
        .args(["down", "--dir"])
        .arg(folder)
        .status()?;
    ensure!(status.success(), "down failed with {status}");
    Ok(())
}
