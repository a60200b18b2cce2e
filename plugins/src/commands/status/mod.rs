//! `status`: fetches Applications and the agent's Lease, prints what the pure functions make of
//! them. Never changes anything.

use clap::Args;
use gitops_api::Application;
use gitops_api::constants::{DEFAULT_NAMESPACE, LEASE_NAME};
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::notice::warn;
use gitops_kit::output;
use gitops_kit::output::{Form, OutputArgs, print};
use gitops_kit::terminal;
use gitops_kit::terminal::View;
use gitops_views::pods::tree::Workloads;
use gitops_views::status::agent::Agent;
use gitops_views::status::application::Summary;
use gitops_views::status::deepest;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};

use crate::cluster::application;
use crate::cluster::application::{Named, none_found};
use crate::cluster::connection::{Connection, ConnectionArgs};
use crate::cluster::pods::workloads;
use crate::commands::status::filter::FilterArgs;
use crate::commands::status::watch::watch;

pub mod detail;
pub mod document;
pub mod filter;
pub mod list;
mod page;
mod pages;
mod tree;
mod watch;

/// Show what is deployed, whether it is what Git says, whether it works; and if not, why
///
/// Without APP: one line per Application, worst first, each with the one reason that
/// matters. With APP: its sources, last sync, objects, changed fields and who changed them.
///
/// Examples:
///   kubectl gitops status                       all Applications
///   kubectl gitops status web                   one Application with its objects
///   kubectl gitops status -A -w                 all namespaces, live
///   kubectl gitops status --unhealthy           only what is not synced and healthy
///   kubectl gitops status web --exit-code       in a script: 1 unless synced and healthy
///   kubectl gitops status -o json               for programs
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct StatusArgs {
    /// Application: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP")]
    pub application: Option<String>,

    /// Applications of all namespaces
    #[arg(short = 'A', long)]
    pub all_namespaces: bool,

    /// Only Applications with these labels, such as team=payments
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        conflicts_with = "application"
    )]
    pub selector: Option<String>,

    #[command(flatten)]
    pub filter: FilterArgs,

    /// Show what is healthy, too, when the list is longer than the terminal
    #[arg(short, long)]
    pub all: bool,

    #[command(flatten)]
    pub output: OutputArgs,

    /// Watch for changes
    #[arg(short, long)]
    pub watch: bool,

    /// End with 1 unless everything shown is synced and healthy
    #[arg(long)]
    pub exit_code: bool,
}

/// Which Applications, and where.
#[derive(Clone, Debug)]
struct Selection {
    /// `None`: all namespaces.
    namespace: Option<String>,
    name: Option<String>,
    selector: Option<String>,
}

impl Selection {
    /// What is wrong with the arguments is said before the cluster is asked.
    fn check(args: &StatusArgs, connection: &ConnectionArgs) -> Result<(), CommandError> {
        if let Some(given) = &args.application {
            Named::read(given, connection)?;
        }
        if connection.namespace.as_deref() == Some("") {
            return Err(CommandError::new(
                CommandErrorKind::Usage,
                "-n needs a namespace; for all of them use -A",
            ));
        }
        if args.watch && !args.output.form.is_table() {
            return Err(
                CommandError::new(CommandErrorKind::Usage, "--watch shows tables only")
                    .hint("leave out --watch or --output"),
            );
        }
        Ok(())
    }

    /// Where the Applications are; with APP also the Application, which had to be looked for.
    async fn of(
        args: &StatusArgs,
        flags: &ConnectionArgs,
        connection: &Connection,
    ) -> Result<(Self, Option<Application>), CommandError> {
        let mut selection = Self {
            namespace: None,
            name: None,
            selector: args.selector.clone(),
        };
        let Some(given) = &args.application else {
            if !args.all_namespaces {
                selection.namespace = Some(application::namespace(flags, connection).await);
            }
            return Ok((selection, None));
        };
        if args.all_namespaces {
            selection.name = Some(Named::read(given, flags)?.name);
            return Ok((selection, None));
        }
        let found = application::find(given, flags, connection).await?;
        selection.name.clone_from(&found.metadata.name);
        selection.namespace.clone_from(&found.metadata.namespace);
        Ok((selection, Some(found)))
    }

    fn api(&self, connection: &Connection) -> Api<Application> {
        match &self.namespace {
            Some(namespace) => Api::namespaced(connection.client.clone(), namespace),
            None => Api::all(connection.client.clone()),
        }
    }

    /// Namespace the agent is looked for in.
    fn agent_namespace(&self) -> &str {
        self.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE)
    }
}

