//! `wait`: waits until an Application is as wanted, for pipelines; ends early, with the reason,
//! when it will not be. Changes nothing; lets the agent look at Git first.

mod many;

use std::time::{Duration, Instant};

use clap::Args;
use futures::StreamExt;
use gitops_api::Application;
use gitops_api::preview::PreviewSpec;
use gitops_core::report::good;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::interrupt::Listener;
use gitops_kit::output::ColorArgs;
use gitops_kit::progress::Progress;
use gitops_kit::{prompt, text};
use gitops_views::status::deepest;
use jiff::Timestamp;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::watch_object;

use crate::cluster::application::Named;
use crate::cluster::connection::{Connection, ConnectionArgs, parse_duration};
use crate::cluster::follow::{Followed, Verdict, end, follow_step, refusal};
use crate::cluster::look::Looked;
use crate::cluster::pods::workloads;
use crate::cluster::preview::Question;
use crate::cluster::{application, look, preview};
use crate::commands::sync::goal::{Containment, Goal, Judgement, WaitState, judge};
use crate::commands::sync::state;
use crate::git::{GitError, Repository, WorkDir, is_object_id};

/// How long the agent has to look at Git before it is judged by what it knew.
const LOOK: Duration = Duration::from_secs(20);

/// Wait until it is live: for pipelines
///
/// Without flags: until what Git says is live and healthy. With --commit: until that commit, or one
/// that contains it, is live and healthy. Ends early when it will not be: the sync failed, an object
/// is broken, the commit is on another branch, nobody syncs. Exit codes: 0 it is; 1 it is not, or
/// not in time.
///
/// Examples:
///   kubectl gitops wait web                          synced and healthy
///   kubectl gitops wait web --commit $GITHUB_SHA     in a pipeline, after the push
///   kubectl gitops wait web --commit HEAD            in a clone
///   kubectl gitops wait web --health --timeout 10m   only that it works
///   kubectl gitops wait web --for-creation           also while it does not exist yet
///   kubectl gitops wait -l team=payments             every one of a team
///   kubectl gitops wait --all --timeout 15m          all of a namespace
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct WaitArgs {
    /// Application: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub application: Option<String>,

    /// Every Application with these labels, such as team=payments
    #[arg(
        short = 'l',
        long,
        value_name = "SELECTOR",
        conflicts_with_all = ["application", "commit", "for_creation"]
    )]
    pub selector: Option<String>,

    /// Every Application of the namespace
    #[arg(long, conflicts_with_all = ["application", "selector", "commit", "for_creation"])]
    pub all: bool,

    /// Wait for this commit or one that contains it: an id of at least 7 characters, or in a clone
    /// anything git understands
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,

    /// Wait until everything works
    #[arg(long)]
    pub health: bool,

    /// Wait until live is what Git says
    #[arg(long)]
    pub sync: bool,

    /// It has to stay healthy for so long without a break: what ends right after its start was healthy
    /// for a moment, too. 0 takes the first moment
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = parse_duration)]
    pub healthy_for: Duration,

    /// Timeout: 90s, 10m; 0 waits forever
    #[arg(long, value_name = "DURATION", default_value = "5m", value_parser = parse_duration)]
    pub timeout: Duration,

    /// Wait until the Application exists, too, as after a commit to its parent
    #[arg(long)]
    pub for_creation: bool,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// Runs the command.
