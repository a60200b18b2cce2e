//! Service, Ingress and PersistentVolumeClaim: has what was claimed been provided?

use serde_json::Value;

use super::{Health, text};

fn has_ingress(object: &Value) -> bool {
    object["status"]["loadBalancer"]["ingress"]
        .as_array()
        .is_some_and(|list| !list.is_empty())
}

/// Only a Service of type LoadBalancer has to wait, for its address.
pub(super) fn service(object: &Value) -> Health {
    if object["spec"]["type"] == "LoadBalancer" && !has_ingress(object) {
        return Health::progressing("Waiting for the load balancer's address");
    }
    Health::healthy("")
}

/// Progressing until a controller has written an address.
pub(super) fn ingress(object: &Value) -> Health {
    if has_ingress(object) {
        Health::healthy("")
    } else {
        Health::progressing("Waiting for an ingress controller to write an address")
    }
}

/// A claim that waits for its first consumer is Progressing.
pub(super) fn persistent_volume_claim(object: &Value) -> Health {
    match text(&object["status"]["phase"]) {
        "Bound" => Health::healthy(""),
        "Pending" => Health::progressing("Waiting for a volume"),
        "Lost" => Health::degraded("The volume is lost"),
        _ => Health::unknown(""),
    }
}

#[cfg(test)]
mod tests {
    use gitops_api::HealthStatusCode::{Degraded, Healthy, Progressing, Unknown};
    use serde_json::json;

    use crate::live::health::tests::check;

    #[test]
    fn addresses_and_volumes() {
        let service = |kind: &str, ingress| {
            json!({"apiVersion": "v1", "kind": "Service", "spec": {"type": kind},
                "status": {"loadBalancer": {"ingress": ingress}}})
        };
        let ingress = |version: &str, ingress| json!({"apiVersion": version, "kind": "Ingress", "status": {"loadBalancer": {"ingress": ingress}}});
        let claim = |phase: &str| json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "status": {"phase": phase}});
        check(&[
            (service("ClusterIP", json!(null)), Healthy, ""),
            (service("LoadBalancer", json!(null)), Progressing, "address"),
            (service("LoadBalancer", json!([])), Progressing, "address"),
            (
                service("LoadBalancer", json!([{"ip": "1.2.3.4"}])),
                Healthy,
                "",
            ),
            (
                ingress("networking.k8s.io/v1", json!(null)),
                Progressing,
                "controller",
            ),
            (
                ingress("extensions/v1beta1", json!([{"hostname": "x"}])),
                Healthy,
                "",
            ),
            (claim("Bound"), Healthy, ""),
            (claim("Pending"), Progressing, "volume"),
            (claim("Lost"), Degraded, "lost"),
            (claim(""), Unknown, ""),
        ]);
    }
}
