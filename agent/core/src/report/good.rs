//! Whether a deployment was good: rollback goes back to what was, so that has to be earned.
//!
//! Healthy for a moment is what a program is that ends right after its start, where no probe looks. Good
//! is what stayed healthy for a while, or until the next deployment took its place; what loses its health
//! without a commit is good no more.

use gitops_api::status::RevisionHistory;
use jiff::{SignedDuration, Timestamp};

/// How long a deployment has to stay healthy until it is good.
pub const GOOD_AFTER: SignedDuration = SignedDuration::from_secs(60);

/// What is known of a deployment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It stayed healthy.
    Good {
        /// Since when, as far as is known.
        since: Timestamp,
    },
    /// It is healthy, and not for long enough.
    Proving {
        /// Since when.
        since: Timestamp,
        /// When it is good, if it stays so.
        good_at: Timestamp,
    },
    /// It was healthy, and lost that without a commit.
    Lost {
        /// When it was healthy first.
        healthy_at: Timestamp,
        /// When it lost it last.
        at: Timestamp,
    },
    /// It was never found healthy.
    Never,
}

impl Verdict {
    /// Whether it is worth going back to, as far as is known now.
    pub const fn is_usable(self) -> bool {
        matches!(self, Self::Good { .. } | Self::Proving { .. })
    }
}

/// Judges one entry of a history, which is in order, the oldest first.
pub fn judge(history: &[RevisionHistory], place: usize, now: Timestamp) -> Verdict {
    judge_after(history, place, now, GOOD_AFTER)
}

/// As [`judge`], for another time to stay healthy.
pub fn judge_after(
    history: &[RevisionHistory],
    place: usize,
    now: Timestamp,
    good_after: SignedDuration,
) -> Verdict {
    let Some(entry) = history.get(place) else {
        return Verdict::Never;
    };
    let time = |time: &Option<gitops_api::Time>| time.as_ref().map(|time| time.0);
    let Some(healthy_at) = time(&entry.healthy_at) else {
        return Verdict::Never;
    };
    let (degraded, lost) = (time(&entry.degraded_at), time(&entry.lost_at));
    let broke = lost.max(degraded.filter(|degraded| *degraded >= healthy_at));
    // Agents of before know only when it was healthy first.
    let since = time(&entry.healthy_since).or(match broke {
        None => Some(healthy_at),
        Some(_) => None,
    });
    let Some(since) = since.filter(|since| broke.is_none_or(|broke| *since >= broke)) else {
        let at = broke.unwrap_or(healthy_at);
        return Verdict::Lost { healthy_at, at };
    };
    let next = history.get(place + 1);
    let replaced = next.and_then(|next| time(&next.deploy_started_at).or(time(&next.deployed_at)));
    let end = replaced.unwrap_or(now);
    let is_long = end.duration_since(since) >= good_after;
    match (next, broke) {
        _ if is_long => Verdict::Good { since },
        // Nothing was ever wrong with it until another one came.
        (Some(_), None) => Verdict::Good { since },
        (Some(_), Some(at)) => Verdict::Lost { healthy_at, at },
        (None, _) => Verdict::Proving {
            since,
            good_at: since.checked_add(good_after).unwrap_or(since),
        },
    }
}

#[cfg(test)]
mod tests {
    use gitops_api::Time;

    use super::*;

    /// Times in seconds: deployment, healthy first, healthy since, lost, degraded; `-1` is never.
    fn entry(times: [i64; 5]) -> RevisionHistory {
        let at = |second: i64| {
            (second >= 0).then(|| Time(Timestamp::from_second(second).unwrap_or_default()))
        };
        RevisionHistory {
            deploy_started_at: at(times[0]),
            deployed_at: at(times[0]),
            healthy_at: at(times[1]),
            healthy_since: at(times[2]),
            lost_at: at(times[3]),
            degraded_at: at(times[4]),
            ..RevisionHistory::default()
        }
    }

    #[test]
    fn good_is_earned() {
        let at = |second: i64| Timestamp::from_second(second).unwrap_or_default();
        let good = |second| Verdict::Good { since: at(second) };
        let lost = |healthy, second| Verdict::Lost {
            healthy_at: at(healthy),
            at: at(second),
        };
        let proving = |since| Verdict::Proving {
            since: at(since),
            good_at: at(since + 60),
        };
        // What, the entry, when the next one began (-1: there is none), now, the verdict.
        let table = [
            (
                "not healthy yet",
                [0, -1, -1, -1, -1],
                -1,
                99,
                Verdict::Never,
            ),
            (
                "healthy for a moment",
                [0, 1, 1, -1, -1],
                -1,
                60,
                proving(1),
            ),
            ("healthy for a while", [0, 1, 1, -1, -1], -1, 61, good(1)),
            (
                "replaced before anything went wrong",
                [0, 1, 1, -1, -1],
                3,
                9,
                good(1),
            ),
            (
                "ends right after its start",
                [0, 1, -1, 3, -1],
                -1,
                9,
                lost(1, 3),
            ),
            (
                "starts again and again",
                [0, 1, 30, 20, -1],
                -1,
                60,
                proving(30),
            ),
            (
                "replaced in a moment that it ran",
                [0, 1, 30, 20, -1],
                40,
                99,
                lost(1, 20),
            ),
            ("recovered", [0, 1, 100, 90, -1], -1, 160, good(100)),
            (
                "recovered, then replaced",
                [0, 1, 100, 90, -1],
                160,
                999,
                good(100),
            ),
            ("degraded later", [0, 1, -1, 90, 100], -1, 160, lost(1, 100)),
            (
                "degraded first: a slow start",
                [0, 50, 50, -1, 40],
                -1,
                160,
                good(50),
            ),
            ("by an agent of before", [0, 1, -1, -1, -1], 30, 99, good(1)),
            (
                "by an agent of before, degraded",
                [0, 1, -1, -1, 5],
                30,
                99,
                lost(1, 5),
            ),
        ];
        for (what, times, next, now, expected) in table {
            let mut history = vec![entry(times)];
            if next >= 0 {
                history.push(entry([next, -1, -1, -1, -1]));
            }
            assert_eq!(judge(&history, 0, at(now)), expected, "{what}");
        }
        assert_eq!(judge(&[], 0, at(0)), Verdict::Never);
    }
}