pub async fn run(args: WaitArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let connection = flags.connect_or_pick(true).await?;
    let mut progress = Progress::new(args.color.color);
    let deadline = (!args.timeout.is_zero()).then(|| Instant::now() + args.timeout);
    if args.all || args.selector.is_some() {
        let namespace = application::namespace(&flags, &connection).await;
        let goal = goal(&args);
        let selector = args.selector.as_deref();
        let waiting = many::wait(
            &namespace,
            selector,
            &connection,
            &goal,
            deadline,
            &mut progress,
        );
        return Box::pin(waiting).await;
    }
    let given = args.application.as_deref();
    let name = application::given_or_picked(given, true, &flags, &connection).await?;
    if args.for_creation {
        let ended = Box::pin(created(&name, &flags, &connection, deadline, &mut progress)).await?;
        if let Some(status) = ended {
            return Ok(status);
        }
    }
    let application = application::find(&name, &flags, &connection).await?;
    let (namespace, name) = state::name(&application);
    let mut wait_state = WaitState::new(Timestamp::now());
    let mut ancestry = None;
    let mut goal = goal(&args);
    if let Some(given) = &args.commit {
        progress.begin(&format!("{name}: looking for {given}"));
        let known = Ancestry::new(given, &application).await?;
        if let Some(reason) = known.on_another_branch(&application).await {
            progress.failed(&format!("{name}: {reason}"));
            return Ok(ExitStatus::No);
        }
        goal.commit = Some(known.commit.clone());
        ancestry = Some(known);
    }
    // What was pushed a moment ago counts: the agent looks first, where the user may ask for that.
    if look::ask(&application, "normal", &connection).await? {
        let patience = deadline.map_or(LOOK, |deadline| {
            deadline.saturating_duration_since(Instant::now()).min(LOOK)
        });
        let looked = look::done(&application, patience, &connection, &mut progress).await?;
        if looked == Looked::Interrupted {
            return Ok(ExitStatus::Interrupted);
        }
    } else {
        progress.info(&format!(
            "{name}: you may not ask the agent to look at Git (patch applications); it looks at its \
             poll interval"
        ));
    }
    loop {
        let mut question = None;
        let followed = Followed {
            namespace,
            name,
            timeout: deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())),
        };
        let ended = Box::pin(follow_step(
            &connection,
            &followed,
            &mut progress,
            |seen, _| match judge(seen, &goal, &mut wait_state, Timestamp::now()) {
                Judgement::Verdict(verdict) => verdict,
                Judgement::Ask(revision) => {
                    question = Some(revision);
                    Verdict::Pause
                }
            },
        ))
        .await?;
        if let Some(status) = ended {
            if status == ExitStatus::No {
                last_word(namespace, name, &connection, &mut progress).await;
            }
            return Ok(status);
        }
        if let (Some(revision), Some(ancestry)) = (question, &ancestry) {
            let patience = deadline.map_or(Duration::ZERO, |deadline| {
                deadline
                    .saturating_duration_since(Instant::now())
                    .max(Duration::from_secs(1))
            });
            let answer = ancestry
                .contained_in(
                    &revision,
                    &application,
                    &connection,
                    patience,
                    &mut progress,
                )
                .await;
            wait_state.note(revision, answer, Timestamp::now());
        }
    }
}

/// What is waited for, but for a commit.
fn goal(args: &WaitArgs) -> Goal {
    Goal {
        commit: None,
        synced: args.sync || (args.commit.is_none() && !args.health),
        healthy: args.health || !args.sync || args.commit.is_some(),
        healthy_for: args.healthy_for.try_into().unwrap_or(good::GOOD_AFTER),
    }
}

/// What is the matter, as far as Pods tell, and where more is said: nobody looks at the cluster again
/// for a line in a pipeline's log.
async fn last_word(namespace: &str, name: &str, connection: &Connection, progress: &mut Progress) {
    let Ok(application) = application::get(namespace, name, connection).await else {
        return;
    };
    let applications = [application];
    let found = workloads(&applications, connection).await;
    if let [application] = &applications
        && let Some(why) = deepest::of(application, &found, Timestamp::now())
    {
        progress.warn(&format!("{name}: {why}"));
    }
    progress.info(&format!(
        "more: kubectl gitops explain {name} -n {namespace}"
    ));
}

/// Waits, by watch, until the Application exists; `Some` when that is not going to happen in time.
async fn created(
    given: &str,
    flags: &ConnectionArgs,
    connection: &Connection,
    deadline: Option<Instant>,
    progress: &mut Progress,
) -> Result<Option<ExitStatus>, CommandError> {
    let named = Named::read(given, flags)?;
    let namespace = match named.namespace {
        Some(namespace) => namespace,
        None => application::namespace(flags, connection).await,
    };
    let name = named.name;
    let api: Api<Application> = Api::namespaced(connection.client.clone(), &namespace);
    let mut watched = watch_object(api, &name).default_backoff().boxed();
    let interrupted = Listener::new();
    let mut late = std::pin::pin!(end(deadline.map(tokio::time::Instant::from_std)));
    progress.begin(&format!(
        "{name}: waiting for the Application to be created in namespace {namespace}"
    ));
    loop {
        tokio::select! {
            state = watched.next() => match state {
                Some(Ok(Some(_))) => return Ok(None),
                Some(Ok(None)) => {}
                Some(Err(error)) => refusal(error, connection)?,
                None => return Ok(Some(ExitStatus::No)),
            },
            () = &mut late => {
                progress.failed(&format!(
                    "not in time: there is no Application {name} in namespace {namespace}"
                ));
                return Ok(Some(ExitStatus::No));
            }
            () = interrupted.told_to_stop() => {
                progress.clear();
                return Ok(Some(ExitStatus::Interrupted));
            }
        }
    }
}

