//! When a source that could not be had is asked for again.
//!
//! Decides from what failed, how often, and when. Knows no clock, asks nobody, and never looks into
//! the text of an error: whoever made the error says of which kind it is.

use std::time::Duration;

use jiff::Timestamp;

use crate::backoff;

/// First and longest pause after a failure that may pass by itself.
const FIRST_BACKOFF: Duration = Duration::from_secs(15);
const MAX_BACKOFF: Duration = Duration::from_mins(5);
/// Pause after an answer that only changes at the server, where polling is switched off.
const POLLING_OFF_INTERVAL: Duration = MAX_BACKOFF;
/// A failure that follows from its inputs alone is tried again this rarely, in case an input
/// changed without anybody noticing. Argo CD pauses broken manifests equally long
/// (`ARGOCD_PAUSE_GEN_MINUTES`).
const INPUT_RECHECK_INTERVAL: Duration = Duration::from_hours(1);

/// What could make the same question succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailureKind {
    /// Time alone: a server that is away, a timeout, a render worker that ended.
    Transient,
    /// A change at the server, which nobody announces: access that is refused, a repository, commit
    /// or chart version that is not there, a certificate that is not trusted. A changed Secret is
    /// another question.
    Remote,
    /// Only other inputs: a commit whose manifests do not render, a specification that cannot be
    /// used. Changes of those start the next attempt.
    Input,
}

/// The failures of one question in a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedAttempts {
    /// Kind of the last one.
    pub kind: FailureKind,
    /// How many there were, at least one.
    pub count: u32,
    /// When the last one ended.
    pub last: Timestamp,
}

impl FailedAttempts {
    /// `earlier` attempts and one more that ended at `now`.
    #[must_use]
    pub fn after(earlier: Option<Self>, kind: FailureKind, now: Timestamp) -> Self {
        // A server that was away and now refuses begins a new row: its pauses are others.
        let count = earlier
            .filter(|earlier| earlier.kind == kind)
            .map_or(0, |earlier| earlier.count);
        Self {
            kind,
            count: count.saturating_add(1),
            last: now,
        }
    }

    /// Takes note of a failure at `now` and gives the pause before the next attempt. One that came
    /// before its time, because something else asked, is the same failure as before and does not
    /// count again.
    pub fn note(
        failed: &mut Option<Self>,
        kind: FailureKind,
        poll_interval: Option<Duration>,
        now: Timestamp,
    ) -> Duration {
        if let Some(earlier) = failed.filter(|earlier| earlier.kind == kind)
            && let Some(left) = earlier.wait(poll_interval, now)
        {
            return left;
        }
        let attempts = Self::after(*failed, kind, now);
        *failed = Some(attempts);
        pause(kind, attempts.count, poll_interval)
    }

    /// How long the next attempt still has to wait; `None` when it is due. `poll_interval` is how
    /// often servers are asked for news, `None` for never.
    pub fn wait(&self, poll_interval: Option<Duration>, now: Timestamp) -> Option<Duration> {
        let elapsed = Duration::try_from(now.duration_since(self.last)).unwrap_or_default();
        pause(self.kind, self.count, poll_interval)
            .checked_sub(elapsed)
            .filter(|left| !left.is_zero())
    }
}

/// Pause after the last of `count` failures in a row.
pub fn pause(kind: FailureKind, count: u32, poll_interval: Option<Duration>) -> Duration {
    match kind {
        FailureKind::Transient => {
            backoff::delay(count.saturating_sub(1), FIRST_BACKOFF, 2, MAX_BACKOFF)
        }
        FailureKind::Remote => poll_interval.unwrap_or(POLLING_OFF_INTERVAL),
        FailureKind::Input => INPUT_RECHECK_INTERVAL,
    }
}

