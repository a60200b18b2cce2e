//! What scripts read: the plan, and what became of it. Fields are only ever added within a version.

use gitops_views::rollback::plan::{Delivery, Kind, Plan, Point};
use serde_json::{Map, Value, json};

/// Version of the document `-o json` prints.
pub const VERSION: &str = "gitops-agent.io/rollback.v1";

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Done {
    /// `AlreadyThere`, `Planned`, `Pushed`, `Proposed`.
    pub outcome: &'static str,
    /// The commit that was made.
    pub commit: Option<String>,
    /// The branch it was pushed to.
    pub branch: Option<String>,
    /// Page of the pull request.
    pub pull_request: Option<String>,
    /// The agent was asked to hold.
    pub held: bool,
    /// Synced and healthy; `None`: not waited for.
    pub live: Option<bool>,
    /// Seconds from the push until live.
    pub seconds: Option<u64>,
}

/// The document. `plan` is `None` when there is nothing to do.
pub fn of(namespace: &str, application: &str, plan: Option<&Plan>, done: &Done) -> Value {
    let mut document = Map::new();
    document.insert("version".into(), VERSION.into());
    document.insert(
        "application".into(),
        json!({"namespace": namespace, "name": application}),
    );
    if let Some(plan) = plan {
        document.insert("plan".into(), plan_value(plan));
    }
    document.insert("result".into(), result_value(done));
    document.into()
}

fn plan_value(plan: &Plan) -> Value {
    let files: Vec<Value> = plan
        .git
        .files
        .iter()
        .map(|file| {
            json!({
                "path": file.path,
                "action": match (file.left, file.delete) {
                    (true, _) => "Leave",
                    (false, true) => "Delete",
                    (false, false) => "Restore",
                },
                "sharedWith": file.shared_with,
            })
        })
        .collect();
    let undoes: Vec<Value> = plan
        .git
        .undoes
        .iter()
        .map(|(id, subject)| json!({"commit": id, "subject": subject}))
        .collect();
    let cautions: Vec<Value> = plan
        .cautions
        .iter()
        .map(|caution| {
            json!({
                "code": caution.code,
                "message": caution.message,
                "object": caution.object,
                "flag": caution.gate.map(gitops_views::rollback::gates::Gate::flag),
            })
        })
        .collect();
    let (kind, commits) = match &plan.kind {
        Kind::Restore => ("Restore", Vec::new()),
        Kind::Revert(commits) => ("Revert", commits.clone()),
        Kind::Undo(commit) => ("Undo", vec![commit.clone()]),
    };
    json!({
        "kind": kind,
        "commits": commits,
        "now": point(&plan.now),
        "target": point(&plan.target),
        "git": {
            "repoURL": plan.git.repo_url,
            "branch": plan.git.branch,
            "from": plan.git.from,
            "to": plan.git.to,
            "files": files,
            "undoes": undoes,
            "otherCommits": plan.git.others,
        },
        "cluster": {
            "name": plan.cluster,
            // These are the API's own shapes; serializing them cannot fail.
            "counts": json!(plan.counts),
            "objects": json!(plan.objects),
            "truncated": plan.truncated,
        },
        "digest": plan.digest,
        "exact": plan.exact,
        "inexactBecause": plan.inexact_because,
        "cautions": cautions,
        "notes": plan.notes,
        "delivery": match &plan.delivery {
            Delivery::Push => "Push",
            Delivery::PullRequest(_) => "PullRequest",
        },
        "hold": plan.hold,
        "autoSync": plan.auto_sync,
    })
}

fn point(point: &Point) -> Value {
    json!({
        "commit": point.commit,
        "subject": point.subject,
        "author": point.author,
        "time": point.time.map(|time| time.to_string()),
        "note": point.note,
    })
}

fn result_value(done: &Done) -> Value {
    json!({
        "outcome": done.outcome,
        "commit": done.commit,
        "branch": done.branch,
        "pullRequest": done.pull_request,
        "held": done.held,
        "live": done.live,
        "seconds": done.seconds,
    })
}
