//! Carries out what was decided: the commit first, because a refused push leaves everything as it
//! was; then the cluster, definitions before what needs them; Argo CD stops only when the agent runs
//! and waits for that; then waits until the agent delivers itself. Each step may be repeated: an interrupted run is gone on with by the next.

use std::time::Duration;

use gitops_api::Application;
use gitops_api::constants::annotation;
use gitops_forge::{Proposal, Proposed, Registered};
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::progress::Progress;
use gitops_kit::{prompt, text};
use serde_json::json;

use crate::cluster::connection::Connection;
use crate::cluster::follow::{Followed, follow_step};
use crate::commands::bootstrap::check::Ready;
use crate::commands::bootstrap::cluster::{Cluster, shown};
use crate::commands::bootstrap::layout::{AGENT, Layout, PlannedFile, ROOT};
use crate::commands::bootstrap::plan::Verb;
use crate::commands::bootstrap::verdict::{Target as Wanted, judge};
use crate::commands::bootstrap::{manifests, source, take_over};
use crate::forge;
use crate::git::{Pushed, Target};

/// Pushes tried while others push too.
const PUSHES: usize = 8;
/// Field manager of what the agent does not own.
const OWN_MANAGER: &str = "kubectl-gitops";

/// How it was answered beforehand, and how long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Manner {
    /// All questions are answered with yes.
    pub yes: bool,
    /// Longest wait for each thing.
    pub timeout: Duration,
}

/// How it ended.
pub enum Outcome {
    /// The agent delivers itself.
    Done(ExitStatus),
    /// A pull request waits for users.
    Proposed(String),
}

/// Does it.
pub async fn execute(
    mut ready: Ready,
    connection: &Connection,
    manner: Manner,
    progress: &mut Progress,
) -> Result<Outcome, CommandError> {
    let cluster = Cluster { connection };
    let (commit, proposed) = deliver(&mut ready, progress).await?;
    apply(&ready, cluster, progress).await?;
    credentials(&ready, cluster, manner, progress).await?;
    let deployment = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": manifests::NAME, "namespace": ready.layout.namespace}});
    progress.begin("waiting for the agent");
    // While Argo CD runs the agent writes nothing. If it does not even start, Argo CD goes on.
    let adopts = !ready.conflicting_controllers.is_empty();
    let started = cluster
        .available(&deployment, manner.timeout, progress)
        .await;
    started.map_err(|error| {
        if adopts {
            error
                .hint("Argo CD was not stopped: it serves the Applications as before")
                .hint("repair what keeps the agent from starting and run this again, or remove it: kubectl gitops uninstall")
        } else {
            error
        }
    })?;
    progress.done(if adopts {
        "agent running, waits for Argo CD to stop"
    } else {
        "agent running"
    });
    for rival in &ready.conflicting_controllers {
        progress.begin(&format!("stopping {}", rival.shown()));
        let object = take_over::object(rival);
        cluster.merge(&object, &take_over::stop(rival)).await?;
        cluster.available(&object, manner.timeout, progress).await?;
        progress.done(&format!("stopped {} in {}", rival.shown(), rival.namespace));
    }
    root(&ready, cluster, progress).await?;
    if let Some(page) = proposed {
        return Ok(Outcome::Proposed(page));
    }
    let Some(commit) = commit else {
        return Ok(Outcome::Done(ExitStatus::Success));
    };
    let status = Box::pin(wait(&ready, connection, &commit, manner.timeout, progress)).await?;
    Ok(Outcome::Done(status))
}

/// Gets the files to where the agent reads them, or proposes them. Returns the commit to wait for,
/// and the page of the proposal.
async fn deliver(
    ready: &mut Ready,
    progress: &mut Progress,
) -> Result<(Option<String>, Option<String>), CommandError> {
    let Some(commit) = ready.commit.clone() else {
        return Ok((ready.tip.commit.clone(), None));
    };
    match ready.plan.proposal.clone() {
        None => push(ready, commit, progress)
            .await
            .map(|id| (Some(id), None)),
        Some((head, _)) => {
            let page = propose(ready, &commit, &head, progress).await?;
            Ok((None, Some(page)))
        }
    }
}

