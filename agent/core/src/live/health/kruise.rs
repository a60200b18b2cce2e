//! OpenKruise and its games: partitions, and servers whose Pod counts.

use serde_json::Value;

use super::{Health, number, text};

fn unobserved(object: &Value) -> Option<Health> {
    let observed = &object["status"]["observedGeneration"];
    let current = observed.is_number() && *observed == object["metadata"]["generation"];
    (!current).then(|| Health::progressing("Waiting for the controller to see the latest change"))
}

/// Kruise's DaemonSet. One whose partition is not reached is never Healthy: somebody has to go on.
pub(super) fn daemon_set(object: &Value) -> Health {
    let (update, status) = (
        &object["spec"]["updateStrategy"]["rollingUpdate"],
        &object["status"],
    );
    if update["paused"] == true {
        return Health::suspended("DaemonSet is paused");
    }
    if let Some(health) = unobserved(object) {
        return health;
    }
    let (updated, wanted) = (
        number(&status["updatedNumberScheduled"]),
        number(&status["desiredNumberScheduled"]),
    );
    let partition = number(&update["partition"]);
    let so_far = format!("{updated} of {wanted} Pods are updated");
    if partition != 0 && number(&object["metadata"]["generation"]) > 1 {
        if updated > wanted.saturating_sub(partition) {
            return Health::suspended("The partition is reached: the rest waits for you");
        }
        return Health::progressing(so_far);
    }
    if updated == wanted && number(&status["numberAvailable"]) == wanted {
        // Without a number of those available nothing has been looked at yet.
        if status["numberAvailable"].is_null() {
            return Health::progressing(so_far);
        }
        return Health::healthy("");
    }
    if updated == wanted && number(&status["numberUnavailable"]) == wanted {
        return Health::degraded("No Pod is available");
    }
    Health::progressing(so_far)
}

/// GameServer: in the state it is to be in, with a Pod that is ready.
pub(super) fn game_server(object: &Value) -> Health {
    let status = &object["status"];
    let (current, desired) = (text(&status["currentState"]), text(&status["desiredState"]));
    if status.is_null() {
        return Health::unknown("Waiting for GameServer");
    }
    if current != desired {
        return Health::progressing(format!("Changes from {current} to {desired}"));
    }
    let conditions = status["podStatus"]["conditions"].as_array();
    let not_ready = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition["type"] == "KruisePodReady" && condition["status"] != "True");
    if let Some(condition) = not_ready {
        let message = text(&condition["message"]);
        return Health::degraded(format!("Its Pod is not ready {message}").trim());
    }
    match current {
        "Ready" => Health::healthy(""),
        _ => Health::unknown(format!("Is {current}")),
    }
}

/// GameServerSet.
pub(super) fn game_server_set(object: &Value) -> Health {
    let (update, status) = (
        &object["spec"]["updateStrategy"]["rollingUpdate"],
        &object["status"],
    );
    if let Some(health) = unobserved(object) {
        return health;
    }
    if update["paused"] == true {
        return Health::suspended("GameServerSet is paused");
    }
    let (replicas, partition) = (number(&status["replicas"]), number(&update["partition"]));
    if partition != 0 && number(&status["updatedReplicas"]) >= replicas.saturating_sub(partition) {
        return Health::suspended("The partition is reached: the rest waits for you");
    }
    let updated = number(&status["updatedReadyReplicas"]);
    if updated == replicas {
        return Health::healthy("");
    }
    Health::progressing(format!(
        "{updated} of {replicas} replicas are updated and ready"
    ))
}
