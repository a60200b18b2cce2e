//! Argo Rollouts as a test acts it: loose definitions of its kinds, and what its controller writes.

use k8s_openapi::api::core::v1::Service;
use kube::Api;
use kube::api::{ApiResource, DynamicObject, GroupVersionKind, Patch, PatchParams};
use serde_json::{Value, json};

use crate::must;
use crate::world::World;

/// Where the controller says which Pods a Service is for.
pub const HASH: &str = "rollouts-pod-template-hash";

/// The kinds of Argo Rollouts, as loosely as a test may define them.
pub async fn definitions(world: &World) {
    for (kind, plural) in [("Rollout", "rollouts"), ("AnalysisRun", "analysisruns")] {
        let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.argoproj.io")},
            "spec": {
                "group": "argoproj.io", "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural},
                "versions": [{
                    "name": "v1alpha1", "served": true, "storage": true,
                    "schema": {"openAPIV3Schema": {
                        "type": "object", "properties": {"spec": schema, "status": schema},
                    }},
                    "subresources": {"status": {}},
                }],
            },
        });
        world.plane.apply_value_as("gitops-e2e", definition).await;
        let name = format!("crd/{plural}.argoproj.io");
        let arguments = [
            "wait",
            "--for=condition=Established",
            "--timeout=60s",
            &name,
        ];
        must(world.plane.kubectl(&arguments), "wait for the kind");
    }
}

/// The controller of Argo Rollouts.
pub struct Controller<'a>(pub &'a World);

impl Controller<'_> {
    /// As whom it writes.
    pub fn writes() -> PatchParams {
        PatchParams {
            field_manager: Some("rollouts-controller".into()),
            ..PatchParams::default()
        }
    }

    /// Objects of one of its kinds.
    pub fn of(&self, kind: &str) -> Api<DynamicObject> {
        let gvk = GroupVersionKind::gvk("argoproj.io", "v1alpha1", kind);
        let resource = ApiResource::from_gvk(&gvk);
        Api::namespaced_with(self.0.plane.client.clone(), &self.0.target, &resource)
    }

    /// Writes the status of a Rollout as it sees it now.
    pub async fn sees(&self, phase: &str, message: &str, more: Value) {
        let rollouts = self.of("Rollout");
        let seen = must(rollouts.get("payments").await, "read the Rollout");
        let mut status = more;
        status["phase"] = phase.into();
        status["message"] = message.into();
        // A number, written as text.
        status["observedGeneration"] = seen
            .metadata
            .generation
            .unwrap_or_default()
            .to_string()
            .into();
        let patch = Patch::Merge(json!({"status": status}));
        must(
            rollouts
                .patch_status("payments", &Self::writes(), &patch)
                .await,
            "write as the controller",
        );
    }

    /// Changes a Rollout itself.
    pub async fn notes(&self, patch: Value) {
        let rollouts = self.of("Rollout");
        let patch = Patch::Merge(patch);
        must(
            rollouts.patch("payments", &Self::writes(), &patch).await,
            "write as the controller",
        );
    }

    /// Numbers the version of a Rollout.
    pub async fn revision(&self, revision: &str) {
        let annotations = json!({"rollout.argoproj.io/revision": revision});
        self.notes(json!({"metadata": {"annotations": annotations}}))
            .await;
    }

    /// Sends the traffic of a Service to a version.
    pub async fn selects(&self, service: &str, hash: &str) {
        let patch = json!({
            "metadata": {"annotations": {
                "argo-rollouts.argoproj.io/managed-by-rollouts": "payments"}},
            "spec": {"selector": {HASH: hash}},
        });
        let services = self.0.api::<Service>();
        let patch = Patch::Strategic(patch);
        must(
            services.patch(service, &Self::writes(), &patch).await,
            "write as the controller",
        );
    }
}
