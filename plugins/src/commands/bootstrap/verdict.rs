//! Whether an Application delivers the commit that was waited for. Pure.

use gitops_api::{Application, HealthStatusCode, SyncStatusCode};
use gitops_kit::text;

use crate::cluster::follow::Verdict;

/// What is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// Name of the Application.
    pub name: String,
    /// The commit.
    pub commit: String,
    /// Revisions that have it in their history.
    pub newer: Vec<String>,
    /// Revisions that do not.
    pub other: Vec<String>,
}

/// Judges. A revision about which nothing is known pauses the following and is returned in
/// `unknown`: somebody has to look at the history.
pub fn judge(application: &Application, target: &Target, unknown: &mut Option<String>) -> Verdict {
    let name = &target.name;
    let Some(status) = &application.status else {
        return Verdict::Wait(format!(
            "waiting for the agent to look at Application {name}"
        ));
    };
    let error = status
        .conditions
        .iter()
        .find(|condition| condition.is_error());
    let revision = status
        .sync
        .as_ref()
        .map_or("", |sync| sync.revision.as_str());
    let at_target = revision == target.commit || target.newer.iter().any(|known| known == revision);
    let short = text::short_revision(revision);
    if let Some(error) = error {
        // The agent tries again by itself; credentials may just have been given.
        let message = text::cut(&text::one_line(&error.message), 300, false);
        return Verdict::Wait(format!("Application {name}: {message}"));
    }
    if revision.is_empty() || target.other.iter().any(|known| known == revision) {
        return Verdict::Wait(format!(
            "Application {name}: waiting for commit {}",
            text::short_revision(&target.commit)
        ));
    }
    if !at_target {
        *unknown = Some(revision.to_owned());
        return Verdict::Pause;
    }
    let synced = status
        .sync
        .as_ref()
        .is_some_and(|sync| sync.status == SyncStatusCode::Synced);
    let health = status.health.as_ref().map(|health| health.status);
    match (synced, health) {
        (true, Some(HealthStatusCode::Healthy)) => Verdict::Done(format!(
            "Application {name} is Synced and Healthy at {short}"
        )),
        (true, health) => Verdict::Wait(format!(
            "Application {name} is synced at {short}; {}",
            match health {
                Some(HealthStatusCode::Degraded) => "degraded",
                Some(HealthStatusCode::Suspended) => "suspended",
                Some(HealthStatusCode::Missing) => "objects are missing",
                _ => "waiting for its health",
            }
        )),
        (false, _) => Verdict::Wait(format!("Application {name}: syncing {short}")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn application(revision: &str, sync: &str, health: &str, conditions: &Value) -> Application {
        serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "root"},
            "spec": {"project": "default", "destination": {}},
            "status": {
                "sync": {"status": sync, "revision": revision}, "health": {"status": health},
                "conditions": conditions,
            },
        }))
        .unwrap()
    }

    #[test]
    fn only_the_commit_or_a_newer_one_counts() {
        let target = Target {
            name: "root".into(),
            commit: "c1".into(),
            newer: vec!["c2".into()],
            other: vec!["c0".into()],
        };
        let none = json!([]);
        let error = json!([{"type": "ComparisonError", "message": "no access\u{1b}[2J"}]);
        let table = [
            (
                "c1",
                "Synced",
                "Healthy",
                &none,
                "Done Application root is Synced and Healthy at c1",
                None,
            ),
            (
                "c2",
                "Synced",
                "Healthy",
                &none,
                "Done Application root is Synced and Healthy at c2",
                None,
            ),
            (
                "c1",
                "Synced",
                "Progressing",
                &none,
                "Wait Application root is synced at c1; waiting for its health",
                None,
            ),
            (
                "c1",
                "OutOfSync",
                "Healthy",
                &none,
                "Wait Application root: syncing c1",
                None,
            ),
            (
                "c0",
                "Synced",
                "Healthy",
                &none,
                "Wait Application root: waiting for commit c1",
                None,
            ),
            (
                "",
                "Unknown",
                "Unknown",
                &error,
                "Wait Application root: no access [2J",
                None,
            ),
            ("c3", "Synced", "Healthy", &none, "Pause", Some("c3")),
        ];
        for (revision, sync, health, conditions, expected, asked) in table {
            let mut unknown = None;
            let found = application(revision, sync, health, conditions);
            let shown = match judge(&found, &target, &mut unknown) {
                Verdict::Wait(text) => format!("Wait {text}"),
                Verdict::Done(text) => format!("Done {text}"),
                other => format!("{other:?}"),
            };
            assert_eq!(shown, expected);
            assert_eq!(unknown.as_deref(), asked);
        }
    }
}
