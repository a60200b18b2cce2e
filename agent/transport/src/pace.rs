//! Whether an answer comes fast enough. Pure: whoever reads says how much came and when.
//!
//! A limit on silence alone lets a server hold a conversation open with a byte now and then; this one
//! asks for progress.

use std::time::Duration;

/// The least that has to come, once per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Pace {
    /// Bytes in each window.
    pub bytes: u64,
    /// Length of a window.
    pub within: Duration,
}

impl Pace {
    /// 1 KiB/s, measured over a minute: a modem was faster, and a server that packs objects for a
    /// while has its progress messages and the rest of the minute.
    pub const DEFAULT: Self = Self {
        bytes: 60 * 1024,
        within: Duration::from_mins(1),
    };
}

/// An answer that came too slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("only {received} bytes came in {} s, at least {} are expected", .pace.within.as_secs(), .pace.bytes)]
pub struct TooSlow {
    /// What was expected.
    pub pace: Pace,
    /// What came in the window.
    pub received: u64,
}

/// Follows one answer.
#[derive(Clone, Copy, Debug)]
pub struct PaceMeter {
    pace: Pace,
    /// Beginning of the window, since the beginning of the answer.
    window: Duration,
    received: u64,
}

impl PaceMeter {
    /// An answer that begins now.
    pub const fn new(pace: Pace) -> Self {
        Self {
            pace,
            window: Duration::ZERO,
            received: 0,
        }
    }

    /// Takes note of `bytes` that came `elapsed` after the answer began.
    ///
    /// # Errors
    /// When the window that ends with them brought too little.
    pub fn received(&mut self, elapsed: Duration, bytes: u64) -> Result<(), TooSlow> {
        self.received = self.received.saturating_add(bytes);
        if elapsed.saturating_sub(self.window) < self.pace.within {
            return Ok(());
        }
        if self.received < self.pace.bytes {
            return Err(TooSlow {
                pace: self.pace,
                received: self.received,
            });
        }
        (self.window, self.received) = (elapsed, 0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_that_trickles_is_told_from_one_that_flows() {
        // Bytes per read, seconds between reads, and after how many reads it is given up.
        let cases = [
            (1, 29, Some(3)),
            (1, 1, Some(60)),
            (1023, 1, Some(60)),
            (1024, 1, None),
            (60 * 1024, 59, None),
            (60 * 1024, 600, None),
        ];
        for (bytes, seconds, expected) in cases {
            let mut meter = PaceMeter::new(Pace::DEFAULT);
            let given_up = (1..=1000u64).find(|read| {
                let elapsed = Duration::from_secs(read * seconds);
                meter.received(elapsed, bytes).is_err()
            });
            assert_eq!(given_up, expected, "{bytes} bytes each {seconds} s");
        }
    }

    #[test]
    fn each_window_counts_by_itself() {
        let mut meter = PaceMeter::new(Pace::DEFAULT);
        let second = Duration::from_secs(1);
        assert_eq!(meter.received(second, 10 << 20), Ok(()));
        assert_eq!(meter.received(60 * second, 1), Ok(()));
        let error = meter.received(120 * second, 1).unwrap_err();
        assert_eq!(
            error.to_string(),
            "only 1 bytes came in 60 s, at least 61440 are expected"
        );
    }
}
