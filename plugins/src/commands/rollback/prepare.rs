//! Finds out what the rollback means: from the agent which files and which objects, from Git which
//! commits.

use std::collections::HashSet;

use gitops_api::Application;
use gitops_api::preview::{PreviewRestore, PreviewRestoreSpec, PreviewSpec, PreviewStatus};
use gitops_core::source::normalize;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text::{one_line, short_revision};
use gitops_views::rollback::plan::{FileChange, Kind, Plan};
use gitops_views::rollback::target::Wanted;
use gitops_views::rollback::{plan, target};

use crate::commands::rollback::assemble::PlanInput;
use crate::commands::rollback::checks::{
    changed_settings, check_sources, only_repository, pinned, where_to_edit,
};
use crate::commands::rollback::request::{Chosen, PreviewRequest, already_by, several};
use crate::commands::rollback::revert;
use crate::commands::rollback::revert::Reverted;
use crate::commands::rollback::session::{Mode, Session};
use crate::git::{Edit, Repository};

/// What came of preparing.
pub(super) enum Prepared {
    /// There is nothing to do; why.
    Nothing(String),
    /// The branch moved meanwhile.
    Again(String),
    /// It can be done.
    Ready(Box<RollbackReady>),
}

/// A plan and what is needed to carry it out.
pub(super) struct RollbackReady {
    pub(super) plan: Plan,
    pub(super) repository: Repository,
    /// Commit the branch is at.
    pub(super) tip: String,
    /// Tree of the commit to be made.
    pub(super) tree: String,
    pub(super) edits: Vec<Edit>,
    /// The Application's directory.
    pub(super) path: String,
    /// Place of the source that changes.
    pub(super) source: usize,
    /// Revisions for a hold, one a source.
    pub(super) hold_revisions: Vec<String>,
    /// Digest of what is tracked now, if it renders.
    pub(super) tracked_digest: String,
}

impl Session {
    /// Prepares once: asks the agent at most twice, and fetches a branch once. Changes nothing.
    pub(super) async fn prepare(
        &mut self,
        application: &Application,
    ) -> Result<Prepared, CommandError> {
        self.fetched.clear();
        check_sources(application, None)?;
        let request = match self.choose(application).await? {
            Chosen::Ask(request) => request,
            Chosen::Nothing(why) => return Ok(Prepared::Nothing(why)),
        };
        let spec = PreviewSpec {
            application: self.name.clone(),
            restore: Some(PreviewRestoreSpec {
                revision: request.revision.clone(),
                revisions: request.revisions.clone(),
                include_shared: self.args.include_shared,
                ..PreviewRestoreSpec::default()
            }),
            ..PreviewSpec::default()
        };
        let answer = self.ask(spec).await?;
        let Some(restore) = only_repository(&answer.restores)?.cloned() else {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                "the agent names no Git repository of the Application that could be restored",
            ));
        };
        if let Some(bad) = restore
            .files
            .iter()
            .find(|file| !plan::is_clean(&file.path))
        {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                format!(
                    "the agent names a file outside of the repository: {:?}",
                    bad.path
                ),
            ));
        }
        if let Some(nothing) = Self::nothing_to_restore(application, &request, &restore)? {
            return Ok(Prepared::Nothing(nothing));
        }
        if restore.branch.is_empty() {
            return Err(pinned(application, short_revision(&restore.to)));
        }
        self.combine(application, request, answer, restore).await
    }

    /// Why there is nothing to do, or nothing that may be done.
    fn nothing_to_restore(
        application: &Application,
        request: &PreviewRequest,
        restore: &PreviewRestore,
    ) -> Result<Option<String>, CommandError> {
        let to = short_revision(&restore.to);
        if restore.files.is_empty() {
            let entry = request
                .target
                .as_ref()
                .and_then(|target| target.entry.as_ref());
            let changed = entry
                .map(|entry| changed_settings(application, entry))
                .unwrap_or_default();
            if !restore.exact && !changed.is_empty() {
                let error = CommandError::new(
                    CommandErrorKind::Refused,
                    format!(
                        "the files are as they were at {to}; what is different is in the \
                         Application itself: {}",
                        changed.join("; ")
                    ),
                );
                return Err(where_to_edit(application, error, "what it was"));
            }
            return Ok(Some(match &request.kind {
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
                CommandErrorKind::Refused,
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
        request: PreviewRequest,
        answer: PreviewStatus,
        restore: PreviewRestore,
    ) -> Result<Prepared, CommandError> {
        let repository = self.open(&restore.repo_url).await?;
        // What was fetched before the agent answered may be older than what it saw.
        let tip = match self.fetched_tip(&repository, &restore.branch) {
            Some(tip) if tip == restore.from => tip,
            _ => self.fetch(&repository, &restore.branch).await?,
        };
        repository.fetch_commit(&restore.to).await?;
        let files = plan::files(&restore);
        let reads = read_paths(&answer, &restore);
        if tip != restore.from {
            if repository.fetch_commit(&restore.from).await.is_err() {
                return Err(CommandError::new(
                    CommandErrorKind::Refused,
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
        let (edits, files) = match &request.kind {
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
            .assemble(PlanInput {
                application,
                request: &request,
                answer: &answer,
                restore: &restore,
                repository: &repository,
                tip: &tip,
                files,
            })
            .await?;
        let sources = application.spec.effective_sources();
        let url = normalize(&restore.repo_url);
        let source = sources
            .iter()
            .position(|source| source.chart.is_empty() && normalize(&source.repo_url) == url)
            .unwrap_or(0);
        Ok(Prepared::Ready(Box::new(RollbackReady {
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
            tracked_digest: request.tracked_digest,
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
        let last = self
            .last_rollback(repository, Some(&restore.to), tip)
            .await?;
        let Some(last) = last else {
            return Ok(None);
        };
        let since = repository.changes(&last.id, tip).await?;
        if since
            .iter()
            .any(|change| reads.contains(change.path.as_str()))
        {
            return Ok(None);
        }
        Ok(Some(already_by(&last)))
    }
}

/// Files the answer depends on: what was read, and what differs.
fn read_paths<'a>(answer: &'a PreviewStatus, restore: &'a PreviewRestore) -> HashSet<&'a str> {
    let url = normalize(&restore.repo_url);
    answer
        .inputs
        .iter()
        .filter(|inputs| normalize(&inputs.repo_url) == url)
        .flat_map(|inputs| inputs.paths.iter().map(String::as_str))
        .chain(restore.files.iter().map(|file| file.path.as_str()))
        .collect()
}
