//! `approve`: agrees to deletions that the agent does not carry out unasked.

use clap::Args;
use gitops_api::Application;
use gitops_api::constants::annotation;
use gitops_core::reason;
use gitops_kit::exit::{CommandError, ExitStatus};
use gitops_kit::output::ColorArgs;
use gitops_kit::progress::Progress;
use gitops_kit::{prompt, text};
use jiff::Timestamp;
use kube::Api;
use kube::api::{Patch, PatchParams};
use serde_json::json;

use crate::cluster::application;
use crate::cluster::connection::ConnectionArgs;
use crate::commands::sync::state;

/// Agree to deletions that wait for a user
///
/// The agent asks before it deletes objects with the option Delete=confirm or Prune=confirm, and
/// before a prune that is larger than the application's budget. This shows what it asks, and says
/// yes for what was asked until now, not for anything later.
///
/// Examples:
///   kubectl gitops approve web
///   kubectl gitops approve web --yes
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct ApproveArgs {
    /// Application: NAME or NAMESPACE/NAME
    #[arg(value_name = "APP", required = !prompt::can_pick())]
    pub application: Option<String>,

    /// Do not ask again
    #[arg(long, short)]
    pub yes: bool,

    #[command(flatten)]
    pub color: ColorArgs,
}

/// What the agent asks about an application; each question once.
fn questions(application: &Application) -> Vec<String> {
    let status = application.status.as_ref();
    let mut questions = status.map(reason::questions).unwrap_or_default();
    questions.sort();
    questions
}

/// What Git no longer has, one line each: the question names only the first few.
fn deletions(application: &Application) -> Vec<String> {
    const SHOWN: usize = 30;
    let status = application.status.as_ref();
    let resources = status.into_iter().flat_map(|status| &status.resources);
    let mut lines: Vec<String> = resources
        .filter(|resource| resource.requires_pruning && !resource.hook)
        .map(|resource| {
            let place = match resource.namespace.as_str() {
                "" => String::new(),
                namespace => format!(" in {namespace}"),
            };
            text::one_line(&format!("{}/{}{place}", resource.kind, resource.name))
        })
        .collect();
    if let Some(more) = lines.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.truncate(SHOWN);
        lines.push(format!("and {more} more; kubectl gitops diff shows all"));
    }
    lines
}

/// The time of the consent: now, but never before what is agreed to, whatever the clock here says.
fn time(application: &Application, now: Timestamp) -> Timestamp {
    let deleted = application.metadata.deletion_timestamp.as_ref();
    let status = application.status.as_ref();
    let operation = status.and_then(|status| status.operation_state.as_ref());
    let begun = operation.and_then(|operation| operation.started_at.as_ref());
    [deleted, begun]
        .into_iter()
        .flatten()
        .map(|time| time.0)
        .fold(now, Timestamp::max)
}

/// Runs the command.
pub async fn run(args: ApproveArgs, flags: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let connection = flags.connect_or_pick(!args.yes).await?;
    let given = args.application.as_deref();
    let name = application::given_or_picked(given, !args.yes, &flags, &connection).await?;
    let application = application::find(&name, &flags, &connection).await?;
    let (namespace, name) = state::name(&application);
    let mut progress = Progress::new(args.color.color);
    let questions = questions(&application);
    if questions.is_empty() {
        progress.done(&format!("{name}: nothing is waiting for approval"));
        return Ok(ExitStatus::Success);
    }
    for question in &questions {
        progress.info(&format!("{name}: {}", text::one_line(question)));
    }
    for line in deletions(&application) {
        progress.info(&line);
    }
    let question = format!("Approve these deletions for Application {name}?");
    prompt::confirm(&question, args.yes, "--yes").await?;
    let time = time(&application, Timestamp::now());
    // Something else may be asked by now: a consent is for what was shown.
    let patch = Patch::Merge(json!({"metadata": {
        "resourceVersion": application.metadata.resource_version,
        "annotations": {annotation::DELETION_APPROVED: time.to_string()},
    }}));
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    let params = PatchParams::default();
    connection
        .ask(
            &format!("approve deletions of Application {name}"),
            api.patch(name, &params, &patch),
        )
        .await?;
    progress.done(&format!("{name}: approved; the agent goes on"));
    Ok(ExitStatus::Success)
}

#[cfg(test)]
mod tests {
    use gitops_core::sync::approval;

    use super::*;

    #[test]
    fn asks_what_the_agent_asks_and_agrees_to_nothing_later() {
        let subject = approval::Subject {
            namespace: "argocd",
            name: "shop",
        };
        let how = approval::how(subject, &approval::Approval::Missing);
        let application: Application = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop", "deletionTimestamp": "2026-11-21T12:00:00Z"},
            "spec": {"destination": {}, "project": "default"},
            "status": {"conditions": [
                {"type": "SyncError", "message": "something else"},
                {"type": "DeletionError", "message": format!("delete a; {how}")},
            ], "operationState": {"operation": {}, "phase": "Running",
                "startedAt": "2026-11-21T11:00:00Z", "message": format!("delete a; {how}")}},
        }))
        .unwrap();
        assert_eq!(questions(&application), ["delete a"]);
        assert!(deletions(&application).is_empty());
        let at = |text: &str| time(&application, text.parse().unwrap()).to_string();
        assert_eq!(at("2026-11-21T12:30:00Z"), "2026-11-21T12:30:00Z");
        assert_eq!(at("2026-11-21T11:30:00Z"), "2026-11-21T12:00:00Z");
    }

    #[test]
    fn names_what_would_be_deleted_and_how_many_there_are_besides() {
        let extra = |number: usize| {
            json!({"kind": "ConfigMap", "name": format!("flag-{number}"), "namespace": "shop",
                   "requiresPruning": number > 0})
        };
        let resources: Vec<_> = (0..33).map(extra).collect();
        let application: Application = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "shop"}, "spec": {"destination": {}, "project": "default"},
            "status": {"resources": resources},
        }))
        .unwrap();
        let lines = deletions(&application);
        assert_eq!(lines.len(), 31);
        assert_eq!(lines[0], "ConfigMap/flag-1 in shop");
        assert_eq!(lines[30], "and 2 more; kubectl gitops diff shows all");
    }
}