/// Pushes the commit; makes it anew upon what others pushed meanwhile.
async fn push(
    ready: &mut Ready,
    mut commit: String,
    progress: &mut Progress,
) -> Result<String, CommandError> {
    let branch = ready.layout.branch.clone();
    progress.begin(&format!("pushing to {branch}"));
    for _ in 0..PUSHES {
        let target = Target {
            branch: &branch,
            expected: ready.tip.commit.as_deref(),
        };
        match ready.repository.push(&commit, target).await? {
            Pushed::Done => {
                progress.done(&format!(
                    "commit {} pushed to {branch}",
                    text::short_revision(&commit)
                ));
                return Ok(commit);
            }
            Pushed::Protected(why) => return Err(source::protected(&branch, &why)),
            Pushed::Raced(_) => {
                progress.update("somebody else pushed: trying again upon their commit");
                ready.tip = source::read(&ready.repository, &ready.layout).await?;
                let install = ready.installation.to_yaml()?;
                ready.plan.files = ready.layout.plan(&ready.tip.files, &install)?;
                ready.layout.beside(&ready.tip.files)?;
                if !ready.plan.files.iter().any(PlannedFile::is_written) {
                    progress.done("commit somebody else pushed the same files");
                    return ready.tip.commit.clone().ok_or_else(|| busy(&branch));
                }
                commit = source::commit(
                    &ready.repository,
                    ready.tip.commit.as_deref(),
                    &ready.plan.files,
                    &ready.message,
                )
                .await?;
            }
        }
    }
    Err(busy(&branch))
}

fn busy(branch: &str) -> CommandError {
    CommandError::new(
        CommandErrorKind::Incomplete,
        format!("others pushed to {branch} {PUSHES} times while this tried; nothing was changed"),
    )
    .hint("run the command again")
}

async fn propose(
    ready: &Ready,
    commit: &str,
    head: &str,
    progress: &mut Progress,
) -> Result<String, CommandError> {
    progress.begin(&format!("pushing to {head}"));
    if ready.repository.tip(head).await?.is_none() {
        let target = Target {
            branch: head,
            expected: None,
        };
        match ready.repository.push(commit, target).await? {
            Pushed::Done => progress.done(&format!("branch {head} pushed")),
            // Somebody else made the same branch of the same files.
            Pushed::Raced(_) => progress.done(&format!("branch {head} is there")),
            Pushed::Protected(why) => return Err(source::protected(head, &why)),
        }
    } else {
        progress.done(&format!("branch {head} is there already"));
    }
    let title = ready.message.lines().next().unwrap_or_default().to_owned();
    let proposal = Proposal {
        head: head.to_owned(),
        base: ready.layout.branch.clone(),
        title,
        body: format!(
            "Puts gitops-agent under the control of Git, in `{}`.\n\nThe agent is in the cluster and follows `{}`: it \
             delivers these files as soon as they are merged.\n",
            ready.layout.directory(),
            ready.layout.branch
        ),
    };
    let Some(forge) = &ready.forge else {
        progress.warn(&format!(
            "the forge's API is not known: open a pull request from {head} to {} by hand (--forge KIND tells which it is)",
            proposal.base
        ));
        return Ok(format!("branch {head}"));
    };
    let name = forge.kind.request_name();
    let opened = forge.open_pull_request(&proposal).await;
    match opened.map_err(forge::failure)? {
        Proposed::Opened(request) => {
            progress.done(&format!("{name} {} opened", request.url));
            Ok(request.url)
        }
        Proposed::Existing(request) => {
            progress.done(&format!("{name} {} is open already", request.url));
            Ok(request.url)
        }
        Proposed::ByHand(page) => {
            progress.warn(&format!("open the {name} by hand: {page}"));
            progress.info(&forge.login_hint());
            Ok(page)
        }
    }
}

/// Applies what the cluster lacks or has otherwise, as the agent will apply it from then on.
async fn apply(
    ready: &Ready,
    cluster: Cluster<'_>,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    let is_definition = |object: &&serde_json::Value| object["kind"] == "CustomResourceDefinition";
    let (definitions, others): (Vec<_>, Vec<_>) = ready.objects.iter().partition(is_definition);
    if ready.objects.is_empty() {
        return Ok(());
    }
    for object in &definitions {
        progress.begin(&format!("applying {}", shown(object)));
        cluster.apply_for_agent(object).await?;
    }
    for object in ready.installation.definitions() {
        cluster.established(object).await?;
    }
    if !definitions.is_empty() {
        progress.done(&format!("applied {} CRDs", definitions.len()));
    }
    for object in &others {
        progress.begin(&format!("applying {}", shown(object)));
        cluster.apply_for_agent(object).await?;
    }
    let created = ready
        .plan
        .objects
        .iter()
        .filter(|change| change.verb == Verb::Create)
        .count();
    let count = ready.objects.len();
    let objects = if count == 1 { "object" } else { "objects" };
    progress.done(&format!("applied {count} {objects}, {created} new"));
    Ok(())
}