/// Which commits contain the one that is waited for: asked of the clone the user stands in, if
/// it knows both, else of the agent.
struct Ancestry {
    commit: String,
    clone: Option<Repository>,
}

impl Ancestry {
    /// Finds out which commit is meant.
    async fn new(given: &str, application: &Application) -> Result<Self, CommandError> {
        let clone = clone_of(application).await;
        let is_id = given.len() >= 7 && given.bytes().all(|byte| byte.is_ascii_hexdigit());
        let resolved = match &clone {
            Some(clone) => clone.resolve(given).await.ok().flatten(),
            None => None,
        };
        match resolved {
            Some(commit) => Ok(Self { commit, clone }),
            None if is_id => Ok(Self {
                commit: given.to_ascii_lowercase(),
                clone,
            }),
            None => {
                let (where_, hint) = match &clone {
                    Some(_) => (
                        "this clone has no such revision",
                        "fetch it, or give a commit's id",
                    ),
                    None => (
                        "it is no commit's id, and this directory is no clone of the Application's repository",
                        "give a commit's id of at least 7 characters",
                    ),
                };
                Err(CommandError::new(
                    CommandErrorKind::Usage,
                    format!("--commit {given:?}: {where_}"),
                )
                .hint(hint))
            }
        }
    }

    /// Why the commit will never be live: the branch that is tracked does not contain it. `None`
    /// when it does, or nobody here can tell.
    async fn on_another_branch(&self, application: &Application) -> Option<String> {
        let clone = self.clone.as_ref()?;
        if !clone.has_commit(&self.commit).await.ok()? {
            return None;
        }
        let [source] = application.spec.effective_sources() else {
            return None;
        };
        let branch = match source.target_revision.as_str() {
            "" | "HEAD" => clone.default_branch().await.ok()??,
            target if is_object_id(target) => {
                let is_older = !clone.is_ancestor(&self.commit, target).await.ok()?;
                return is_older.then(|| {
                    format!(
                        "tracks commit {}, which does not contain {}",
                        text::short_revision(target),
                        text::short_revision(&self.commit)
                    )
                });
            }
            target => {
                clone.tip(target).await.ok()??;
                target.to_owned()
            }
        };
        let tip = clone.fetch_branch(&branch).await.ok()?;
        let contains = clone.is_ancestor(&self.commit, &tip).await.ok()?;
        (!contains).then(|| {
            format!(
                "{} is not on branch {branch} of {}, which is what is tracked; was it pushed?",
                text::short_revision(&self.commit),
                clone.url()
            )
        })
    }

    /// Whether a revision contains the commit.
    async fn contained_in(
        &self,
        revision: &str,
        application: &Application,
        connection: &Connection,
        patience: Duration,
        progress: &mut Progress,
    ) -> Containment {
        if let Ok(Some(contained)) = self.by_clone(revision).await {
            return if contained {
                Containment::Yes
            } else {
                Containment::No
            };
        }
        let (namespace, name) = state::name(application);
        let mut question = Question::new(
            "wait-",
            namespace,
            PreviewSpec {
                application: name.to_owned(),
                revision: self.commit.clone(),
                ..PreviewSpec::default()
            },
        );
        if !patience.is_zero() {
            question.timeout = question.timeout.min(patience);
        }
        let asking = preview::ask(connection, question, |what| {
            progress.update(&format!("{name}: {what}"));
        });
        match asking.await {
            Ok(answer) => match answer.contained {
                Some(true) => Containment::Yes,
                Some(false) => Containment::No,
                None => Containment::Unknown("the agent does not say".into()),
            },
            Err(error) => Containment::Unknown(CommandError::from(error).message),
        }
    }

    async fn by_clone(&self, revision: &str) -> Result<Option<bool>, GitError> {
        let Some(clone) = &self.clone else {
            return Ok(None);
        };
        if !clone.has_commit(&self.commit).await? || !clone.has_commit(revision).await? {
            return Ok(None);
        }
        clone.is_ancestor(&self.commit, revision).await.map(Some)
    }
}

/// The clone the user stands in, if it is one of the Application's repository and knows its
/// history.
async fn clone_of(application: &Application) -> Option<Repository> {
    let work_dir = WorkDir::current().ok()?;
    for source in application.spec.effective_sources() {
        let found = Repository::find(&work_dir, &source.repo_url, None).await;
        if let Ok(Some(found)) = found
            && found.is_clone()
        {
            return Some(found);
        }
    }
    None
}
