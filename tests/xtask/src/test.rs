//! `cargo xtask test`: every test of the repository, on a cluster made for this run.

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::session::{Session, say};
use crate::{cluster, tools};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Leave out what needs a cluster
    #[arg(long)]
    unit: bool,

    /// Only the end-to-end tests
    #[arg(long, conflicts_with = "unit")]
    e2e: bool,

    /// Only tests whose name contains this
    filter: Option<String>,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let started = Instant::now();
    let passed = if args.unit { unit(args)? } else { all(args)? };
    say(&format!(
        "{} after {} s",
        if passed {
            "all tests passed"
        } else {
            "tests failed"
        },
        started.elapsed().as_secs()
    ));
    Ok(if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn unit(args: &Args) -> Result<bool> {
    let mut test = cargo(args, &["--exclude", "gitops-e2e"]);
    test.env("GITOPS_RENDERER", tools::renderer()?);
    Ok(test.status().context("cannot run cargo")?.success())
}

fn all(args: &Args) -> Result<bool> {
    let (renderer, helm, kustomize) = (tools::renderer()?, tools::helm()?, tools::kustomize()?);
    let (cluster_program, krew) = (tools::cluster()?, tools::krew()?);
    if is_root() {
        cluster::install_node_programs()?;
    }
    say("building the agent and the plugins");
    let built = Command::new(env!("CARGO"))
        .args([
            "build",
            "--package",
            "gitops-agent",
            "--package",
            "kubectl-gitops",
        ])
        .current_dir(tools::repository())
        .status()
        .context("cannot run cargo")?;
    ensure!(built.success(), "the build failed");
    // A folder of its own for each run, so that two of them do not meet.
    let folder = tools::cache()?.join(format!("test-{}", std::process::id()));
    let session = Session::start(&folder)?;
    let mut test = cargo(args, &[]);
    test.env("GITOPS_CLUSTER", &cluster_program)
        .env("GITOPS_RENDERER", &renderer)
        .env("GITOPS_HELM", &helm)
        .env("GITOPS_KUSTOMIZE", &kustomize)
        .env("GITOPS_KREW", &krew)
        .env("GITOPS_TEST_KUBECONFIG", &session.kubeconfig)
        .env("GITOPS_TEST_SERVERS", &session.description)
        .env("GITOPS_BIN_DIR", programs());
    let passed = test.status().context("cannot run cargo")?.success();
    drop(session);
    if passed {
        let _ = std::fs::remove_dir_all(&folder);
    } else {
        say(&format!("the cluster's logs are in {}", folder.display()));
    }
    Ok(passed)
}

fn cargo(args: &Args, more: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command
        .args(["test", "--no-fail-fast"])
        .args(if args.e2e {
            ["--package", "gitops-e2e"].as_slice()
        } else {
            &["--workspace"]
        })
        .args(more);
    command.current_dir(tools::repository());
    if let Some(filter) = &args.filter {
        command.args(["--", filter]);
    }
    command
}

/// Where cargo puts what it builds for tests.
fn programs() -> PathBuf {
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| tools::repository().join("target"), PathBuf::from);
    target.join("debug")
}

fn is_root() -> bool {
    Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}
