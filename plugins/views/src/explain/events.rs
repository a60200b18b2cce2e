//! Events, read: warnings about an object, and what self-heal took back.

use std::collections::BTreeMap;

use gitops_kit::text;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Event;

/// Seconds back in which repairs count.
pub(super) const WINDOW: i64 = 900;
/// Seconds back in which warnings are worth a word.
const RECENT: i64 = 3_600;

/// What self-heal did to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Heal {
    pub kind: String,
    pub name: String,
    pub times: i32,
    pub last: Option<Timestamp>,
    /// What it was, as the agent says: `.spec.replicas is 5 instead of 3, by kubectl-scale`.
    pub what: String,
}

/// Repairs of the last minutes, by object.
pub(super) fn heals(events: &[Event], now: Timestamp) -> Vec<Heal> {
    let mut heals: BTreeMap<(String, String), Heal> = BTreeMap::new();
    let found = events.iter().filter(|event| {
        event.reason.as_deref() == Some("SelfHealed")
            && event.involved_object.kind.as_deref() != Some("Application")
            && last_seen(event).is_none_or(|time| now.as_second() - time.as_second() < WINDOW)
    });
    for event in found {
        let kind = event.involved_object.kind.clone().unwrap_or_default();
        let name = event.involved_object.name.clone().unwrap_or_default();
        let last = last_seen(event);
        let heal = heals
            .entry((kind.clone(), name.clone()))
            .or_insert_with(|| Heal {
                kind,
                name,
                times: 0,
                last: None,
                what: String::new(),
            });
        heal.times = heal.times.saturating_add(times(event));
        if heal.what.is_empty() || last > heal.last {
            let message = event.message.as_deref().unwrap_or_default();
            // "application web put back what Git has at 91be07a: …"
            let what = message.split_once(": ").map_or(message, |(_, what)| what);
            heal.what = text::one_line(what);
        }
        heal.last = heal.last.max(last);
    }
    heals.into_values().collect()
}

/// Recent warnings about an object, newest first, each once: `FailedCreate (x12, 2m ago): …`.
pub(super) fn warnings<'a>(
    events: &'a [Event],
    namespace: &str,
    kind: &str,
    name: &str,
    now: Timestamp,
) -> Vec<&'a Event> {
    let mut found: Vec<&Event> = events
        .iter()
        .filter(|event| event.type_.as_deref() == Some("Warning"))
        .filter(|event| {
            let object = &event.involved_object;
            object.kind.as_deref() == Some(kind)
                && object.name.as_deref() == Some(name)
                && object.namespace.as_deref().unwrap_or_default() == namespace
        })
        .filter(|event| {
            last_seen(event).is_none_or(|time| now.as_second() - time.as_second() < RECENT)
        })
        .collect();
    found.sort_by_key(|event| std::cmp::Reverse(last_seen(event)));
    let mut reasons: Vec<&str> = Vec::new();
    found.retain(|event| {
        let reason = event.reason.as_deref().unwrap_or_default();
        let new = !reasons.contains(&reason);
        reasons.push(reason);
        new
    });
    found
}

/// A warning in one line.
pub(super) fn in_words(event: &Event, now: Timestamp) -> String {
    let times = match times(event) {
        0 | 1 => String::new(),
        times => format!("x{times}, "),
    };
    let age = last_seen(event).map_or_else(
        || "lately".to_owned(),
        |time| format!("{} ago", text::age(time, now)),
    );
    text::one_line(&format!(
        "event {} ({times}{age}): {}",
        event.reason.as_deref().unwrap_or_default(),
        event.message.as_deref().unwrap_or_default()
    ))
}

fn times(event: &Event) -> i32 {
    let series = event.series.as_ref().and_then(|series| series.count);
    series.or(event.count).unwrap_or(1).max(1)
}

fn last_seen(event: &Event) -> Option<Timestamp> {
    let series = event
        .series
        .as_ref()
        .and_then(|series| series.last_observed_time.as_ref())
        .map(|time| time.0);
    let last = event.last_timestamp.as_ref().map(|time| time.0);
    let first = event.event_time.as_ref().map(|time| time.0);
    series.max(last).or(first)
}