/// Writes the Secret, then tells the forge about the key in it: a run that is interrupted between
/// the two finds the key again.
async fn credentials(
    ready: &Ready,
    cluster: Cluster<'_>,
    manner: Manner,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    if let Some(secret) = &ready.secret {
        progress.begin(&format!("writing {}", shown(secret)));
        cluster.apply(secret, OWN_MANAGER).await?;
        progress.done(&format!("wrote {}", shown(secret)));
    }
    let Some(key) = &ready.deploy_key else {
        return Ok(());
    };
    let page = match &ready.forge {
        None => None,
        Some(forge) => {
            progress.begin("registering the deploy key");
            let registered = forge.register_deploy_key(key).await;
            match registered.map_err(forge::failure)? {
                Registered::Added => {
                    progress.done(&format!("deploy key added at {}, read-only", forge.kind));
                    return Ok(());
                }
                Registered::Existing => {
                    progress.done(&format!("deploy key is known at {}", forge.kind));
                    return Ok(());
                }
                Registered::ByHand(page) => Some((page, forge.login_hint())),
            }
        }
    };
    progress.clear();
    progress.warn("add this key to the repository as a deploy key that may only read:");
    progress.info(&key.public_key);
    if let Some((page, hint)) = page {
        progress.info(&format!("here: {page}"));
        progress.info(&hint);
    }
    prompt::confirm("Is it added?", manner.yes, "--yes").await
}

/// Applies the root Application, and asks the agent to look at once.
async fn root(
    ready: &Ready,
    cluster: Cluster<'_>,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    let file = ready
        .plan
        .files
        .iter()
        .find(|file| file.path == ready.layout.root_file());
    let parsed = file.map(|file| manifests::parse(&file.text)).transpose()?;
    let root = parsed
        .and_then(|objects| objects.into_iter().next())
        .unwrap_or_else(|| ready.layout.root());
    progress.begin("asking the agent to look at the commit");
    if ready.plan.root_changes {
        progress.begin("applying the root Application");
        cluster.apply_for_agent(&root).await?;
        progress.done(&format!("applied {}", shown(&root)));
    }
    let refresh = json!({"metadata": {"annotations": {annotation::REFRESH: "normal"}}});
    for application in [root, ready.layout.agent()] {
        if cluster.live(&application).await?.is_some() {
            cluster.merge(&application, &refresh).await?;
        }
    }
    progress.clear();
    Ok(())
}

/// Waits until both Applications are synced and healthy at the commit, or at one that has it in
/// its history.
async fn wait(
    ready: &Ready,
    connection: &Connection,
    commit: &str,
    timeout: Duration,
    progress: &mut Progress,
) -> Result<ExitStatus, CommandError> {
    for name in [ROOT, AGENT] {
        // Revisions known to have the commit in their history, and those known not to.
        let mut wanted = Wanted {
            name: name.to_owned(),
            commit: commit.to_owned(),
            newer: Vec::new(),
            other: ready
                .tip
                .commit
                .iter()
                .filter(|earlier| *earlier != commit)
                .cloned()
                .collect(),
        };
        loop {
            let followed = Followed {
                namespace: &ready.layout.namespace,
                name,
                timeout: Some(timeout),
            };
            progress.begin(&format!("waiting for Application {name}"));
            let mut unknown: Option<String> = None;
            let judge = |application: &Application, _: &mut Progress| {
                judge(application, &wanted, &mut unknown)
            };
            let ended = Box::pin(follow_step(connection, &followed, progress, judge)).await?;
            match (ended, unknown) {
                (Some(ExitStatus::Success), _) => break,
                (Some(status), _) => return Ok(status),
                (None, Some(revision)) => {
                    if has(ready, &ready.layout, commit, &revision).await? {
                        wanted.newer.push(revision);
                    } else {
                        wanted.other.push(revision);
                    }
                }
                (None, None) => {}
            }
        }
    }
    Ok(ExitStatus::Success)
}

/// Whether a commit is in the history of a revision.
async fn has(
    ready: &Ready,
    layout: &Layout,
    commit: &str,
    revision: &str,
) -> Result<bool, CommandError> {
    ready.repository.fetch_branch(&layout.branch).await?;
    if !ready.repository.has_commit(revision).await? {
        return Ok(false);
    }
    Ok(ready.repository.is_ancestor(commit, revision).await?)
}
