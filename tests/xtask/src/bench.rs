//! `cargo xtask bench`: prepares a control plane, a Git server and release builds, then runs the
//! benchmark of tests/bench.

use std::process::{Command, ExitCode};

use anyhow::Context;
use clap::Args;

use crate::stage::{Programs, Stage};
use crate::tools::{self, Tool};

/// Measure the agent (rollout, commits, drift, idling, memory) and the command line
#[derive(Args, Clone, Debug)]
pub(crate) struct BenchArgs {
    /// Applications, each of four objects
    #[arg(long, default_value_t = 100)]
    apps: usize,

    /// Applications `status` is asked about
    #[arg(long, default_value_t = 1000)]
    status_apps: usize,

    /// Seconds without any change
    #[arg(long, default_value_t = 60)]
    idle: u64,

    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the benchmark.
pub(crate) fn run(args: &BenchArgs) -> anyhow::Result<ExitCode> {
    let programs = Programs::build(
        Tool::Cluster,
        "release",
        &["gitops-agent", "gitops-bench", "kubectl-gitops"],
    )?;
    let mut stage = Stage::new(programs.clone(), "bench")?;
    stage.start(&["--audit"])?;
    stage.install(&tools::repository())?;
    let (url, push_url) = stage.repository("bench")?;
    let mut bench = Command::new(programs.own.join("gitops-bench"));
    bench
        .arg("--kubeconfig")
        .arg(stage.kubeconfig())
        .arg("--agent-kubeconfig")
        .arg(stage.agent_kubeconfig())
        .arg("--agent")
        .arg(programs.own.join("gitops-agent"))
        .arg("--plugin")
        .arg(programs.own.join("kubectl-gitops"))
        .arg("--renderer")
        .arg(&programs.renderer)
        .arg("--audit-log")
        .arg(stage.audit_log())
        .args(["--repository", &url, "--push", &push_url])
        .arg("--work")
        .arg(stage.folder("work")?)
        .args(["--apps", &args.apps.to_string()])
        .args(["--status-apps", &args.status_apps.to_string()])
        .args(["--idle", &args.idle.to_string()]);
    if args.json {
        bench.arg("--json");
    }
    let status = bench.status().context("cannot run the benchmark")?;
    Ok(if status.success() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
