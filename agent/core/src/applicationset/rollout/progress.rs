//! How far one Application is: waiting, asked to sync, at it, healthy.

use gitops_api::Application;
use gitops_api::application_set::GeneratedApplicationStatus;
use gitops_api::constants::condition;
use gitops_api::status::OperationState;
use gitops_api::{HealthStatusCode, SyncStatusCode};
use jiff::Timestamp;

use crate::report::compared::seconds;

/// It has to be synced, and has not been asked to.
pub(super) const WAITING: &str = "Waiting";
/// It has been asked to sync, and has not begun.
pub(super) const PENDING: &str = "Pending";
/// It syncs, or has synced and is not healthy yet.
pub(super) const PROGRESSING: &str = "Progressing";
/// It is synced and healthy.
pub(super) const HEALTHY: &str = "Healthy";

/// The revisions it was compared with, one a source.
pub(super) fn revisions(app: &Application) -> Vec<String> {
    let sync = app.status.as_ref().and_then(|status| status.sync.as_ref());
    let all = sync
        .map(gitops_api::status::SyncStatus::compared_revisions)
        .unwrap_or_default();
    all.iter().filter(|one| !one.is_empty()).cloned().collect()
}

/// Whether it was compared with its spec as it is now.
pub(super) fn is_compared(app: &Application) -> bool {
    let sync = app.status.as_ref().and_then(|status| status.sync.as_ref());
    let Some(sync) = sync else { return false };
    if revisions(app).is_empty() {
        return false;
    }
    let Some(compared) = &sync.compared_to else {
        return true;
    };
    let sources = match &compared.source {
        Some(source) if compared.sources.is_empty() => std::slice::from_ref(source),
        _ => &compared.sources,
    };
    sources == app.spec.effective_sources() && compared.destination == app.spec.destination
}

/// The sync that was asked for, if it has begun since.
fn operation(app: &Application, since: Option<Timestamp>) -> Option<&OperationState> {
    let state = app.status.as_ref()?.operation_state.as_ref()?;
    let started = state.started_at.as_ref()?.0;
    since.is_none_or(|since| started >= since).then_some(state)
}

/// Why it gets no further by itself, once it has been asked to sync or cannot be compared.
pub(super) fn failure(app: &Application, entry: &GeneratedApplicationStatus) -> Option<String> {
    let status = app.status.as_ref()?;
    let mut conditions = status.conditions.iter();
    let error = conditions.find(|one| {
        let kind = &*one.condition_type;
        matches!(
            kind,
            condition::INVALID_SPEC_ERROR | condition::COMPARISON_ERROR | condition::UNKNOWN_ERROR
        )
    });
    if let Some(error) = error {
        return Some(error.message.clone());
    }
    if entry.status != PROGRESSING {
        return None;
    }
    if let Some(state) = operation(app, None)
        && state.phase.is_completed()
        && !state.phase.is_successful()
    {
        return Some(format!("its sync failed: {}", state.message));
    }
    let health = status.health.as_ref()?;
    (health.status == HealthStatusCode::Degraded).then(|| match &*health.message {
        "" => "it is Degraded".to_owned(),
        message => format!("it is Degraded: {message}"),
    })
}

/// Where it stands, by where it stood. `has_new_spec` says that its spec is not yet what the set asks for.
pub(super) fn judge(
    app: &Application,
    name: &str,
    step: Option<usize>,
    before: Option<&GeneratedApplicationStatus>,
    has_new_spec: bool,
    now: Timestamp,
) -> GeneratedApplicationStatus {
    let now = Some(seconds(now));
    let revisions = revisions(app);
    let mut entry = before
        .cloned()
        .unwrap_or_else(|| GeneratedApplicationStatus {
            application: name.to_owned(),
            message: "No Application status found, defaulting status to Waiting".into(),
            status: WAITING.into(),
            target_revisions: revisions.clone(),
            last_transition_time: now.clone(),
            ..GeneratedApplicationStatus::default()
        });
    entry.step = step.map_or_else(|| "-1".to_owned(), |step| (step + 1).to_string());
    let turn = |entry: &mut GeneratedApplicationStatus, status: &str, message: &str| {
        status.clone_into(&mut entry.status);
        message.clone_into(&mut entry.message);
        entry.last_transition_time.clone_from(&now);
    };
    let is_compared = is_compared(app);
    let is_news = is_compared && entry.target_revisions != revisions;
    if is_compared {
        entry.target_revisions = revisions;
    }
    // What was compared before a change of its spec says nothing about it.
    let is_stale = has_new_spec || !is_compared;
    let begins_anew = is_news || has_new_spec || is_stale && entry.status == HEALTHY;
    if begins_anew && entry.status != WAITING {
        turn(
            &mut entry,
            WAITING,
            "Application has pending changes, setting status to Waiting",
        );
    }
    if is_stale {
        return entry;
    }
    let status = app.status.as_ref();
    let is_synced = status
        .and_then(|status| status.sync.as_ref())
        .is_some_and(|sync| sync.status == SyncStatusCode::Synced);
    let health = status.and_then(|status| status.health.as_ref());
    let is_healthy = health.is_some_and(|health| health.status == HealthStatusCode::Healthy);
    match &*entry.status {
        WAITING if is_synced && is_healthy => turn(
            &mut entry,
            HEALTHY,
            "Application resource has synced, updating status to Healthy",
        ),
        WAITING if is_synced => turn(
            &mut entry,
            PROGRESSING,
            "Application resource has synced, updating status to Progressing",
        ),
        PENDING => {
            let since = entry.last_transition_time.as_ref().map(|time| time.0);
            if let Some(state) = operation(app, since) {
                let message = if state.phase.is_successful() {
                    "Application resource completed a sync successfully, updating status from Pending to Progressing"
                } else if state.phase.is_completed() {
                    "Application resource completed a sync, updating status from Pending to Progressing"
                } else {
                    "Application resource became Progressing, updating status from Pending to Progressing"
                };
                turn(&mut entry, PROGRESSING, message);
            } else if failure(app, &entry).is_some() {
                turn(
                    &mut entry,
                    PROGRESSING,
                    "Application resource has error and cannot sync, updating status to Progressing",
                );
            }
        }
        _ => {}
    }
    if entry.status == PROGRESSING && is_synced && is_healthy {
        turn(
            &mut entry,
            HEALTHY,
            "Application resource became Healthy, updating status from Progressing to Healthy",
        );
    }
    entry
}
