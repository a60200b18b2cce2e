//! Verdicts on an Application that a command waits for: on a sync it asked for, on a refresh, on
//! the end of an operation.

use gitops_api::status::{OperationState, ResourceResult};
use gitops_api::{Application, HealthStatusCode, OperationPhase, ResultCode, SyncStatusCode};
use gitops_core::report::sentence;
use gitops_kit::exit::ExitStatus;
use gitops_kit::progress::Mark;
use gitops_kit::text;
use gitops_views::status::reason;
use jiff::Timestamp;

use crate::cluster::follow::Verdict;
use crate::cluster::look;
use crate::commands::sync::{operation, state};

/// Seconds an Application has to stay Degraded until it counts: what was just applied may be judged
/// by what was there before.
pub const DEGRADED_SECONDS: i64 = 10;

/// Seconds in which objects without finalizers are gone after a prune.
const LEAVING_SECONDS: i64 = 10;

/// How a sync that was asked for gets on. `degraded_since` is kept between calls.
pub fn of_sync(
    application: &Application,
    id: &str,
    dry_run: bool,
    degraded_since: &mut Option<Timestamp>,
    now: Timestamp,
) -> Verdict {
    let (_, name) = state::name(application);
    if let Some(pending) = &application.operation
        && state::last_operation(application).is_none_or(|last| !operation::is(&last.operation, id))
    {
        return if operation::is(pending, id) {
            Verdict::Wait(format!("{name}: waiting for the agent to begin"))
        } else {
            Verdict::Failed(
                format!("{name}: somebody else asked for another sync instead"),
                ExitStatus::No,
            )
        };
    }
    let Some(last) =
        state::last_operation(application).filter(|last| operation::is(&last.operation, id))
    else {
        return Verdict::Failed(
            format!("{name}: the request was cancelled, or another sync followed at once"),
            ExitStatus::No,
        );
    };
    let message = text::one_line(sentence::done(&last.message));
    match last.phase {
        OperationPhase::Failed | OperationPhase::Error => {
            Verdict::Failed(format!("{name}: sync failed: {message}"), ExitStatus::No)
        }
        OperationPhase::Succeeded if dry_run => Verdict::Done(format!("{name}: {message}")),
        OperationPhase::Succeeded => match leaving(application, last, now) {
            0 => of_health(application, degraded_since, now, &took(last, &message)),
            1 => Verdict::Wait(format!("{name}: 1 pruned object is still on its way out")),
            count => Verdict::Wait(format!(
                "{name}: {count} pruned objects are still on their way out"
            )),
        },
        OperationPhase::Running | OperationPhase::Terminating | OperationPhase::Unknown => {
            Verdict::Wait(format!("{name}: {}", running(last)))
        }
    }
}

/// How many objects a sync pruned a moment ago that are still there. One that stays longer has a
/// finalizer to wait for, which is no longer a matter of this sync.
fn leaving(application: &Application, sync: &OperationState, now: Timestamp) -> usize {
    let age = sync
        .finished_at
        .as_ref()
        .map_or(0, |finished| now.as_second() - finished.0.as_second());
    let (Some(result), Some(status)) = (&sync.sync_result, &application.status) else {
        return 0;
    };
    if age > LEAVING_SECONDS {
        return 0;
    }
    let pruned = result
        .resources
        .iter()
        .filter(|done| done.status == Some(ResultCode::Pruned));
    let there = |done: &&ResourceResult| {
        status.resources.iter().any(|listed| {
            listed.requires_pruning
                && listed.kind == done.kind
                && listed.group == done.group
                && listed.namespace == done.namespace
                && listed.name == done.name
        })
    };
    pruned.filter(there).count()
}

/// What is said of a sync under way.
pub fn running(operation: &OperationState) -> String {
    let what = match operation.phase {
        OperationPhase::Terminating => "being terminated",
        _ if operation.finished_at.is_some() => "waiting to try again",
        _ => "syncing",
    };
    if operation.message.is_empty() || operation.message == what {
        what.to_owned()
    } else {
        format!("{what}: {}", text::one_line(&operation.message))
    }
}

fn took(operation: &OperationState, message: &str) -> String {
    let seconds = match (&operation.started_at, &operation.finished_at) {
        (Some(started), Some(finished)) => finished.0.as_second() - started.0.as_second(),
        _ => 0,
    };
    if seconds > 0 {
        format!("{message} in {}", text::duration(seconds))
    } else {
        message.to_owned()
    }
}

