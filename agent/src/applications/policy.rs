//! What an Application and the settings say of its syncs: whether they are automated, how often they
//! are tried again, how long they may take, whether the one under way is to end.

use std::time::Duration;

use gitops_api::{ApplicationSpec, Operation, OperationPhase};
use gitops_core::report::status::Condition;
use gitops_core::settings::Interval;
use gitops_core::sync::autosync::Automated;
use gitops_core::sync::budget::Budget;
use gitops_core::sync::retry::RetryPolicy;

use crate::app_key::AppKey;
use crate::applications::condition::invalid_setting;
use crate::configuration::Configuration;
use crate::settings::CurrentSettings;

/// Limits of the command line; settings and Applications may say others.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// How often chart ranges are looked up again.
    pub(crate) poll_interval: Duration,
    /// Longest time one sync may take; `None` for no limit.
    pub(crate) sync_timeout: Option<Duration>,
    /// Whether a Preview shows its asker only what they may read.
    pub(crate) checks_askers: bool,
    /// How much of an application a sync prunes without approval.
    pub(crate) prune_budget: Budget,
}

/// What automated sync may do; `None` when it is off.
pub(crate) fn automated(spec: &ApplicationSpec) -> Option<Automated> {
    let automation = spec.sync_policy.as_ref()?.automation()?;
    Some(Automated {
        prune: automation.prune,
        self_heal: automation.self_heal,
    })
}

/// Whether an application may lose all its objects because Git holds none.
pub(crate) fn allow_empty(spec: &ApplicationSpec) -> bool {
    spec.sync_policy
        .as_ref()
        .and_then(|policy| policy.automated.as_ref())
        .is_some_and(|automated| automated.allow_empty)
}

/// How an automated sync is tried again. One that cannot be read is said along, and the default
/// used.
pub(crate) fn automated_retry(spec: &ApplicationSpec) -> (RetryPolicy, Option<Condition>) {
    let policy = spec.sync_policy.as_ref();
    let strategy = policy.and_then(|policy| policy.retry.as_ref());
    match RetryPolicy::of_automated_sync(strategy) {
        Ok(policy) => (policy, None),
        Err(error) => (
            RetryPolicy::automated_default(),
            Some(invalid_setting(format!("{error}; the default is used"))),
        ),
    }
}

/// How a requested sync is tried again: as the request says, else as the application does.
pub(crate) fn requested_retry(operation: &Operation, spec: &ApplicationSpec) -> RetryPolicy {
    let policy = spec.sync_policy.as_ref();
    let strategy = operation
        .retry
        .as_ref()
        .or(policy.and_then(|policy| policy.retry.as_ref()));
    RetryPolicy::of_requested_sync(strategy).unwrap_or_else(|error| {
        tracing::warn!(%error, "a sync is not tried again");
        RetryPolicy::never()
    })
}

/// The longest time one sync may take; `None` for no limit.
pub(crate) fn sync_timeout(settings: &CurrentSettings, limits: &Limits) -> Option<Duration> {
    match settings.sync_timeout() {
        Interval::Unset => limits.sync_timeout,
        Interval::Never => None,
        Interval::Every(limit) => Some(limit),
    }
}

/// Whether the operation under way is to end: Argo CD's clients say so in its phase.
pub(crate) fn is_terminating(configuration: &Configuration, key: &AppKey) -> bool {
    configuration.application(key).is_some_and(|app| {
        let state = app.status.as_ref().and_then(|s| s.operation_state.as_ref());
        state.is_some_and(|state| state.phase == OperationPhase::Terminating)
    })
}
