//! Custom resources whose health is a sum over what their operators run.

use serde_json::Value;

use super::{Health, number, text};

/// Crunchy's PostgresCluster: the Pods of each set of instances.
pub(super) fn crunchy_postgres(object: &Value) -> Health {
    let (spec, status) = (&object["spec"], &object["status"]);
    if spec["shutdown"] == true {
        return Health::suspended("PostgresCluster is shut down");
    }
    if spec["paused"] == true {
        return Health::suspended("PostgresCluster is paused");
    }
    if number(&status["observedGeneration"]) < number(&object["metadata"]["generation"]) {
        return Health::progressing("Waiting for the controller to see the latest change");
    }
    let sets = status["instances"]
        .as_array()
        .map_or(&[][..], Vec::as_slice);
    for set in sets {
        let (ready, wanted) = (number(&set["readyReplicas"]), number(&set["replicas"]));
        if ready < wanted {
            let name = text(&set["name"]);
            return Health::progressing(format!("Set {name}: {ready} of {wanted} Pods are ready"));
        }
    }
    if sets.is_empty() {
        return Health::progressing("Waiting for PostgresCluster");
    }
    Health::healthy("")
}

/// OpenTelemetryCollector: `status.scale.statusReplicas` is "2/3"; a sidecar runs nothing itself,
/// and no node may suit a daemonset.
pub(super) fn open_telemetry_collector(object: &Value) -> Health {
    let mode = text(&object["spec"]["mode"]);
    if mode == "sidecar" {
        return Health::healthy("Runs as a sidecar");
    }
    let replicas = text(&object["status"]["scale"]["statusReplicas"]);
    let counts = replicas.split_once('/').and_then(|(ready, wanted)| {
        let ready: u32 = ready.trim().parse().ok()?;
        let wanted: u32 = wanted.trim().parse().ok()?;
        Some((ready, wanted))
    });
    match counts {
        Some((0, 0)) if mode == "daemonset" => Health::healthy("No node suits it"),
        Some((0, wanted)) => Health::degraded(format!("0 of {wanted} replicas are ready")),
        Some((ready, wanted)) if ready == wanted => Health::healthy(""),
        Some((ready, wanted)) => {
            Health::progressing(format!("{ready} of {wanted} replicas are ready"))
        }
        None => Health::progressing("Waiting for OpenTelemetryCollector"),
    }
}

/// Rook's Cassandra: the members of each rack.
pub(super) fn cassandra_racks(object: &Value) -> Health {
    let Some(racks) = object["status"]["racks"].as_object() else {
        return Health::progressing("Waiting for Cluster");
    };
    for (name, rack) in racks {
        let (ready, members) = (&rack["readyMembers"], &rack["members"]);
        if ready.is_number() && members.is_number() && ready != members {
            return Health::progressing(format!(
                "Rack {name}: {ready} of {members} members are ready"
            ));
        }
    }
    Health::healthy("")
}

/// Crossplane's ClusterStackInstall, which keeps its conditions a level deeper than others.
pub(super) fn stack_install(object: &Value) -> Health {
    let conditions = object["status"]["conditionedStatus"]["conditions"].as_array();
    let mut conditions = conditions.into_iter().flatten();
    match conditions.find(|condition| condition["type"] == "Ready") {
        Some(ready) if ready["status"] == "True" => Health::healthy(text(&ready["reason"])),
        Some(ready) => Health::progressing(text(&ready["reason"])),
        None => Health::progressing("Waiting for ClusterStackInstall"),
    }
}

/// Karmada's bindings: what each of the clusters they name says of the object.
pub(super) fn karmada_binding(object: &Value) -> Health {
    let reports = object["status"]["aggregatedStatus"].as_array();
    let reports = reports.map_or(&[][..], Vec::as_slice);
    let clusters = object["spec"]["clusters"].as_array().map(Vec::len);
    if reports.is_empty() || clusters.is_some_and(|clusters| clusters != reports.len()) {
        return Health::progressing(format!(
            "{} of {} clusters have reported",
            reports.len(),
            clusters.unwrap_or(0)
        ));
    }
    let unwell = reports.iter().find(|report| match text(&report["health"]) {
        "Unhealthy" => true,
        "Unknown" => report["applied"] != true,
        _ => false,
    });
    match unwell {
        Some(report) => Health::degraded(format!(
            "Unhealthy in cluster {}",
            text(&report["clusterName"])
        )),
        None => Health::healthy(""),
    }
}
