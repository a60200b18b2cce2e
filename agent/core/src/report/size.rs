//! The one place where a status is made small enough to be stored.
//!
//! etcd stores at most 1.5 MiB of one object, its spec included. Whatever the number of manifests,
//! warnings or objects, a status keeps within bounds per item, and within a number of bytes that is
//! lower for an Application whose status the API server refused. What is wrong stays longest; what is
//! left out is counted. Hooks stay in the results of an operation: one that is forgotten would run
//! again.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use gitops_api::status::ApplicationCondition;
use gitops_api::{ApplicationStatus, HealthStatusCode, ResourceStatus, ResultCode, SyncStatusCode};
use jiff::Timestamp;
use serde::Serialize;

use crate::report::compared::seconds;
use crate::report::facts::Condition;

/// Most bytes of a status, as JSON: two thirds of what etcd stores, so that there is room for the
/// spec and the managed fields.
pub const MAX_STATUS: usize = 1_000_000;
/// The least it is reduced to when the API server refuses it: then the spec itself is too large.
const MIN_STATUS: usize = 8 << 10;
/// In a larger application there is no room to say of each object since when it is not healthy.
const TIMED: usize = 1000;
/// Longest message of a condition, in characters: it may list what to do.
const MAX_MESSAGE: usize = 4096;
/// Most conditions of one type, and bytes of the messages of all of them.
const CONDITIONS: Bound = Bound {
    per_type: 50,
    bytes: 64 << 10,
};

/// How many conditions there may be.
#[derive(Clone, Copy, Debug)]
struct Bound {
    per_type: usize,
    bytes: usize,
}

/// What is kept; each is less than the one before.
struct Level {
    resources: usize,
    results: usize,
    /// Characters of what is said of the operation and of the application's health.
    text: usize,
    /// Characters of what is said of one object.
    message: usize,
    drift: usize,
    ignored: usize,
    images: usize,
    heals: usize,
    history: usize,
    /// Whether the history keeps the sources, which may hold values of charts.
    sources: bool,
    reasons: usize,
    conditions: Bound,
}

const LEVELS: [Level; 5] = [
    Level {
        resources: 4000,
        results: 1000,
        text: MAX_MESSAGE,
        message: 1000,
        drift: 20,
        ignored: 50,
        images: 1000,
        heals: 20,
        history: 100,
        sources: true,
        reasons: 32,
        conditions: CONDITIONS,
    },
    Level {
        resources: 2000,
        results: 500,
        text: MAX_MESSAGE,
        message: 200,
        drift: 3,
        ignored: 5,
        images: 200,
        heals: 10,
        history: 20,
        sources: true,
        reasons: 32,
        conditions: CONDITIONS,
    },
    Level {
        resources: 1000,
        results: 250,
        text: 2000,
        message: 120,
        drift: 2,
        ignored: 2,
        images: 50,
        heals: 5,
        history: 10,
        sources: false,
        reasons: 20,
        conditions: Bound {
            per_type: 10,
            bytes: 16 << 10,
        },
    },
    Level {
        resources: 200,
        results: 100,
        text: 1100,
        message: 100,
        drift: 1,
        ignored: 0,
        images: 10,
        heals: 2,
        history: 5,
        sources: false,
        reasons: 5,
        conditions: Bound {
            per_type: 3,
            bytes: 4 << 10,
        },
    },
    Level {
        resources: 20,
        results: 20,
        text: 300,
        message: 80,
        drift: 0,
        ignored: 0,
        images: 0,
        heals: 0,
        history: 1,
        sources: false,
        reasons: 1,
        conditions: Bound {
            per_type: 1,
            bytes: 1 << 10,
        },
    },
];

/// Makes a status small enough. Its conditions are made of `found`; those of `previous` keep their
/// time.
pub(super) fn fit(
    status: &mut ApplicationStatus,
    previous: &[ApplicationCondition],
    found: &BTreeSet<Condition>,
    now: Timestamp,
    max_bytes: usize,
) {
    for level in &LEVELS {
        status.conditions = within(previous, found, now, level.conditions);
        reduce(status, level);
        if bytes(status) <= max_bytes {
            return;
        }
    }
}

/// Conditions within bounds. What is left out is one more condition of its type, which says how
/// many there are.
pub(super) fn conditions(
    previous: &[ApplicationCondition],
    found: &BTreeSet<Condition>,
    now: Timestamp,
) -> Vec<ApplicationCondition> {
    within(previous, found, now, CONDITIONS)
}

/// The next size to try after the API server refused a status for its size; `None` when a status
/// of that size cannot be the cause.
pub fn smaller(max_bytes: usize) -> Option<usize> {
    (max_bytes > MIN_STATUS).then(|| (max_bytes / 4).max(MIN_STATUS))
}

/// Whether an API server refuses an object because it is too large: as a request, for etcd, or for
/// the connection between the two.
pub fn is_too_large(code: u16, message: &str) -> bool {
    code == 413
        || [
            "request is too large",
            "message larger than max",
            "Too long: must have at most",
        ]
        .iter()
        .any(|text| message.contains(text))
}

