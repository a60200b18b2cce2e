//! What a deletion waits for, said on the Application: at once when somebody has to do something,
//! otherwise after a while.

use std::collections::BTreeSet;
use std::time::Duration;

use gitops_api::Application;
use gitops_api::constants::condition;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::report::status;
use gitops_core::report::status::Condition;
use gitops_core::sync::Outcome;
use jiff::Timestamp;
use kube::ResourceExt;

use super::super::{AppCache, AppKey, Controller};
use super::Deletion;
use crate::applications::report::reporter::HandledRequests;

/// Pauses before what was refused is tried again, first and longest.
const FIRST_RETRY: Duration = Duration::from_secs(5);
const LAST_RETRY: Duration = Duration::from_mins(5);
/// What is waited for is said after this time: most deletions are over by then.
const SAID_AFTER: Duration = Duration::from_secs(5);
/// No watch shows objects that the agent never applied; they are looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

impl Controller {
    /// What the Pods of failed hooks wrote last.
    pub(super) async fn with_log_tail(&self, mut reason: String, failed: &[ObjectKey]) -> String {
        for key in failed.iter().take(2) {
            let told = self.with_logs(key, Outcome::Failed(String::new())).await;
            if let Outcome::Failed(log) = told
                && !log.is_empty()
            {
                reason = format!("{reason}; {key}{log}");
            }
        }
        reason
    }

    /// Waits; says so at once when somebody has to do something, and otherwise after a while.
    pub(super) async fn wait(
        &self,
        key: &AppKey,
        deletion: &Deletion,
        cache: &mut AppCache,
        reason: String,
        blocked: bool,
    ) -> Option<Duration> {
        let now = Timestamp::now();
        let since = match &cache.waits {
            Some((known, since)) if *known == reason => *since,
            _ => now,
        };
        cache.waits = Some((reason.clone(), since));
        let waited = Duration::try_from(now.duration_since(since)).unwrap_or_default();
        let unseen = self
            .cluster
            .index
            .tracked(&self.instance(key))
            .iter()
            .filter_map(|object| self.cluster.index.get(object))
            .any(|live| live.deleting && live.desired_digest.is_none());
        let again = unseen.then_some(LOOK_AGAIN);
        if !blocked && waited < SAID_AFTER {
            let left = SAID_AFTER.saturating_sub(waited);
            return Some(again.map_or(left, |again| again.min(left)));
        }
        let kind = if blocked {
            condition::DELETION_ERROR
        } else {
            condition::DELETION_WARNING
        };
        Box::pin(self.report_progress(&deletion.app, cache, kind, reason)).await;
        // What a repository or a registry says may change without anybody telling.
        let unknown = blocked && deletion.hooks.is_err();
        again.or_else(|| unknown.then(|| pause(cache)))
    }

    /// Says what was refused, and tries again later.
    pub(super) async fn report_blocked(
        &self,
        app: &Application,
        cache: &mut AppCache,
        text: String,
    ) -> Option<Duration> {
        tracing::warn!(
            application = app.name_any(),
            text,
            "the deletion does not get on"
        );
        Box::pin(self.report_progress(app, cache, condition::DELETION_ERROR, text)).await;
        Some(pause(cache))
    }

    pub(super) async fn report_progress(
        &self,
        app: &Application,
        cache: &mut AppCache,
        kind: &'static str,
        message: String,
    ) {
        let mut status = cache.status(app).into_owned();
        let found = BTreeSet::from([Condition::new(kind, message)]);
        status.conditions = status::conditions(&status.conditions, &found, Timestamp::now());
        let written = self
            .reporter
            .write(app, cache, status, HandledRequests::default())
            .await;
        if let Err(error) = written {
            tracing::debug!(error = format!("{error:#}"), "condition not written");
        }
    }
}

fn pause(cache: &mut AppCache) -> Duration {
    let pause = FIRST_RETRY.saturating_mul(1 << cache.failures.min(6));
    cache.failures = cache.failures.saturating_add(1);
    pause.min(LAST_RETRY)
}
