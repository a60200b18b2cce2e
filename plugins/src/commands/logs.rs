//! `logs`: what the Pods of an Application wrote, those that do not work first; or what the agent wrote.

use clap::Args;
use futures::stream::select_all;
use futures::{AsyncBufReadExt, StreamExt, TryStreamExt, stream};
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::interrupt::Listener;
use gitops_kit::output::{self, ColorArgs};
use gitops_kit::progress::Progress;
use gitops_kit::{prompt, text};
use gitops_views::pods::logs::{self, Log};
use gitops_views::pods::tree::{Tree, Workloads};
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::{ListParams, LogParams};

use crate::cluster::connection::{Connection, ConnectionArgs};
use crate::cluster::installation::AGENT_PODS;
use crate::cluster::pods::{in_short, workloads};
use crate::cluster::{application, failure};

/// Logs that are read in one call: more is no screen any more, and a load for the API server.
const MAX_LOGS: usize = 20;
/// Lines of each log when several are shown.
const LINES_OF_MANY: i64 = 20;
/// Logs that are asked for at the same time.
const MAX_CONCURRENT: usize = 8;

/// What its Pods wrote
///
/// Pods that do not work come first; of a container that crashed and waits, the run that crashed is
/// shown. Hooks that are still there count, too.
///
/// Examples:
///   kubectl gitops logs web                      what is wrong first
///   kubectl gitops logs web -c proxy --tail 100  one container of each Pod
///   kubectl gitops logs web -f                   as it is written
///   kubectl gitops logs --agent                  the agent's own
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct LogsArgs {
    /// Application: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub application: Option<String>,

    /// Go on with what is written from now on
    #[arg(short, long)]
    pub follow: bool,

    /// Last lines of each log; -1 is all. All of a single log, 20 of each of several
    #[arg(long, value_name = "LINES", allow_negative_numbers = true)]
    pub tail: Option<i64>,

    /// Only containers of this name
    #[arg(short, long, value_name = "NAME")]
    pub container: Option<String>,

    /// The runs before those of now
    #[arg(long, conflicts_with = "follow")]
    pub previous: bool,

    /// The agent's own logs, in the namespace of the Applications
    #[arg(long, conflicts_with = "application")]
    pub agent: bool,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// Runs the command.
pub async fn run(args: LogsArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let connection = flags.connect_or_pick(!args.agent).await?;
    let (whose, found, workloads) = if args.agent {
        let namespace = application::namespace(&flags, &connection).await;
        let pods = of_agent(&namespace, &connection).await?;
        let whose = format!("the agent in namespace {namespace}");
        (whose, None, pods)
    } else {
        let given = args.application.as_deref();
        let name = application::given_or_picked(given, true, &flags, &connection).await?;
        let found = [application::find(&name, &flags, &connection).await?];
        let beneath = workloads(&found, &connection).await;
        let [found] = found;
        (format!("Application {name}"), Some(found), beneath)
    };
    let mut progress = Progress::new(args.color.color);
    for unread in &workloads.unread {
        progress.warn(unread);
    }
    let tree = Tree::of(&workloads);
    let pods: Vec<&Pod> = match &found {
        Some(found) => {
            let resources = found.status.iter().flat_map(|status| &status.resources);
            resources.flat_map(|one| tree.pods_of(one)).collect()
        }
        None => workloads.pods.iter().collect(),
    };
    let container = args.container.as_deref();
    let found = logs::of(&pods, container, args.previous, Timestamp::now());
    for silent in &found.silent {
        progress.info(&format!("nothing of {silent}"));
    }
    if found.logs.is_empty() {
        let which = container.map_or(String::new(), |name| format!(" with a container {name}"));
        progress.info(&format!("no logs: {} Pods of {whose}{which}", pods.len()));
        // What cannot be read is not nothing.
        return Ok(if workloads.unread.is_empty() {
            ExitStatus::Success
        } else {
            ExitStatus::Unreachable
        });
    }
    if found.logs.len() > MAX_LOGS {
        progress.warn(&format!(
            "{} of {} logs are shown; choose with --container",
            MAX_LOGS,
            found.logs.len()
        ));
    }
    let chosen = found.logs.get(..MAX_LOGS).unwrap_or(&found.logs);
    let tail = args
        .tail
        .unwrap_or(if chosen.len() > 1 { LINES_OF_MANY } else { -1 });
    let tail = (tail >= 0).then_some(tail);
    if args.follow {
        return follow(chosen, tail, &connection, &mut progress).await;
    }
    let read = stream::iter(chosen)
        .map(async |log| (log, read(log, tail, &connection).await))
        .buffered(MAX_CONCURRENT);
    let mut read = std::pin::pin!(read);
    let mut failed = false;
    while let Some((log, answer)) = read.next().await {
        match answer {
            Ok(text) => {
                heading(log, &mut progress);
                for line in text.lines() {
                    output::print(&line_of(log, line, chosen.len() > 1))?;
                }
            }
            Err(why) => {
                failed = true;
                progress.warn(&format!("{}/{}: {why}", log.pod, log.container));
            }
        }
    }
    Ok(if failed {
        ExitStatus::Unreachable
    } else {
        ExitStatus::Success
    })
}

/// The Pods of the agent.
async fn of_agent(namespace: &str, connection: &Connection) -> Result<Workloads, CommandError> {
    let api: Api<Pod> = Api::namespaced(connection.client.clone(), namespace);
    let params = ListParams::default().labels(AGENT_PODS);
    let found = connection.wait(api.list(&params)).await?;
    let found =
        found.map_err(|error| failure::of(error, "list the agent's Pods", &connection.endpoint))?;
    if found.items.is_empty() {
        return Err(CommandError::new(
            CommandErrorKind::NotFound,
            format!("there are no Pods of an agent in namespace {namespace}"),
        )
        .hint("name its namespace with -n; kubectl gitops doctor looks for it"));
    }
    Ok(Workloads {
        pods: found.items,
        ..Workloads::default()
    })
}

fn params(log: &Log, tail: Option<i64>, follow: bool) -> LogParams {
    LogParams {
        container: Some(log.container.clone()),
        previous: log.previous,
        tail_lines: tail,
        follow,
        ..LogParams::default()
    }
}

async fn read(log: &Log, tail: Option<i64>, connection: &Connection) -> Result<String, String> {
    let api: Api<Pod> = Api::namespaced(connection.client.clone(), &log.namespace);
    let params = params(log, tail, false);
    match connection.wait(api.logs(&log.pod, &params)).await {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(error)) => Err(in_short(&error)),
        Err(error) => Err(error.message),
    }
}

