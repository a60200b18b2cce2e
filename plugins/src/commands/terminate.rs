//! `terminate`: ends the sync under way, or takes back one that has not begun.

use std::time::Duration;

use clap::Args;
use gitops_api::{Application, OperationPhase};
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::output::ColorArgs;
use gitops_kit::progress::Progress;
use gitops_kit::{prompt, text};
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};

use crate::cluster::connection::{Connection, ConnectionArgs, parse_duration};
use crate::cluster::follow::{Followed, follow};
use crate::cluster::{application, failure};
use crate::commands::sync::{state, verdict};

/// How often the change is written again when the Application was changed in between.
const MAX_ATTEMPTS: usize = 8;

/// Stop the running sync
///
/// What it has applied so far stays. A sync that was asked for and has not begun is taken back.
///
/// Examples:
///   kubectl gitops terminate web
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct TerminateArgs {
    /// Application: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub application: Option<String>,

    /// Longest wait for the end: 90s, 10m; 0 means no timeout
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = parse_duration)]
    pub timeout: Duration,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// What there is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Task {
    Nothing,
    TakeBack,
    Terminate,
    Follow,
}

fn task(application: &Application) -> Task {
    let phase = state::last_operation(application).map(|last| last.phase);
    match phase {
        Some(OperationPhase::Running) => Task::Terminate,
        Some(OperationPhase::Terminating) => Task::Follow,
        _ if application.operation.is_some() => Task::TakeBack,
        _ => Task::Nothing,
    }
}

/// Runs the command.
pub async fn run(args: TerminateArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let connection = flags.connect_or_pick(true).await?;
    let given = args.application.as_deref();
    let name = application::given_or_picked(given, true, &flags, &connection).await?;
    let mut application = application::find(&name, &flags, &connection).await?;
    let (namespace, name) = state::name(&application);
    let (namespace, name) = (namespace.to_owned(), name.to_owned());
    let mut progress = Progress::new(args.color.color);
    for _ in 0..MAX_ATTEMPTS {
        let (patch, said) = match task(&application) {
            Task::Nothing => {
                progress.done(&format!("{name}: nothing is under way"));
                return Ok(ExitStatus::Success);
            }
            Task::Follow => break,
            Task::TakeBack => (
                json!({"operation": null}),
                format!(
                    "{name}: cancelled the sync requested by {}; it had not started",
                    state::asked_by(&application)
                ),
            ),
            Task::Terminate => {
                let doing = state::last_operation(&application).map_or("", |last| &last.message);
                progress.info(&format!(
                    "{name}: ends the sync {} asked for: {}",
                    state::asked_by(&application),
                    text::one_line(doing)
                ));
                (
                    json!({"status": {"operationState": {"phase": OperationPhase::Terminating}}}),
                    String::new(),
                )
            }
        };
        if write(&connection, &application, patch).await? {
            if said.is_empty() {
                break;
            }
            progress.done(&said);
            return Ok(ExitStatus::Success);
        }
        application = application::get(&namespace, &name, &connection).await?;
    }
    let followed = Followed {
        namespace: &namespace,
        name: &name,
        timeout: (!args.timeout.is_zero()).then_some(args.timeout),
    };
    follow(&connection, &followed, &mut progress, |seen, _| {
        verdict::of_termination(seen)
    })
    .await
}

/// Writes a change unless the Application was changed meanwhile; returns whether it was written.
async fn write(
    connection: &Connection,
    application: &Application,
    mut patch: Value,
) -> Result<bool, CommandError> {
    let (namespace, name) = state::name(application);
    patch["metadata"]["resourceVersion"] = json!(application.metadata.resource_version);
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    let params = PatchParams::default();
    let written = connection
        .wait(api.patch(name, &params, &Patch::Merge(&patch)))
        .await?;
    match written {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(false),
        Err(error) => Err(failure::of(
            error,
            &format!("end the sync of Application {name}"),
            &connection.endpoint,
        )),
    }
}
