//! Application and ApplicationSet: child applications of an application of applications.

use gitops_api::constants::condition;
use gitops_api::{ApplicationDestination, ApplicationSource, HealthStatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{Health, status_conditions, text};

/// A child's own verdict, once it is about the child's present spec.
///
/// Argo CD has no rule for Application (it was removed in 1.8) and users paste one that copies
/// `status.health`. That copy is stale right after a change, so the verdict counts only when
/// `status.sync.comparedTo` is what the spec says. Nor does the health of what runs say anything
/// about what an automated child is still to roll out: it counts once that was applied, and a
/// sync that failed is worse than the health it left.
pub(super) fn application(object: &Value) -> Health {
    let status = &object["status"];
    let verdict = text(&status["health"]["status"]);
    if verdict.is_empty() {
        return waiting(status, "Waiting for the application to be compared");
    }
    if !is_about_present_spec(object) {
        return waiting(
            status,
            "Waiting for the application's latest change to be compared",
        );
    }
    match awaited(object) {
        Some(health) => health,
        None => Health::new(
            HealthStatusCode::from(verdict),
            text(&status["health"]["message"]),
        ),
    }
}

/// A child without a verdict; an error that keeps it from being compared says more than that it is
/// waited for. It stays Progressing: the change that repairs it is not refused by what it repairs.
fn waiting(status: &Value, what: &str) -> Health {
    let conditions = status["conditions"].as_array();
    let error = conditions.into_iter().flatten().find_map(|condition| {
        let (kind, message) = (text(&condition["type"]), text(&condition["message"]));
        (kind.ends_with("Error") && kind != condition::SYNC_ERROR && !message.is_empty())
            .then(|| format!("{kind}: {message}"))
    });
    Health::progressing(error.unwrap_or_else(|| what.to_owned()))
}

/// What an automated child still has to do before its health says anything.
fn awaited(object: &Value) -> Option<Health> {
    let (status, policy) = (
        &object["status"],
        &object["spec"]["syncPolicy"]["automated"],
    );
    let automated = policy.is_object() && policy["enabled"] != false;
    let open =
        |resource: &Value| resource["status"] == "OutOfSync" && resource["requiresPruning"] != true;
    let resources = status["resources"].as_array();
    if !automated
        || status["sync"]["status"] != "OutOfSync"
        || !resources.is_some_and(|resources| resources.iter().any(open))
    {
        return None;
    }
    let operation = &status["operationState"];
    // Not the revision: a commit that changes nothing for the child is never synced.
    let digest = "desiredDigest";
    let of_these_manifests = status["sync"][digest] == operation["syncResult"][digest];
    match text(&operation["phase"]) {
        "Failed" | "Error" if of_these_manifests => Some(Health::degraded(format!(
            "Its sync failed: {}",
            text(&operation["message"])
        ))),
        // It drifted since; whether that is taken back is the child's own affair.
        "Succeeded" if of_these_manifests => None,
        _ => Some(Health::progressing(
            "Waiting for the application to be synced",
        )),
    }
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

    use crate::live::health::tests::check;

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
        let child = |code: &str, operation: Value, resource: Value| {
            let mut child = application(spec("v1"), status("Healthy"));
            child["spec"]["syncPolicy"] = json!({"automated": {}});
            child["status"]["sync"]["status"] = json!(code);
            child["status"]["sync"]["desiredDigest"] = json!("r2");
            child["status"]["operationState"] = operation;
            child["status"]["resources"] = json!([resource]);
            child
        };
        let out = json!({"status": "OutOfSync"});
        let extra = json!({"status": "OutOfSync", "requiresPruning": true});
        let operation = |phase: &str, digest: &str| json!({"phase": phase, "message": "boom", "syncResult": {"desiredDigest": digest}});
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
                application(
                    spec("v2"),
                    json!({"health": {"status": "Healthy"}, "conditions": [
                        {"type": "SyncError", "message": "late"},
                        {"type": "ComparisonError", "message": "no such repository"}]}),
                ),
                Progressing,
                "ComparisonError: no such repository",
            ),
            (
                application(elsewhere, status("Healthy")),
                Progressing,
                "latest change",
            ),
            (
                child("OutOfSync", operation("Succeeded", "r1"), out.clone()),
                Progressing,
                "to be synced",
            ),
            (
                child("OutOfSync", operation("Running", "r2"), out.clone()),
                Progressing,
                "to be synced",
            ),
            (
                child("OutOfSync", operation("Failed", "r2"), out.clone()),
                Degraded,
                "Its sync failed: boom",
            ),
            (
                child("OutOfSync", operation("Succeeded", "r2"), out.clone()),
                Healthy,
                "because",
            ),
            (
                child("OutOfSync", operation("Succeeded", "r1"), extra),
                Healthy,
                "because",
            ),
            (
                child("Synced", operation("Succeeded", "r1"), out),
                Healthy,
                "because",
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
