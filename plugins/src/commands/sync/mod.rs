//! `sync`: shows what it will do, asks before something is deleted, writes the request into the
//! Application and follows it to its end. The agent does the work.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use clap::Args;
use gitops_api::Application;
use gitops_api::operation::Operation;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::output::{ColorArgs, print};
use gitops_kit::progress::Progress;
use gitops_kit::prompt;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::status::pause;
use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};
use serde_json::json;

use crate::cluster::connection::{Connection, ConnectionArgs, parse_duration};
use crate::cluster::follow::{Followed, follow};
use crate::cluster::look::Looked;
use crate::cluster::{application, failure, look};
use crate::commands::sync::operation::{Selector, SyncRequest};
use crate::commands::sync::plan::Plan;

pub mod goal;
pub mod operation;
pub mod plan;
pub mod state;
pub mod verdict;

/// How long the agent has to look at Git before a plan is made.
const LOOK: Duration = Duration::from_secs(10);
/// How often a request is written again when the Application was changed in between.
const MAX_ATTEMPTS: usize = 8;

/// Make the cluster what Git says, now
///
/// Shows what differs, asks before objects are deleted, and follows the sync until everything that
/// was applied is healthy. Ctrl-C stops the waiting, not the sync.
///
/// Examples:
///   kubectl gitops sync web                      one Application
///   kubectl gitops sync web --prune              also delete what Git no longer has
///   kubectl gitops sync web --dry-run            what it would do
///   kubectl gitops sync web --revision v1.4.2    something else than what is tracked, once
///   kubectl gitops sync web --resource Deployment/api
///   kubectl gitops sync -l team=payments --prune --yes
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct SyncArgs {
    /// Applications: NAME or NAMESPACE/NAME
    // A selector is instead of names: those are not required then.
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub applications: Vec<String>,

    /// Applications with these labels, such as team=payments
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        conflicts_with = "applications"
    )]
    pub selector: Option<String>,

    /// Sync this branch, tag or commit instead of what is tracked
    #[arg(long, value_name = "REVISION")]
    pub revision: Option<String>,

    /// Delete objects that are no longer in Git; asks first
    #[arg(long)]
    pub prune: bool,

    /// Show what would be done, and let the agent check it; change nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Only this object: [GROUP/]KIND/[NAMESPACE/]NAME; may be repeated. Hooks are left out
    #[arg(long = "resource", value_name = "OBJECT", value_parser = Selector::parse)]
    pub resources: Vec<Selector>,

    /// Delete without asking
    #[arg(short, long)]
    pub yes: bool,

    /// Do not wait for the end
    #[arg(long)]
    pub no_wait: bool,

    /// Timeout: 90s, 10m; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// Runs the command.
pub async fn run(args: SyncArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let connection = flags.connect_or_pick(!args.yes).await?;
    let applications = chosen(&args, &flags, &connection).await?;
    let request = SyncRequest {
        revision: args.revision.clone(),
        prune: args.prune,
        dry_run: args.dry_run,
        only: args.resources.clone(),
    };
    let view = View::of_stdout(args.color.color);
    let mut progress = Progress::new(args.color.color);
    for application in &applications {
        check(application, args.dry_run)?;
        other_revision(application, &args)?;
    }
    let looked = Box::pin(looked(applications, &connection, &mut progress));
    let Some(applications) = looked.await? else {
        return Ok(ExitStatus::Interrupted);
    };
    let mut requests = Vec::new();
    for application in applications {
        check(&application, args.dry_run)?;
        let resources = request.resources(&application)?;
        let now = Timestamp::now();
        let plan = Plan::of(&application, &request, now, view.unicode);
        print(&plan::screen(&plan, now, &view))?;
        requests.push((application, resources, plan));
    }
    if !request.dry_run {
        for (_, _, plan) in &requests {
            if let Some(question) = question(plan, &request) {
                prompt::confirm(&question, args.yes, "--yes").await?;
            }
        }
    }

    let user = user(&connection).await;
    let mut asked = Vec::new();
    for (application, resources, plan) in requests {
        let id = request_id();
        let operation = operation::request(&request, resources, &user, &id);
        write(&connection, &application, &operation, &plan, &request).await?;
        let (namespace, name) = state::name(&application);
        let before = state::last_operation(&application).and_then(|last| last.sync_result.clone());
        asked.push((namespace.to_owned(), name.to_owned(), id, before));
    }
    if args.no_wait {
        for (namespace, name, ..) in &asked {
            progress.done(&format!(
                "{name}: asked for; see: kubectl gitops status {name} -n {namespace}"
            ));
        }
        return Ok(ExitStatus::Success);
    }
    let started = std::time::Instant::now();
    let mut worst = ExitStatus::Success;
    for (namespace, name, id, before) in &asked {
        let timeout = (!args.timeout.is_zero()).then(|| {
            let left = args.timeout.saturating_sub(started.elapsed());
            left.max(Duration::from_millis(1))
        });
        let mut told = Vec::new();
        let mut degraded_since = None;
        let followed = Followed {
            namespace,
            name,
            timeout,
        };
        let ended = follow(&connection, &followed, &mut progress, |seen, progress| {
            // Argo CD leaves the results of the operation before in place until it has its own.
            if let Some(last) = state::last_operation(seen)
                && operation::is(&last.operation, id)
                && (last.phase.is_completed() || last.sync_result != *before)
            {
                for (mark, line) in verdict::news(last, &mut told) {
                    progress.say(mark, &line);
                }
            }
            let now = Timestamp::now();
            verdict::of_sync(seen, id, request.dry_run, &mut degraded_since, now)
        })
        .await?;
        match ended {
            ExitStatus::Success => {}
            ExitStatus::Interrupted => return Ok(ended),
            other => worst = other,
        }
    }
    Ok(worst)
}

