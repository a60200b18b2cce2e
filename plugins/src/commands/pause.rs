//! `pause`: nothing of an Application, or of all, is changed in the cluster until `resume`. Writes who,
//! why and until when; the agent keeps to it.

use std::time::Duration;

use clap::Args;
use gitops_api::Pause;
use gitops_api::constants::annotation;
use gitops_api::{Application, Time};
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::output::ColorArgs;
use gitops_kit::progress::Progress;
use gitops_kit::text;
use gitops_views::status::pause;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::connection::{ConnectionArgs, parse_duration};
use crate::cluster::pauses::{Scope, Target, patch_all, patch_one, say_silent, until};
use crate::commands::sync::{state, user};

/// Stop changing an Application, or everything, until resume
///
/// The agent goes on comparing and reporting, and applies and deletes nothing: no automated sync, no
/// self-heal, no prune. A sync under way stops where it is and goes on after resume; one that is
/// asked for is refused. What an Application's deletion takes with it is deleted all the same:
/// nobody but a person asks for that. The pause lasts over restarts of the agent.
///
/// Examples:
///   kubectl gitops pause web --reason INC-7
///   kubectl gitops pause web --for 2h                 ends by itself
///   kubectl gitops pause -l team=payments
///   kubectl gitops pause --all --reason "cluster move"   every Application and ApplicationSet
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct PauseArgs {
    #[command(flatten)]
    pub scope: Scope,

    /// It ends by itself after this time: 30m, 2h
    #[arg(long = "for", value_name = "DURATION", value_parser = parse_duration)]
    pub lasts: Option<Duration>,

    /// Why; shown to everybody who looks
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Longest wait for the agent: 90s, 10m; 0 does not wait
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// Runs the command.
pub async fn run(args: PauseArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let connection = flags.connect_or_pick(true).await?;
    let target = args.scope.find(&flags, &connection).await?;
    let now = Timestamp::now();
    let lasts = args.lasts.filter(|lasts| !lasts.is_zero());
    let pause = Pause {
        until: lasts.and_then(|lasts| Some(Time(now.checked_add(lasts).ok()?))),
        since: Some(Time(now)),
        by: user(&connection).await,
        reason: args
            .reason
            .as_deref()
            .map(text::one_line)
            .unwrap_or_default(),
        ..Pause::default()
    };
    let value = json!(json!(pause).to_string());
    let mut progress = Progress::new(args.color.color);
    match &target {
        Target::Everything { namespace } => {
            patch_all(namespace, &value, &connection).await?;
        }
        Target::Applications(applications) => {
            for application in applications {
                patch_one(application, &annotated(&value), "pause", &connection).await?;
            }
        }
    }
    let everything = matches!(target, Target::Everything { .. });
    let is_paused = |application: &Application| {
        pause::told(application, Timestamp::now())
            .is_some_and(|paused| paused.everything == everything || !everything)
            || pause::is_skipped(application)
    };
    progress.begin("waiting for the agent to say so");
    let left = until(&target, &connection, args.timeout, is_paused).await?;
    let found = target.current(&connection).await?;
    report(&found, everything, &left, now, &mut progress);
    if !left.is_empty() && !args.timeout.is_zero() {
        let namespace = target.namespace();
        say_silent(&left, namespace, "pause", &connection, &mut progress).await;
        return Ok(ExitStatus::No);
    }
    Ok(ExitStatus::Success)
}

fn annotated(value: &Value) -> Value {
    json!({"metadata": {"annotations": {annotation::PAUSED: value}}})
}

/// Says what is paused now, and what stands still because of it.
fn report(
    found: &[Application],
    everything: bool,
    left: &[String],
    now: Timestamp,
    progress: &mut Progress,
) {
    let names = |application: &Application| state::name(application).1.to_owned();
    let done: Vec<&Application> = found
        .iter()
        .filter(|application| !left.contains(&names(application)))
        .collect();
    if everything {
        progress.done(&format!(
            "everything is paused: {} {}, and every ApplicationSet of the namespace; go on with: kubectl gitops resume --all",
            done.len(),
            if done.len() == 1 { "Application" } else { "Applications" },
        ));
    } else {
        for application in &done {
            let name = names(application);
            let words = pause::summary(application, now).unwrap_or_else(|| "paused".to_owned());
            progress.done(&format!(
                "{name}: {words}; go on with: kubectl gitops resume {name}"
            ));
        }
    }
    for application in done {
        if state::under_way(application).is_some() {
            progress.info(&format!(
                "{}: the sync asked by {} stands where it is, and goes on after resume (or end it: \
                 kubectl gitops terminate {})",
                names(application),
                state::asked_by(application),
                names(application)
            ));
        }
    }
}
