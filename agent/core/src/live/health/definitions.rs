//! APIService and CustomResourceDefinition: is the API they stand for served?

use serde_json::Value;

use super::{Health, condition, status_conditions, text};

/// Healthy when it is Available.
pub(super) fn api_service(object: &Value) -> Health {
    match condition(object, "Available") {
        Some(available) => {
            let message = format!(
                "{}: {}",
                text(&available["reason"]),
                text(&available["message"])
            );
            if available["status"] == "True" {
                Health::healthy(message)
            } else {
                Health::progressing(message)
            }
        }
        None => Health::progressing("Waiting to be processed"),
    }
}

/// Healthy when it is Established, its names are accepted and its schema is structural.
pub(super) fn custom_resource_definition(object: &Value) -> Health {
    if status_conditions(object).is_empty() {
        return Health::progressing("Waiting for status");
    }
    let message_when = |name: &str, status: &str| {
        condition(object, name)
            .filter(|condition| condition["status"] == status)
            .map(|condition| text(&condition["message"]))
    };
    if let Some(message) = message_when("Terminating", "True") {
        return Health::progressing(format!("Definition is being deleted: {message}"));
    }
    if let Some(message) = message_when("NamesAccepted", "False") {
        return Health::degraded(format!("Names are not accepted: {message}"));
    }
    if let Some(message) = message_when("NonStructuralSchema", "True") {
        return Health::degraded(format!("Schema is not structural: {message}"));
    }
    match condition(object, "Established") {
        Some(established) if established["status"] == "True" => Health::healthy(""),
        Some(established) if established["reason"] == "Installing" => {
            Health::progressing("Definition is being installed")
        }
        _ => Health::degraded("Definition is not established"),
    }
}

#[cfg(test)]
mod tests {
    use gitops_api::HealthStatusCode::{Degraded, Healthy, Progressing};
    use serde_json::{Value, json};

    use crate::live::health::tests::check;

    #[test]
    fn served_apis() {
        let service = |version: &str, conditions: Value| json!({"apiVersion": format!("apiregistration.k8s.io/{version}"), "kind": "APIService", "status": {"conditions": conditions}});
        let definition = |conditions: Value| json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "status": {"conditions": conditions}});
        let established = json!({"type": "Established", "status": "True"});
        check(&[
            (service("v1", json!([])), Progressing, "Waiting"),
            (
                service(
                    "v1beta1",
                    json!([{"type": "Available", "status": "True", "reason": "Passed"}]),
                ),
                Healthy,
                "Passed",
            ),
            (
                service(
                    "v1",
                    json!([{"type": "Available", "status": "False", "message": "no endpoints"}]),
                ),
                Progressing,
                "no endpoints",
            ),
            (definition(json!(null)), Progressing, "status"),
            (definition(json!([established])), Healthy, ""),
            (
                definition(json!([established, {"type": "Terminating", "status": "True"}])),
                Progressing,
                "deleted",
            ),
            (
                definition(
                    json!([{"type": "NamesAccepted", "status": "False", "message": "taken"}]),
                ),
                Degraded,
                "taken",
            ),
            (
                definition(json!([established, {"type": "NonStructuralSchema", "status": "True"}])),
                Degraded,
                "structural",
            ),
            (
                definition(
                    json!([{"type": "Established", "status": "False", "reason": "Installing"}]),
                ),
                Progressing,
                "installed",
            ),
            (
                definition(json!([{"type": "Established", "status": "False"}])),
                Degraded,
                "not established",
            ),
        ]);
    }
}
