//! Proposes the commit: on a branch of its own, with a pull request. Doing it again finds both.

use std::time::Instant;

use gitops_forge::{Forge, Proposal, Proposed};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text::{one_line, short_revision};

use crate::commands::rollback::deliver::{Delivered, Delivery};
use crate::commands::rollback::prepare::RollbackReady;
use crate::commands::rollback::session::Session;
use crate::forge;
use crate::git::{NewCommit, Pushed, Repository, Target};

/// Attempts to be faster than another run for the same branch.
const MAX_ATTEMPTS: usize = 5;

impl Session {
    /// Pushes the commit to the branch `onto` and opens a pull request.
    pub(super) async fn propose(
        &mut self,
        ready: &RollbackReady,
        onto: String,
        held: bool,
    ) -> Result<Delivered, CommandError> {
        let since = Instant::now();
        self.progress.begin(&format!("pushing to {onto}"));
        let message = self.message(ready);
        let commit = self.push_branch(ready, &onto, &message).await?;
        let mut delivery = Delivery {
            commit,
            branch: onto,
            proposed: true,
            pull_request: None,
            held,
            live: None,
            since,
        };
        self.open_pull_request(ready, &message, &mut delivery)
            .await?;
        Ok(Delivered::Done(delivery))
    }

    /// Brings the branch to a commit that holds the change; the one it is at, if it does.
    async fn push_branch(
        &mut self,
        ready: &RollbackReady,
        head: &str,
        message: &str,
    ) -> Result<String, CommandError> {
        let repository = &ready.repository;
        for _ in 0..MAX_ATTEMPTS {
            let existing = match repository.tip(head).await? {
                Some(_) => Some(repository.fetch_branch(head).await?),
                None => None,
            };
            if let Some(existing) = &existing
                && holds(repository, existing, ready).await?
            {
                self.progress
                    .done(&format!("committed before: {}", short_revision(existing)));
                self.progress
                    .done(&format!("pushed before: {}/{head}", repository.remote()));
                return Ok(existing.clone());
            }
            // What is on the branch already stays: the new commit follows it and the base.
            let parents: Vec<String> = existing.iter().chain([&ready.tip]).cloned().collect();
            let made = repository
                .commit(&NewCommit {
                    parents: &parents,
                    base: Some(&ready.tip),
                    edits: &ready.edits,
                    message,
                })
                .await?;
            let target = Target {
                branch: head,
                expected: existing.as_deref(),
            };
            match repository.push(&made, target).await? {
                Pushed::Done => {
                    let subject = message.lines().next().unwrap_or_default();
                    self.progress
                        .done(&format!("committed {} {subject}", short_revision(&made)));
                    self.progress
                        .done(&format!("pushed to {}/{head}", repository.remote()));
                    return Ok(made);
                }
                Pushed::Raced(_) => {}
                Pushed::Protected(reason) => {
                    return Err(CommandError::new(
                        CommandErrorKind::Server,
                        format!("the server takes no push to {head} either: {reason}"),
                    )
                    .hint("ask who runs the repository for the right to push branches"));
                }
            }
        }
        Err(CommandError::new(
            CommandErrorKind::Conflict,
            format!("others push to {head} all the time"),
        ))
    }

    async fn open_pull_request(
        &mut self,
        ready: &RollbackReady,
        message: &str,
        delivery: &mut Delivery,
    ) -> Result<(), CommandError> {
        let base = &ready.plan.git.branch;
        let proposal = Proposal {
            head: delivery.branch.clone(),
            base: base.clone(),
            title: message.lines().next().unwrap_or_default().to_owned(),
            body: body(ready, message),
        };
        self.progress.begin("opening a pull request");
        let address = ready.repository.url();
        let variable = |name: &str| std::env::var(name).ok();
        let forge = Forge::find(address, self.args.forge.as_ref(), variable).await;
        let forge = forge.map_err(forge::failure)?;
        let Some(forge) = forge else {
            self.progress.warn(&format!(
                "no forge with a known API serves {address}: open the pull request from {} to \
                 {base} yourself, or name the forge with --forge",
                delivery.branch
            ));
            return Ok(());
        };
        let name = forge.kind.request_name();
        let opened = forge.open_pull_request(&proposal).await;
        match opened.map_err(forge::failure)? {
            Proposed::Opened(request) => {
                self.progress.done(&format!("{name} {}", request.url));
                delivery.pull_request = Some(request.url);
            }
            Proposed::Existing(request) => {
                self.progress
                    .done(&format!("{name} {} is open already", request.url));
                delivery.pull_request = Some(request.url);
            }
            Proposed::ByHand(page) => {
                self.progress
                    .warn(&format!("open the {name} yourself: {page}"));
                self.progress.info(&forge.login_hint());
                delivery.pull_request = Some(page);
            }
        }
        Ok(())
    }
}

/// Whether a branch holds the change already, so that merging it brings exactly that.
async fn holds(
    repository: &Repository,
    existing: &str,
    ready: &RollbackReady,
) -> Result<bool, CommandError> {
    let Some(base) = repository.merge_base(existing, &ready.tip).await? else {
        return Ok(false);
    };
    let paths: Vec<&str> = ready.edits.iter().map(|edit| edit.path.as_str()).collect();
    let there = repository.entries(existing, &paths).await?;
    let wanted = ready
        .edits
        .iter()
        .all(|edit| there.get(&edit.path) == edit.entry.as_ref());
    // Nothing else comes with it, and nothing has happened to the files since.
    let only = repository
        .changes(&base, existing)
        .await?
        .iter()
        .all(|change| paths.contains(&change.path.as_str()));
    let same =
        repository.entries(&base, &paths).await? == repository.entries(&ready.tip, &paths).await?;
    Ok(wanted && only && same)
}

/// The pull request's text, in Markdown: the commit's, and what changes in the cluster.
fn body(ready: &RollbackReady, message: &str) -> String {
    let plan = &ready.plan;
    let mut lines = vec![
        "```".to_owned(),
        message
            .split_once("\n\n")
            .map_or(message, |(_, rest)| rest)
            .trim()
            .replace("```", "'''"),
        "```".to_owned(),
        String::new(),
        format!(
            "In cluster {}: {} to change, {} to create, {} to prune.",
            one_line(&plan.cluster),
            plan.counts.change,
            plan.counts.create,
            plan.counts.prune
        ),
        String::new(),
    ];
    for object in plan.objects.iter().take(50) {
        lines.push(format!(
            "- {:?} `{}`",
            object.action,
            one_line(&format!("{}/{}", object.kind, object.name)).replace('`', "'")
        ));
    }
    for caution in &plan.cautions {
        lines.push(format!(
            "- **{}**: {}",
            caution.code,
            caution.message.replace('`', "'")
        ));
    }
    lines.join("\n") + "\n"
}
