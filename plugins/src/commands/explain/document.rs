//! The explanation for programs: a versioned document. Fields are only ever added within a version.

use gitops_views::explain::{Cause, Explanation};
use serde_json::{Map, Value, json};

/// Version of the document.
pub const VERSION: &str = "gitops-agent.io/explain.v1";

/// The document.
pub fn of(explanation: &Explanation) -> Value {
    let mut document = Map::new();
    let mut set = |name: &str, value: Value| {
        document.insert(name.to_owned(), value);
    };
    set("version", VERSION.into());
    set("name", explanation.name.clone().into());
    if let Some((namespace, name)) = &explanation.application {
        set("application", json!({"namespace": namespace, "name": name}));
    }
    if !explanation.chain.is_empty() {
        set("owners", explanation.chain.clone().into());
    }
    set("ok", explanation.ok.into());
    if let Some(sync) = explanation.sync {
        set("sync", sync.as_str().into());
    }
    if let Some(health) = explanation.health {
        set("health", health.as_str().into());
    }
    set("verdict", explanation.verdict.clone().into());
    let causes: Vec<Value> = explanation.causes.iter().map(of_cause).collect();
    set("causes", causes.into());
    set("notes", explanation.notes.clone().into());
    set("unread", explanation.unread.clone().into());
    document.into()
}

fn of_cause(cause: &Cause) -> Value {
    let next: Vec<Value> = cause
        .next
        .iter()
        .map(|next| json!({"command": next.command, "why": next.why}))
        .collect();
    let reasons: Vec<Value> = cause
        .reasons
        .iter()
        .map(|given| json!({"code": given.code, "advice": given.advice}))
        .collect();
    let mut document = json!({
        "code": cause.code.as_str(),
        "cause": cause.name,
        "message": cause.what,
        "evidence": cause.evidence,
        "next": next,
    });
    if !reasons.is_empty() {
        document["reasons"] = reasons.into();
    }
    document
}