/// After a sync went well: waits until what was applied works.
fn of_health(
    application: &Application,
    degraded_since: &mut Option<Timestamp>,
    now: Timestamp,
    done: &str,
) -> Verdict {
    let (_, name) = state::name(application);
    let health = state::health(application);
    if health != HealthStatusCode::Degraded {
        *degraded_since = None;
    }
    match health {
        HealthStatusCode::Healthy | HealthStatusCode::Suspended => Verdict::Done(format!(
            "{name}: {}, {health} ({done})",
            state::sync(application)
        )),
        HealthStatusCode::Degraded => {
            let since = *degraded_since.get_or_insert(now);
            let why = state::unhealthy(application, health).unwrap_or_else(|| "degraded".into());
            if now.as_second() - since.as_second() < DEGRADED_SECONDS {
                Verdict::Wait(format!("{name}: applied, but {why}"))
            } else {
                Verdict::Failed(format!("{name}: Degraded: {why}"), ExitStatus::No)
            }
        }
        HealthStatusCode::Missing | HealthStatusCode::Progressing | HealthStatusCode::Unknown => {
            let why = state::unhealthy(application, health)
                .map_or_else(|| health.to_string(), |why| format!("{health}: {why}"));
            Verdict::Wait(format!("{name}: applied, {why}"))
        }
    }
}

/// What the sync did with one object, as it is told: `Deployment/web configured; changed in Git`. Results are
/// told once; `told` remembers them.
pub fn news(operation: &OperationState, told: &mut Vec<String>) -> Vec<(Mark, String)> {
    let results = operation
        .sync_result
        .iter()
        .flat_map(|result| &result.resources);
    results
        .filter_map(|result| {
            let (mark, line) = result_line(result)?;
            if told.contains(&line) {
                return None;
            }
            told.push(line.clone());
            Some((mark, line))
        })
        .collect()
}

fn result_line(result: &ResourceResult) -> Option<(Mark, String)> {
    let failed_hook = matches!(
        result.hook_phase,
        Some(OperationPhase::Failed | OperationPhase::Error)
    );
    let mark = match result.status {
        Some(ResultCode::SyncFailed) => Mark::Failed,
        _ if failed_hook => Mark::Failed,
        Some(ResultCode::PruneSkipped) => Mark::Warning,
        Some(ResultCode::Synced | ResultCode::Pruned) => Mark::Done,
        Some(ResultCode::Unknown) | None => match result.hook_phase {
            Some(OperationPhase::Succeeded) => Mark::Done,
            Some(_) => Mark::Running,
            None => return None,
        },
    };
    let hook = result
        .hook_type
        .map_or(String::new(), |hook| format!(" ({hook} hook)"));
    Some((
        mark,
        text::one_line(&format!(
            "{}/{}{hook} {}",
            result.kind,
            result.name,
            sentence::without_name(result)
        )),
    ))
}

/// Whether a refresh was carried out, and what it found.
pub fn of_refresh(application: &Application) -> Verdict {
    let (_, name) = state::name(application);
    if look::is_asked(application) {
        return Verdict::Wait(format!("{name}: waiting for the agent to compare"));
    }
    if let Some(condition) = state::blocked(application) {
        return Verdict::Failed(
            format!("{name}: cannot be compared: {}", condition.message),
            ExitStatus::No,
        );
    }
    let sync = state::sync(application);
    let revision = state::spell(&state::compared(application));
    let with = if revision.is_empty() {
        String::new()
    } else {
        format!(" with {revision}")
    };
    let why = match sync {
        SyncStatusCode::Synced => String::new(),
        _ => reason::of(application, Timestamp::now(), false)
            .map_or(String::new(), |reason| format!(": {}", reason.text)),
    };
    Verdict::Done(format!("{name}: compared{with}: {sync}{why}"))
}

/// Whether the operation under way has ended.
pub fn of_termination(application: &Application) -> Verdict {
    let (_, name) = state::name(application);
    let Some(last) = state::last_operation(application) else {
        return Verdict::Done(format!("{name}: nothing is under way"));
    };
    if last.phase.is_completed() {
        let message = text::one_line(sentence::done(&last.message));
        let message = if message.is_empty() {
            String::new()
        } else {
            format!(": {message}")
        };
        return Verdict::Done(format!("{name}: ended, {}{message}", last.phase));
    }
    Verdict::Wait(format!("{name}: {}", running(last)))
}
