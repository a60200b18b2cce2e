//! Exponential back-off: how long to wait before the next attempt.
//!
//! Knows no clock, keeps no state and adds no jitter; the number of attempts so far is a parameter.

use std::time::Duration;

/// `base` x `factor`^`attempt`, at most `max`. `attempt` counts the attempts that went before: the
/// first wait, with `attempt` 0, is `base`.
pub fn delay(attempt: u32, base: Duration, factor: u32, max: Duration) -> Duration {
    let delay = factor
        .checked_pow(attempt)
        .and_then(|growth| base.checked_mul(growth));
    delay.unwrap_or(max).min(max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_by_the_factor_up_to_the_maximum() {
        let seconds = |attempt, base, factor, max| {
            delay(
                attempt,
                Duration::from_secs(base),
                factor,
                Duration::from_secs(max),
            )
            .as_secs()
        };
        let table = [
            (0, 5, 2, 180, 5),
            (1, 5, 2, 180, 10),
            (5, 5, 2, 180, 160),
            (6, 5, 2, 180, 180),
            (3, 2, 3, 300, 54),
            (7, 5, 1, 180, 5),
            (0, 60, 2, 30, 30),
            (u32::MAX, 5, 2, 180, 180),
            (40, u64::MAX, 2, 180, 180),
            (9, 0, 2, 180, 0),
        ];
        for (attempt, base, factor, max, expected) in table {
            assert_eq!(
                seconds(attempt, base, factor, max),
                expected,
                "{base} s x {factor}^{attempt}, at most {max} s"
            );
        }
    }
}
