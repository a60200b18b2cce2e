//! `refresh`: asks the agent to compare now, and waits until it has. Nothing is applied by it,
//! unless automated sync finds something to do.

use std::time::Duration;

use clap::Args;
use gitops_api::Application;
use gitops_api::constants::annotation;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::output::ColorArgs;
use gitops_kit::progress::Progress;
use gitops_kit::prompt;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cluster::application;
use crate::cluster::connection::{ConnectionArgs, parse_duration};
use crate::cluster::follow::{Followed, follow};
use crate::commands::sync::{state, verdict};

/// Look at Git and at the cluster again, now
///
/// The agent looks by itself every few seconds; this is for those who cannot wait. With --hard it
/// also forgets what it has rendered, which helps when a chart or an image of a tag was replaced.
///
/// Examples:
///   kubectl gitops refresh web
///   kubectl gitops refresh web shop --hard
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct RefreshArgs {
    /// Applications: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub applications: Vec<String>,

    /// Render again, too
    #[arg(long)]
    pub hard: bool,

    /// Timeout: 90s, 10m; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub timeout: Duration,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// Runs the command.
pub async fn run(args: RefreshArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let connection = flags.connect_or_pick(true).await?;
    let mut applications = Vec::new();
    let mut given = args.applications.clone();
    if given.is_empty() {
        given.push(application::given_or_picked(None, true, &flags, &connection).await?);
    }
    for given in &given {
        let application = application::find(given, &flags, &connection).await?;
        let (namespace, name) = state::name(&application);
        if state::is_skipped(&application) {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                format!(
                    "Application {name} is to be left alone: its annotation \
                     argocd.argoproj.io/skip-reconcile is \"true\""
                ),
            ));
        }
        applications.push((namespace.to_owned(), name.to_owned()));
    }
    let kind = if args.hard { "hard" } else { "normal" };
    for (namespace, name) in &applications {
        let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
        let patch = Patch::Merge(json!({"metadata": {"annotations": {annotation::REFRESH: kind}}}));
        let params = PatchParams::default();
        connection
            .ask(
                &format!("ask for a refresh of Application {name}"),
                api.patch(name, &params, &patch),
            )
            .await?;
    }
    let mut progress = Progress::new(args.color.color);
    let started = std::time::Instant::now();
    let mut worst = ExitStatus::Success;
    for (namespace, name) in &applications {
        let followed = Followed {
            namespace,
            name,
            timeout: (!args.timeout.is_zero())
                .then(|| args.timeout.saturating_sub(started.elapsed())),
        };
        let ended = follow(&connection, &followed, &mut progress, |seen, _| {
            verdict::of_refresh(seen)
        })
        .await?;
        match ended {
            ExitStatus::Success => {}
            ExitStatus::Interrupted => return Ok(ended),
            other => worst = other,
        }
    }
    Ok(worst)
}
