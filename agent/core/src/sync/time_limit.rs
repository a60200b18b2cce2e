//! The longest time a sync may take: `controller.sync.timeout.seconds` of argocd-cmd-params-cm.

use std::time::Duration;

use jiff::Timestamp;

use crate::duration;
use crate::reason::Reason;
use crate::sync::retry::remaining;

/// Key of the limit in the ConfigMap `argocd-cmd-params-cm`.
pub const KEY: &str = "controller.sync.timeout.seconds";

/// What is left of a sync's time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeLeft {
    /// There is no limit.
    Unlimited,
    /// So much.
    Left(Duration),
    /// None: it is to be ended.
    Over,
}

/// What is left of the time of a sync that began at `started`.
pub fn time_left(started: Timestamp, limit: Option<Duration>, now: Timestamp) -> TimeLeft {
    match limit {
        None => TimeLeft::Unlimited,
        Some(limit) => remaining(started, limit, now).map_or(TimeLeft::Over, TimeLeft::Left),
    }
}

/// Reads a limit: seconds, or with a unit; 0 means none.
///
/// # Errors
/// What is wrong with the text.
pub fn read(text: &str) -> Result<Option<Duration>, String> {
    let limit = duration::parse(text.trim()).map_err(|error| format!("{KEY}: {error}"))?;
    Ok((!limit.is_zero()).then_some(limit))
}

/// Why a sync was ended that took too long.
pub fn reason(limit: Duration, waiting: String) -> Reason {
    Reason::SyncTimeout {
        seconds: limit.as_secs(),
        waiting,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let minute = Some(Duration::from_mins(1));
        assert_eq!(time_left(at(0), None, at(1_000_000)), TimeLeft::Unlimited);
        assert_eq!(
            time_left(at(0), minute, at(59)),
            TimeLeft::Left(Duration::from_secs(1))
        );
        assert_eq!(time_left(at(0), minute, at(60)), TimeLeft::Over);
        assert_eq!(read("60"), Ok(minute));
        assert_eq!(read(" 1m "), Ok(minute));
        assert_eq!(read("0"), Ok(None));
        assert!(read("soon").unwrap_err().starts_with(KEY));
        assert_eq!(
            reason(
                Duration::from_secs(5),
                "waiting in PreSync wave 0 for batch/Job n/x".into()
            )
            .to_string(),
            "operation terminated: it took longer than 5 s while waiting in PreSync wave 0 for \
             batch/Job n/x; the limit is controller.sync.timeout.seconds in argocd-cmd-params-cm"
        );
    }
}