/// Runs the command.
pub async fn run(args: StatusArgs, connection: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    Selection::check(&args, &connection)?;
    let view = View::of_stdout(args.output.color);
    let flags = connection;
    let connection = flags.connect_or_pick(true).await?;
    let (selection, found) = Selection::of(&args, &flags, &connection).await?;
    if args.watch {
        return Box::pin(watch(&args, &selection, &connection, view)).await;
    }

    let fetched = async {
        match found {
            Some(application) => Ok(vec![application]),
            None => fetch(&selection, &connection).await,
        }
    };
    let (applications, agent) = tokio::join!(fetched, agent(&selection, &connection));
    let applications = applications?;
    if applications.is_empty() && (args.output.form.is_table() || args.output.form == Form::Name) {
        let place = selection.namespace.as_deref();
        warn(&none_found(place, selection.selector.as_deref(), &connection).await);
        return Ok(if args.exit_code {
            ExitStatus::No
        } else {
            ExitStatus::Success
        });
    }
    let now = Timestamp::now();
    if let Some(warning) = agent.warning(selection.agent_namespace(), now) {
        warn(&warning);
    }
    let read = applications.len();
    let applications = chosen(applications, &args.filter, now);
    if applications.is_empty() && read > 0 && args.output.form.is_table() {
        warn(&format!(
            "none of the {read} Applications is like that; see all with: kubectl gitops status"
        ));
        return Ok(ExitStatus::Success);
    }
    let workloads = if selection.name.is_some() && args.output.form.is_table() {
        workloads(&applications, &connection).await
    } else if args.output.form.is_table() {
        workloads(&unwell(&applications, now), &connection).await
    } else {
        Workloads::default()
    };
    let text = render(
        &args,
        &selection,
        &connection,
        &Seen {
            applications: &applications,
            workloads: &workloads,
            agent: &agent,
        },
        &view,
        now,
    )?;
    print(&text)?;

    let fine = (!applications.is_empty() || read > 0)
        && applications
            .iter()
            .all(|application| Summary::of(application, now, true).is_fine());
    Ok(if args.exit_code && !fine {
        ExitStatus::No
    } else {
        ExitStatus::Success
    })
}

/// Applications whose Pods are read for the list, at most: the others' reasons are those of their
/// objects.
const MAX_DEEPENED: usize = 10;

/// What the flags choose.
fn chosen(applications: Vec<Application>, filter: &FilterArgs, now: Timestamp) -> Vec<Application> {
    if filter.is_empty() {
        return applications;
    }
    let accepted = |application: &Application| {
        filter.accepts(application, &Summary::of(application, now, true))
    };
    applications.into_iter().filter(accepted).collect()
}

/// Those of which Pods may say more than the Application does.
fn unwell(applications: &[Application], now: Timestamp) -> Vec<Application> {
    applications
        .iter()
        .filter(|application| deepest::may_be_deeper(&Summary::of(application, now, true)))
        .take(MAX_DEEPENED)
        .cloned()
        .collect()
}

/// What was read.
struct Seen<'a> {
    applications: &'a [Application],
    workloads: &'a Workloads,
    agent: &'a Agent,
}

/// What is printed.
fn render(
    args: &StatusArgs,
    selection: &Selection,
    connection: &Connection,
    seen: &Seen<'_>,
    view: &View,
    now: Timestamp,
) -> Result<String, CommandError> {
    let Seen {
        applications,
        workloads,
        agent,
    } = *seen;
    let document = || document::of(applications, agent, selection.name.is_some(), now);
    match args.output.form {
        Form::Json | Form::Yaml | Form::JsonPath(_) => {
            let text = args.output.form.text_of(&document())?;
            Ok(text.unwrap_or_default())
        }
        Form::Name => {
            Ok(output::names(applications.iter().filter_map(
                |application| application.metadata.name.as_deref(),
            )))
        }
        Form::Table | Form::Wide if selection.name.is_some() => Ok(applications
            .iter()
            .map(|application| {
                let detail = detail::Detail {
                    application,
                    agent: agent.clone(),
                    workloads,
                    now,
                };
                detail::screen(&detail, view)
            })
            .collect::<Vec<_>>()
            .join("\n")),
        Form::Table | Form::Wide => {
            let list = list::List {
                applications: applications
                    .iter()
                    .map(|application| {
                        let mut summary = Summary::of(application, now, view.unicode);
                        deepest::deepen(&mut summary, application, workloads, now);
                        summary
                    })
                    .collect(),
                height: terminal::height().filter(|_| view.interactive && !args.all),
                must_fit: args.watch,
                agent: agent.clone(),
                place: connection.endpoint.context.clone(),
                all_namespaces: selection.namespace.is_none(),
                wide: args.output.form == Form::Wide,
                headings: !args.output.no_headers,
                now,
            };
            Ok(list::screen(&list, view))
        }
    }
}

async fn fetch(
    selection: &Selection,
    connection: &Connection,
) -> Result<Vec<Application>, CommandError> {
    let Selection {
        namespace,
        name,
        selector,
    } = selection;
    if let (Some(name), Some(namespace)) = (name, namespace) {
        return Ok(vec![application::get(namespace, name, connection).await?]);
    }
    let mut params = ListParams::default();
    if let Some(selector) = selector {
        params = params.labels(selector);
    }
    let Some(name) = name else {
        return pages::list(namespace.as_deref(), params, connection).await;
    };
    params = params.fields(&format!("metadata.name={name}"));
    let applications = application::list(namespace.as_deref(), params, connection).await?;
    if applications.is_empty() {
        return Err(application::missing(name, &[], connection).await);
    }
    Ok(applications)
}

async fn agent(selection: &Selection, connection: &Connection) -> Agent {
    let leases: Api<Lease> =
        Api::namespaced(connection.client.clone(), selection.agent_namespace());
    match connection.wait(leases.get_opt(LEASE_NAME)).await {
        Ok(Ok(Some(lease))) => Agent::of(&lease, Timestamp::now()),
        Ok(Ok(None)) => Agent::Absent,
        // Not everybody may read Leases; the Applications say enough.
        Ok(Err(_)) | Err(_) => Agent::Unknown,
    }
}