/// The Applications the command is about.
async fn chosen(
    args: &SyncArgs,
    flags: &ConnectionArgs,
    connection: &Connection,
) -> Result<Vec<Application>, CommandError> {
    let mut found = Vec::new();
    if let Some(selector) = &args.selector {
        let namespace = application::namespace(flags, connection).await;
        let params = ListParams::default().labels(selector);
        found = application::list(Some(&namespace), params, connection).await?;
        if found.is_empty() {
            let none = application::none_found(Some(&namespace), Some(selector), connection);
            return Err(CommandError::new(CommandErrorKind::NotFound, none.await));
        }
    }
    let mut given = args.applications.clone();
    if given.is_empty() && args.selector.is_none() {
        given.push(application::given_or_picked(None, !args.yes, flags, connection).await?);
    }
    for given in &given {
        let application = application::find(given, flags, connection).await?;
        if !found
            .iter()
            .any(|other: &Application| state::name(other) == state::name(&application))
        {
            found.push(application);
        }
    }
    Ok(found)
}

/// The same Applications after the agent looked at Git: a plan is about what was pushed, not about the
/// last poll. `None` when the user stopped waiting.
async fn looked(
    applications: Vec<Application>,
    connection: &Connection,
    progress: &mut Progress,
) -> Result<Option<Vec<Application>>, CommandError> {
    for application in &applications {
        look::ask(application, "normal", connection).await?;
    }
    let mut current = Vec::new();
    for application in applications {
        let (namespace, name) = state::name(&application);
        match look::done(&application, LOOK, connection, progress).await? {
            Looked::Interrupted => return Ok(None),
            Looked::Silent => progress.warn(&format!(
                "{name}: the agent has not looked at Git within {}; the plan is of what it knew before",
                text::duration(i64::try_from(LOOK.as_secs()).unwrap_or(i64::MAX))
            )),
            Looked::Yes | Looked::Forbidden => {}
        }
        current.push(application::get(namespace, name, connection).await?);
    }
    progress.clear();
    Ok(Some(current))
}

/// Refuses another revision for an Application that is synced by itself: it would be taken away again a
/// moment later.
fn other_revision(application: &Application, args: &SyncArgs) -> Result<(), CommandError> {
    let (Some(revision), true, false) = (
        &args.revision,
        state::is_automated(application),
        args.dry_run,
    ) else {
        return Ok(());
    };
    let source = application.spec.effective_sources().first();
    let tracked = source.map_or("", |source| source.target_revision.as_str());
    let is_tracked = revision == tracked
        || state::compared(application)
            .first()
            .is_some_and(|compared| revision.len() >= 7 && compared.starts_with(revision.as_str()));
    if is_tracked {
        return Ok(());
    }
    let (namespace, name) = state::name(application);
    let tracked = if tracked.is_empty() { "HEAD" } else { tracked };
    Err(CommandError::new(
        CommandErrorKind::Refused,
        format!(
            "Application {name} is synced automatically to {tracked}: {revision} would be replaced again at once"
        ),
    )
    .hint(format!(
        "to go back to an earlier revision: kubectl gitops rollback {name} -n {namespace} --to {revision} \
         (with --now at once)"
    ))
    .hint("to follow another branch or tag: change targetRevision of the Application in Git")
    .hint(format!(
        "to see what it would change: kubectl gitops diff {name} -n {namespace} --revision {revision}"
    )))
}

