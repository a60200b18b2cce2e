//! `rollback`: asks the agent what it would mean, shows the plan, asks, makes one commit, pushes it
//! or proposes it, and follows it until live. What is decided and what is shown is decided in
//! `rollback`; what happens in Git is `git`'s.

use std::time::Duration;

use clap::Args;
use gitops_forge::Choice;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::output::{OutputArgs, print};
use gitops_kit::progress::Progress;
use gitops_kit::terminal::View;
use gitops_kit::{output, prompt};
use gitops_views::rollback::gates;
use gitops_views::rollback::gates::Gate;
use gitops_views::rollback::plan::Plan;
use gitops_views::rollback::target::Wanted;
use jiff::Timestamp;

use crate::cluster::application;
use crate::cluster::application::Named;
use crate::cluster::connection::{ConnectionArgs, parse_duration};
use crate::commands::rollback::document::Done;
use crate::commands::rollback::prepare::{Prepared, RollbackReady};
use crate::commands::rollback::session::{Mode, Session};
use crate::git::WorkDir;

mod assemble;
pub mod checks;
mod deliver;
pub mod document;
pub mod masked;
pub mod message;
pub mod outcome;
mod pick;
mod prepare;
mod propose;
mod request;
mod revert;
pub mod screen;
mod session;
pub mod three_way;
mod wait;

/// Attempts to be faster than others who push to the same branch.
const MAX_ATTEMPTS: usize = 10;
/// Longest wait until live when nobody says otherwise.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(5);

/// Go back to what worked: through Git, with one new commit
///
/// The files the Application is rendered from become what they were at the last deployment that
/// was Synced and Healthy (or at --to). Every other file stays as it is, later commits of others
/// included; nothing is ever force-pushed. Before anything is done the plan is shown: files,
/// exact changes in the cluster, what Git cannot undo. Files that other Applications read are left
/// alone without --include-shared. Where the branch is protected a pull request is opened.
///
/// The commit is made with your own git: your identity, signature and credentials; the clone in
/// the current directory is used if it is one of the repository, but never its working tree,
/// index or branches.
///
/// Examples:
///   kubectl gitops rollback web                     to the last that was Synced and Healthy
///   kubectl gitops rollback web --dry-run           only show the plan and the patch
///   kubectl gitops rollback web --to 4c1d88e        to a commit, tag or ID of history; -1 is one back
///   kubectl gitops rollback web --pick              choose the deployment from a list
///   kubectl gitops rollback web --commit 91be07a    only undo that commit, keep later ones
///   kubectl gitops rollback web --pr --now          pull request, and the good version at once
///   kubectl gitops rollback web --undo              take the last rollback back
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct RollbackArgs {
    /// Application: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub application: Option<String>,

    /// Where to: commit, tag, ID of history, -1 (one back), @{last-healthy} [default]
    #[arg(long, value_name = "REVISION", allow_hyphen_values = true)]
    pub to: Option<Wanted>,

    /// Choose the deployment to go back to from a list
    #[arg(long, conflicts_with_all = ["to", "commit", "undo", "yes"])]
    pub pick: bool,

    /// Undo only what this commit did to the Application's files; may be repeated
    #[arg(long, value_name = "SHA", conflicts_with_all = ["to", "undo", "now"])]
    pub commit: Vec<String>,

    /// Take the last rollback of the Application back
    #[arg(long, conflicts_with_all = ["to", "now"])]
    pub undo: bool,

    /// Open a pull request instead of pushing
    #[arg(long)]
    pub pr: bool,

    /// Let the agent deliver the good version at once, until Git says so
    #[arg(long)]
    pub now: bool,

    /// Restore files that other Applications read, too
    #[arg(long)]
    pub include_shared: bool,

    /// Only show the plan and the patch
    #[arg(long)]
    pub dry_run: bool,

    /// Do not ask
    #[arg(short, long)]
    pub yes: bool,

    /// Why; kept in the commit
    #[arg(long, value_name = "TEXT")]
    pub reason: Option<String>,

    /// Wait until live: default after a push; with --pr until it is merged and live
    #[arg(long, overrides_with = "no_wait")]
    pub wait: bool,

    /// Do not wait until live
    #[arg(long)]
    pub no_wait: bool,

    /// Longest wait until live: 30s, 5m; 0 means no timeout [default: 5m]
    #[arg(long, value_name = "DURATION", value_parser = parse_duration)]
    pub timeout: Option<Duration>,

    /// Remote of the clone in the current directory to use, whatever its address
    #[arg(long, value_name = "NAME")]
    pub remote: Option<String>,

    /// Forge for the pull request: github, gitlab, gitea, KIND=URL, none
    #[arg(long, value_name = "KIND")]
    pub forge: Option<Choice>,

    #[command(flatten)]
    pub allow: AllowArgs,

    #[command(flatten)]
    pub output: OutputArgs,
}

