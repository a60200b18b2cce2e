//! What a deletion waits for, said on the Application: at once when somebody has to do something,
//! otherwise after a while.

use std::collections::BTreeSet;
use std::time::Duration;

use gitops_api::Application;
use gitops_api::constants::condition;
use gitops_core::backoff;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_core::report::status;
use gitops_core::report::status::Condition;
use gitops_core::sync::Outcome;
use jiff::Timestamp;
use kube::ResourceExt;

use super::Deletion;
use crate::applications::cache::AppCache;
use crate::applications::report::handled::HandledRequests;
use crate::applications::report::reporter::Reporter;
use crate::applications::requeue::Requeue;
use crate::applications::sync::hooks;

/// First and longest pause before what was refused is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const MAX_PAUSE: Duration = Duration::from_mins(5);
/// What is waited for is said after this time: most deletions are over by then.
const REPORT_DELAY: Duration = Duration::from_secs(5);
/// No watch shows objects that the agent never applied; they are looked at again.
const UNWATCHED_INTERVAL: Duration = Duration::from_secs(2);

/// A reason together with what the Pods of failed hooks wrote last.
pub(super) async fn with_log_tails(
    deletion: &Deletion<'_>,
    mut reason: Reason,
    failed: &[ObjectKey],
) -> Reason {
    let (Some(cluster), Reason::DeletionHookFailed { logs, .. }) = (&deletion.cluster, &mut reason)
    else {
        return reason;
    };
    for key in failed.iter().take(2) {
        let told = hooks::with_log_tail(cluster, key, Outcome::Failed(String::new())).await;
        if let Outcome::Failed(log) = told
            && !log.is_empty()
        {
            logs.push(format!("{key}{log}"));
        }
    }
    reason
}

/// Waits; says so at once when somebody has to do something, and otherwise after a while.
pub(super) async fn wait(
    deletion: &Deletion<'_>,
    cache: &mut AppCache,
    reason: Reason,
    blocked: bool,
) -> Requeue {
    let now = Timestamp::now();
    let since = match &cache.waits {
        Some((known, since)) if *known == reason => *since,
        _ => now,
    };
    cache.waits = Some((reason.clone(), since));
    let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    let unseen = deletion
        .objects()
        .iter()
        .any(|live| live.deleting && live.desired_digest.is_none());
    let requeue = if unseen {
        Requeue::After(UNWATCHED_INTERVAL)
    } else {
        Requeue::AwaitChange
    };
    if !blocked && waited < REPORT_DELAY {
        return requeue.or_sooner(Requeue::After(REPORT_DELAY.saturating_sub(waited)));
    }
    let kind = if blocked {
        condition::DELETION_ERROR
    } else {
        condition::DELETION_WARNING
    };
    let reporter = &deletion.controller.reporter;
    let leaving = deletion.objects().into_iter().filter(|live| live.deleting);
    let leaving: BTreeSet<ObjectKey> = leaving.map(|live| live.key).collect();
    let what = (kind, reason);
    Box::pin(report(reporter, &deletion.app, cache, what, &leaving)).await;
    // What a repository or a registry says may change without anybody telling.
    if !unseen && blocked && deletion.hooks.is_err() {
        return Requeue::After(pause(cache));
    }
    requeue
}

/// Says what was refused, and tries again later.
pub(super) async fn report_blocked(
    reporter: &Reporter,
    app: &Application,
    cache: &mut AppCache,
    reason: Reason,
) -> Requeue {
    tracing::warn!(
        application = app.name_any(),
        %reason,
        "deletion is blocked"
    );
    let what = (condition::DELETION_ERROR, reason);
    Box::pin(report(reporter, app, cache, what, &BTreeSet::new())).await;
    Requeue::After(pause(cache))
}

async fn report(
    reporter: &Reporter,
    app: &Application,
    cache: &mut AppCache,
    (kind, reason): (&'static str, Reason),
    leaving: &BTreeSet<ObjectKey>,
) {
    let mut status = cache.status(app).into_owned();
    let now = Timestamp::now();
    status::note_leaving(&mut status, leaving, now);
    status.reasons = reason::reasons(&status.reasons, [reason::entry(&reason)], now);
    let found = BTreeSet::from([Condition::new(kind, reason)]);
    status.conditions = status::conditions(&status.conditions, &found, now);
    let written = reporter.write(app, cache, status, HandledRequests::default());
    if let Err(error) = written.await {
        tracing::debug!(error = format!("{error:#}"), "condition not written");
    }
}

fn pause(cache: &mut AppCache) -> Duration {
    let pause = backoff::delay(cache.failures, FIRST_PAUSE, 2, MAX_PAUSE);
    cache.failures = cache.failures.saturating_add(1);
    pause
}
