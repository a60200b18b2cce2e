//! Whether an application is paused: compared and reported on, and left as it is.
//!
//! Whoever stops something in a hurry must not be misunderstood: every value that does not say "no" is a
//! pause, and what cannot be read of it is taken for its reason.

use std::time::Duration;

use gitops_api::Pause;
use jiff::Timestamp;

use crate::reason::Reason;

/// A pause that is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct Paused {
    /// Who, why, until when.
    pub pause: Pause,
    /// It is for every Application, not for this one.
    pub everything: bool,
}

/// Reads the value of the annotation or of the ConfigMap's entry; `None` when it says that nothing is
/// paused.
pub fn parse(text: &str) -> Option<Pause> {
    match text.trim() {
        "" | "false" | "null" => None,
        "true" => Some(Pause::default()),
        text => Some(serde_json::from_str(text).unwrap_or_else(|_| Pause {
            reason: text.to_owned(),
            ..Pause::default()
        })),
    }
}

/// Judges: `own` is the annotation of the Application, `all` what is said for all of them. Of two the
/// one that lasts longer is named.
pub fn judge(own: Option<&str>, all: Option<&str>, now: Timestamp) -> Option<Paused> {
    let read = |text: Option<&str>, everything| {
        let pause = parse(text?)?;
        let over = pause.until.as_ref().is_some_and(|until| until.0 <= now);
        (!over).then_some(Paused { pause, everything })
    };
    let (own, all) = (read(own, false), read(all, true));
    match (own, all) {
        (Some(own), Some(all)) if all.outlasts(&own) => Some(all),
        (Some(one), _) | (None, Some(one)) => Some(one),
        (None, None) => None,
    }
}

impl Paused {
    fn outlasts(&self, other: &Self) -> bool {
        match (&self.pause.until, &other.pause.until) {
            (_, None) => false,
            (None, Some(_)) => true,
            (Some(one), Some(two)) => one.0 > two.0,
        }
    }

    /// How long it lasts; `None` when it has no end.
    pub fn time_left(&self, now: Timestamp) -> Option<Duration> {
        let until = self.pause.until.as_ref()?.0;
        Some(Duration::try_from(until.duration_since(now)).unwrap_or_default())
    }

    /// What is said of it.
    pub fn reason(&self) -> Reason {
        Reason::Paused {
            by: self.pause.by.clone(),
            why: self.pause.reason.clone(),
            since: self.pause.since.as_ref().map(|time| time.0),
            until: self.pause.until.as_ref().map(|time| time.0),
            everything: self.everything,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn whatever_does_not_say_no_is_a_pause() {
        for text in ["", " ", "false", "null"] {
            assert_eq!(judge(Some(text), None, at(0)), None, "{text:?}");
        }
        let table = [
            ("true", "", ""),
            ("{}", "", ""),
            (r#"{"by":"ana","reason":"INC-7"}"#, "ana", "INC-7"),
            ("until we know more", "", "until we know more"),
            (r#"{"by":7}"#, "", r#"{"by":7}"#),
            (r#"{"until":"tomorrow"}"#, "", r#"{"until":"tomorrow"}"#),
        ];
        for (text, by, reason) in table {
            let paused = judge(Some(text), None, at(0)).unwrap();
            assert_eq!(
                (paused.pause.by.as_str(), paused.pause.reason.as_str()),
                (by, reason),
                "{text}"
            );
            assert!(!paused.everything);
        }
    }

    #[test]
    fn it_ends_at_its_time_and_the_longer_one_is_named() {
        let until = |second: i64| format!(r#"{{"until":"{}"}}"#, at(second));
        let (soon, late) = (until(10), until(20));
        let ends = |own: Option<&str>, all: Option<&str>, now| {
            judge(own, all, at(now)).map(|paused| {
                (
                    paused.everything,
                    paused.time_left(at(now)).map(|t| t.as_secs()),
                )
            })
        };
        let table = [
            (Some(soon.as_str()), None, 9, Some((false, Some(1)))),
            (Some(soon.as_str()), None, 10, None),
            (
                Some(soon.as_str()),
                Some(late.as_str()),
                9,
                Some((true, Some(11))),
            ),
            (
                Some(soon.as_str()),
                Some(late.as_str()),
                10,
                Some((true, Some(10))),
            ),
            (
                Some(late.as_str()),
                Some(soon.as_str()),
                9,
                Some((false, Some(11))),
            ),
            (Some("true"), Some(late.as_str()), 9, Some((false, None))),
            (Some(late.as_str()), Some("true"), 9, Some((true, None))),
            (None, Some("true"), 9, Some((true, None))),
            (None, None, 9, None),
        ];
        for (own, all, now, expected) in table {
            assert_eq!(ends(own, all, now), expected, "{own:?} {all:?} {now}");
        }
    }
}
