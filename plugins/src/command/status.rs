//! `status`: fetches Applications and the agent's Lease, prints what the pure functions make of
//! them. Never changes anything.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};

use clap::{Args, ValueEnum};
use gitops_api::Application;
use gitops_api::constants::{DEFAULT_NAMESPACE, LEASE_NAME};
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::api::{Api, ListParams};
use kube::core::PartialObjectMeta;
use serde_json::Value;

use crate::command::status::watch::watch;
use crate::connection::{Connection, ConnectionArgs};
use crate::exit::{CommandError, ExitStatus};
use crate::program::warn;
use crate::status::agent::Agent;
use crate::status::application::Summary;
use crate::status::{detail, document, list};
use crate::suggest;
use crate::terminal::{ColourChoice, View};

mod watch;

/// Applications asked for at a time.
const PAGE: u32 = 500;

/// Show what is deployed, whether it is what Git says, whether it works; and if not, why
///
/// Without APP: every Application on one line, what is worst first, each with the one reason that
/// matters. With APP: its sources, last sync, objects, changed fields and who changed them.
///
/// Examples:
///   kubectl gitops status                       all Applications
///   kubectl gitops status web                   one Application with its objects
///   kubectl gitops status -A -w                 all namespaces, live
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

    /// Form of the output
    #[arg(
        short,
        long,
        value_enum,
        default_value_t,
        value_name = "FORM",
        hide_default_value = true
    )]
    pub output: Output,

    /// No column headings, no summary
    #[arg(long)]
    pub no_headers: bool,

    /// Go on showing changes
    #[arg(short, long)]
    pub watch: bool,

    /// End with 1 unless everything shown is synced and healthy
    #[arg(long)]
    pub exit_code: bool,

    /// When to use colour
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_default_value = true
    )]
    pub color: ColourChoice,
}

/// Form of the output.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Lines and columns
    #[default]
    Table,
    /// More columns
    Wide,
    /// A JSON document
    Json,
    /// A YAML document
    Yaml,
    /// application.argoproj.io/NAME
    Name,
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
    fn of(args: &StatusArgs, connection: &ConnectionArgs) -> Result<Self, CommandError> {
        let mut namespace = connection
            .namespace
            .clone()
            .unwrap_or_else(|| DEFAULT_NAMESPACE.to_owned());
        let name = match args
            .application
            .as_deref()
            .map(|given| (given, given.split_once('/')))
        {
            None => None,
            Some((given, None)) => Some(given.to_owned()),
            Some((given, Some((before, name)))) => {
                if connection
                    .namespace
                    .as_deref()
                    .is_some_and(|set| set != before)
                {
                    return Err(CommandError::new(
                        ExitStatus::Usage,
                        format!("{given:?} and -n {namespace} name different namespaces"),
                    ));
                }
                before.clone_into(&mut namespace);
                Some(name.to_owned())
            }
        };
        if name.as_deref() == Some("") || namespace.is_empty() {
            return Err(CommandError::new(
                ExitStatus::Usage,
                "an Application is named NAME or NAMESPACE/NAME",
            ));
        }
        Ok(Self {
            namespace: (!args.all_namespaces).then_some(namespace),
            name,
            selector: args.selector.clone(),
        })
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

    fn place(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("namespace {namespace}"),
            None => "all namespaces".to_owned(),
        }
    }
}