/// Shows what is written from now on, until it ends or the user stops.
async fn follow(
    chosen: &[Log],
    tail: Option<i64>,
    connection: &Connection,
    progress: &mut Progress,
) -> Result<ExitStatus, CommandError> {
    let interrupted = Listener::new();
    let mut streams = Vec::new();
    for log in chosen {
        let api: Api<Pod> = Api::namespaced(connection.client.clone(), &log.namespace);
        // The run that crashed writes nothing any more.
        let params = params(log, tail, !log.previous);
        match connection.wait(api.log_stream(&log.pod, &params)).await? {
            Ok(lines) => {
                heading(log, progress);
                let lines = lines.lines().map_ok(move |line| (log, line));
                streams.push(Box::pin(lines));
            }
            Err(error) => {
                let why = in_short(&error);
                progress.warn(&format!("{}/{}: {why}", log.pod, log.container));
            }
        }
    }
    let many = chosen.len() > 1;
    let mut lines = select_all(streams);
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(Ok((log, line))) => output::print(&line_of(log, &line, many))?,
                Some(Err(error)) => progress.warn(&text::one_line(&error.to_string())),
                None => return Ok(ExitStatus::Success),
            },
            () = interrupted.told_to_stop() => return Ok(ExitStatus::Interrupted),
        }
    }
}

/// Says whose log comes, where something is wrong with it.
fn heading(log: &Log, progress: &mut Progress) {
    let run = if log.previous { ", the run before" } else { "" };
    if !log.why.is_empty() {
        let why = text::one_line(&log.why);
        progress.warn(&format!("{}/{}{run}: {why}", log.pod, log.container));
    } else if log.previous {
        progress.info(&format!("{}/{}{run}", log.pod, log.container));
    }
}

/// A line, with its place where there are several logs: as `kubectl logs --prefix` writes it.
fn line_of(log: &Log, line: &str, many: bool) -> String {
    let line = text::visible(line);
    if many {
        format!("[pod/{}/{}] {line}\n", log.pod, log.container)
    } else {
        format!("{line}\n")
    }
}
