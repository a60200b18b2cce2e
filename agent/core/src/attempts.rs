//! Whether a request to the API server that failed is sent again at once, and after which pause.
//!
//! Decides from what was asked, what came back, and how often it was asked. Knows no clock and
//! sends nothing. What it gives up is tried again later by whoever needs it, from what is true then.

use std::time::Duration;

use crate::backoff;
use crate::report::{refusal, size};

/// Times a request is sent at most.
const MAX_ATTEMPTS: u32 = 6;
/// The same for one that is not answered at all: each time costs its whole time limit.
const MAX_UNANSWERED: u32 = 2;
/// First and longest pause, and how it grows: 0.1, 0.3, 0.9, 2.7 and 8.1 s. Longer than an API
/// server takes to start again, or a webhook's Pod.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const PAUSE_FACTOR: u32 = 3;
const MAX_PAUSE: Duration = Duration::from_secs(10);

/// What is asked of the API server, as far as it matters for asking twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Reads.
    Read,
    /// A write that leaves the same when it is done twice: server-side apply, dry runs, merge
    /// patches of what one writer alone writes.
    Apply,
    /// A write on condition of what was read: after a conflict that has to be read again.
    Conditional,
    /// A deletion of the object of one uid.
    Delete,
    /// A creation: nobody knows whether one without an answer was done.
    Create,
}

/// What came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure<'a> {
    /// A refusal.
    Status {
        /// HTTP status.
        code: u16,
        /// The API server's words.
        message: &'a str,
        /// How long it asks to wait.
        retry_after: Option<Duration>,
    },
    /// The connection was refused, or broke.
    Connection,
    /// Nothing, within the time limit.
    NoAnswer,
}

/// The pause before a request is sent again that was sent `sent` times, at least once; `None` when
/// it is given up.
pub fn pause(ask: Ask, failure: Failure<'_>, sent: u32) -> Option<Duration> {
    let asked = match failure {
        Failure::Status {
            code,
            message,
            retry_after,
        } => {
            if !is_of_the_moment(ask, code, message) {
                return None;
            }
            retry_after.unwrap_or_default()
        }
        Failure::Connection | Failure::NoAnswer if ask == Ask::Create => return None,
        Failure::NoAnswer if sent >= MAX_UNANSWERED || ask == Ask::Conditional => return None,
        Failure::Connection | Failure::NoAnswer => Duration::ZERO,
    };
    if sent >= MAX_ATTEMPTS {
        return None;
    }
    let pause = backoff::delay(sent.saturating_sub(1), FIRST_PAUSE, PAUSE_FACTOR, MAX_PAUSE);
    Some(pause.max(asked).min(MAX_PAUSE))
}

/// Whether a refusal may be gone in a moment, the request being the same.
fn is_of_the_moment(ask: Ask, code: u16, message: &str) -> bool {
    let by_code = match code {
        409 => matches!(ask, Ask::Apply | Ask::Delete),
        429 | 500 | 502 | 503 | 504 => true,
        _ => false,
    };
    by_code && !refusal::blames_the_manifest(message) && !size::is_too_large(code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [Ask; 5] = [
        Ask::Read,
        Ask::Apply,
        Ask::Conditional,
        Ask::Delete,
        Ask::Create,
    ];

    fn status(code: u16) -> Failure<'static> {
        Failure::Status {
            code,
            message: "",
            retry_after: None,
        }
    }

    fn millis(ask: Ask, failure: Failure<'_>) -> Vec<u128> {
        let pauses = (1..100).map_while(|sent| pause(ask, failure, sent));
        pauses.map(|pause| pause.as_millis()).collect()
    }

    #[test]
    fn refusals_of_a_moment_are_asked_again_with_growing_pauses_and_an_end() {
        const PATIENT: [u128; 5] = [100, 300, 900, 2700, 8100];
        for ask in ALL {
            for code in [429, 500, 502, 503, 504] {
                assert_eq!(millis(ask, status(code)), PATIENT, "{ask:?} {code}");
            }
            for code in [400, 401, 403, 404, 405, 410, 413, 415, 422, 501, 505] {
                assert!(millis(ask, status(code)).is_empty(), "{ask:?} {code}");
            }
            let conflict = millis(ask, status(409));
            let lost = millis(ask, Failure::Connection);
            let silent = millis(ask, Failure::NoAnswer);
            match ask {
                Ask::Apply | Ask::Delete => {
                    assert_eq!(conflict, PATIENT, "{ask:?}");
                    assert_eq!(lost, PATIENT, "{ask:?}");
                    assert_eq!(silent, [100], "{ask:?}");
                }
                Ask::Read => {
                    assert!(conflict.is_empty());
                    assert_eq!((lost, silent), (PATIENT.to_vec(), vec![100]));
                }
                Ask::Conditional => {
                    assert!(conflict.is_empty() && silent.is_empty());
                    assert_eq!(lost, PATIENT);
                }
                Ask::Create => {
                    assert!(conflict.is_empty() && lost.is_empty() && silent.is_empty());
                }
            }
        }
    }

    #[test]
    fn what_the_api_server_asks_for_is_waited_and_not_longer_than_the_limit() {
        let asked = |seconds| Failure::Status {
            code: 429,
            message: "",
            retry_after: Some(Duration::from_secs(seconds)),
        };
        let first = |seconds| pause(Ask::Delete, asked(seconds), 1).map(|pause| pause.as_millis());
        assert_eq!(first(0), Some(100));
        assert_eq!(first(3), Some(3000));
        assert_eq!(first(3600), Some(10_000));
    }

    #[test]
    fn an_internal_error_that_the_manifest_made_is_final() {
        let said = |message| Failure::Status {
            code: 500,
            message,
            retry_after: None,
        };
        let typed = said("failed to create typed patch object (x; v1, Kind=ConfigMap): .data: …");
        assert_eq!(pause(Ask::Apply, typed, 1), None);
        let large = said("etcdserver: request is too large");
        assert_eq!(pause(Ask::Apply, large, 1), None);
    }
}