/// Whether a sync may be asked for at all.
fn check(application: &Application, dry_run: bool) -> Result<(), CommandError> {
    let (namespace, name) = state::name(application);
    let refused = |message: String| CommandError::new(CommandErrorKind::Refused, message);
    if application.metadata.deletion_timestamp.is_some() {
        return Err(refused(format!("Application {name} is being deleted")));
    }
    if !dry_run && let Some(paused) = pause::of(application, Timestamp::now()) {
        let words = pause::in_words(&paused, Timestamp::now());
        let which = if paused.everything { "--all" } else { name };
        return Err(refused(format!("Application {name} is {words}")).hint(format!(
            "kubectl gitops resume {which} -n {namespace} shows what will be reverted, and goes on"
        )));
    }
    if state::is_skipped(application) {
        return Err(refused(format!(
            "Application {name} is to be left alone: its annotation \
             argocd.argoproj.io/skip-reconcile is \"true\""
        ))
        .hint(format!("kubectl gitops resume {name} -n {namespace}")));
    }
    if let Some(what) = state::under_way(application) {
        return Err(refused(format!(
            "{what} already: Application {name}, asked by {}",
            state::asked_by(application)
        ))
        .hint(format!(
            "wait for it: kubectl gitops wait {name} -n {namespace}"
        ))
        .hint(format!(
            "or end it: kubectl gitops terminate {name} -n {namespace}"
        )));
    }
    Ok(())
}

/// What is asked before something is deleted.
fn question(plan: &Plan, request: &SyncRequest) -> Option<String> {
    if !request.prune {
        None
    } else if plan.unknown {
        Some(format!(
            "{}: delete whatever {} does not have?",
            plan.name, plan.to
        ))
    } else {
        plan.question()
    }
}

/// Writes the request, unless the Application has become another one than the plan is about.
async fn write(
    connection: &Connection,
    application: &Application,
    operation: &Operation,
    shown: &Plan,
    request: &SyncRequest,
) -> Result<(), CommandError> {
    let (namespace, name) = state::name(application);
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    let mut version = application.metadata.resource_version.clone();
    for _ in 0..MAX_ATTEMPTS {
        let patch = json!({
            "metadata": {"resourceVersion": version},
            "operation": operation,
        });
        let params = PatchParams::default();
        let written = connection
            .wait(api.patch(name, &params, &Patch::Merge(&patch)))
            .await?;
        match written {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(status)) if status.code == 409 => {}
            Err(error) => {
                return Err(failure::of(
                    error,
                    &format!("ask for a sync of Application {name}"),
                    &connection.endpoint,
                ));
            }
        }
        let current = application::get(namespace, name, connection).await?;
        check(&current, request.dry_run)?;
        let plan = Plan::of(&current, request, Timestamp::now(), false);
        if plan.pruned() != shown.pruned() || plan.to != shown.to {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                format!("Application {name} has changed since the plan was made"),
            )
            .hint("look at it again: run the command once more"));
        }
        version.clone_from(&current.metadata.resource_version);
    }
    Err(CommandError::new(
        CommandErrorKind::Refused,
        format!("Application {name} changes too often for a request to be written"),
    )
    .hint("run the command once more"))
}

/// Who the cluster says is asking.
pub(crate) async fn user(connection: &Connection) -> String {
    let api: Api<SelfSubjectReview> = Api::all(connection.client.clone());
    let review = connection
        .wait(api.create(&PostParams::default(), &SelfSubjectReview::default()))
        .await;
    let name = match review {
        Ok(Ok(review)) => review
            .status
            .and_then(|status| status.user_info)
            .and_then(|user| user.username),
        // Some clusters do not say; the request counts all the same.
        _ => None,
    };
    name.unwrap_or_else(|| "kubectl-gitops".to_owned())
}

/// Tells this request from all others.
fn request_id() -> String {
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_nanos());
    format!("{now:x}-{:x}", std::process::id())
}
