//! Puts the plan together: what Git and the agent say, in the words that are shown.

use gitops_api::Application;
use gitops_api::preview::{PreviewRestore, PreviewStatus};
use gitops_kit::exit::CommandError;
use gitops_kit::text;
use gitops_kit::text::one_line;
use gitops_views::rollback::gates;
use gitops_views::rollback::plan::{Delivery, FileChange, GitChange, Kind, Plan, Point};
use jiff::Timestamp;

use crate::commands::rollback::checks::changed_settings;
use crate::commands::rollback::message;
use crate::commands::rollback::request::PreviewRequest;
use crate::commands::rollback::session::Session;
use crate::git::{CommitInfo, Repository};

/// Most commits named as undone.
const MAX_UNDONE: usize = 100;

/// What a plan is made of.
pub(super) struct PlanInput<'a> {
    pub(super) application: &'a Application,
    pub(super) request: &'a PreviewRequest,
    /// The agent's answer.
    pub(super) answer: &'a PreviewStatus,
    /// What it says about the repository that changes.
    pub(super) restore: &'a PreviewRestore,
    pub(super) repository: &'a Repository,
    /// Commit the branch is at.
    pub(super) tip: &'a str,
    pub(super) files: Vec<FileChange>,
}

impl Session {
    /// Puts the plan together.
    pub(super) async fn assemble(&self, input: PlanInput<'_>) -> Result<Plan, CommandError> {
        let PlanInput {
            application,
            request,
            answer,
            restore,
            repository,
            tip,
            files,
        } = input;
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
                MAX_UNDONE,
            )
            .await?;
        let all = repository.count(&restore.to, tip).await?;
        let undoes: Vec<(String, String)> = match &request.kind {
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
        let then = match &request.kind {
            Kind::Revert(commits) if !commits.is_empty() => {
                repository.commit_info(&commits[0]).await?
            }
            _ => repository.commit_info(&restore.to).await?,
        };
        let mut notes: Vec<String> = answer.warnings.iter().map(|note| one_line(note)).collect();
        let entry = request
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
        let mut because = request.because.clone();
        if let Some(entry) = entry {
            because = format!("{because} (history {})", entry.id);
        }
        let sources = application.spec.effective_sources();
        let directories: Vec<&str> = sources.iter().map(|source| source.path.as_str()).collect();
        let delivery = if self.args.pr {
            Delivery::PullRequest(message::branch_name(&self.name, &restore.to, &request.kind))
        } else {
            Delivery::Push
        };
        let policy = application.spec.sync_policy.as_ref();
        Ok(Plan {
            namespace: self.namespace.clone(),
            application: self.name.clone(),
            cluster: self.connection.endpoint.context.clone(),
            kind: request.kind.clone(),
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
            exact: (!matches!(request.kind, Kind::Revert(_))).then_some(restore.exact),
            inexact_because: one_line(&restore.inexact_because),
            cautions: gates::cautions(answer, &directories),
            notes,
            delivery,
            hold: self.args.now,
            auto_sync: policy.is_some_and(|policy| policy.automation().is_some()),
        })
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
