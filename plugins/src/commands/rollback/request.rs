//! Chooses what the agent is asked about: which revision the files are to come from, and what kind
//! of rollback that is. Asks it at most once, for what is tracked now.

use gitops_api::Application;
use gitops_api::preview::PreviewSpec;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text::{one_line, short_revision};
use gitops_views::rollback::plan::Kind;
use gitops_views::rollback::target;
use gitops_views::rollback::target::{Target, Tracked, Wanted};

use jiff::Timestamp;

use crate::cluster::preview::PreviewError;
use crate::commands::rollback::checks::check_sources;
use crate::commands::rollback::message::{UNDO_OF, app_line};
use crate::commands::rollback::session::{Mode, Session};
use crate::commands::rollback::{message, revert};
use crate::git::CommitInfo;

/// What came of choosing.
#[expect(clippy::large_enum_variant, reason = "there is one per command")]
pub(super) enum Chosen {
    /// There is nothing to do; why.
    Nothing(String),
    /// The agent is to be asked.
    Ask(PreviewRequest),
}

/// What the agent is asked about.
pub(super) struct PreviewRequest {
    pub(super) kind: Kind,
    /// The deployment or revision; none when commits are taken back.
    pub(super) target: Option<Target>,
    /// Commit the files come from.
    pub(super) revision: String,
    /// One per source, where there are several.
    pub(super) revisions: Vec<String>,
    /// Why this one.
    pub(super) because: String,
    /// Digest of what is tracked now; empty when it does not render.
    pub(super) tracked_digest: String,
}

impl Session {
    /// Chooses what to go back to.
    pub(super) async fn choose(
        &mut self,
        application: &Application,
    ) -> Result<Chosen, CommandError> {
        let mode = self.mode.clone();
        match &mode {
            Mode::Restore(wanted) => {
                let digest = self.tracked_digest(application).await?;
                let tracked = match digest.as_deref() {
                    Some(digest) => Tracked::Renders(digest),
                    None => Tracked::Broken,
                };
                let mut target =
                    match target::choose(application, wanted, tracked, Timestamp::now()) {
                        Ok(target) => target,
                        Err(why) => {
                            if let Some(done) =
                                self.still_stands(application, digest.as_deref()).await?
                            {
                                return Ok(Chosen::Nothing(done));
                            }
                            let error = CommandError::new(CommandErrorKind::Refused, why);
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
                Ok(Chosen::Ask(PreviewRequest {
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
                Ok(Chosen::Ask(PreviewRequest {
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
                        CommandErrorKind::NotFound,
                        format!(
                            "no commit of the branch is a rollback of {}/{}",
                            self.namespace, self.name
                        ),
                    ));
                };
                if let Some(undone) = last.trailer(UNDO_OF) {
                    return Ok(Chosen::Nothing(format!(
                        "already undone: {} took the rollback {} back",
                        short_revision(&last.id),
                        short_revision(undone)
                    )));
                }
                let Some(before) = last.parents.first() else {
                    return Err(CommandError::new(
                        CommandErrorKind::Refused,
                        format!("the rollback {} has no commit before it", last.id),
                    ));
                };
                let sources = application.spec.effective_sources();
                Ok(Chosen::Ask(PreviewRequest {
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
    async fn still_stands(
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
        let last = self.last_rollback(&repository, None, &tip).await?;
        Ok(last
            .filter(|last| last.trailer(message::DIGEST) == Some(digest))
            .map(|last| already_by(&last)))
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
            Err(PreviewError::Failed { .. }) => Ok(None),
            Err(PreviewError::Unanswered(error)) => Err(error),
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
}

/// The last rollback still stands.
pub(super) fn already_by(last: &CommitInfo) -> String {
    let to = match last.trailer(message::TO) {
        Some(to) => format!(" to {}", short_revision(to)),
        None => String::new(),
    };
    one_line(&format!(
        "already rolled back{to} by {}, and nothing has changed since; go back further with --to",
        short_revision(&last.id)
    ))
}

/// Revisions are listed only where there are several sources.
pub(super) fn several(revisions: &[String]) -> Vec<String> {
    if revisions.len() > 1 {
        revisions.to_vec()
    } else {
        Vec::new()
    }
}
