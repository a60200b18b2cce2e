//! `history`: reads one Application and prints what was deployed when. Never changes anything.

use clap::Args;
use gitops_api::SyncStatusCode;
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::notice::warn;
use gitops_kit::output::{Form, OutputArgs, print};
use gitops_kit::prompt;
use gitops_kit::terminal::View;
use gitops_views::history::History;
use jiff::{Timestamp, Zoned};

use crate::cluster::application;
use crate::cluster::connection::ConnectionArgs;
use crate::commands::history::screen::Form as Drawn;
use crate::commands::sync::state;

pub mod document;
pub mod screen;

/// Show what was deployed when, by whom, and what came of it
///
/// Newest first: the commit with its author and subject, who asked for it (auto: the agent), and
/// whether it worked. The newest that worked is marked. A sync that failed, or is under way, stands
/// on top. The number of a deployment is what kubectl gitops rollback APP --to takes. Beneath stands
/// what self-heal took back lately: what was changed in the cluster, by whom and when.
///
/// Examples:
///   kubectl gitops history web                  the deployments of web
///   kubectl gitops history web -o wide          with full revisions and when each began
///   kubectl gitops history web -o jsonpath='{.lastGood}'   the number of the last good one
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct HistoryArgs {
    /// Application: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub application: Option<String>,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// Runs the command.
pub async fn run(
    args: HistoryArgs,
    connection: ConnectionArgs,
) -> Result<ExitStatus, CommandError> {
    let view = View::of_stdout(args.output.color);
    let flags = connection;
    let connection = flags.connect_or_pick(true).await?;
    let given = args.application.as_deref();
    let name = application::given_or_picked(given, true, &flags, &connection).await?;
    let application = application::find(&name, &flags, &connection).await?;
    let history = History::of(&application, Timestamp::now());
    if let Some(text) = args.output.form.text_of(&document::of(&history))? {
        print(&text)?;
        return Ok(ExitStatus::Success);
    }
    if history.entries.is_empty() {
        // Made anew around objects that were there, nothing had to be deployed.
        let words = if state::sync(&application) == SyncStatusCode::Synced {
            "no deployment on record: it was found as Git has it"
        } else {
            "never deployed: no sync of it has succeeded"
        };
        warn(&format!("{}: {words}", history.name));
    }
    if history.entries.is_empty() && history.attempt.is_none() && history.heals.is_empty() {
        return Ok(ExitStatus::Success);
    }
    let text = if args.output.form == Form::Name {
        let ids: Vec<String> = history
            .entries
            .iter()
            .map(|entry| entry.id.to_string())
            .collect();
        ids.join("\n") + "\n"
    } else {
        let form = Drawn {
            wide: args.output.form == Form::Wide,
            headings: !args.output.no_headers,
            now: Zoned::now(),
            flags: crate::commands::explain::flags(Some(&history.namespace), &flags),
        };
        screen::screen(&history, &form, &view)
    };
    print(&text)?;
    Ok(ExitStatus::Success)
}
