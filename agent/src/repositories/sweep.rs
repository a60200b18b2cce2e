//! Which directories of mirrors go: those nobody follows any more. Decides from what it is given; the
//! manager lists and removes.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

/// How long a mirror is kept after its last user: an Application that is created again, or looked at by
/// a Preview, does not clone anew. Also the time an agent that has just started has to find out who
/// follows what.
const KEPT_UNUSED: Duration = Duration::from_hours(1);

/// What decides about directories.
pub(super) struct Usage {
    /// When the agent began to watch who uses what.
    pub(super) started: Timestamp,
    /// When mirrors were left that are not in use.
    pub(super) left: HashMap<String, Timestamp>,
    /// There is no room: what is not in use goes at once.
    pub(super) is_full: bool,
}

/// Whether a directory that is not in use goes.
pub(super) fn is_removable(name: &str, usage: &Usage, now: Timestamp) -> bool {
    // Of an earlier version, or a removal that was interrupted: nobody will ever ask for it.
    if !is_id(name) {
        return true;
    }
    let since = match usage.left.get(name) {
        // Whoever used it has gone while there was room.
        Some(_) if usage.is_full => return true,
        Some(left) => *left,
        None => usage.started,
    };
    Duration::try_from(now.duration_since(since)).is_ok_and(|unused| unused >= KEPT_UNUSED)
}

/// SHA-256 in lower-case hexadecimal.
fn is_id(name: &str) -> bool {
    name.len() == 64
        && name
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_uses_for_an_hour_goes_and_what_nobody_can_use_at_once() {
        let minute = |minute: i64| Timestamp::from_second(minute * 60).unwrap();
        let id = |digit: &str| digit.repeat(64);
        let (known, left) = (id("a"), id("b"));
        let usage = |is_full| Usage {
            started: minute(0),
            left: HashMap::from([(id("b"), minute(30))]),
            is_full,
        };
        // Name, minute, removed, removed when there is no room.
        let cases = [
            ("0123456789abcdef", 0, true, true),
            ("removed-x", 0, true, true),
            (known.as_str(), 0, false, false),
            (known.as_str(), 59, false, false),
            (known.as_str(), 60, true, true),
            (left.as_str(), 31, false, true),
            (left.as_str(), 89, false, true),
            (left.as_str(), 90, true, true),
        ];
        for (name, at, removed, when_full) in cases {
            let is_removable = |is_full| is_removable(name, &usage(is_full), minute(at));
            assert_eq!(is_removable(false), removed, "{name} {at}");
            assert_eq!(is_removable(true), when_full, "{name} {at}, full");
        }
    }
}