fn within(
    previous: &[ApplicationCondition],
    found: &BTreeSet<Condition>,
    now: Timestamp,
    bound: Bound,
) -> Vec<ApplicationCondition> {
    let mut of_type: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut kept: Vec<(&str, String)> = Vec::new();
    let mut left = bound.bytes;
    // Errors are told before warnings use the room up.
    let (errors, warnings): (Vec<_>, Vec<_>) = found
        .iter()
        .partition(|condition| gitops_api::constants::condition::is_error(condition.kind));
    for condition in errors.into_iter().chain(warnings) {
        let (shown, more) = of_type.entry(condition.kind).or_default();
        let message = cut(&condition.message, MAX_MESSAGE);
        // The first of its type is told in any case.
        if *shown == 0 || (*shown < bound.per_type && message.len() <= left) {
            *shown += 1;
            left = left.saturating_sub(message.len());
            kept.push((condition.kind, message));
        } else {
            *more += 1;
        }
    }
    let rest = of_type.iter().filter(|(_, (_, more))| *more > 0);
    kept.extend(rest.map(|(kind, (_, more))| (*kind, format!("and {more} more of this type"))));
    // Ordered by type as the conditions are, with the number behind its own.
    kept.sort_by_key(|(kind, _)| *kind);
    let since = |kind: &str, message: &str| {
        previous
            .iter()
            .find(|known| known.condition_type == kind && known.message == message)
            .and_then(|known| known.last_transition_time.clone())
            .unwrap_or_else(|| seconds(now))
    };
    kept.into_iter()
        .map(|(kind, message)| ApplicationCondition {
            condition_type: kind.into(),
            last_transition_time: Some(since(kind, &message)),
            message,
        })
        .collect()
}

fn reduce(status: &mut ApplicationStatus, level: &Level) {
    let calm = |resource: &ResourceStatus| {
        resource.status == Some(SyncStatusCode::Synced)
            && resource
                .health
                .as_ref()
                .is_none_or(|health| health.status == HealthStatusCode::Healthy)
    };
    let is_large = status.resources.len() > TIMED;
    if status.resources.len() > level.resources {
        // The sort is stable: among equals the order by identity stays.
        status.resources.sort_by_key(calm);
        status.resources.truncate(level.resources);
    }
    for resource in &mut status.resources {
        resource.drift.truncate(level.drift);
        resource.ignored_fields.truncate(level.ignored);
        if let Some(health) = &mut resource.health {
            shorten(&mut health.message, level.message);
            if is_large {
                health.last_transition_time = None;
            }
        }
    }
    if let Some(health) = &mut status.health {
        shorten(&mut health.message, level.text);
    }
    if let Some(summary) = &mut status.summary {
        summary.images.truncate(level.images);
        summary.external_urls.truncate(level.images);
    }
    status.reasons.truncate(level.reasons);
    keep_newest(&mut status.heals, level.heals);
    keep_newest(&mut status.history, level.history);
    for entry in &mut status.history {
        shorten(&mut entry.degraded_because, level.message);
        if !level.sources {
            entry.source = None;
            entry.sources.clear();
        }
    }
    let Some(operation) = &mut status.operation_state else {
        return;
    };
    shorten(&mut operation.message, level.text);
    let Some(result) = &mut operation.sync_result else {
        return;
    };
    if result.resources.len() > level.results {
        let rank = |resource: &gitops_api::status::ResourceResult| {
            let failed = resource.status == Some(ResultCode::SyncFailed);
            (resource.hook_type.is_none(), !failed)
        };
        result.resources.sort_by_key(rank);
        let hooks = result.resources.iter().filter(|r| r.hook_type.is_some());
        let kept = hooks.count().max(level.results);
        result.resources.truncate(kept);
    }
    for resource in &mut result.resources {
        shorten(&mut resource.message, level.message);
        resource.images.truncate(level.images);
    }
}

/// The last entries of a list that has the newest at its end.
fn keep_newest<T>(list: &mut Vec<T>, kept: usize) {
    let surplus = list.len().saturating_sub(kept);
    list.drain(..surplus);
}

fn shorten(text: &mut String, longest: usize) {
    if text.chars().nth(longest).is_some() {
        *text = cut(text, longest);
    }
}

/// The beginning of a text that is too long; cut again, it stays as it is.
fn cut(text: &str, longest: usize) -> String {
    if text.chars().nth(longest).is_none() {
        return text.into();
    }
    let kept: String = text.chars().take(longest.saturating_sub(1)).collect();
    format!("{kept}…")
}

/// How many bytes a value takes as JSON.
fn bytes(value: &impl Serialize) -> usize {
    struct Counter(usize);
    impl io::Write for Counter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0 += bytes.len();
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut counter = Counter(0);
    match serde_json::to_writer(&mut counter, value) {
        Ok(()) => counter.0,
        Err(_) => usize::MAX,
    }
}

#[cfg(test)]
mod tests;
