//! `cargo xtask image`: the agent's container image, made from files without a container engine.
//!
//! It holds the agent, its render worker, ssh for ssh repositories, the certificates of public
//! authorities, and the libraries the programs are loaded with; no shell, no package manager. ssh,
//! libraries and certificates are those of the machine that builds, so this runs on Linux only.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};

use crate::progress::say;
use crate::release::build;
use crate::release::platform::Platform;
use crate::{release, tools};

/// The image's name, but for the version.
const NAME: &str = "ghcr.io/kubectl-gitops/gitops-agent";

/// Where the certificates of public authorities are, in the image and on most systems.
const CERTIFICATES: &str = "/etc/ssl/certs/ca-certificates.crt";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Archive to write, for `docker load` or a node's image store
    /// [default: gitops-agent_VERSION_linux_ARCH.tar in `target/dist`]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,

    /// Name and tag [default: ghcr.io/kubectl-gitops/gitops-agent:VERSION]
    #[arg(long, value_name = "NAME:TAG")]
    name: Option<String>,

    /// Upload it to the registry in its name, with the credentials of `docker login`
    #[arg(long)]
    push: bool,

    /// Profile of Cargo.toml to build in; dev is for trying out
    #[arg(long, value_name = "PROFILE", default_value = "release")]
    profile: String,

    /// Take the agent that is in this folder already instead of building it
    #[arg(long, value_name = "DIR")]
    built: Option<PathBuf>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(
        cfg!(target_os = "linux"),
        "the image takes ssh and its libraries from the machine it is built on: run this on Linux"
    );
    let arch = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => bail!("there is no release for {other}"),
    };
    let platform = Platform::find(&format!("linux/{arch}")).context("a platform is missing")?;
    let agent = match &args.built {
        Some(folder) => folder.join("gitops-agent"),
        None => build::program("gitops-agent", platform, &args.profile)?,
    };
    let version = release::version();
    let name = args.name.clone();
    let name = name.unwrap_or_else(|| format!("{NAME}:{version}"));
    let out = match &args.out {
        Some(file) => std::path::absolute(file).context("--out")?,
        None => tools::repository()
            .join("target/dist")
            .join(format!("gitops-agent_{version}_linux_{arch}.tar")),
    };
    if let Some(folder) = out.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let mut image = Command::new(tools::Tool::Cluster.get()?);
    image
        .args(["image", "--name", &name, "--out"])
        .arg(&out)
        .args(["--entrypoint", "/gitops-agent"]);
    // What changes least comes first, so that an upgrade downloads little.
    image.args(["--file", &file(&certificates()?, CERTIFICATES)]);
    image.args(["--program", &file(&ssh()?, "/usr/bin/ssh")]);
    let license = tools::repository().join("LICENSE");
    image.args(["--layer", "--file", &file(&license, "/LICENSE")]);
    let renderer = tools::renderer_for("linux", arch)?;
    image.args(["--file", &file(&renderer, "/gitops-renderer")]);
    image.args(["--layer", "--program", &file(&agent, "/gitops-agent")]);
    for (label, value) in labels(&version) {
        image.arg("--label");
        image.arg(format!("org.opencontainers.image.{label}={value}"));
    }
    if args.push {
        image.arg("--push");
    }
    let output = image
        .stderr(std::process::Stdio::inherit())
        .output()
        .context("cannot run the cluster binary")?;
    ensure!(output.status.success(), "cannot make the image");
    let digest = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let size = std::fs::metadata(&out)?.len() as f64 / 1e6;
    say(&format!("{}: {size:.1} MB, {name}", out.display()));
    if args.push {
        say(&format!("pushed {name}@{digest}"));
    } else {
        say(&format!("digest {digest}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// How the image tool wants a file.
fn file(source: &Path, target: &str) -> String {
    format!("{}:{target}", source.display())
}

fn certificates() -> Result<PathBuf> {
    let places = [CERTIFICATES, "/etc/pki/tls/certs/ca-bundle.crt"];
    places
        .iter()
        .map(PathBuf::from)
        .find(|path| path.is_file())
        .context("no certificates of public authorities are here; install ca-certificates")
}

fn ssh() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .map(|folder| folder.join("ssh"))
        .find(|program| program.is_file())
        .context("ssh is not here, which the image needs; install openssh-client")
}

/// What registries show about the image. No time: the same commit gives the same image.
fn labels(version: &str) -> Vec<(&'static str, String)> {
    let source = "https://github.com/kubectl-gitops/kubectl-gitops";
    let mut labels = vec![
        ("title", "gitops-agent".to_owned()),
        (
            "description",
            "Keeps a cluster at what Git says; the agent of kubectl gitops".to_owned(),
        ),
        ("version", version.to_owned()),
        ("source", source.to_owned()),
        ("url", source.to_owned()),
        ("licenses", "Apache-2.0".to_owned()),
    ];
    let head = Command::new("git")
        .args(["rev-parse", "HEAD"])
        .current_dir(tools::repository())
        .output();
    if let Ok(head) = head
        && head.status.success()
    {
        let commit = String::from_utf8_lossy(&head.stdout).trim().to_owned();
        labels.push(("revision", commit));
    }
    labels
}
