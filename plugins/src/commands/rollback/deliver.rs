//! Carries the plan out: asks the agent to hold, makes the commit, pushes it.

use std::time::Instant;

use gitops_api::constants::annotation;
use gitops_api::{Application, Hold};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text::short_revision;
use gitops_views::rollback::gates;
use gitops_views::rollback::plan::Delivery as Planned;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::commands::rollback::message::Message;
use crate::commands::rollback::prepare::RollbackReady;
use crate::commands::rollback::session::Session;
use crate::git::{GitError, NewCommit, Pushed, Target};

/// Who writes to the Application, for the cluster's audit log.
pub(super) const FIELD_MANAGER: &str = "kubectl-gitops";

/// What came of carrying it out.
pub(super) enum Delivered {
    /// Somebody else pushed first.
    Raced,
    /// It is on the server.
    Done(Delivery),
}

/// What was delivered.
pub(super) struct Delivery {
    pub(super) commit: String,
    pub(super) branch: String,
    /// It is on a branch of its own, to be merged.
    pub(super) proposed: bool,
    pub(super) pull_request: Option<String>,
    pub(super) held: bool,
    pub(super) live: Option<bool>,
    pub(super) since: Instant,
}

impl Session {
    /// Makes sure that the commit can be made and pushed, as far as that can be known beforehand.
    pub(super) async fn check_writing(
        &mut self,
        ready: &RollbackReady,
    ) -> Result<(), CommandError> {
        self.progress.begin("checking that you may push");
        let repository = &ready.repository;
        repository.check_identity().await?;
        // Nothing is pushed: the branch stays at the commit it is at.
        let branch = ready.plan.git.branch.as_str();
        let target = Target {
            branch,
            expected: Some(&ready.tip),
        };
        let tried = repository.try_push(&ready.tip, target).await;
        self.progress.clear();
        match tried {
            // Whether a branch is protected shows when it is pushed to.
            Ok(_) => Ok(()),
            Err(GitError::Denied { url, reason }) => {
                Err(CommandError::from(GitError::Denied { url, reason })
                    .hint("who may push can roll back; with --now the agent can hold meanwhile"))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Carries the plan out once.
    pub(super) async fn deliver(
        &mut self,
        ready: &RollbackReady,
    ) -> Result<Delivered, CommandError> {
        let held = if ready.plan.hold {
            self.hold(ready).await?;
            true
        } else {
            false
        };
        let result = self.write(ready, held).await;
        result.map_err(|error| {
            if held {
                error.hint(format!(
                    "the agent delivers the good version meanwhile; end that with: kubectl \
                     annotate application {} -n {} {}-",
                    self.name,
                    self.namespace,
                    annotation::HOLD
                ))
            } else {
                error
            }
        })
    }

    async fn write(
        &mut self,
        ready: &RollbackReady,
        held: bool,
    ) -> Result<Delivered, CommandError> {
        if let Planned::PullRequest(branch) = &ready.plan.delivery {
            return self.propose(ready, branch.clone(), held).await;
        }
        self.progress.begin("committing");
        let message = self.message(ready);
        let made = ready
            .repository
            .commit(&NewCommit {
                parents: std::slice::from_ref(&ready.tip),
                base: None,
                edits: &ready.edits,
                message: &message,
            })
            .await?;
        let branch = ready.plan.git.branch.clone();
        self.progress.begin(&format!("pushing to {branch}"));
        let target = Target {
            branch: &branch,
            expected: Some(&ready.tip),
        };
        let since = Instant::now();
        match ready.repository.push(&made, target).await? {
            Pushed::Done => {
                let subject = message.lines().next().unwrap_or_default();
                self.progress
                    .done(&format!("committed {} {subject}", short_revision(&made)));
                self.progress
                    .done(&format!("pushed to {}/{branch}", ready.repository.remote()));
                Ok(Delivered::Done(Delivery {
                    commit: made,
                    branch,
                    proposed: false,
                    pull_request: None,
                    held,
                    live: None,
                    since,
                }))
            }
            Pushed::Raced(Some(_)) => Ok(Delivered::Raced),
            Pushed::Raced(None) => Err(CommandError::new(
                CommandErrorKind::Refused,
                format!("branch {branch} was deleted on the server meanwhile"),
            )),
            Pushed::Protected(reason) => {
                self.progress.warn(&format!(
                    "{branch} takes no pushes: {reason}; proposing it instead"
                ));
                let kind = &ready.plan.kind;
                let onto = crate::commands::rollback::message::branch_name(
                    &self.name,
                    &ready.plan.git.to,
                    kind,
                );
                self.propose(ready, onto, held).await
            }
        }
    }

    /// What the commit says.
    pub(super) fn message(&self, ready: &RollbackReady) -> String {
        let plan = &ready.plan;
        let opened = self.args.allow.opened();
        let undoes: Vec<String> = plan.git.undoes.iter().map(|(id, _)| id.clone()).collect();
        let message = Message {
            kind: &plan.kind,
            namespace: &self.namespace,
            application: &self.name,
            path: &ready.path,
            from: &ready.tip,
            to: &plan.git.to,
            to_subject: &plan.target.subject,
            files: plan.git.changed().count(),
            digest: &plan.digest,
            reason: self.args.reason.as_deref(),
            undoes: &undoes,
            allowed: &gates::passed(&plan.cautions, &opened),
        };
        message.text()
    }

    /// Asks the agent to deliver the good revision at once.
    async fn hold(&mut self, ready: &RollbackReady) -> Result<(), CommandError> {
        let plan = &ready.plan;
        let by = match ready.repository.user_name().await {
            Some(name) => name,
            None => std::env::var("USER").unwrap_or_default(),
        };
        let hold = Hold {
            revision: plan.git.to.clone(),
            revisions: ready.hold_revisions.clone(),
            instead_of: plan.git.from.clone(),
            instead_of_digest: ready.tracked_digest.clone(),
            by,
            reason: self
                .args
                .reason
                .clone()
                .unwrap_or_else(|| format!("rollback to {}", short_revision(&plan.git.to))),
            ..Hold::default()
        };
        let text = serde_json::to_string(&hold).map_err(|error| {
            CommandError::new(
                CommandErrorKind::Internal,
                format!("cannot write the hold: {error}"),
            )
        })?;
        let patch = json!({"metadata": {"annotations": {annotation::HOLD: text}}});
        self.patch(&patch, "ask the agent to hold").await?;
        self.progress.done(&format!(
            "held: the agent delivers {}",
            short_revision(&plan.git.to)
        ));
        Ok(())
    }

    /// Changes the Application. `what` completes "cannot …".
    pub(super) async fn patch(
        &self,
        patch: &serde_json::Value,
        what: &str,
    ) -> Result<(), CommandError> {
        let api: Api<Application> =
            Api::namespaced(self.connection.client.clone(), &self.namespace);
        let params = PatchParams {
            field_manager: Some(FIELD_MANAGER.to_owned()),
            ..PatchParams::default()
        };
        let patch = Patch::Merge(patch);
        let request = api.patch(&self.name, &params, &patch);
        self.connection.ask(what, request).await.map(drop)
    }
}
