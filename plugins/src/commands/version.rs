//! `version`: this program's version, the agent's, and the definitions the cluster serves.

use clap::Args;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::notice::warn;
use gitops_kit::output::{Form, OutputArgs, print};
use serde_json::json;

use crate::cluster::connection::ConnectionArgs;
use crate::cluster::installation::{CLIENT, Found, Skew, skew};
use crate::cluster::{failure, installation};

/// Version of the document.
const VERSION: &str = "gitops-agent.io/version.v1";

/// Show versions: of this program, of the agent, of the definitions
///
/// Examples:
///   kubectl gitops version
///   kubectl gitops version --client
///   kubectl gitops version -o json
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct VersionArgs {
    /// Only of this program; asks no cluster
    #[arg(long)]
    pub client: bool,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// Runs the command.
pub async fn run(args: VersionArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    if args.output.form == Form::Name {
        return Err(CommandError::new(
            CommandErrorKind::Usage,
            "versions have no names: -o is table, json, yaml or jsonpath=TEMPLATE",
        ));
    }
    let mut document = json!({"version": VERSION, "client": {"version": CLIENT}});
    let mut lines = vec![format!("client  {CLIENT}")];
    let mut differ = None;
    if !args.client {
        let connection = flags.connect().await?;
        let (kinds, agent) = tokio::join!(
            installation::kinds(&connection),
            installation::find_agent(&flags, &connection)
        );
        let (served, missing) = kinds
            .map_err(|error| failure::of(error, "read what is served", &connection.endpoint))?;
        match &agent {
            Found::Agent(agent) => {
                let version = agent.version.as_deref().unwrap_or("not known");
                lines.push(format!(
                    "agent   {version}  {}, {}/{} ready in namespace {}",
                    agent.image, agent.ready, agent.wanted, agent.namespace
                ));
                document["agent"] = agent.document();
                if skew(CLIENT, agent.version.as_deref()) == Skew::TooFar {
                    differ = Some(format!(
                        "this program is {CLIENT} and the agent {version}: they are meant to be at \
                         most one minor version apart"
                    ));
                }
            }
            Found::None(places) => {
                lines.push(format!(
                    "agent   no Deployment in namespace {}",
                    places.join(" or ")
                ));
            }
            Found::Unknown(why) => lines.push(format!("agent   not known: {why}")),
        }
        for kind in &served {
            lines.push(format!("serves  {kind}"));
        }
        for kind in &missing {
            lines.push(format!("lacks   {kind}"));
        }
        document["serves"] = json!(served);
        document["lacks"] = json!(missing);
    }
    print(
        &args
            .output
            .form
            .text_of(&document)?
            .unwrap_or_else(|| lines.join("\n") + "\n"),
    )?;
    if let Some(differ) = differ {
        warn(&differ);
    }
    Ok(ExitStatus::Success)
}
