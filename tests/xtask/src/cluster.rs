//! `cargo xtask cluster`: passes on to the cluster binary, which it builds when needed.

use std::path::PathBuf;
use std::process::{Command as Process, ExitCode};

use anyhow::{Context, Result};

use crate::progress::say;
use crate::tools::{self, Tool};

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Start a cluster; the last line printed is KUBECONFIG=PATH
    Up(Up),
    /// End a cluster and remove all it made
    Down(Place),
}

#[derive(Debug, clap::Args)]
pub(crate) struct Up {
    #[command(flatten)]
    place: Place,

    /// What runs Pods: fake (they become Ready, nothing runs; anywhere) or real (containers; Linux and root)
    #[arg(long, default_value = "fake", value_parser = ["fake", "real"])]
    pods: String,

    /// Port of the API server on 127.0.0.1 (fake Pods); a free one by default
    #[arg(long)]
    port: Option<u16>,
}

#[derive(Debug, clap::Args)]
pub(crate) struct Place {
    /// Folder of the cluster's files [default: `cluster` in the cache folder]
    #[arg(long)]
    dir: Option<PathBuf>,
}

impl Place {
    fn folder(&self) -> Result<PathBuf> {
        match &self.dir {
            Some(dir) => std::path::absolute(dir).context("--dir"),
            None => Ok(tools::cache()?.join("cluster")),
        }
    }
}

pub(crate) fn run(command: &Command) -> Result<ExitCode> {
    let mut process = Process::new(Tool::Cluster.get()?);
    match command {
        Command::Up(up) => {
            if up.pods == "real" {
                install_node_programs()?;
            }
            process
                .arg("up")
                .arg("--dir")
                .arg(up.place.folder()?)
                .args(["--pods", &up.pods]);
            if let Some(port) = up.port {
                process.args(["--port", &port.to_string()]);
            }
        }
        Command::Down(place) => {
            process.arg("down").arg("--dir").arg(place.folder()?);
        }
    }
    let status = process.status().context("cannot run the cluster binary")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// What a real node needs besides the cluster binary, as Debian packages: program and package.
const NODE_PROGRAMS: [(&str, &str); 4] = [
    ("/usr/bin/containerd", "containerd"),
    ("/usr/sbin/runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("/usr/sbin/iptables", "iptables"),
];

/// Installs what is missing for real Pods, where that can be done.
pub(crate) fn install_node_programs() -> Result<()> {
    let missing: Vec<&str> = NODE_PROGRAMS
        .iter()
        .filter(|(program, _)| !std::path::Path::new(program).exists())
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    say(&format!(
        "installing {} (for real Pods)",
        missing.join(", ")
    ));
    let apt = |arguments: &[&str]| {
        Process::new("apt-get")
            .args(["-qq", "-o", "DPkg::Lock::Timeout=200"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(std::process::Stdio::null())
            .status()
    };
    let updated = apt(&["update"]).context(
        "apt-get is not here; install containerd, runc, containernetworking-plugins and iptables",
    )?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(missing);
    let installed = apt(&install)?;
    anyhow::ensure!(
        updated.success() && installed.success(),
        "apt-get failed; is this root?"
    );
    Ok(())
}
