//! What has to be in the cluster before the next objects are applied: their namespace, and kinds that
//! were only just defined.

use std::time::Duration;

use gitops_api::HealthStatusCode;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::sync::action::{Action, Verb};
use serde_json::json;

use crate::applications::app_state::AppState;
use crate::applications::context::ReconcileContext;
use crate::applications::error::ReconcileError;
use crate::applications::sync::request::Request;
use crate::cluster::Cluster;
use crate::cluster::write::WriteError;

/// Longest wait for the API server to serve a kind whose definition was just applied.
pub(crate) const CRD_ESTABLISHED_TIMEOUT: Duration = Duration::from_secs(30);

/// Creates the destination namespace when the option asks for it and something has to live in
/// it. With managed metadata it is an object like any other, and part of the plan.
pub(crate) async fn ensure_namespace(
    context: &ReconcileContext<'_>,
    app_state: &AppState,
    request: &Request,
    actions: &[Action],
) -> Result<(), ReconcileError> {
    let cluster = &context.cluster;
    let name = &context.app.spec.destination.namespace;
    let needed = actions.iter().any(|action| {
        matches!(action.verb, Verb::Apply | Verb::RunHook)
            && action.key.namespace == *name
            && !app_state.live.contains_key(&action.key)
    });
    let key = ObjectKey {
        group: String::new(),
        kind: "Namespace".into(),
        namespace: String::new(),
        name: name.clone(),
    };
    if !request.options.create_namespace
        || !needed
        || name.is_empty()
        || app_state.wanted.desired.objects.contains_key(&key)
        || cluster.index.has_objects_in(name)
    {
        return Ok(());
    }
    let gvk = GroupVersionKind {
        group: String::new(),
        version: "v1".into(),
        kind: "Namespace".into(),
    };
    if cluster.writer.get(&gvk, &key).await?.is_some() {
        return Ok(());
    }
    let gate = context.gate(&app_state.wanted.repositories)?;
    let permit = gate.write(&key).map_err(WriteError::from)?;
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
    let writer = &cluster.writer;
    let applied = writer.apply(&permit, &gvk, &namespace, true).await;
    applied?;
    Ok(())
}

/// After a CustomResourceDefinition was applied, waits until its kind is served: objects of it
/// may be in the next step. Gives those that took too long.
pub(crate) async fn wait_for_definitions(
    cluster: &Cluster,
    app_state: &AppState,
    actions: &[Action],
) -> Vec<ObjectKey> {
    let mut late = Vec::new();
    let definitions: Vec<_> = actions
        .iter()
        .filter(|action| action.verb == Verb::Apply)
        .filter_map(|action| app_state.wanted.desired.objects.get(&action.key))
        .filter(|object| object.defined_kind.is_some())
        .collect();
    for desired in &definitions {
        let established = async {
            loop {
                let changed = cluster.index.changed();
                let health = cluster.index.get(&desired.key).and_then(|r| r.health);
                if health.is_some_and(|h| h.status == HealthStatusCode::Healthy) {
                    return;
                }
                changed.await;
            }
        };
        if tokio::time::timeout(CRD_ESTABLISHED_TIMEOUT, established)
            .await
            .is_err()
        {
            tracing::warn!(definition = %desired.key, "timed out waiting for CRD condition Established");
            late.push(desired.key.clone());
        }
    }
    if !definitions.is_empty() && cluster.discovery.refresh().await.is_err() {
        tracing::warn!("kinds could not be read after a definition was applied");
    }
    late
}
