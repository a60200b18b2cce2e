//! `resume`: ends a pause; shows first what the agent will do then, and asks.

use std::time::Duration;

use clap::Args;
use gitops_api::Application;
use gitops_api::constants::annotation;
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::output::{ColorArgs, print};
use gitops_kit::progress::Progress;
use gitops_kit::prompt;
use gitops_kit::terminal::View;
use gitops_views::status::pause;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::connection::{ConnectionArgs, parse_duration};
use crate::cluster::pauses::{Scope, Target, patch_all, patch_one, say_silent, until};
use crate::commands::sync::operation::SyncRequest;
use crate::commands::sync::plan::{Plan, Step};
use crate::commands::sync::{plan, state};

/// Go on after pause; shows first what will be reverted
///
/// Lists what automated sync and self-heal will do as soon as the pause ends: what was changed in the
/// cluster meanwhile is reverted, what was committed is delivered. Asks before it does so.
///
/// Examples:
///   kubectl gitops resume web
///   kubectl gitops resume -l team=payments --yes
///   kubectl gitops resume --all
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct ResumeArgs {
    #[command(flatten)]
    pub scope: Scope,

    /// Only show what would be done
    #[arg(long)]
    pub dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Longest wait for the agent: 90s, 10m; 0 does not wait
    #[arg(long, value_name = "DURATION", default_value = "30s", value_parser = parse_duration)]
    pub timeout: Duration,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// Runs the command.
pub async fn run(args: ResumeArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let connection = flags.connect_or_pick(!args.yes).await?;
    let mut progress = Progress::new(args.color.color);
    let now = Timestamp::now();
    let target = args.scope.find(&flags, &connection).await?;
    let everything = matches!(target, Target::Everything { .. });
    let concerned: Vec<Application> = target
        .current(&connection)
        .await?
        .into_iter()
        .filter(|application| ends(application, everything, now))
        .collect();
    if concerned.is_empty() && !everything {
        return nothing(&target, now, &connection, &mut progress).await;
    }
    let view = View::of_stdout(args.color.color);
    let mut changes = 0;
    for application in &concerned {
        let (screen, count) = outlook(application, now, &view);
        print(&screen)?;
        changes += count;
    }
    if args.dry_run {
        return Ok(ExitStatus::Success);
    }
    if changes > 0 {
        let objects = if changes == 1 { "object" } else { "objects" };
        let question = format!("Resume, and change {changes} {objects}?");
        prompt::confirm(&question, args.yes, "--yes").await?;
    }
    if let Target::Everything { namespace } = &target {
        patch_all(namespace, &Value::Null, &connection).await?;
    } else {
        for application in &concerned {
            let off = json!({"metadata": {"annotations": {
                annotation::PAUSED: null, annotation::SKIP_RECONCILE: null,
            }}});
            patch_one(application, &off, "resume", &connection).await?;
        }
    }
    progress.begin("waiting for the agent to go on");
    let goes_on = |application: &Application| {
        pause::told(application, Timestamp::now())
            .is_none_or(|paused| paused.everything != everything)
    };
    let target = if everything {
        target
    } else {
        Target::Applications(concerned)
    };
    let left = until(&target, &connection, args.timeout, goes_on).await?;
    if !left.is_empty() && !args.timeout.is_zero() {
        let namespace = target.namespace();
        say_silent(
            &left,
            namespace,
            "end of the pause",
            &connection,
            &mut progress,
        )
        .await;
        return Ok(ExitStatus::No);
    }
    for application in target.current(&connection).await? {
        let (_, name) = state::name(&application);
        match pause::summary(&application, Timestamp::now()) {
            Some(words) => progress.warn(&format!("{name} is still {words}")),
            None if everything => {}
            None => progress.done(&format!("{name}: resumed")),
        }
    }
    if everything {
        progress.done("everything is resumed");
    }
    Ok(ExitStatus::Success)
}

/// Whether what is resumed keeps this Application.
fn ends(application: &Application, everything: bool, now: Timestamp) -> bool {
    match pause::told(application, now).or_else(|| pause::of(application, now)) {
        Some(paused) if everything => paused.everything,
        _ if everything => false,
        _ => {
            pause::is_skipped(application)
                || application
                    .metadata
                    .annotations
                    .as_ref()
                    .is_some_and(|all| all.contains_key(annotation::PAUSED))
        }
    }
}

/// Says that there is nothing to resume.
async fn nothing(
    target: &Target,
    now: Timestamp,
    connection: &crate::cluster::connection::Connection,
    progress: &mut Progress,
) -> Result<ExitStatus, CommandError> {
    for application in target.current(connection).await? {
        let (_, name) = state::name(&application);
        match pause::of(&application, now) {
            Some(paused) => progress.warn(&format!(
                "{name} is {}; end that with: kubectl gitops resume --all",
                pause::in_words(&paused, now)
            )),
            None => progress.done(&format!("{name}: not paused")),
        }
    }
    Ok(ExitStatus::Success)
}

/// What the agent will do with an Application, and how many objects that changes.
fn outlook(application: &Application, now: Timestamp, view: &View) -> (String, usize) {
    let (_, name) = state::name(application);
    if pause::is_skipped(application) {
        let text = format!(
            "{name}: it was not even compared meanwhile: what it differs in is not known; pause it \
             instead to see it first: kubectl gitops pause {name}\n"
        );
        return (text, 1);
    }
    let policy = application.spec.sync_policy.as_ref();
    let Some(automation) = policy.and_then(|policy| policy.automation()) else {
        return (
            format!("{name}: automated sync is off, nothing is changed\n"),
            0,
        );
    };
    let request = SyncRequest {
        prune: automation.prune,
        ..SyncRequest::default()
    };
    let mut plan = Plan::of(application, &request, now, view.unicode);
    if !automation.self_heal {
        // What was delivered once is not reverted: only a commit brings it.
        let drifted = plan.objects.iter_mut();
        for planned in drifted.filter(|planned| planned.drifted) {
            planned.step = Step::Keep;
            planned.why = format!("{}; stays, self-heal is off", planned.why);
        }
    }
    let kept = |planned: &&plan::Planned| planned.step != Step::Keep;
    let count = plan.objects.iter().filter(kept).count();
    (plan::screen(&plan, now, view), count)
}
