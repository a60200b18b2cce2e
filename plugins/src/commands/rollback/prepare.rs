//! Finds out what the rollback means: from the agent which files and which objects, from Git which
//! commits, and puts the plan together.

use std::collections::HashSet;

use gitops_api::Application;
use gitops_api::preview::{PreviewRestore, PreviewRestoreSpec, PreviewSpec, PreviewStatus};
use gitops_core::source::normalise;
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::progress::Progress;
use gitops_kit::text;
use gitops_kit::text::{one_line, short_revision};
use gitops_views::rollback::plan::{Delivery, FileChange, GitChange, Kind, Plan, Point};
use gitops_views::rollback::target::{Target, Tracked, Wanted};
use gitops_views::rollback::{gates, plan, target};
use jiff::Timestamp;

use crate::cluster::connection::Connection;
use crate::cluster::preview::Question;
use crate::cluster::{application, preview};
use crate::commands::rollback::application::{
    changed_settings, check_sources, pinned, where_to_edit,
};
use crate::commands::rollback::message::{UNDO_OF, app_line};
use crate::commands::rollback::revert::Reverted;
use crate::commands::rollback::{RollbackArgs, message, revert};
use crate::git::{CommitInfo, Edit, GitError, Repository, Workplace};

/// Most commits named as undone.
const MOST_UNDONE: usize = 100;

/// What kind of rollback was asked for.
#[derive(Clone, Debug)]
pub(super) enum Mode {
    /// To an earlier state.
    Restore(Wanted),
    /// Without some commits.
    Revert(Vec<String>),
    /// Without the last rollback.
    Undo,
}

/// Everything one run of the command works with.
pub(super) struct Session {
    pub(super) args: RollbackArgs,
    pub(super) connection: Connection,
    pub(super) progress: Progress,
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) workplace: Workplace,
    pub(super) mode: Mode,
    /// Opened so far, by address.
    pub(super) repositories: Vec<(String, Repository)>,
}

/// What came of preparing.
pub(super) enum Prepared {
    /// There is nothing to do; why.
    Nothing(String),
    /// The branch moved meanwhile.
    Again(String),
    /// It can be done.
    Ready(Box<Ready>),
}

/// A plan and what is needed to carry it out.
pub(super) struct Ready {
    pub(super) plan: Plan,
    pub(super) repository: Repository,
    /// Commit the branch is at.
    pub(super) tip: String,
    /// Tree of the commit to be made.
    pub(super) tree: String,
    pub(super) edits: Vec<Edit>,
    /// The Application's folder.
    pub(super) path: String,
    /// Place of the source that changes.
    pub(super) source: usize,
    /// Revisions for a hold, one a source.
    pub(super) hold_revisions: Vec<String>,
    /// Digest of what is tracked now, if it renders.
    pub(super) tracked_digest: String,
}

/// What is asked of the agent.
struct Asked {
    kind: Kind,
    target: Option<Target>,
    revision: String,
    revisions: Vec<String>,
    because: String,
    tracked_digest: String,
}

impl Session {
    /// Prepares once. Changes nothing.
    pub(super) async fn prepare(&mut self) -> Result<Prepared, CommandError> {
        let application = application::get(&self.namespace, &self.name, &self.connection).await?;
        check_sources(&application, None)?;
        let asked = match self.what_to_ask(&application).await? {
            Ok(asked) => asked,
            Err(nothing) => return Ok(Prepared::Nothing(nothing)),
        };
        let spec = PreviewSpec {
            application: self.name.clone(),
            restore: Some(PreviewRestoreSpec {
                revision: asked.revision.clone(),
                revisions: asked.revisions.clone(),
                include_shared: self.args.include_shared,
                ..PreviewRestoreSpec::default()
            }),
            ..PreviewSpec::default()
        };
        let answer = self.ask(spec).await?;
        let Some(restore) = application::only_repository(&answer.restores)?.cloned() else {
            return Err(CommandError::new(
                ExitStatus::Refused,
                "the agent names no Git repository of the Application that could be restored",
            ));
        };
        if let Some(bad) = restore
            .files
            .iter()
            .find(|file| !plan::is_clean(&file.path))
        {
            return Err(CommandError::new(
                ExitStatus::Refused,
                format!(
                    "the agent names a file outside of the repository: {:?}",
                    bad.path
                ),
            ));
        }
        if let Some(nothing) = Self::nothing_to_restore(&application, &asked, &restore)? {
            return Ok(Prepared::Nothing(nothing));
        }
        if restore.branch.is_empty() {
            return Err(pinned(&application, short_revision(&restore.to)));
        }
        self.combine(&application, asked, answer, restore).await
    }