/// What is allowed by name although it stops a rollback.
#[derive(Args, Clone, Debug, Default)]
#[command(next_help_heading = "Safety")]
pub struct AllowArgs {
    /// Proceed even if volumes, data or a namespace would be deleted or start empty
    #[arg(long)]
    pub allow_data_loss: bool,

    /// Proceed even if a kind or a version of one goes away, with its objects
    #[arg(long)]
    pub allow_definition_loss: bool,

    /// Proceed even if a commit or object says that there is no way back
    #[arg(long)]
    pub allow_forward_only: bool,

    /// Proceed even if the API server refuses some of the objects
    #[arg(long)]
    pub allow_refused: bool,

    /// Proceed even if it is not known whether others read the files
    #[arg(long)]
    pub allow_unknown_sharing: bool,
}

impl AllowArgs {
    fn opened(&self) -> Vec<Gate> {
        let set = |gate: Gate| match gate {
            Gate::DataLoss => self.allow_data_loss,
            Gate::DefinitionLoss => self.allow_definition_loss,
            Gate::ForwardOnly => self.allow_forward_only,
            Gate::Refused => self.allow_refused,
            Gate::UnknownSharing => self.allow_unknown_sharing,
        };
        Gate::ALL.into_iter().filter(|gate| set(*gate)).collect()
    }
}

/// Runs the command.
pub async fn run(args: RollbackArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    if let Some(given) = &args.application {
        Named::read(given, &flags)?;
    }
    if args.pick && !prompt::can_pick() {
        return Err(CommandError::new(
            CommandErrorKind::Usage,
            "--pick needs a terminal to choose on",
        )
        .hint("name the deployment with --to; what there was: kubectl gitops history APP"));
    }
    let work_dir = WorkDir::current()?;
    let connection = flags.connect_or_pick(!args.yes).await?;
    let given = args.application.as_deref();
    let name = application::given_or_picked(given, !args.yes, &flags, &connection).await?;
    let application = application::find(&name, &flags, &connection).await?;
    let mode = if args.pick {
        Mode::Restore(pick::pick(&application, &View::of_stderr(args.output.color)).await?)
    } else if args.undo {
        Mode::Undo
    } else if args.commit.is_empty() {
        Mode::Restore(args.to.clone().unwrap_or_default())
    } else {
        Mode::Revert(args.commit.clone())
    };
    let mut session = Session {
        progress: progress(&args),
        args,
        connection,
        namespace: application.metadata.namespace.clone().unwrap_or_default(),
        name: application.metadata.name.clone().unwrap_or_default(),
        work_dir,
        mode,
        repositories: Vec::new(),
        fetched: Vec::new(),
    };
    // Read once more only when the branch moved.
    let mut application = Some(application);
    let mut shown: Option<serde_json::Value> = None;
    for _ in 0..MAX_ATTEMPTS {
        let current = match application.take() {
            Some(found) => found,
            None => {
                application::get(&session.namespace, &session.name, &session.connection).await?
            }
        };
        let prepared = match Box::pin(session.prepare(&current)).await? {
            Prepared::Nothing(why) => return session.nothing(&why),
            Prepared::Again(why) => {
                session.progress.update(&why);
                continue;
            }
            Prepared::Ready(ready) => ready,
        };
        let fingerprint = prepared.plan.fingerprint();
        if shown.as_ref() != Some(&fingerprint) {
            let changed = shown.is_some();
            session.show(&prepared.plan)?;
            if session.args.dry_run {
                return session.dry_run(&prepared).await;
            }
            session.check_gates(&prepared.plan)?;
            session.check_writing(&prepared).await?;
            session.agree(&prepared.plan, changed).await?;
            shown = Some(fingerprint);
        }
        match session.deliver(&prepared).await? {
            deliver::Delivered::Raced => {
                session
                    .progress
                    .update("somebody pushed at the same time; planning again");
            }
            deliver::Delivered::Done(done) => {
                return Box::pin(session.finish(&prepared, done)).await;
            }
        }
    }
    Err(CommandError::new(
        CommandErrorKind::Conflict,
        format!("others pushed to the branch {MAX_ATTEMPTS} times while the commit was made"),
    )
    .hint("run it again, or propose it with --pr"))
}

/// On a terminal or for users everything is told; programs that read a document get only it.
fn progress(args: &RollbackArgs) -> Progress {
    if args.output.form.is_table() || View::of_stderr(args.output.color).interactive {
        Progress::new(args.output.color)
    } else {
        Progress::silent()
    }
}

impl Session {
    fn nothing(&mut self, why: &str) -> Result<ExitStatus, CommandError> {
        self.progress.done(why);
        let done = Done {
            outcome: "AlreadyThere",
            ..Done::default()
        };
        self.print_document(None, &done)?;
        Ok(ExitStatus::Success)
    }

