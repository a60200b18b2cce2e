//! The history for programs: a versioned document. Fields are only ever added within a version.

use gitops_views::history::{Attempt, By, Entry, History, Outcome};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Version of the document.
pub const VERSION: &str = "gitops-agent.io/history.v1";

/// The document.
pub fn of(history: &History) -> Value {
    let mut document = Map::new();
    document.insert("version".into(), VERSION.into());
    document.insert(
        "application".into(),
        json!({"namespace": history.namespace, "name": history.name}),
    );
    if let Some(good) = history.last_good() {
        document.insert("lastGood".into(), good.id.into());
    }
    if let Some(tip) = &history.tip {
        // The API's own shape; serializing it cannot fail.
        document.insert("tip".into(), serde_json::to_value(tip).unwrap_or_default());
    }
    if let Some(attempt) = &history.attempt {
        document.insert("attempt".into(), of_attempt(attempt));
    }
    let entries: Vec<Value> = history.entries.iter().map(of_entry).collect();
    document.insert("deployments".into(), entries.into());
    if !history.heals.is_empty() {
        // The API's own shape; serializing it cannot fail.
        let heals = serde_json::to_value(&history.heals).unwrap_or_default();
        document.insert("heals".into(), heals);
    }
    document.into()
}

fn of_attempt(attempt: &Attempt) -> Value {
    let mut value = Map::new();
    value.insert("phase".into(), attempt.phase.as_str().into());
    set_time(&mut value, "time", attempt.time);
    value.insert("revisions".into(), attempt.revisions.clone().into());
    set_by(&mut value, &attempt.by);
    value.insert("message".into(), attempt.message.clone().into());
    value.into()
}

fn of_entry(entry: &Entry) -> Value {
    let mut value = Map::new();
    value.insert("id".into(), entry.id.into());
    set_time(&mut value, "startedAt", entry.started);
    set_time(&mut value, "liveSince", entry.live_since);
    value.insert("revisions".into(), entry.revisions.clone().into());
    if let Some(commit) = &entry.commit {
        // The API's own shape; serializing it cannot fail.
        let commit = serde_json::to_value(commit).unwrap_or_default();
        value.insert("commit".into(), commit);
    }
    set_by(&mut value, &entry.by);
    value.insert("result".into(), entry.result.as_str().into());
    match &entry.result {
        Outcome::Healthy { since } => set_time(&mut value, "healthyAt", *since),
        Outcome::Proving { since, good_at } => {
            set_time(&mut value, "healthyAt", Some(*since));
            set_time(&mut value, "goodAt", Some(*good_at));
        }
        Outcome::Lost {
            healthy,
            at,
            because,
        } => {
            set_time(&mut value, "healthyAt", Some(*healthy));
            set_time(&mut value, "lostAt", Some(*at));
            if !because.is_empty() {
                value.insert("lostBecause".into(), because.clone().into());
            }
        }
        Outcome::Degraded {
            healthy,
            since,
            because,
        } => {
            set_time(&mut value, "healthyAt", *healthy);
            set_time(&mut value, "degradedAt", *since);
            if !because.is_empty() {
                value.insert("degradedBecause".into(), because.clone().into());
            }
        }
        Outcome::Recovered { degraded } => set_time(&mut value, "degradedAt", *degraded),
        Outcome::Now(_) | Outcome::NeverHealthy | Outcome::Unknown => {}
    }
    value.insert("current".into(), entry.current.into());
    value.insert("lastGood".into(), entry.last_good.into());
    value.into()
}

fn set_by(value: &mut Map<String, Value>, by: &By) {
    match by {
        By::Agent => {
            value.insert("automated".into(), true.into());
        }
        By::User(name) => {
            value.insert("by".into(), name.clone().into());
        }
        By::Unknown => {}
    }
}

fn set_time(value: &mut Map<String, Value>, name: &str, time: Option<Timestamp>) {
    if let Some(time) = time {
        let text = time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
        value.insert(name.into(), text.into());
    }
}
