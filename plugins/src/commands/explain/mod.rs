//! `explain`: reads an Application, or an object and its owners, and what is around it; prints what
//! the decision tree makes of that. Never changes anything.

use clap::Args;
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::output::{Form, OutputArgs, print};
use gitops_kit::prompt;
use gitops_kit::terminal::View;
use gitops_views::explain;
use gitops_views::explain::Evidence;
use jiff::Timestamp;

use crate::cluster::application;
use crate::cluster::connection::ConnectionArgs;

mod around;
pub mod document;
mod kind;
pub mod screen;
mod subject;

/// Say why an application, or an object, is OutOfSync, Degraded or stuck; and what to do next
///
/// Looks at what keeps everything else from happening first: the agent, the Application itself,
/// its repository, its manifests, the sync, live changes; then at Pods, events, volumes and
/// conditions of what does not work. Reads with your own rights; what you may not read is said.
///
/// Ends with 0 when nothing is wrong, with 1 when something is.
///
/// Examples:
///   kubectl gitops explain web                  one Application
///   kubectl gitops explain deploy/web -n shop   an object: its owner, its application, its state
///   kubectl gitops explain pod/web-6d9f-x2 -n shop
///   kubectl gitops explain web -o json          for programs
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct ExplainArgs {
    /// Application (NAME or NAMESPACE/NAME), or an object: KIND/NAME with its namespace in -n
    #[arg(value_name = "APP|KIND/NAME", required = !prompt::can_pick())]
    pub target: Option<String>,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// Runs the command.
pub async fn run(
    args: ExplainArgs,
    connection: ConnectionArgs,
) -> Result<ExitStatus, CommandError> {
    let view = View::of_stdout(args.output.color);
    let connected = connection.connect_or_pick(true).await?;
    let given = args.target.as_deref();
    let given = application::given_or_picked(given, true, &connection, &connected).await?;
    let target = subject::find(&given, &connection, &connected).await?;
    let around = around::read(&target, &connected).await;
    let evidence = Evidence {
        application: target.application,
        subject: target.subject,
        agent: around.agent,
        agent_namespace: around.agent_namespace,
        workloads: around.workloads,
        claims: around.claims,
        live: around.live,
        events: around.events,
        flags: flags(None, &connection),
        now: Timestamp::now(),
        unicode: view.unicode,
    };
    let explanation = explain::explain(&evidence);
    let document = document::of(&explanation);
    let text = match args.output.form.text_of(&document)? {
        Some(text) => text,
        None if args.output.form == Form::Name => explanation
            .causes
            .iter()
            .flat_map(|cause| [cause.name, "\n"])
            .collect(),
        None => screen::screen(&explanation, &view),
    };
    print(&text)?;
    Ok(if explanation.ok {
        ExitStatus::Success
    } else {
        ExitStatus::No
    })
}

/// The flags another command needs to reach the same place: ` -n shop --context prod`.
pub(super) fn flags(namespace: Option<&str>, connection: &ConnectionArgs) -> String {
    let kubeconfig = connection
        .kubeconfig
        .as_ref()
        .map(|path| path.display().to_string());
    let given = [
        ("-n", namespace),
        ("--kubeconfig", kubeconfig.as_deref()),
        ("--context", connection.context.as_deref()),
        ("--cluster", connection.cluster.as_deref()),
        ("--user", connection.user.as_deref()),
        ("--as", connection.impersonate.as_deref()),
    ];
    given
        .into_iter()
        .filter_map(|(flag, value)| Some(format!(" {flag} {}", value?)))
        .collect()
}