    /// Chooses what to go back to. The inner error says that there is nothing to do.
    async fn what_to_ask(
        &mut self,
        application: &Application,
    ) -> Result<Result<Asked, String>, CommandError> {
        let mode = self.mode.clone();
        match &mode {
            Mode::Restore(wanted) => {
                let digest = self.tracked_digest(application).await?;
                let tracked = match digest.as_deref() {
                    Some(digest) => Tracked::Renders(digest),
                    None => Tracked::Broken,
                };
                let mut target = match target::choose(application, wanted, tracked) {
                    Ok(target) => target,
                    Err(why) => {
                        if let Some(done) = self.stands(application, digest.as_deref()).await? {
                            return Ok(Err(done));
                        }
                        let error = CommandError::new(ExitStatus::Refused, why);
                        return Err(error.hint(format!(
                            "choose yourself with --to REVISION; what there was: kubectl gitops \
                             history {} -n {}",
                            self.name, self.namespace
                        )));
                    }
                };
                check_sources(application, target.entry.as_ref())?;
                if target.entry.is_none()
                    && let Some(full) = self.full_id(application, &target.revision).await?
                {
                    target.revisions =
                        target::at_one_revision(application.spec.effective_sources(), &full);
                    target.revision = full;
                }
                Ok(Ok(Asked {
                    kind: Kind::Restore,
                    revision: target.revision.clone(),
                    revisions: several(&target.revisions),
                    because: target.because.clone(),
                    target: Some(target),
                    tracked_digest: digest.unwrap_or_default(),
                }))
            }
            Mode::Revert(commits) => {
                let (repository, tip) = self.tracked_repository(application).await?;
                let commits = revert::resolve(&repository, &tip, commits).await?;
                let before = revert::before(&repository, &commits).await?;
                let sources = application.spec.effective_sources();
                Ok(Ok(Asked {
                    revisions: several(&target::at_one_revision(sources, &before)),
                    revision: before,
                    kind: Kind::Revert(commits),
                    target: None,
                    because: "taken back".to_owned(),
                    tracked_digest: String::new(),
                }))
            }
            Mode::Undo => {
                let (repository, tip) = self.tracked_repository(application).await?;
                let line = app_line(&self.namespace, &self.name);
                let last = repository.log_with_line(None, &tip, &line, 1).await?;
                let Some(last) = last.first() else {
                    return Err(CommandError::new(
                        ExitStatus::Usage,
                        format!(
                            "no commit of the branch is a rollback of {}/{}",
                            self.namespace, self.name
                        ),
                    ));
                };
                if let Some(undone) = last.trailer(UNDO_OF) {
                    return Ok(Err(format!(
                        "already undone: {} took the rollback {} back",
                        short_revision(&last.id),
                        short_revision(undone)
                    )));
                }
                let Some(before) = last.parents.first() else {
                    return Err(CommandError::new(
                        ExitStatus::Refused,
                        format!("the rollback {} has no commit before it", last.id),
                    ));
                };
                let sources = application.spec.effective_sources();
                Ok(Ok(Asked {
                    kind: Kind::Undo(last.id.clone()),
                    revision: before.clone(),
                    revisions: several(&target::at_one_revision(sources, before)),
                    because: format!("before the rollback {}", short_revision(&last.id)),
                    target: None,
                    tracked_digest: String::new(),
                }))
            }
        }
    }

