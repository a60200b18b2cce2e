//! Percentiles of small samples.

use std::time::Duration;

use serde::Serialize;

/// What a sample of times says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Spread {
    /// Number of measurements.
    pub(crate) count: usize,
    /// Half of them took no longer, in milliseconds.
    pub(crate) p50_ms: f64,
    /// 99 of 100 took no longer, in milliseconds; of fewer than 100 the longest.
    pub(crate) p99_ms: f64,
    /// The longest, in milliseconds.
    pub(crate) max_ms: f64,
}

impl Spread {
    /// The spread of a sample by the nearest-rank method; `None` of an empty one.
    pub(crate) fn of(sample: &[Duration]) -> Option<Self> {
        let mut sorted: Vec<f64> = sample.iter().map(|d| d.as_secs_f64() * 1000.0).collect();
        sorted.sort_by(f64::total_cmp);
        let rank = |percent: usize| {
            let rank = (percent * sorted.len()).div_ceil(100).max(1);
            sorted.get(rank - 1).copied()
        };
        Some(Self {
            count: sorted.len(),
            p50_ms: rank(50)?,
            p99_ms: rank(99)?,
            max_ms: rank(100)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_rank() {
        let cases = [
            (vec![], None),
            (vec![7], Some((7.0, 7.0, 7.0))),
            (vec![4, 1, 3, 2], Some((2.0, 4.0, 4.0))),
            (vec![5, 1, 2, 3, 4], Some((3.0, 5.0, 5.0))),
        ];
        for (sample, expected) in cases {
            let sample: Vec<_> = sample.into_iter().map(Duration::from_millis).collect();
            let spread = Spread::of(&sample).map(|s| (s.p50_ms, s.p99_ms, s.max_ms));
            assert_eq!(spread, expected, "{sample:?}");
        }
    }

    #[test]
    fn two_hundred() {
        let sample: Vec<_> = (1..=200).map(Duration::from_millis).collect();
        let spread = Spread::of(&sample).map(|s| (s.count, s.p50_ms, s.p99_ms, s.max_ms));
        assert_eq!(spread, Some((200, 100.0, 198.0, 200.0)));
    }
}
