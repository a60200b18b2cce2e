//! What scripts read: a versioned document, as JSON or YAML.
//!
//! Fields are only ever added within a version.

use gitops_api::Application;
use gitops_views::status::agent::Agent;
use gitops_views::status::application::Summary;
use gitops_views::status::live;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// Version of the document.
pub const VERSION: &str = "gitops-agent.io/status.v1";

/// The document. `complete` adds each application's objects and conditions.
pub fn of(applications: &[Application], agent: &Agent, complete: bool, now: Timestamp) -> Value {
    let items: Vec<Value> = applications
        .iter()
        .map(|application| item(application, complete, now))
        .collect();
    json!({ "version": VERSION, "agent": agent_value(agent), "applications": items })
}

fn agent_value(agent: &Agent) -> Value {
    match agent {
        Agent::Running { renewed } => json!({ "state": "Running", "seen": second(*renewed) }),
        Agent::Stale { renewed } => json!({ "state": "Silent", "seen": second(*renewed) }),
        Agent::Absent => json!({ "state": "Absent" }),
        Agent::Unknown => json!({ "state": "Unknown" }),
    }
}

fn item(application: &Application, complete: bool, now: Timestamp) -> Value {
    let summary = Summary::of(application, now, true);
    let status = application.status.as_ref();
    let mut item = Map::new();
    let mut set = |name: &str, value: Value| {
        if !value.is_null() {
            item.insert(name.to_owned(), value);
        }
    };
    set("namespace", summary.namespace.clone().into());
    set("name", summary.name.clone().into());
    set("project", summary.project.clone().into());
    set("ok", summary.is_fine().into());
    set("sync", summary.sync.as_str().into());
    set("health", summary.health.as_str().into());
    if let Some(sync) = status.and_then(|status| status.sync.as_ref()) {
        set("revisions", sync.compared_revisions().into());
    }
    if let Some(live) = live::of(application) {
        set("live", serde_json::to_value(live).unwrap_or_default());
    }
    if let Some(Ok(hold)) = live::hold(application) {
        set("hold", serde_json::to_value(hold).unwrap_or_default());
    }
    if let Some(last_sync) = summary.last_sync {
        set("lastSync", second(last_sync));
    }
    if let Some(compared) = status.and_then(|status| status.reconciled_at.as_ref()) {
        set("compared", second(compared.0));
    }
    if let Some(reason) = &summary.reason {
        set(
            "reason",
            json!({ "code": reason.code.as_str(), "message": reason.text }),
        );
    }
    if let Some(status) = status.filter(|status| !status.reasons.is_empty()) {
        let reasons = serde_json::to_value(&status.reasons);
        set("reasons", reasons.unwrap_or_default());
    }
    if complete && let Some(status) = status {
        // These are the API's own shapes; serializing them cannot fail.
        set(
            "resources",
            serde_json::to_value(&status.resources).unwrap_or_default(),
        );
        set(
            "conditions",
            serde_json::to_value(&status.conditions).unwrap_or_default(),
        );
    }
    item.into()
}

fn second(time: Timestamp) -> Value {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string().into()
}
