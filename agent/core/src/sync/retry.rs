//! Whether a failed sync is tried again, and when: `syncPolicy.retry`.
//!
//! Knows no clock and remembers nothing; the number of attempts so far is a parameter. The rules
//! are Argo CD's (`Application` specification, "syncPolicy.retry").

use std::time::Duration;

use gitops_api::sync_policy::RetryStrategy;
use jiff::Timestamp;

use crate::backoff;
use crate::duration;
use crate::duration::DurationError;

/// Attempts of an automated sync whose application has no `retry` at all.
const AUTOMATED_LIMIT: i64 = 5;
const DEFAULT_DURATION: Duration = Duration::from_secs(5);
const DEFAULT_FACTOR: i64 = 2;
const DEFAULT_MAX_DURATION: Duration = Duration::from_mins(3);

/// How often and at which intervals a failed sync is tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts after the first; `None` means without end.
    pub limit: Option<u32>,
    /// Wait before the first retry.
    pub duration: Duration,
    /// Growth of the wait from one retry to the next, at least 1.
    pub factor: u32,
    /// Longest wait.
    pub max_duration: Duration,
    /// Whether each attempt looks up the revision again.
    pub refresh: bool,
}

impl RetryPolicy {
    /// The policy of an automated sync without `retry`: five more attempts.
    pub fn automated_default() -> Self {
        Self {
            limit: limit(AUTOMATED_LIMIT),
            ..Self::never()
        }
    }

    /// The policy of a requested sync without `retry`: no further attempt.
    pub fn never() -> Self {
        Self {
            limit: Some(0),
            duration: DEFAULT_DURATION,
            factor: DEFAULT_FACTOR as u32,
            max_duration: DEFAULT_MAX_DURATION,
            refresh: false,
        }
    }

    /// The policy of an automated sync. Mind that `retry` without `limit` means no retry at all,
    /// while no `retry` means [`automated_default`](Self::automated_default).
    pub fn of_automated_sync(retry: Option<&RetryStrategy>) -> Result<Self, RetryError> {
        retry.map_or_else(
            || Ok(Self::automated_default()),
            |retry| Self::of(retry, "spec.syncPolicy.retry"),
        )
    }

    /// The policy of a sync that was asked for.
    pub fn of_requested_sync(retry: Option<&RetryStrategy>) -> Result<Self, RetryError> {
        retry.map_or_else(
            || Ok(Self::never()),
            |retry| Self::of(retry, "operation.retry"),
        )
    }

    fn of(retry: &RetryStrategy, place: &'static str) -> Result<Self, RetryError> {
        let backoff = retry.backoff.clone().unwrap_or_default();
        let read = |field, text: &str, default| {
            if text.is_empty() {
                return Ok(default);
            }
            duration::parse(text).map_err(|source| RetryError {
                place,
                field,
                source,
            })
        };
        Ok(Self {
            limit: limit(retry.limit),
            duration: read("duration", &backoff.duration, DEFAULT_DURATION)?,
            factor: u32::try_from(backoff.factor.unwrap_or(DEFAULT_FACTOR).max(1))
                .unwrap_or(u32::MAX),
            max_duration: read("maxDuration", &backoff.max_duration, DEFAULT_MAX_DURATION)?,
            refresh: retry.refresh,
        })
    }

    /// The policy of a sync that was asked for and whose sources could not be had for a reason that
    /// may pass by itself: this one, or that of an automated sync where nothing is said of retries.
    /// Argo CD ends such a sync at once; the person who asked meant the commit, not the moment.
    #[must_use]
    pub fn patient_with_sources(self, is_stated: bool) -> Self {
        if is_stated {
            self
        } else {
            Self::automated_default()
        }
    }

    /// Whether another attempt follows after `retries` retries have failed.
    pub fn allows(&self, retries: u32) -> bool {
        self.limit.is_none_or(|limit| retries < limit)
    }

    /// Wait before the next attempt: duration x factor^retries, at most `max_duration`.
    pub fn backoff(&self, retries: u32) -> Duration {
        backoff::delay(retries, self.duration, self.factor, self.max_duration)
    }
}

/// What is left of a wait that began at `since`; `None` when it is over. A clock that was set back
/// must not make it longer than it was.
pub fn remaining(since: Timestamp, pause: Duration, now: Timestamp) -> Option<Duration> {
    let elapsed = Duration::try_from(now.duration_since(since)).unwrap_or_default();
    pause.checked_sub(elapsed).filter(|left| !left.is_zero())
}

