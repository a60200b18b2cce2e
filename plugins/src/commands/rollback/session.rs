//! What one run of the command works with: the agent to ask, the repositories that were opened, the
//! branches that were fetched. Decides nothing.

use gitops_api::Application;
use gitops_api::preview::{PreviewSpec, PreviewStatus};
use gitops_core::source::normalize;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::progress::Progress;
use gitops_views::rollback::target::Wanted;

use crate::cluster::connection::Connection;
use crate::cluster::preview;
use crate::cluster::preview::{PreviewError, Question};
use crate::commands::rollback::RollbackArgs;
use crate::commands::rollback::checks::pinned;
use crate::commands::rollback::message::{UNDO_OF, app_line};
use crate::git::{CommitInfo, GitError, Repository, WorkDir};

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
    pub(super) work_dir: WorkDir,
    pub(super) mode: Mode,
    /// Opened so far, by address.
    pub(super) repositories: Vec<(String, Repository)>,
    /// Branches fetched for the plan that is being made: address, branch, commit.
    pub(super) fetched: Vec<(String, String, String)>,
}

impl Session {
    /// The repository of the first Git source, and the commit its branch is at.
    pub(super) async fn tracked_repository(
        &mut self,
        application: &Application,
    ) -> Result<(Repository, String), CommandError> {
        let sources = application.spec.effective_sources();
        let Some(source) = sources.iter().find(|source| source.chart.is_empty()) else {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                "no source is in Git",
            ));
        };
        let (url, follows) = (source.repo_url.clone(), source.target_revision.clone());
        let repository = self.open(&url).await?;
        let branch = if follows.is_empty() || follows == "HEAD" {
            repository.default_branch().await?.unwrap_or_default()
        } else {
            follows
        };
        if let Some(tip) = self.fetched_tip(&repository, &branch) {
            return Ok((repository, tip));
        }
        match self.fetch(&repository, &branch).await {
            Ok(tip) => Ok((repository, tip)),
            Err(GitError::Missing(_)) => Err(pinned(application, "another revision")),
            Err(error) => Err(error.into()),
        }
    }

    /// The commit a branch was at when it was fetched for this plan.
    pub(super) fn fetched_tip(&self, repository: &Repository, branch: &str) -> Option<String> {
        let mut fetched = self.fetched.iter();
        fetched
            .find(|(url, known, _)| url == repository.url() && known == branch)
            .map(|(_, _, tip)| tip.clone())
    }

    /// The commit a branch is at now.
    pub(super) async fn fetch(
        &mut self,
        repository: &Repository,
        branch: &str,
    ) -> Result<String, GitError> {
        self.progress
            .begin(&format!("fetching from {}", repository.url()));
        let tip = repository.fetch_branch(branch).await?;
        self.fetched
            .retain(|(url, known, _)| url != repository.url() || known != branch);
        self.fetched
            .push((repository.url().to_owned(), branch.to_owned(), tip.clone()));
        Ok(tip)
    }

    /// The newest rollback of the Application on a branch, unless it was taken back.
    pub(super) async fn last_rollback(
        &self,
        repository: &Repository,
        since: Option<&str>,
        tip: &str,
    ) -> Result<Option<CommitInfo>, CommandError> {
        let line = app_line(&self.namespace, &self.name);
        let found = repository.log_with_line(since, tip, &line, 1).await?;
        let last = found.into_iter().next();
        Ok(last.filter(|last| last.trailer(UNDO_OF).is_none()))
    }

    /// The repository of an address.
    pub(super) async fn open(&mut self, url: &str) -> Result<Repository, CommandError> {
        let key = normalize(url);
        if let Some((_, open)) = self.repositories.iter().find(|(known, _)| *known == key) {
            return Ok(open.clone());
        }
        let opened = Repository::open(&self.work_dir, url, self.args.remote.as_deref()).await?;
        if let Some(note) = opened.note() {
            self.progress.info(note);
        }
        self.repositories.push((key, opened.clone()));
        Ok(opened)
    }

    /// Asks the agent.
    pub(super) async fn ask(&mut self, spec: PreviewSpec) -> Result<PreviewStatus, PreviewError> {
        let question = Question::new("rollback-", self.namespace.clone(), spec);
        let progress = &mut self.progress;
        preview::ask(&self.connection, question, |step| progress.update(step)).await
    }
}
