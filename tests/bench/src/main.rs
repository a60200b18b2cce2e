//! Measures the agent against a real control plane. `cargo xtask bench` prepares the cluster, the
//! Git server and the programs, and runs this.
//!
//! Every time is taken from outside, as a user would see it: from the watch of the API server, the
//! API server's own audit log and the kernel's account of the processes. It asserts nothing; the
//! report says which targets were met.

mod agent;
mod audit;
mod cluster;
mod command_line;
mod measure;
mod percentile;
mod report;
mod repository;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Parser;

/// Measures a GitOps agent against a real control plane.
#[derive(Clone, Debug, Parser)]
#[command(name = "gitops-bench")]
struct Args {
    /// Kubeconfig of an administrator
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,

    /// Kubeconfig of the agent's ServiceAccount
    #[arg(long, value_name = "FILE")]
    agent_kubeconfig: PathBuf,

    /// The agent's program
    #[arg(long, value_name = "FILE")]
    agent: PathBuf,

    /// The render worker's program
    #[arg(long, value_name = "FILE")]
    renderer: PathBuf,

    /// The plugin's program
    #[arg(long, value_name = "FILE")]
    plugin: PathBuf,

    /// Audit log of the API server
    #[arg(long, value_name = "FILE")]
    audit_log: PathBuf,

    /// Empty repository on the Git server
    #[arg(long, value_name = "URL")]
    repository: String,

    /// Where the same repository accepts pushes
    #[arg(long, value_name = "URL")]
    push: String,

    /// Empty folder for a clone, caches and the agent's log
    #[arg(long, value_name = "DIR")]
    work: PathBuf,

    /// Applications, each of four objects
    #[arg(long, default_value_t = 100)]
    apps: usize,

    /// Drifts to make
    #[arg(long, default_value_t = 60)]
    heals: usize,

    /// Commits to make
    #[arg(long, default_value_t = 20)]
    commits: usize,

    /// Applications `status` is asked about
    #[arg(long, default_value_t = 1000)]
    status_apps: usize,

    /// Seconds without any change
    #[arg(long, default_value_t = 60)]
    idle: u64,

    /// Writes under way at the same time, the agent's and the bare loop's
    #[arg(long, default_value_t = 16)]
    concurrency: usize,

    /// Print the numbers as JSON
    #[arg(long)]
    json: bool,
}

fn main() -> ExitCode {
    let args = Args::parse();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

#[tokio::main]
async fn run(args: &Args) -> anyhow::Result<()> {
    if rustls::crypto::aws_lc_rs::default_provider()
        .install_default()
        .is_err()
    {
        anyhow::bail!("a TLS provider is installed already");
    }
    anyhow::ensure!(args.apps > 0, "--apps must be at least 1");
    let cluster = cluster::Cluster::connect(&args.kubeconfig).await?;
    let repository =
        repository::Repository::clone(&args.repository, &args.push, &args.work.join("clone"))?;
    repository.fill(args.apps)?;

    report::progress("bare server-side apply, for comparison");
    let bare = measure::bare_loop(&cluster, "bench-bare", args.apps, args.concurrency).await?;

    let mut agent = agent::Agent::start(args).await?;
    let measured = tokio::select! {
        measured = everything(args, &cluster, &repository, &agent) => measured,
        ended = agent.ended() => Err(ended),
        _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("interrupted")),
    };
    let memory = agent.stop().await;
    let measured = measured.with_context(|| agent.last_lines())?;

    // Once more, so that a machine that became slower or faster meanwhile shows.
    report::progress("bare server-side apply once more");
    let bare_after =
        measure::bare_loop(&cluster, "bench-bare-after", args.apps, args.concurrency).await?;
    report::progress("status of many applications");
    let command_line = command_line::measure(&cluster, args).await?;
    let report = report::Report {
        applications: args.apps,
        objects: args.apps * workload::KINDS,
        concurrency: args.concurrency,
        bare_seconds: [bare.as_secs_f64(), bare_after.as_secs_f64()],
        measured,
        memory,
        command_line,
    };
    report.print(args.json)
}

async fn everything(
    args: &Args,
    cluster: &cluster::Cluster,
    repository: &repository::Repository,
    agent: &agent::Agent,
) -> anyhow::Result<report::Measured> {
    report::progress("rollout");
    let position = audit::position(&args.audit_log)?;
    let rollout = measure::rollout(cluster, repository.url(), args.apps, args.concurrency).await?;
    let rollout_requests = audit::requests(&args.audit_log, position)?;
    report::progress("commits, each of one application");
    let commits = measure::commits(cluster, repository, agent, args.apps, args.commits).await?;
    report::progress("drifts");
    let heals = measure::heals(cluster, args.apps, args.heals).await?;
    report::progress("idle");
    let idle = measure::idle(agent, &args.audit_log, Duration::from_secs(args.idle)).await?;
    Ok(report::Measured {
        rollout_seconds: rollout.as_secs_f64(),
        rollout_requests,
        commits,
        heals,
        idle,
    })
}
