//! Application and ApplicationSet: child applications of an application of applications.

use gitops_api::{ApplicationDestination, ApplicationSource, HealthStatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Health, status_conditions, text};

/// A child's own verdict, once it is about the child's present spec.
///
/// Argo CD has no rule for Application (it was removed in 1.8) and users paste one that copies
/// `status.health`. That copy is stale right after a change, so the verdict counts only when
/// `status.sync.comparedTo` is what the spec says.
pub(super) fn application(object: &Value) -> Health {
    let status = &object["status"];
    let verdict = text(&status["health"]["status"]);
    if verdict.is_empty() {
        return Health::progressing("Waiting for the application to be compared");
    }
    if !is_about_present_spec(object) {
        return Health::progressing("Waiting for the application's latest change to be compared");
    }
    Health::new(
        HealthStatusCode::from(verdict),
        text(&status["health"]["message"]),
    )
}

fn is_about_present_spec(object: &Value) -> bool {
    let (spec, compared) = (&object["spec"], &object["status"]["sync"]["comparedTo"]);
    // What is compared of a hydrated application is not in its spec.
    if spec["sourceHydrator"].is_object() {
        return true;
    }
    same::<ApplicationDestination>(&spec["destination"], &compared["destination"])
        && sources(spec) == sources(compared)
}

/// Compared as types, because empty fields are written or left out at will.
fn same<T: DeserializeOwned + PartialEq + Default>(left: &Value, right: &Value) -> bool {
    read::<T>(left) == read::<T>(right)
}

fn read<T: DeserializeOwned + Default>(value: &Value) -> T {
    T::deserialize(value).unwrap_or_default()
}

/// The sources in effect: `sources` when there are any, else `source`.
fn sources(spec: &Value) -> Vec<ApplicationSource> {
    match spec["sources"].as_array() {
        Some(sources) if !sources.is_empty() => sources.iter().map(read).collect(),
        _ => vec![read(&spec["source"])],
    }
}

/// ApplicationSet: its conditions, worst first.
pub(super) fn application_set(object: &Value) -> Health {
    let is = |name: &str, status: &str| {
        status_conditions(object)
            .iter()
            .find(|condition| condition["type"] == name && condition["status"] == status)
            .map(|condition| text(&condition["message"]))
    };
    if let Some(message) = is("ErrorOccurred", "True").or_else(|| is("ResourcesUpToDate", "False"))
    {
        return Health::degraded(message);
    }
    if let Some(message) = is("RolloutProgressing", "True") {
        return Health::progressing(message);
    }
    match is("ResourcesUpToDate", "True") {
        Some(message) => Health::healthy(message),
        None => Health::progressing("Waiting for the ApplicationSet to be processed"),
    }
}

#[cfg(test)]
mod tests {
    use gitops_api::HealthStatusCode::{Degraded, Healthy, Progressing};
    use serde_json::{Value, json};

    use crate::health::tests::check;

    fn application(spec: Value, status: Value) -> Value {
        let mut object = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "Application"});
        object["spec"] = spec;
        object["status"] = status;
        object
    }

    #[test]
    fn applications() {
        let spec = |revision: &str| {
            json!({"source": {"repoURL": "https://host/r", "path": "a", "targetRevision": revision},
                "destination": {"server": "https://x", "namespace": "n"}})
        };
        let status = |health: &str| {
            json!({"health": {"status": health, "message": "because"}, "sync": {"status": "Synced", "comparedTo": {
                "source": {"repoURL": "https://host/r", "path": "a", "targetRevision": "v1", "chart": ""},
                "destination": {"server": "https://x", "namespace": "n"}}}})
        };
        let mut elsewhere = spec("v1");
        elsewhere["destination"]["namespace"] = json!("other");
        let mut several = spec("v1");
        several["sources"] = json!([several["source"], {"repoURL": "https://host/s"}]);
        check(&[
            (
                application(spec("v1"), json!(null)),
                Progressing,
                "to be compared",
            ),
            (
                application(spec("v1"), status("Healthy")),
                Healthy,
                "because",
            ),
            (
                application(spec("v1"), status("Degraded")),
                Degraded,
                "because",
            ),
            (
                application(spec("v2"), status("Healthy")),
                Progressing,
                "latest change",
            ),
            (
                application(elsewhere, status("Healthy")),
                Progressing,
                "latest change",
            ),
            (
                application(several, status("Healthy")),
                Progressing,
                "latest change",
            ),
        ]);
    }

    #[test]
    fn application_sets() {
        let set = |conditions: &[(&str, &str)]| {
            let conditions: Vec<Value> = conditions
                .iter()
                .map(|(name, status)| json!({"type": name, "status": status, "message": name}))
                .collect();
            json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet", "status": {"conditions": conditions}})
        };
        check(&[
            (set(&[]), Progressing, "processed"),
            (
                set(&[("ResourcesUpToDate", "True"), ("ErrorOccurred", "True")]),
                Degraded,
                "ErrorOccurred",
            ),
            (set(&[("ResourcesUpToDate", "False")]), Degraded, ""),
            (
                set(&[
                    ("ResourcesUpToDate", "True"),
                    ("RolloutProgressing", "True"),
                ]),
                Progressing,
                "",
            ),
            (
                set(&[("ResourcesUpToDate", "True"), ("ErrorOccurred", "False")]),
                Healthy,
                "",
            ),
        ]);
    }
}