/// What is left of the second in which `before` is; `None` when it is over.
pub fn rest_of_second(before: Timestamp, now: Timestamp) -> Option<Duration> {
    let next = Timestamp::from_second(now.as_second() + 1).ok()?;
    let left = Duration::try_from(next.duration_since(now)).ok()?;
    (before.as_second() == now.as_second()).then_some(left)
}

/// Negative means without end.
fn limit(value: i64) -> Option<u32> {
    (value >= 0).then(|| u32::try_from(value).unwrap_or(u32::MAX))
}

/// A field of a retry strategy that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}.backoff.{field}: {source}")]
pub struct RetryError {
    place: &'static str,
    field: &'static str,
    source: DurationError,
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn strategy(value: serde_json::Value) -> RetryStrategy {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn limits() {
        let cases = [
            (None, Some(5), Some(0)),
            (Some(json!({})), Some(0), Some(0)),
            (
                Some(json!({"backoff": {"duration": "1s"}})),
                Some(0),
                Some(0),
            ),
            (Some(json!({"limit": 2})), Some(2), Some(2)),
            (Some(json!({"limit": -1})), None, None),
        ];
        for (value, automated, requested) in cases {
            let retry = value.clone().map(strategy);
            let limit_of = |policy: Result<RetryPolicy, _>| policy.unwrap().limit;
            assert_eq!(
                limit_of(RetryPolicy::of_automated_sync(retry.as_ref())),
                automated,
                "{value:?}"
            );
            assert_eq!(
                limit_of(RetryPolicy::of_requested_sync(retry.as_ref())),
                requested,
                "{value:?}"
            );
        }
    }

    #[test]
    fn sources_that_are_away_are_outlasted_unless_the_request_says_how_often() {
        let default = RetryPolicy::automated_default();
        assert_eq!(RetryPolicy::never().patient_with_sources(false), default);
        let never = RetryPolicy::of_requested_sync(Some(&strategy(json!({})))).unwrap();
        assert_eq!(never.clone().patient_with_sources(true), never);
        // The pause is read by the policy of the request, the number of attempts by this one.
        assert_eq!(RetryPolicy::never().backoff(3), default.backoff(3));
    }

    #[test]
    fn waits_grow_to_the_limit() {
        let secs = |policy: &RetryPolicy| -> Vec<u64> {
            (0..7)
                .map(|retries| policy.backoff(retries).as_secs())
                .collect()
        };
        let default = RetryPolicy::automated_default();
        assert_eq!(secs(&default), [5, 10, 20, 40, 80, 160, 180]);
        assert!(default.allows(4) && !default.allows(5));

        let retry = strategy(json!({"limit": -1, "refresh": true,
            "backoff": {"duration": "10", "factor": 3, "maxDuration": "1m"}}));
        let policy = RetryPolicy::of_requested_sync(Some(&retry)).unwrap();
        assert_eq!(secs(&policy)[..3], [10, 30, 60]);
        assert_eq!(policy.backoff(u32::MAX).as_secs(), 60);
        assert!(policy.allows(u32::MAX) && policy.refresh);

        let constant = strategy(json!({"limit": 1, "backoff": {"factor": 0}}));
        let policy = RetryPolicy::of_automated_sync(Some(&constant)).unwrap();
        assert_eq!(secs(&policy)[..3], [5, 5, 5]);
    }

    #[test]
    fn what_is_left_of_a_wait() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let pause = Duration::from_secs(10);
        assert_eq!(
            remaining(at(100), pause, at(103)),
            Some(Duration::from_secs(7))
        );
        assert_eq!(remaining(at(100), pause, at(110)), None);
        assert_eq!(
            remaining(at(100), pause, at(50)),
            Some(pause),
            "the clock was set back"
        );
    }

    #[test]
    fn what_is_left_of_a_second() {
        let at = |millisecond| Timestamp::from_millisecond(millisecond).unwrap();
        let left = |before, now| rest_of_second(at(before), at(now));
        assert_eq!(left(5_000, 5_300), Some(Duration::from_millis(700)));
        assert_eq!(left(5_900, 5_000), Some(Duration::from_secs(1)));
        assert_eq!(left(5_999, 6_000), None);
        assert_eq!(left(7_000, 6_999), None, "the clock was set back");
    }

    #[test]
    fn errors_name_the_field() {
        let retry = strategy(json!({"backoff": {"maxDuration": "later"}}));
        let error = RetryPolicy::of_automated_sync(Some(&retry))
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("spec.syncPolicy.retry.backoff.maxDuration: \"later\""),
            "{error}"
        );
    }
}
