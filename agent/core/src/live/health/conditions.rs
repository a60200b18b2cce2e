//! ClusterExternalSecret, of whose conditions the last counts.

use serde_json::Value;

use super::{Health, status_conditions, text};

/// The last condition that says something counts.
pub(super) fn cluster_external_secret(object: &Value) -> Health {
    let mut health = Health::progressing("Waiting for ClusterExternalSecret");
    for condition in status_conditions(object) {
        if condition["status"] != "True" {
            continue;
        }
        match text(&condition["type"]) {
            "Ready" => health = Health::healthy(text(&condition["message"])),
            "PartiallyReady" | "NotReady" => {
                health = Health::degraded(text(&condition["message"]));
            }
            _ => {}
        }
    }
    health
}

#[cfg(test)]
mod tests {
    use gitops_api::HealthStatusCode::{Degraded, Healthy, Progressing};
    use serde_json::{Value, json};

    use crate::live::health::tests::check;

    fn object(api_version: &str, kind: &str, conditions: &[(&str, &str)]) -> Value {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(name, status)| json!({"type": name, "status": status, "message": format!("{name} is {status}")}))
            .collect();
        json!({"apiVersion": api_version, "kind": kind, "status": {"conditions": conditions}})
    }

    #[test]
    fn external_secrets() {
        for kind in [
            "ExternalSecret",
            "SecretStore",
            "ClusterSecretStore",
            "PushSecret",
        ] {
            let of =
                |conditions: &[(&str, &str)]| object("external-secrets.io/v1", kind, conditions);
            check(&[
                (of(&[]), Progressing, &format!("Waiting for {kind}")),
                (of(&[("Ready", "True")]), Healthy, "Ready is True"),
                (
                    of(&[("Deleted", "True"), ("Ready", "False")]),
                    Degraded,
                    "Ready is False",
                ),
                (of(&[("Ready", "Unknown")]), Progressing, ""),
            ]);
        }
        let cluster = |conditions: &[(&str, &str)]| {
            object(
                "external-secrets.io/v1",
                "ClusterExternalSecret",
                conditions,
            )
        };
        check(&[
            (cluster(&[]), Progressing, ""),
            (
                cluster(&[("PartiallyReady", "True"), ("Ready", "True")]),
                Healthy,
                "",
            ),
            (
                cluster(&[("Ready", "True"), ("NotReady", "True")]),
                Degraded,
                "NotReady",
            ),
            (
                cluster(&[("Ready", "True"), ("NotReady", "False")]),
                Healthy,
                "",
            ),
        ]);
    }

    #[test]
    fn certificates_and_sealed_secrets() {
        let certificate =
            |conditions: &[(&str, &str)]| object("cert-manager.io/v1", "Certificate", conditions);
        let sealed = |conditions: &[(&str, &str)]| {
            object("bitnami.com/v1alpha1", "SealedSecret", conditions)
        };
        check(&[
            (certificate(&[]), Progressing, "Waiting"),
            (certificate(&[("Ready", "True")]), Healthy, ""),
            (certificate(&[("Ready", "False")]), Degraded, ""),
            (
                certificate(&[("Ready", "False"), ("Issuing", "True")]),
                Progressing,
                "Issuing",
            ),
            (
                certificate(&[("Ready", "True"), ("Issuing", "False")]),
                Healthy,
                "",
            ),
            (
                object("cert-manager.io/v1", "ClusterIssuer", &[("Ready", "True")]),
                Healthy,
                "",
            ),
            (
                object("cert-manager.io/v1", "Issuer", &[("Ready", "False")]),
                Degraded,
                "",
            ),
            (sealed(&[]), Progressing, "Waiting for SealedSecret"),
            (sealed(&[("Synced", "True")]), Healthy, ""),
            (sealed(&[("Synced", "False")]), Degraded, ""),
        ]);
    }
}
