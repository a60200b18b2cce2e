//! `uninstall`: plans, asks, and removes the agent. What goes and stays is decided in
//! `crate::commands::uninstall::plan`.

use std::time::Duration;

use clap::Args;
use gitops_api::constants::DEFAULT_NAMESPACE;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::output::print;
use gitops_kit::progress::Progress;
use gitops_kit::prompt;
use gitops_kit::terminal::{ColorChoice, View};

use crate::cluster::connection::{ConnectionArgs, parse_duration};
use crate::commands::bootstrap::cluster::Cluster;
use crate::commands::bootstrap::permissions;
use crate::commands::uninstall::plan::{UninstallOptions, left, screen};

pub mod find;
pub mod plan;
pub mod remove;

/// Remove the agent; what it delivered stays
///
/// Deletes the agent, its rights, the two Applications with which it delivers itself, and the
/// Secret that bootstrap made. Applications stay, without finalizers, so that nothing waits for a
/// controller that is gone. Git is not touched.
///
/// Examples:
///   kubectl gitops uninstall --dry-run             what would go, what would stay
///   kubectl gitops uninstall --restore-argocd      and start the Argo CD that was taken over from
///   kubectl gitops uninstall --delete-crds --yes   also the kinds, and so all Applications
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct UninstallArgs {
    /// Also delete the Applications; what they delivered stays
    #[arg(long)]
    pub delete_applications: bool,

    /// Also delete the Applications and everything they delivered
    #[arg(long)]
    pub delete_workloads: bool,

    /// Also delete this project's definitions of kinds, and with them all Applications
    #[arg(long)]
    pub delete_crds: bool,

    /// Start the controllers of Argo CD again that bootstrap --adopt stopped
    #[arg(long)]
    pub restore_argocd: bool,

    /// Show the plan, change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// The name of the context, which confirms without a question
    #[arg(long, value_name = "CONTEXT")]
    pub confirm: Option<String>,

    /// Ask nothing
    #[arg(short, long)]
    pub yes: bool,

    /// Longest wait for something to end
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,

    /// When to use color
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_default_value = true
    )]
    pub color: ColorChoice,
}

/// Runs the command.
pub async fn run(
    args: UninstallArgs,
    connection: ConnectionArgs,
) -> Result<ExitStatus, CommandError> {
    let namespace = connection
        .namespace
        .clone()
        .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
    let connection = connection.connect_or_pick(!args.yes).await?;
    let cluster = Cluster {
        connection: &connection,
    };
    let options = UninstallOptions {
        applications: args.delete_applications || args.delete_workloads,
        workloads: args.delete_workloads,
        definitions: args.delete_crds,
        restore: args.restore_argocd,
    };
    let mut progress = Progress::new(args.color);
    progress.begin("looking for the agent");
    let rules = permissions::to_uninstall(&namespace, options.definitions);
    permissions::check(&connection, &rules).await?;
    let found = find::find(cluster, &namespace).await?;
    progress.clear();
    if found.is_empty(&options) {
        let elsewhere = cluster.controllers().await?;
        let elsewhere = elsewhere.elsewhere(
            crate::commands::bootstrap::controllers::Role::Agent,
            &namespace,
        );
        let error = CommandError::new(
            CommandErrorKind::NotFound,
            format!("there is no agent in namespace {namespace}"),
        );
        return Err(match elsewhere.first() {
            Some(other) => error.hint(format!("there is one in {other}: use -n {other}")),
            None => error.hint("nothing to remove; see what runs: kubectl get deployments -A"),
        });
    }
    print(&screen(&found, &options, &View::of_stdout(args.color)))?;
    if args.dry_run {
        return Ok(ExitStatus::Success);
    }
    let given = args
        .confirm
        .as_deref()
        .or(args.yes.then_some(connection.endpoint.context.as_str()));
    let question = format!(
        "This removes the agent from the cluster of context {}.",
        connection.endpoint.context
    );
    prompt::confirm_name(&question, &connection.endpoint.context, given, "--confirm").await?;
    Box::pin(remove::remove(
        cluster,
        &found,
        &options,
        args.timeout,
        &mut progress,
    ))
    .await?;
    progress.done("the agent is removed");
    for line in left(&found, &options) {
        progress.info(&line);
    }
    Ok(ExitStatus::Success)
}
