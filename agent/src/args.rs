//! Command line of the agent. Parses only; what the values mean is decided where they are used.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use gitops_core::sync::budget::Budget;
use gitops_git::{CacheLimit, DiskLimits, Limits, LocalAddresses};
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

use crate::repositories::credentials::RepositoryPolicy;

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

/// Whether ApplicationSets are served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ApplicationSets {
    /// Unless Argo CD's own controller runs.
    #[default]
    Auto,
    /// Always.
    On,
    /// Never.
    Off,
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

    /// Run only where the kernel confines render workers with Landlock and seccomp; without this a
    /// missing layer is a warning and the metric gitops_agent_jail is 0 for it
    #[arg(long, env = "GITOPS_REQUIRE_JAIL")]
    pub(crate) require_jail: bool,

    /// Rendered manifests one source of an Application may have, in MiB of JSON; more is an error of
    /// that Application
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u64).range(1..=256))]
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

    /// Longest time one conversation with a Git server, chart repository or registry may take
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = duration)]
    pub(crate) fetch_timeout: Duration,

    /// How much room the packs of one repository may take, such as 500Mi or 2Gi
    #[arg(long, value_name = "SIZE", default_value = "2Gi", value_parser = size)]
    pub(crate) max_repository_size: u64,

    /// How much room everything in the cache directory may take; keep sizeLimit of its volume larger
    #[arg(long, value_name = "SIZE", default_value = "10Gi", value_parser = size)]
    pub(crate) max_cache_size: u64,

    /// Also ask repositories at loopback and link-local addresses; those of metadata services are
    /// never asked [default: no in a Pod, yes with --kubeconfig]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) allow_local_addresses: Option<bool>,

    /// Show the asker of a Preview only what they may read [default: yes in a Pod, no with
    /// --kubeconfig, where the agent is somebody's own]
    #[arg(long, value_name = "BOOL", num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pub(crate) check_askers: Option<bool>,

    /// Whether ApplicationSets are served: on, off, or auto, which is on unless a Deployment of Argo CD's
    /// own controller (label app.kubernetes.io/name=argocd-applicationset-controller) runs in the namespace
    #[arg(
        long,
        value_name = "MODE",
        env = "GITOPS_APPLICATION_SETS",
        value_enum,
        default_value_t
    )]
    pub(crate) application_sets: ApplicationSets,

    /// Allow file:// repositories; for tests only
    #[arg(long, hide = true)]
    pub(crate) allow_file_repositories: bool,
}

fn any_duration(text: &str) -> Result<Duration, String> {
    gitops_core::duration::parse(text).map_err(|error| error.to_string())
}

/// Bytes, as Kubernetes writes quantities of memory: a whole number, with Ki, Mi, Gi or Ti.
fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let shift = match &text[digits.len()..] {
        "" => 0,
        "Ki" => 10,
        "Mi" => 20,
        "Gi" => 30,
        "Ti" => 40,
        _ => return Err("must be a number of bytes, or end in Ki, Mi, Gi or Ti: 2Gi".into()),
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| "is not a whole number".to_owned())?;
    number
        .checked_mul(1 << shift)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "must be greater than zero and less than 16 EiB".into())
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = any_duration(text)?;
    if duration.is_zero() {
        return Err("must be greater than zero, for example 30s".into());
    }
    Ok(duration)
}

impl RunArgs {
    /// Without a kubeconfig the Pod's service account is used.
    fn is_in_pod(&self) -> bool {
        self.kubeconfig.is_none()
    }

    /// Whether a Preview shows its asker only what they may read.
    pub(crate) fn checks_askers(&self) -> bool {
        self.check_askers.unwrap_or(self.is_in_pod())
    }

    /// Whether servers on the machine itself may be asked.
    pub(crate) fn local_addresses(&self) -> LocalAddresses {
        // In a Pod such an address leads to what its author could not reach; elsewhere to one's own.
        if self.allow_local_addresses.unwrap_or(!self.is_in_pod()) {
            LocalAddresses::Allowed
        } else {
            LocalAddresses::Refused
        }
    }

    /// How much room the cache directory may take.
    pub(crate) fn cache_limit(&self) -> CacheLimit {
        CacheLimit {
            directory: self.cache_dir.clone(),
            bytes: self.max_cache_size,
        }
    }

    /// Time limits of conversations with servers.
    pub(crate) fn limits(&self) -> Limits {
        Limits {
            total: self.fetch_timeout,
            ..Limits::DEFAULT
        }
    }

    /// What holds for all repositories.
    pub(crate) fn repositories(&self) -> RepositoryPolicy {
        RepositoryPolicy {
            allow_file: self.allow_file_repositories,
            local_addresses: self.local_addresses(),
            limits: self.limits(),
            disk: DiskLimits {
                repository: self.max_repository_size,
                cache: Some(self.cache_limit()),
            },
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_asks_no_local_address_and_checks_who_asks_and_an_agent_of_ones_own_does_not() {
        let parsed = |more: &[&str]| {
            let words = ["gitops-agent", "run"].iter().chain(more);
            let Command::Run(args) = Args::try_parse_from(words).unwrap().command;
            (
                args.local_addresses() == LocalAddresses::Allowed,
                args.checks_askers(),
            )
        };
        assert_eq!(parsed(&[]), (false, true));
        assert_eq!(parsed(&["--kubeconfig", "f"]), (true, false));
        let said = ["--allow-local-addresses", "--check-askers=false"];
        assert_eq!(parsed(&said), (true, false));
        let said = [
            "--kubeconfig",
            "f",
            "--allow-local-addresses=false",
            "--check-askers",
        ];
        assert_eq!(parsed(&said), (false, true));
    }

    #[test]
    fn sizes_are_written_as_in_kubernetes() {
        for (text, bytes) in [
            ("2Gi", Some(2 << 30)),
            ("500Mi", Some(500 << 20)),
            ("1024", Some(1024)),
            ("3Ti", Some(3 << 40)),
            ("0", None),
            ("", None),
            ("2G", None),
            ("-1Gi", None),
            ("1.5Gi", None),
            ("99999999Ti", None),
        ] {
            assert_eq!(size(text).ok(), bytes, "{text}");
        }
    }
}
