//! `diff`: asks the agent (or renders a working tree) and prints what the pure functions make of
//! the answer, or gives it to another program. Never changes anything.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args};
use gitops_api::Application;
use gitops_api::constants::DEFAULT_NAMESPACE;
use gitops_api::preview::{PreviewObject, PreviewSpec, PreviewStatus};
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::notice::warn;
use gitops_kit::output::{Form, OutputArgs, print};
use gitops_kit::progress::Progress;
use gitops_kit::prompt;
use gitops_kit::terminal::View;
use gitops_views::diff;
use gitops_views::diff::sides;
use jiff::Timestamp;

use crate::cluster::application::Named;
use crate::cluster::connection::{Connection, ConnectionArgs, parse_duration};
use crate::cluster::preview::Question;
use crate::cluster::{application, preview};
use crate::commands::diff::screen::Diff;

mod cluster;
pub mod document;
pub mod external;
mod external_program;
mod installation;
mod local;
pub mod screen;
pub mod suitable;

/// Show what a sync would change: Git against live, exactly as the API server would see it
///
/// For each field: what is live (-), what Git says (+), and who changed it live and when; for each
/// object the file and line it comes from. The API server itself says what would change (a
/// server-side dry run), so defaults and admission are no differences. Nothing is changed, values
/// of Secrets are masked. The agent answers, with its own access to the repository; who may ask is
/// decided by RBAC on previews.gitops-agent.io. With --local your working tree is rendered here, and
/// compared with your own rights: get and patch on the objects.
///
/// Ends with 0 when nothing differs, 1 when something does, more when that is not known. With
/// KUBECTL_EXTERNAL_DIFF set, that program compares and decides, as for kubectl diff.
///
/// Examples:
///   kubectl gitops diff web                       what a sync would change now
///   kubectl gitops diff web --revision topic      what that branch would change
///   kubectl gitops diff web --local .             what your uncommitted changes would change
///   kubectl gitops diff web --full                new and deleted objects line by line, too
///   kubectl gitops diff web -o json               for programs
///   KUBECTL_EXTERNAL_DIFF="diff -u -N --color=always" kubectl gitops diff web
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct DiffArgs {
    /// Application: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub application: Option<String>,

    /// Branch, tag or commit instead of the Application's own; with several sources once for each
    #[arg(short, long, value_name = "REVISION", value_parser = revision)]
    pub revision: Vec<String>,

    /// A directory of your own clone instead: what its files would change, committed or not, compared
    /// with your own rights
    #[arg(long, value_name = "DIR", conflicts_with_all = ["revision", "timeout"])]
    pub local: Option<PathBuf>,

    /// Also show objects that would be created or deleted, line by line
    #[arg(long)]
    pub full: bool,

    /// Longest wait for the agent: 30s, 5m; 0 means no timeout [default: 2m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,

    /// End with 1 when something differs; =false always ends with 0 then
    #[arg(
        long,
        value_name = "BOOL",
        default_value = "true",
        hide_default_value = true,
        default_missing_value = "true",
        num_args = 0..=1,
        require_equals = true,
        action = ArgAction::Set
    )]
    pub exit_code: bool,

    #[command(flatten)]
    pub output: OutputArgs,
}

fn revision(text: &str) -> Result<String, String> {
    if text.trim().is_empty() {
        Err("a branch, tag or commit has a name".into())
    } else {
        Ok(text.to_owned())
    }
}

/// What was found out.
struct Compared {
    /// The Git side, in words.
    git: String,
    answer: PreviewStatus,
    /// The command that would bring it about.
    next: Option<String>,
}

/// Runs the command.
pub async fn run(args: DiffArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    if let Some(given) = &args.application {
        Named::read(given, &flags)?;
    }
    let program = if args.output.form.is_table() {
        external::program(std::env::var(external::VARIABLE).ok().as_deref())
    } else {
        None
    };
    let connection = flags.connect_or_pick(true).await?;
    let given = args.application.as_deref();
    let name = application::given_or_picked(given, true, &flags, &connection).await?;
    let application = application::find(&name, &flags, &connection).await?;
    let whole = args.full || program.is_some();
    let compared = ask(&args, &application, &connection, whole).await?;
    for warning in &compared.answer.warnings {
        warn(&gitops_kit::text::one_line(warning));
    }
    let different = if let Some(program) = program {
        external_program::run(&program, &compared.answer).await?
    } else {
        show(&args, &application, &connection, &compared)?;
        diff::is_different(&compared.answer)
    };
    Ok(if different && args.exit_code {
        ExitStatus::No
    } else {
        ExitStatus::Success
    })
}

async fn ask(
    args: &DiffArgs,
    application: &Application,
    connection: &Connection,
    whole: bool,
) -> Result<Compared, CommandError> {
    let (namespace, name) = place(application);
    let mut progress = progress(args);
    if let Some(directory) = &args.local {
        let (answer, git) =
            local::compare(directory, application, connection, whole, &mut progress).await?;
        return Ok(Compared {
            git,
            answer,
            next: None,
        });
    }
    let mut spec = PreviewSpec {
        application: name.to_owned(),
        objects: whole,
        ..PreviewSpec::default()
    };
    match args.revision.as_slice() {
        [only] => spec.revision.clone_from(only),
        several => spec.revisions = several.to_vec(),
    }
    let mut question = Question::new("diff-", namespace, spec);
    question.timeout = args.timeout.unwrap_or(preview::DEFAULT_TIMEOUT);
    let answer = preview::ask(connection, question, |step| progress.update(step)).await?;
    drop(progress);
    let next = args.revision.is_empty().then(|| {
        let place = if namespace == DEFAULT_NAMESPACE {
            String::new()
        } else {
            format!(" -n {namespace}")
        };
        format!("kubectl gitops sync {name}{place}")
    });
    Ok(Compared {
        git: sides::of_git(
            application,
            &args.revision,
            &answer.revisions,
            Timestamp::now(),
        ),
        answer,
        next,
    })
}

/// What is waited for is said to users; a log is not told of things that take a second.
fn progress(args: &DiffArgs) -> Progress {
    if View::of_stderr(args.output.color).interactive {
        Progress::new(args.output.color)
    } else {
        Progress::silent()
    }
}

fn place(application: &Application) -> (&str, &str) {
    let metadata = &application.metadata;
    (
        metadata.namespace.as_deref().unwrap_or(DEFAULT_NAMESPACE),
        metadata.name.as_deref().unwrap_or_default(),
    )
}

fn show(
    args: &DiffArgs,
    application: &Application,
    connection: &Connection,
    compared: &Compared,
) -> Result<(), CommandError> {
    let (namespace, name) = place(application);
    let answer = &compared.answer;
    let text = match &args.output.form {
        Form::Table | Form::Wide => screen::screen(
            &Diff {
                application: name,
                live: &connection.endpoint.context,
                git: &compared.git,
                answer,
                whole: args.full,
                headings: !args.output.no_headers,
                next: compared.next.as_deref(),
                now: Timestamp::now(),
            },
            &View::of_stdout(args.output.color),
        ),
        Form::Name => answer.objects.iter().map(named).collect(),
        form => {
            let document = document::of(namespace, name, answer);
            form.text_of(&document)?.unwrap_or_default()
        }
    };
    print(&text)
}

/// As kubectl names an object: `deployment.apps/web`.
fn named(object: &PreviewObject) -> String {
    let group = if object.group.is_empty() {
        String::new()
    } else {
        format!(".{}", object.group)
    };
    let name = format!("{}{group}/{}", object.kind.to_lowercase(), object.name);
    gitops_kit::text::one_line(&name) + "\n"
}
