//! `appset`: what ApplicationSets generate, how far their rollouts are, and what they ask.

use clap::{Args, Subcommand};
use gitops_api::application_set::ApplicationSet;
use gitops_api::constants::annotation;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::notice::warn;
use gitops_kit::output::{ColorArgs, print};
use gitops_kit::progress::Progress;
use gitops_kit::prompt;
use gitops_kit::terminal::View;
use gitops_views::appsets::Set;
use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cluster::application::{Named, place, places};
use crate::cluster::application_sets;
use crate::cluster::connection::{Connection, ConnectionArgs};

mod preview;
mod screen;

/// List ApplicationSets, show one, preview it, hold its rollout, agree to its deletions
///
/// A set says what it generates, why it generates nothing, how far its rollout is, and what it asks
/// before it deletes many Applications.
///
/// Examples:
///   kubectl gitops appset list -A
///   kubectl gitops appset get fleet
///   kubectl gitops appset pause fleet      hold its rollout; resume lets it go on
///   kubectl gitops appset approve fleet    agree to the deletions it asks about
///   kubectl gitops appset preview -f fleet.yaml
///                                          what it would create, change and delete; exit code 1 if anything
///   kubectl gitops appset generate -f fleet.yaml
///                                          its Applications, without a cluster
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct AppsetArgs {
    #[command(subcommand)]
    pub action: Action,
}

/// What is done with sets.
#[derive(Clone, Debug, Subcommand)]
pub enum Action {
    /// List ApplicationSets, those that are not as they should be first
    List(ListArgs),
    /// Show one: what it says, and its Applications by the steps of its rollout
    Get(OneArgs),
    /// Hold the rollout of one: no further Application is changed or synced
    Pause(OneArgs),
    /// Let a rollout go on that is held
    Resume(OneArgs),
    /// Agree to the deletions that one asks about
    Approve(ApproveArgs),
    /// What one would create, change and delete, from the cluster, a file or a clone as it is now
    Preview(preview::ComparedArgs),
    /// The Applications one generates
    Generate(preview::PreviewArgs),
}

/// Which sets are listed.
#[derive(Args, Clone, Debug)]
pub struct ListArgs {
    /// Sets of all namespaces
    #[arg(long, short = 'A')]
    pub all_namespaces: bool,

    /// No column headings
    #[arg(long)]
    pub no_headers: bool,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// One set.
#[derive(Args, Clone, Debug)]
pub struct OneArgs {
    /// ApplicationSet: NAME or NAMESPACE/NAME
    #[arg(value_name = "APPSET")]
    pub set: String,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// An approval.
#[derive(Args, Clone, Debug)]
pub struct ApproveArgs {
    #[command(flatten)]
    pub one: OneArgs,

