//! Short questions to an Application's status, shared by plans and verdicts.

use gitops_api::constants::annotation;
use gitops_api::status::{ApplicationCondition, OperationState};
use gitops_api::{Application, HealthStatusCode, OperationPhase, SyncStatusCode};
use gitops_kit::text;

/// Whether live is what Git says, as far as it is known.
pub fn sync(application: &Application) -> SyncStatusCode {
    application
        .status
        .as_ref()
        .and_then(|status| status.sync.as_ref())
        .map_or(SyncStatusCode::Unknown, |sync| sync.status)
}

/// Health of the whole, as far as it is known.
pub fn health(application: &Application) -> HealthStatusCode {
    application
        .status
        .as_ref()
        .and_then(|status| status.health.as_ref())
        .map_or(HealthStatusCode::Unknown, |health| health.status)
}

/// The revisions that were compared last, one a source.
pub fn compared(application: &Application) -> Vec<&str> {
    let sync = application
        .status
        .as_ref()
        .and_then(|status| status.sync.as_ref());
    let Some(sync) = sync else { return Vec::new() };
    if sync.revisions.is_empty() {
        Some(sync.revision.as_str())
            .filter(|revision| !revision.is_empty())
            .into_iter()
            .collect()
    } else {
        sync.revisions.iter().map(String::as_str).collect()
    }
}

/// The revisions whose manifests are live, one a source: what the agent says is live, else what
/// was compared if it is synced, else what was deployed last.
pub fn live(application: &Application) -> Vec<&str> {
    let Some(status) = &application.status else {
        return Vec::new();
    };
    if let Some(live) = &status.live {
        let commit = live.commit.revision.as_str();
        if !commit.is_empty() {
            return vec![commit];
        }
    }
    if sync(application) == SyncStatusCode::Synced {
        return compared(application);
    }
    let Some(last) = status.history.last() else {
        return Vec::new();
    };
    if last.revisions.is_empty() {
        Some(last.revision.as_str())
            .filter(|revision| !revision.is_empty())
            .into_iter()
            .collect()
    } else {
        last.revisions.iter().map(String::as_str).collect()
    }
}

/// Revisions as users read them: `91be07a`, `91be07a 1.2.3`.
pub fn spell(revisions: &[&str]) -> String {
    let short: Vec<String> = revisions
        .iter()
        .map(|revision| text::one_line(text::short_revision(revision)))
        .collect();
    short.join(" ")
}

/// The sync that is asked for or under way; `None` when everything is settled.
pub fn under_way(application: &Application) -> Option<&'static str> {
    if application.operation.is_some() {
        return Some("a sync is asked for");
    }
    match last_operation(application)?.phase {
        OperationPhase::Running => Some("a sync is under way"),
        OperationPhase::Terminating => Some("a sync is being terminated"),
        _ => None,
    }
}

/// The sync under way, or the last one.
pub fn last_operation(application: &Application) -> Option<&OperationState> {
    application.status.as_ref()?.operation_state.as_ref()
}

/// Who asked for the sync that is asked for or under way.
pub fn asked_by(application: &Application) -> String {
    let operation = application
        .operation
        .as_ref()
        .or(last_operation(application).map(|state| &state.operation));
    let who = operation.and_then(|operation| operation.initiated_by.as_ref());
    match who {
        Some(who) if !who.username.is_empty() => text::one_line(&who.username),
        Some(who) if who.automated => "the agent".into(),
        _ => "somebody".into(),
    }
}

/// The error that keeps the Application from being compared.
pub fn blocked(application: &Application) -> Option<&ApplicationCondition> {
    application
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|found| {
            found.is_error() && found.condition_type != gitops_api::constants::condition::SYNC_ERROR
        })
}

/// Whether the Application is to be left alone.
pub fn is_skipped(application: &Application) -> bool {
    application
        .metadata
        .annotations
        .as_ref()
        .and_then(|annotations| annotations.get(annotation::SKIP_RECONCILE))
        .is_some_and(|value| value == "true")
}

/// Whether the agent syncs by itself.
pub fn is_automated(application: &Application) -> bool {
    application
        .spec
        .sync_policy
        .as_ref()
        .and_then(|policy| policy.automation())
        .is_some()
}

/// The objects of a health, in short: `Deployment/web 1/3 (+2 more)`.
pub fn unhealthy(application: &Application, code: HealthStatusCode) -> Option<String> {
    let status = application.status.as_ref()?;
    let mut found = status.resources.iter().filter_map(|resource| {
        let health = resource.health.as_ref()?;
        (health.status == code).then_some((resource, health.message.as_str()))
    });
    let (first, message) = found.next()?;
    let message = if message.is_empty() {
        String::new()
    } else {
        format!(": {message}")
    };
    let more = match found.count() {
        0 => String::new(),
        count => format!(" (+{count} more)"),
    };
    Some(text::one_line(&format!(
        "{}/{}{message}{more}",
        resource_kind(&first.kind),
        first.name
    )))
}

fn resource_kind(kind: &str) -> &str {
    if kind.is_empty() { "object" } else { kind }
}

/// Name for messages, with its namespace when it needs one.
pub fn name(application: &Application) -> (&str, &str) {
    (
        application
            .metadata
            .namespace
            .as_deref()
            .unwrap_or_default(),
        application.metadata.name.as_deref().unwrap_or_default(),
    )
}