/// Runs the command.
pub async fn run(args: StatusArgs, connection: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let selection = Selection::of(&args, &connection)?;
    if args.watch && !matches!(args.output, Output::Table | Output::Wide) {
        return Err(
            CommandError::new(ExitStatus::Usage, "--watch shows tables only")
                .hint("leave out --watch or --output"),
        );
    }
    let view = View::of_stdout(args.color);
    let connection = connection.connect().await?;
    if args.watch {
        return Box::pin(watch(&args, &selection, &connection, view)).await;
    }

    let (applications, agent) = tokio::join!(
        fetch(&selection, &connection),
        agent(&selection, &connection)
    );
    let applications = applications?;
    if applications.is_empty() && matches!(args.output, Output::Table | Output::Wide | Output::Name)
    {
        warn(&nothing_found(&selection, &connection).await);
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
    let text = render(
        &args,
        &selection,
        &connection,
        &applications,
        &agent,
        &view,
        now,
    )?;
    print(&text)?;

    let fine = !applications.is_empty()
        && applications
            .iter()
            .all(|application| Summary::of(application, now, true).is_fine());
    Ok(if args.exit_code && !fine {
        ExitStatus::No
    } else {
        ExitStatus::Success
    })
}

/// What is printed.
fn render(
    args: &StatusArgs,
    selection: &Selection,
    connection: &Connection,
    applications: &[Application],
    agent: &Agent,
    view: &View,
    now: Timestamp,
) -> Result<String, CommandError> {
    let unreadable = |error: &dyn std::fmt::Display| {
        CommandError::new(
            ExitStatus::Usage,
            format!("cannot write the document: {error}"),
        )
    };
    match args.output {
        Output::Json | Output::Yaml => {
            let value: Value = document::of(applications, agent, selection.name.is_some(), now);
            if args.output == Output::Json {
                let text = serde_json::to_string_pretty(&value).map_err(|e| unreadable(&e))?;
                Ok(text + "\n")
            } else {
                serde_saphyr::to_string(&value).map_err(|e| unreadable(&e))
            }
        }
        Output::Name => Ok(applications
            .iter()
            .filter_map(|application| application.metadata.name.as_deref())
            .flat_map(|name| ["application.argoproj.io/", name, "\n"])
            .collect()),
        Output::Table | Output::Wide if selection.name.is_some() => Ok(applications
            .iter()
            .map(|application| {
                let detail = detail::Detail {
                    application,
                    agent: agent.clone(),
                    now,
                };
                detail::screen(&detail, view)
            })
            .collect::<Vec<_>>()
            .join("\n")),
        Output::Table | Output::Wide => {
            let list = list::List {
                applications: applications
                    .iter()
                    .map(|application| Summary::of(application, now, view.unicode))
                    .collect(),
                agent: agent.clone(),
                place: connection.context.clone(),
                all_namespaces: selection.namespace.is_none(),
                wide: args.output == Output::Wide,
                headings: !args.no_headers,
                now,
            };
            Ok(list::screen(&list, view))
        }
    }
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::new(
            ExitStatus::Usage,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}

async fn fetch(
    selection: &Selection,
    connection: &Connection,
) -> Result<Vec<Application>, CommandError> {
    let api = selection.api(connection);
    if let Some(name) = &selection.name
        && selection.namespace.is_some()
    {
        let found = connection.wait(api.get_opt(name)).await?;
        return match found {
            Ok(Some(application)) => Ok(vec![application]),
            Ok(None) => Err(not_found(name, selection, connection).await),
            Err(error) => Err(crate::failure::of(&error, "read Applications", connection)),
        };
    }
    let mut params = ListParams::default().limit(PAGE);
    if let Some(selector) = &selection.selector {
        params = params.labels(selector);
    }
    if let Some(name) = &selection.name {
        params = params.fields(&format!("metadata.name={name}"));
    }
    let what = format!("list Applications in {}", selection.place());
    let mut applications = Vec::new();
    loop {
        let page = connection.ask(&what, api.list(&params)).await?;
        applications.extend(page.items);
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => break,
        }
    }
    if applications.is_empty()
        && let Some(name) = &selection.name
    {
        return Err(not_found(name, selection, connection).await);
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

/// Namespaces and names of all Applications the person may see; empty when none.
async fn everywhere(connection: &Connection) -> Vec<(String, String)> {
    let api: Api<Application> = Api::all(connection.client.clone());
    let Ok(Ok(found)) = connection
        .wait(api.list_metadata(&ListParams::default().limit(PAGE)))
        .await
    else {
        return Vec::new();
    };
    let name = |meta: PartialObjectMeta<Application>| {
        Some((meta.metadata.namespace?, meta.metadata.name?))
    };
    found.items.into_iter().filter_map(name).collect()
}

async fn not_found(name: &str, selection: &Selection, connection: &Connection) -> CommandError {
    let error = CommandError::new(
        ExitStatus::Usage,
        format!("there is no Application {name:?} in {}", selection.place()),
    );
    let all = everywhere(connection).await;
    let elsewhere: Vec<&str> = all
        .iter()
        .filter(|(_, found)| found == name)
        .map(|(namespace, _)| namespace.as_str())
        .collect();
    if !elsewhere.is_empty() {
        return error.hint(format!(
            "there is one in namespace {}: use -n",
            elsewhere.join(", ")
        ));
    }
    let here = all
        .iter()
        .filter(|(namespace, _)| {
            selection
                .namespace
                .as_ref()
                .is_none_or(|set| set == namespace)
        })
        .map(|(_, name)| name.as_str());
    let near = suggest::nearest(name, here);
    if near.is_empty() {
        error.hint("list them with: kubectl gitops status")
    } else {
        error.hint(format!("did you mean {}?", near.join(" or ")))
    }
}

async fn nothing_found(selection: &Selection, connection: &Connection) -> String {
    let selected = if selection.selector.is_some() {
        " with these labels"
    } else {
        ""
    };
    let none = format!("no Applications{selected} in {}", selection.place());
    if selection.namespace.is_none() {
        return none;
    }
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for (namespace, _) in everywhere(connection).await {
        *counts.entry(namespace).or_default() += 1;
    }
    if let Some(namespace) = &selection.namespace {
        counts.remove(namespace);
    }
    if counts.is_empty() {
        return none;
    }
    let places: Vec<String> = counts
        .iter()
        .map(|(namespace, count)| format!("{count} in {namespace}"))
        .collect();
    format!("{none}; {}: use -n NAMESPACE or -A", places.join(", "))
}
