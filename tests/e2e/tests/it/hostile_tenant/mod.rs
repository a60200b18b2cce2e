//! A tenant who means harm: may push to one repository, or write one Application, and tries to reach
//! what is not theirs. Each test is named after what it forbids; docs/security.md lists them.

mod drift;
mod hooks;
mod rules;
mod sources;

use gitops_api::{Application, OperationPhase};
use gitops_e2e::World;
use gitops_e2e::application::status;
use serde_json::{Value, json};

/// Creates an AppProject, or writes it anew.
async fn project(world: &World, name: &str, spec: Value) {
    let project = json!({
        "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
        "metadata": {"name": name, "namespace": world.namespace}, "spec": spec,
    });
    world.plane.apply_value_as("gitops-e2e", project).await;
}

/// A project that allows the target namespace and nothing else.
async fn fenced(world: &World) {
    let spec = json!({
        "sourceRepos": ["*"],
        "destinations": [{"server": "*", "namespace": world.target}],
    });
    project(world, "fenced", spec).await;
}

/// Whether the last operation failed, with all these texts in what it says.
fn failed_with(app: &Application, texts: &[&str]) -> bool {
    status(app).operation_state.is_some_and(|state| {
        let results = state.sync_result.iter().flat_map(|r| &r.resources);
        let said: Vec<&str> = results
            .map(|result| result.message.as_str())
            .chain([state.message.as_str()])
            .collect();
        let failed = matches!(state.phase, OperationPhase::Failed | OperationPhase::Error);
        failed
            && texts
                .iter()
                .all(|text| said.iter().any(|said| said.contains(text)))
    })
}