    /// Whether what is tracked is what the last rollback brought back.
    async fn stands(
        &mut self,
        application: &Application,
        digest: Option<&str>,
    ) -> Result<Option<String>, CommandError> {
        let delivered = application
            .status
            .as_ref()
            .is_some_and(|status| !status.history.is_empty());
        let (true, Mode::Restore(Wanted::LastHealthy), Some(digest)) =
            (delivered, &self.mode, digest)
        else {
            return Ok(None);
        };
        let (repository, tip) = self.tracked_repository(application).await?;
        let line = app_line(&self.namespace, &self.name);
        let last = repository.log_with_line(None, &tip, &line, 1).await?;
        Ok(last
            .first()
            .filter(|last| last.trailer(UNDO_OF).is_none())
            .filter(|last| last.trailer(message::DIGEST) == Some(digest))
            .map(already_by))
    }

    /// Digest of what is tracked; `None` when it does not render.
    async fn tracked_digest(
        &mut self,
        application: &Application,
    ) -> Result<Option<String>, CommandError> {
        if let Some(known) = target::tracked_digest(application) {
            return Ok(Some(known.to_owned()));
        }
        let spec = PreviewSpec {
            application: self.name.clone(),
            ..PreviewSpec::default()
        };
        match self.ask(spec).await {
            Ok(answer) => Ok(Some(answer.digest)),
            // It has no answer because what is tracked does not render.
            Err(error) if error.status == ExitStatus::Usage => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The commit that a shortened id means; `None`: it is none, the agent may know it.
    async fn full_id(
        &mut self,
        application: &Application,
        revision: &str,
    ) -> Result<Option<String>, CommandError> {
        let short = (4..40).contains(&revision.len())
            && revision.bytes().all(|byte| byte.is_ascii_hexdigit());
        if !short {
            return Ok(None);
        }
        let (repository, _) = self.tracked_repository(application).await?;
        Ok(repository.resolve(revision).await?)
    }

    /// The repository of the first Git source, and the commit its branch is at.
    async fn tracked_repository(
        &mut self,
        application: &Application,
    ) -> Result<(Repository, String), CommandError> {
        let sources = application.spec.effective_sources();
        let Some(source) = sources.iter().find(|source| source.chart.is_empty()) else {
            return Err(CommandError::new(
                ExitStatus::Refused,
                "no source is in Git",
            ));
        };
        let (url, follows) = (source.repo_url.clone(), source.target_revision.clone());
        let repository = self.open(&url).await?;
        self.progress
            .begin(&format!("fetching from {}", repository.url()));
        let branch = if follows.is_empty() || follows == "HEAD" {
            repository.default_branch().await?.unwrap_or_default()
        } else {
            follows
        };
        match repository.fetch_branch(&branch).await {
            Ok(tip) => Ok((repository, tip)),
            Err(GitError::Missing(_)) => Err(pinned(application, "another revision")),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) async fn open(&mut self, url: &str) -> Result<Repository, CommandError> {
        let key = normalise(url);
        if let Some((_, open)) = self.repositories.iter().find(|(known, _)| *known == key) {
            return Ok(open.clone());
        }
        let opened = Repository::open(&self.workplace, url, self.args.remote.as_deref()).await?;
        if let Some(note) = opened.note() {
            self.progress.info(note);
        }
        self.repositories.push((key, opened.clone()));
        Ok(opened)
    }

    async fn ask(&mut self, spec: PreviewSpec) -> Result<PreviewStatus, CommandError> {
        let question = Question::new("rollback-", self.namespace.clone(), spec);
        let progress = &mut self.progress;
        preview::ask(&self.connection, question, |step| progress.update(step)).await
    }

    /// Why there is nothing to do, or nothing that may be done.
    fn nothing_to_restore(
        application: &Application,
        asked: &Asked,
        restore: &PreviewRestore,
    ) -> Result<Option<String>, CommandError> {
        let to = short_revision(&restore.to);
        if restore.files.is_empty() {
            let entry = asked
                .target
                .as_ref()
                .and_then(|target| target.entry.as_ref());
            let changed = entry
                .map(|entry| changed_settings(application, entry))
                .unwrap_or_default();
            if !restore.exact && !changed.is_empty() {
                let error = CommandError::new(
                    ExitStatus::Refused,
                    format!(
                        "the files are as they were at {to}; what is different is in the \
                         Application itself: {}",
                        changed.join("; ")
                    ),
                );
                return Err(where_to_edit(application, error, "what it was"));
            }
            return Ok(Some(match &asked.kind {
                Kind::Revert(_) => "already taken back: nothing of it is in the files".to_owned(),
                Kind::Restore | Kind::Undo(_) => {
                    format!("already at the target: all files are as they were at {to}")
                }
            }));
        }
        if restore.files.iter().all(|file| file.left) {
            let files: Vec<String> = restore
                .files
                .iter()
                .take(5)
                .map(|file| format!("{} ({})", file.path, file.shared_with.join(", ")))
                .collect();
            return Err(CommandError::new(
                ExitStatus::Refused,
                one_line(&format!(
                    "all files that differ from {to} are read by other Applications, too: {}",
                    files.join("; ")
                )),
            )
            .hint("restore them for all with --include-shared"));
        }
        Ok(None)
    }

    /// Puts the agent's answer and what Git says together.
    async fn combine(
        &mut self,
        application: &Application,
        asked: Asked,
        answer: PreviewStatus,
        restore: PreviewRestore,
    ) -> Result<Prepared, CommandError> {
        let repository = self.open(&restore.repo_url).await?;
        self.progress
            .begin(&format!("fetching from {}", repository.url()));
        let tip = repository.fetch_branch(&restore.branch).await?;
        repository.fetch_commit(&restore.to).await?;
        let files = plan::files(&restore);
        let reads = read_paths(&answer, &restore);
        if tip != restore.from {
            if repository.fetch_commit(&restore.from).await.is_err() {
                return Err(CommandError::new(
                    ExitStatus::Refused,
                    format!(
                        "{} is another repository than the one the agent follows: it has no \
                         commit {}",
                        repository.url(),
                        restore.from
                    ),
                )
                .hint("name another remote with --remote, or run the command elsewhere"));
            }
            let moved = repository.changes(&restore.from, &tip).await?;
            if moved
                .iter()
                .any(|change| reads.contains(change.path.as_str()))
            {
                return Ok(Prepared::Again(format!(
                    "{} moved to {}; asking the agent again",
                    restore.branch,
                    short_revision(&tip)
                )));
            }
        }
        if let Some(nothing) = self
            .rolled_back_before(&repository, &tip, &restore, &reads)
            .await?
        {
            return Ok(Prepared::Nothing(nothing));
        }
        let mut answer = answer;
        let (edits, files) = match &asked.kind {
            Kind::Restore | Kind::Undo(_) => {
                let paths: Vec<&str> = files
                    .iter()
                    .filter(|file| !file.left)
                    .map(|file| file.path.as_str())
                    .collect();
                (repository.restoring(&restore.to, &paths).await?, files)
            }
            Kind::Revert(commits) => {
                match revert::edits(&repository, &tip, commits, &files).await? {
                    Reverted::Nothing => {
                        return Ok(Prepared::Nothing(
                            "already taken back: nothing of it is in the files".to_owned(),
                        ));
                    }
                    Reverted::Edits(edits) => {
                        let spec =
                            revert::question(&self.name, &restore, &repository, &edits).await?;
                        let changed = self.ask(spec).await?;
                        answer = revert::answer(answer, changed);
                        let files = files
                            .into_iter()
                            .filter(|file| {
                                file.left || edits.iter().any(|edit| edit.path == file.path)
                            })
                            .map(|file| FileChange {
                                delete: edits
                                    .iter()
                                    .any(|edit| edit.path == file.path && edit.entry.is_none()),
                                ..file
                            })
                            .collect();
                        (edits, files)
                    }
                }
            }
        };
        let tree = repository.checked_tree(&tip, &edits).await?;
        if tree == repository.tree(&tip).await? {
            return Ok(Prepared::Nothing("already at the target".to_owned()));
        }
        let plan = self
            .plan(
                application,
                &asked,
                &answer,
                &restore,
                &repository,
                &tip,
                files,
            )
            .await?;
        let sources = application.spec.effective_sources();
        let url = normalise(&restore.repo_url);
        let source = sources
            .iter()
            .position(|source| source.chart.is_empty() && normalise(&source.repo_url) == url)
            .unwrap_or(0);
        Ok(Prepared::Ready(Box::new(Ready {
            plan,
            repository,
            tip,
            tree,
            edits,
            path: sources
                .get(source)
                .map(|source| source.path.clone())
                .unwrap_or_default(),
            source,
            hold_revisions: several(&target::at_one_revision(sources, &restore.to)),
            tracked_digest: asked.tracked_digest,
        })))
    }

    /// Whether the last rollback still stands. Without this a second run would go back further:
    /// what the first one brought back is what is tracked now.
    async fn rolled_back_before(
        &self,
        repository: &Repository,
        tip: &str,
        restore: &PreviewRestore,
        reads: &HashSet<&str>,
    ) -> Result<Option<String>, CommandError> {
        if !matches!(self.mode, Mode::Restore(Wanted::LastHealthy)) {
            return Ok(None);
        }
        let line = app_line(&self.namespace, &self.name);
        let last = repository
            .log_with_line(Some(&restore.to), tip, &line, 1)
            .await?;
        let Some(last) = last.first().filter(|last| last.trailer(UNDO_OF).is_none()) else {
            return Ok(None);
        };
        let since = repository.changes(&last.id, tip).await?;
        if since
            .iter()
            .any(|change| reads.contains(change.path.as_str()))
        {
            return Ok(None);
        }
        Ok(Some(already_by(last)))
    }

    #[allow(clippy::too_many_arguments, reason = "what a plan is made of")]
    async fn plan(
        &self,
        application: &Application,
        asked: &Asked,
        answer: &PreviewStatus,
        restore: &PreviewRestore,
        repository: &Repository,
        tip: &str,
        files: Vec<FileChange>,
    ) -> Result<Plan, CommandError> {
        let changed: Vec<&str> = files
            .iter()
            .filter(|file| !file.left)
            .map(|file| file.path.as_str())
            .collect();
        let touching = repository
            .log(
                Some(&restore.to),
                tip,
                &changed[..changed.len().min(500)],
                MOST_UNDONE,
            )
            .await?;
        let all = repository.count(&restore.to, tip).await?;
        let undoes: Vec<(String, String)> = match &asked.kind {
            Kind::Revert(commits) => {
                let mut undoes = Vec::new();
                for id in commits {
                    undoes.push(named(&repository.commit_info(id).await?));
                }
                undoes
            }
            Kind::Restore | Kind::Undo(_) => touching
                .iter()
                .filter(|commit| commit.parents.len() < 2)
                .map(named)
                .collect(),
        };
        let newest = match touching.first() {
            Some(newest) => newest.clone(),
            None => repository.commit_info(tip).await?,
        };
        let then = match &asked.kind {
            Kind::Revert(commits) if !commits.is_empty() => {
                repository.commit_info(&commits[0]).await?
            }
            _ => repository.commit_info(&restore.to).await?,
        };
        let mut notes: Vec<String> = answer.warnings.iter().map(|note| one_line(note)).collect();
        let entry = asked
            .target
            .as_ref()
            .and_then(|target| target.entry.as_ref());
        let settings = entry
            .map(|entry| changed_settings(application, entry))
            .unwrap_or_default();
        if !settings.is_empty() && !restore.exact {
            notes.push(format!(
                "the Application itself was different then, which stays: {}",
                settings.join("; ")
            ));
        }
        let mut because = asked.because.clone();
        if let Some(entry) = entry {
            because = format!("{because} (history {})", entry.id);
        }
        let sources = application.spec.effective_sources();
        let folders: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
        let delivery = if self.args.pr {
            Delivery::PullRequest(message::branch_name(&self.name, &restore.to, &asked.kind))
        } else {
            Delivery::Push
        };
        let policy = application.spec.sync_policy.as_ref();
        Ok(Plan {
            namespace: self.namespace.clone(),
            application: self.name.clone(),
            cluster: self.connection.endpoint.context.clone(),
            kind: asked.kind.clone(),
            now: point(&newest, state_of(application, Timestamp::now())),
            target: point(&then, because),
            git: GitChange {
                repo_url: repository.url().to_owned(),
                branch: restore.branch.clone(),
                from: tip.to_owned(),
                to: restore.to.clone(),
                others: all.saturating_sub(touching.len()),
                files,
                undoes,
            },
            objects: answer.objects.clone(),
            truncated: answer.truncated,
            counts: answer.counts.clone().unwrap_or_default(),
            digest: answer.digest.clone(),
            exact: (!matches!(asked.kind, Kind::Revert(_))).then_some(restore.exact),
            inexact_because: one_line(&restore.inexact_because),
            cautions: gates::cautions(answer, &folders),
            notes,
            delivery,
            hold: self.args.now,
            auto_sync: policy.is_some_and(|policy| policy.automation().is_some()),
        })
    }
}

/// The last rollback still stands.
fn already_by(last: &CommitInfo) -> String {
    let to = match last.trailer(message::TO) {
        Some(to) => format!(" to {}", short_revision(to)),
        None => String::new(),
    };
    one_line(&format!(
        "already rolled back{to} by {}, and nothing has changed since; go back further with --to",
        short_revision(&last.id)
    ))
}

/// Files the answer depends on: what was read, and what differs.
fn read_paths<'a>(answer: &'a PreviewStatus, restore: &'a PreviewRestore) -> HashSet<&'a str> {
    let url = normalise(&restore.repo_url);
    answer
        .inputs
        .iter()
        .filter(|inputs| normalise(&inputs.repo_url) == url)
        .flat_map(|inputs| inputs.paths.iter().map(String::as_str))
        .chain(restore.files.iter().map(|file| file.path.as_str()))
        .collect()
}

/// Revisions are listed only where there are several sources.
fn several(revisions: &[String]) -> Vec<String> {
    if revisions.len() > 1 {
        revisions.to_vec()
    } else {
        Vec::new()
    }
}

fn named(commit: &CommitInfo) -> (String, String) {
    (commit.id.clone(), one_line(commit.subject()))
}

fn point(commit: &CommitInfo, note: String) -> Point {
    Point {
        commit: commit.id.clone(),
        subject: one_line(commit.subject()),
        author: one_line(&commit.author),
        time: Some(commit.time),
        note,
    }
}

/// How the Application is now: `OutOfSync, Degraded for 8m`.
fn state_of(application: &Application, now: Timestamp) -> String {
    let Some(status) = &application.status else {
        return "not compared yet".to_owned();
    };
    let sync = status
        .sync
        .as_ref()
        .map_or("Unknown", |sync| sync.status.as_str());
    let Some(health) = &status.health else {
        return sync.to_owned();
    };
    let since = health
        .last_transition_time
        .as_ref()
        .map(|time| format!(" for {}", text::age(time.0, now)))
        .unwrap_or_default();
    format!("{sync}, {}{since}", health.status.as_str())
}