    fn show(&mut self, plan: &Plan) -> Result<(), CommandError> {
        self.progress.clear();
        let now = Timestamp::now();
        if self.args.output.form.is_table() {
            let view = View::of_stdout(self.args.output.color);
            return print(&screen::screen(plan, &view, now));
        }
        if !self.args.yes && !self.args.dry_run && prompt::can_ask() {
            let view = View::of_stderr(self.args.output.color);
            let mut stderr = anstream::stderr();
            // Where it cannot be shown, the question cannot be asked either.
            let _ =
                std::io::Write::write_all(&mut stderr, screen::screen(plan, &view, now).as_bytes());
        }
        Ok(())
    }

    async fn dry_run(&mut self, prepared: &RollbackReady) -> Result<ExitStatus, CommandError> {
        let done = Done {
            outcome: "Planned",
            ..Done::default()
        };
        if self.args.output.form.is_table() {
            print(&format!("\n{}", self.shown_patch(prepared).await?))?;
        }
        self.print_document(Some(&prepared.plan), &done)?;
        self.check_gates(&prepared.plan)?;
        Ok(ExitStatus::Success)
    }

    /// The patch, without files that hold Secrets.
    async fn shown_patch(&self, prepared: &RollbackReady) -> Result<String, CommandError> {
        let RollbackReady {
            repository,
            tip,
            tree,
            edits,
            ..
        } = prepared;
        let (mut shown, mut hidden) = (Vec::new(), String::new());
        for edit in edits {
            let mut secret = false;
            let before = repository.file(tip, &edit.path).await?;
            for entry in before.iter().chain(&edit.entry) {
                // A submodule has no content.
                secret |= entry.mode != "160000"
                    && masked::holds_secret(&repository.content(&entry.id).await?);
            }
            if secret {
                let path = gitops_kit::text::one_line(&edit.path);
                hidden.extend([path.as_str(), ": not shown, it holds a Secret\n"]);
            } else {
                shown.push(edit.path.as_str());
            }
        }
        let patch = repository.patch(tip, tree, &shown).await?;
        Ok(gitops_kit::text::visible(&patch) + &hidden)
    }

    fn check_gates(&self, plan: &Plan) -> Result<(), CommandError> {
        let closed = gates::closed(&plan.cautions, &self.args.allow.opened());
        if closed.is_empty() {
            return Ok(());
        }
        let reasons: Vec<&str> = plan
            .cautions
            .iter()
            .filter(|caution| caution.gate.is_some_and(|gate| closed.contains(&gate)))
            .map(|caution| caution.message.as_str())
            .collect();
        let flags: Vec<&str> = closed.iter().map(|gate| gate.flag()).collect();
        Err(CommandError::new(
            CommandErrorKind::Refused,
            format!("refused for safety: {}", reasons.join("; ")),
        )
        .hint(format!("if that is meant, add {}", flags.join(" "))))
    }

    async fn agree(&mut self, plan: &Plan, changed: bool) -> Result<(), CommandError> {
        let question = match &plan.delivery {
            gitops_views::rollback::plan::Delivery::Push => "Commit and push?",
            gitops_views::rollback::plan::Delivery::PullRequest(_) => {
                "Commit and open a pull request?"
            }
        };
        if !changed {
            return prompt::confirm(question, self.args.yes, "--yes").await;
        }
        // What was agreed to, also beforehand, was another plan.
        if !prompt::can_ask() {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                "the plan changed while it was carried out, because others pushed to the branch; \
                 nothing was changed",
            )
            .hint("look at the new plan with --dry-run, and run it again"));
        }
        self.progress
            .warn("others pushed to the branch, and the plan has changed");
        prompt::confirm(question, false, "--yes").await
    }

    async fn finish(
        &mut self,
        prepared: &RollbackReady,
        mut done: deliver::Delivery,
    ) -> Result<ExitStatus, CommandError> {
        let status = Box::pin(self.wait(prepared, &mut done)).await;
        self.progress.clear();
        let result = Done {
            outcome: if done.pull_request.is_some() || done.proposed {
                "Proposed"
            } else {
                "Pushed"
            },
            commit: Some(done.commit.clone()),
            branch: Some(done.branch.clone()),
            pull_request: done.pull_request.clone(),
            held: done.held,
            live: done.live,
            seconds: done
                .live
                .and_then(|live| live.then(|| done.since.elapsed().as_secs())),
        };
        self.print_document(Some(&prepared.plan), &result)?;
        let undo = if done.proposed {
            None
        } else {
            Some(format!(
                "Undo: kubectl gitops rollback {} --undo -n {}",
                self.name, self.namespace
            ))
        };
        if let Some(undo) = undo
            && !self.args.undo
            && self.args.output.form.is_table()
            && View::of_stdout(self.args.output.color).interactive
        {
            print(&format!("{undo}\n"))?;
        }
        status
    }

    fn print_document(&self, plan: Option<&Plan>, done: &Done) -> Result<(), CommandError> {
        let form = &self.args.output.form;
        if matches!(form, output::Form::Name) {
            return print(&output::names([self.name.as_str()]));
        }
        let document = document::of(&self.namespace, &self.name, plan, done);
        match form.text_of(&document)? {
            Some(text) => print(&text),
            None => Ok(()),
        }
    }
}