/// When a repository is listed again after `failed` attempts to list it: at the poll interval, and
/// earlier where a failure may pass by itself.
pub fn poll_pause(
    failed: Option<&FailedAttempts>,
    poll_interval: Option<Duration>,
) -> Option<Duration> {
    let Some(failed) = failed else {
        return poll_interval;
    };
    let retry = pause(failed.kind, failed.count, poll_interval);
    Some(poll_interval.map_or(retry, |interval| interval.min(retry)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn failed(kind: FailureKind, times: u32) -> FailedAttempts {
        let mut attempts = None;
        for _ in 0..times {
            attempts = Some(FailedAttempts::after(attempts, kind, at(0)));
        }
        attempts.unwrap()
    }

    #[test]
    fn pauses_by_kind_and_attempts() {
        let poll = Some(Duration::from_secs(30));
        let cases = [
            (FailureKind::Transient, poll, [15, 30, 60, 120, 240, 300]),
            (FailureKind::Transient, None, [15, 30, 60, 120, 240, 300]),
            (FailureKind::Remote, poll, [30; 6]),
            (FailureKind::Remote, None, [300; 6]),
            (FailureKind::Input, poll, [3600; 6]),
            (FailureKind::Input, None, [3600; 6]),
        ];
        for (kind, interval, expected) in cases {
            for (seconds, count) in expected.into_iter().zip(1..) {
                let attempts = failed(kind, count);
                assert_eq!(attempts.count, count);
                assert_eq!(
                    attempts.wait(interval, at(0)),
                    Some(Duration::from_secs(seconds)),
                    "{kind:?} after {count} with {interval:?}"
                );
                let end = i64::try_from(seconds).unwrap();
                assert_eq!(
                    attempts.wait(interval, at(end - 1)),
                    Some(Duration::from_secs(1))
                );
                assert_eq!(attempts.wait(interval, at(end)), None);
            }
            assert!(pause(kind, u32::MAX, interval) <= INPUT_RECHECK_INTERVAL);
        }
    }

    #[test]
    fn another_kind_begins_a_new_row_and_a_clock_set_back_prolongs_nothing() {
        let away = failed(FailureKind::Transient, 4);
        let refused = FailedAttempts::after(Some(away), FailureKind::Remote, at(9));
        assert_eq!((refused.count, refused.last), (1, at(9)));
        assert_eq!(away.wait(None, at(-50)), Some(Duration::from_mins(2)));
    }

    #[test]
    fn what_comes_before_its_time_does_not_count() {
        let mut attempts = None;
        let mut note =
            |kind, second| FailedAttempts::note(&mut attempts, kind, None, at(second)).as_secs();
        let expected = [
            (FailureKind::Transient, 0, 15),
            (FailureKind::Transient, 5, 10),
            (FailureKind::Transient, 15, 30),
            (FailureKind::Transient, 44, 1),
            (FailureKind::Transient, 45, 60),
            (FailureKind::Remote, 46, 300),
            (FailureKind::Remote, 56, 290),
        ];
        for (kind, second, pause) in expected {
            assert_eq!(note(kind, second), pause, "{kind:?} at {second}");
        }
    }

    #[test]
    fn a_repository_is_listed_at_its_interval_or_earlier() {
        use FailureKind::{Input, Remote, Transient};

        let seconds = |kind: Option<(FailureKind, u32)>, interval: Option<u64>| {
            let attempts = kind.map(|(kind, count)| failed(kind, count));
            poll_pause(attempts.as_ref(), interval.map(Duration::from_secs))
                .map(|pause| pause.as_secs())
        };
        let cases = [
            (None, Some(30), Some(30)),
            (None, None, None),
            (Some((Transient, 1)), Some(180), Some(15)),
            (Some((Transient, 2)), Some(180), Some(30)),
            (Some((Transient, 9)), Some(180), Some(180)),
            (Some((Transient, 1)), Some(1), Some(1)),
            (Some((Transient, 9)), None, Some(300)),
            (Some((Remote, 3)), Some(180), Some(180)),
            (Some((Remote, 3)), None, Some(300)),
            (Some((Input, 1)), Some(30), Some(30)),
            (Some((Input, 1)), None, Some(3600)),
        ];
        for (failure, interval, expected) in cases {
            assert_eq!(
                seconds(failure, interval),
                expected,
                "{failure:?} {interval:?}"
            );
        }
    }
}