    /// Do not ask again
    #[arg(long, short)]
    pub yes: bool,
}

/// Runs the command.
pub async fn run(args: AppsetArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let may_ask = !matches!(&args.action, Action::Approve(args) if args.yes);
    // What is generated from a file needs no cluster.
    let connect = || flags.connect_or_pick(may_ask);
    match args.action {
        Action::List(args) => list(&args, &flags, &connect().await?).await,
        Action::Get(args) => {
            let set = find(&args.set, &flags, &connect().await?).await?;
            let view = View::of_stdout(args.color.color);
            let told = application_sets::told(&set);
            print(&screen::one(&told, Timestamp::now(), &view))?;
            Ok(ExitStatus::Success)
        }
        Action::Pause(args) => hold(&args, true, &flags, &connect().await?).await,
        Action::Resume(args) => hold(&args, false, &flags, &connect().await?).await,
        Action::Approve(args) => approve(&args, &flags, &connect().await?).await,
        Action::Preview(args) => preview::preview(&args, &flags).await,
        Action::Generate(args) => preview::generate(&args, &flags).await,
    }
}

async fn list(
    args: &ListArgs,
    flags: &ConnectionArgs,
    connection: &Connection,
) -> Result<ExitStatus, CommandError> {
    let mut found = Vec::new();
    let looked = if args.all_namespaces {
        found = application_sets::list(None, connection).await?;
        place(None)
    } else {
        let (named, context) = (&flags.namespace, &connection.context_namespace);
        let all = places(named.as_deref(), context.as_deref());
        for namespace in &all {
            found = application_sets::list(Some(namespace), connection).await?;
            if !found.is_empty() {
                break;
            }
        }
        format!("namespace {}", all.join(" or "))
    };
    if found.is_empty() {
        warn(&format!("no ApplicationSets in {looked}"));
        return Ok(ExitStatus::Success);
    }
    let sets: Vec<Set> = found.iter().map(application_sets::told).collect();
    let view = View::of_stdout(args.color.color);
    print(&screen::list(
        &sets,
        args.all_namespaces,
        !args.no_headers,
        &view,
    ))?;
    Ok(ExitStatus::Success)
}

async fn find(
    given: &str,
    flags: &ConnectionArgs,
    connection: &Connection,
) -> Result<ApplicationSet, CommandError> {
    find_as(given, flags, connection).await
}

/// A set as one of the ways to read it.
async fn find_as<K>(
    given: &str,
    flags: &ConnectionArgs,
    connection: &Connection,
) -> Result<K, CommandError>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + std::fmt::Debug
        + DeserializeOwned,
{
    let Named { namespace, name } = Named::read_kind("ApplicationSet", given, flags)?;
    let all = places(
        namespace.as_deref(),
        connection.context_namespace.as_deref(),
    );
    for namespace in &all {
        let api: Api<K> = Api::namespaced(connection.client.clone(), namespace);
        let what = format!("read ApplicationSet {name} in namespace {namespace}");
        if let Some(set) = connection.ask(&what, api.get_opt(&name)).await? {
            return Ok(set);
        }
    }
    let error = CommandError::new(
        CommandErrorKind::NotFound,
        format!(
            "there is no ApplicationSet {name:?} in namespace {}",
            all.join(" or ")
        ),
    );
    Err(error.hint("list them with: kubectl gitops appset list -A"))
}

async fn annotate(
    set: &ApplicationSet,
    key: &str,
    value: Value,
    what: &str,
    connection: &Connection,
) -> Result<(), CommandError> {
    // Something else may be so by now: what is said is said of what was shown.
    let patch = Patch::Merge(json!({"metadata": {
        "resourceVersion": set.metadata.resource_version,
        "annotations": {key: value},
    }}));
    let namespace = set.namespace().unwrap_or_default();
    let api: Api<ApplicationSet> = Api::namespaced(connection.client.clone(), &namespace);
    let name = set.name_any();
    let params = PatchParams::default();
    let what = format!("{what} ApplicationSet {name}");
    connection
        .ask(&what, api.patch(&name, &params, &patch))
        .await?;
    Ok(())
}

async fn hold(
    args: &OneArgs,
    holds: bool,
    flags: &ConnectionArgs,
    connection: &Connection,
) -> Result<ExitStatus, CommandError> {
    let set = find(&args.set, flags, connection).await?;
    let name = set.name_any();
    let mut progress = Progress::new(args.color.color);
    if application_sets::told(&set).rollout.is_none() {
        let error = CommandError::new(
            CommandErrorKind::Usage,
            format!("{name} has no rollout: its changes go to all Applications at once"),
        );
        return Err(error.hint(
            "kubectl gitops pause APP stops single Applications, kubectl gitops pause --all everything",
        ));
    }
    let (value, what) = if holds {
        (json!(annotation::ROLLOUT_PAUSED), "hold the rollout of")
    } else {
        (Value::Null, "resume the rollout of")
    };
    annotate(&set, annotation::ROLLOUT, value, what, connection).await?;
    progress.done(&if holds {
        format!(
            "{name}: its rollout is held; what was asked to sync goes on. Let it go on with: kubectl gitops appset \
             resume {name}"
        )
    } else {
        format!("{name}: its rollout goes on")
    });
    Ok(ExitStatus::Success)
}

async fn approve(
    args: &ApproveArgs,
    flags: &ConnectionArgs,
    connection: &Connection,
) -> Result<ExitStatus, CommandError> {
    let set = find(&args.one.set, flags, connection).await?;
    let name = set.name_any();
    let mut progress = Progress::new(args.one.color.color);
    let Some((question, asked)) = application_sets::told(&set).question else {
        progress.done(&format!("{name}: nothing is waiting for approval"));
        return Ok(ExitStatus::Success);
    };
    progress.info(&format!("{name}: {question}"));
    let confirmation = format!("Approve these deletions for ApplicationSet {name}?");
    prompt::confirm(&confirmation, args.yes, "--yes").await?;
    // Never before what is agreed to, whatever the clock here says.
    let now = Timestamp::now();
    let time = asked.map_or(now, |asked| asked.max(now)).to_string();
    let what = "approve deletions of";
    annotate(
        &set,
        annotation::DELETION_APPROVED,
        json!(time),
        what,
        connection,
    )
    .await?;
    progress.done(&format!("{name}: approved; the agent goes on"));
    Ok(ExitStatus::Success)
}
