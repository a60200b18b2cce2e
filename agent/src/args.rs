//! Command line of the agent. Parses only; what the values mean is decided where they are used.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use gitops_core::sync::budget::Budget;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

/// Pulls desired state from Git and keeps the cluster at it.
#[derive(Debug, Parser)]
#[command(name = "gitops-agent", version, about)]
pub(crate) struct Args {
    /// Log lines for machines or for people
    #[arg(long, global = true, value_enum, default_value = "json")]
    log_format: LogFormat,

    /// What to log, such as `info` or `info,gitops_agent=debug`; the Kubernetes client is quiet by
    /// default because the agent says the same with more context
    #[arg(
        long,
        global = true,
        env = "GITOPS_LOG",
        default_value = "info,kube_client=off"
    )]
    log_level: String,

    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum LogFormat {
    Json,
    Text,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the agent until it is told to stop
    Run(RunArgs),
}

/// Options of `gitops-agent run`.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct RunArgs {
    /// Namespace of Applications, projects, repository Secrets and settings
    #[arg(long, env = "GITOPS_NAMESPACE", default_value = "argocd")]
    pub(crate) namespace: String,

    /// Kubeconfig file; without it the Pod's service account is used
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,

    /// How often each repository is asked for new commits
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = duration)]
    pub(crate) poll_interval: Duration,

    /// Address of /healthz, /readyz and /metrics
    #[arg(long, value_name = "ADDRESS", default_value = "0.0.0.0:8081")]
    pub(crate) metrics_addr: SocketAddr,

    /// Folder for mirrors and charts; only a cache
    #[arg(long, value_name = "DIR", default_value = "/var/cache/gitops-agent")]
    pub(crate) cache_dir: PathBuf,

    /// Render worker; by default the file `gitops-renderer` beside the agent
    #[arg(long, value_name = "FILE", env = "GITOPS_RENDERER")]
    pub(crate) renderer: Option<PathBuf>,

    /// Name of this process as holder of the lease; by default the Pod's
    #[arg(long, value_name = "NAME")]
    pub(crate) identity: Option<String>,

    /// Render workers at the same time; each runs only while there is something to render
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) render_workers: u8,

    /// Memory one render worker may take, in MiB; a render that needs more fails alone
    #[arg(long, default_value_t = 512, value_parser = clap::value_parser!(u64).range(64..))]
    pub(crate) render_memory_mib: u64,

    /// Rendered manifests one source of an Application may have, in MiB of JSON; more is an error of
    /// that Application
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(1..=256))]
    pub(crate) max_manifests_mib: u64,

    /// Applications worked on at the same time
    #[arg(long, default_value_t = 8)]
    pub(crate) workers: usize,

    /// Writes to the API server under way at the same time
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) concurrency: u16,

    /// Longest time one sync may take; 0 is without end. `controller.sync.timeout.seconds` in
    /// argocd-cmd-params-cm counts more
    #[arg(long, value_name = "DURATION", default_value = "0", value_parser = any_duration)]
    pub(crate) sync_timeout: Duration,
    /// How much of an application a sync prunes before it asks: 20 objects, 50% (and at least ten),
    /// or none for no limit; the annotation gitops-agent.io/prune-budget of an Application counts more
    #[arg(
        long,
        value_name = "BUDGET",
        env = "GITOPS_PRUNE_BUDGET",
        default_value = "50%"
    )]
    pub(crate) prune_budget: Budget,

    /// Allow file:// repositories; for tests only
    #[arg(long, hide = true)]
    pub(crate) allow_file_repositories: bool,
}

fn any_duration(text: &str) -> Result<Duration, String> {
    gitops_core::duration::parse(text).map_err(|error| error.to_string())
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = any_duration(text)?;
    if duration.is_zero() {
        return Err("must be greater than zero, for example 30s".into());
    }
    Ok(duration)
}

impl Args {
    /// Starts logging to standard error.
    pub(crate) fn init_logs(&self) {
        let filter = EnvFilter::try_new(&self.log_level)
            .unwrap_or_else(|_| EnvFilter::new("info,kube_client=off"));
        let registry = tracing_subscriber::registry().with(filter);
        let layer = fmt::layer().with_writer(std::io::stderr);
        match self.log_format {
            LogFormat::Json => registry.with(layer.json().flatten_event(true)).init(),
            LogFormat::Text => registry.with(layer.with_target(false)).init(),
        }
    }
}
