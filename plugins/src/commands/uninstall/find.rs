//! Finds what an installation consists of. Changes nothing.

use gitops_api::constants::{FIELD_MANAGER, LEASE_NAME, annotation, label, secret_type};
use gitops_kit::exit::CommandError;
use gitops_kit::text;
use serde_json::{Value, json};

use crate::commands::bootstrap::cluster::Cluster;
use crate::commands::bootstrap::controllers::Role;
use crate::commands::bootstrap::layout::{AGENT, OWN_SYNC_OPTIONS, ROOT};
use crate::commands::bootstrap::manifests::{Choice, Installation, NAME, PART_OF};
use crate::commands::bootstrap::secret::{CREATED_BY, CREATOR};
use crate::commands::uninstall::plan::{Found, has_finalizers};
use crate::git;

/// Kinds that stay: users have settings and credentials of their own there.
const STAYING: [&str; 3] = ["CustomResourceDefinition", "Namespace", "ConfigMap"];

/// Finds it.
pub async fn find(cluster: Cluster<'_>, namespace: &str) -> Result<Found, CommandError> {
    let mut found = Found {
        namespace: namespace.to_owned(),
        ..Found::default()
    };
    let installation = Installation::new(&Choice {
        namespace: namespace.to_owned(),
        image: None,
    })?;
    for object in &installation.objects {
        let kind = object["kind"].as_str().unwrap_or_default();
        let Some(live) = cluster.live(object).await? else {
            continue;
        };
        let is_ours = live["metadata"]["labels"][PART_OF] == NAME;
        if kind == "CustomResourceDefinition" {
            if is_ours {
                found.definitions.push(object.clone());
            }
        } else if !STAYING.contains(&kind) && is_ours && serves(&live, namespace) {
            found.objects.push(object.clone());
        }
    }
    // What makes objects goes first, and the rights by which it is removed go last.
    found.objects.reverse();
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": {"name": LEASE_NAME, "namespace": namespace}});
    if !found.objects.is_empty() && cluster.live(&lease).await?.is_some() {
        found.objects.push(lease);
    }
    for application in cluster
        .list("argoproj.io/v1alpha1", "Application", namespace, "")
        .await?
    {
        let name = application["metadata"]["name"].as_str().unwrap_or_default();
        if (name == ROOT || name == AGENT) && is_own(&application, namespace) {
            if name == ROOT {
                let source = &application["spec"]["source"];
                let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                found.source = Some((
                    text::one_line(&git::redact(&text(&source["repoURL"]))),
                    text::one_line(&text(&source["path"])),
                ));
            }
            found.own.push(application);
        } else {
            found.applications.push(application);
        }
    }
    let sets = cluster
        .list("argoproj.io/v1alpha1", "ApplicationSet", namespace, "")
        .await?;
    found.held_sets = sets.into_iter().filter(has_finalizers).collect();
    // The root first: it would make the other again.
    found.own.reverse();
    let selector = format!(
        "{}={},{CREATED_BY}={CREATOR}",
        label::SECRET_TYPE,
        secret_type::REPOSITORY
    );
    found.secrets = cluster.list("v1", "Secret", namespace, &selector).await?;
    for secret in &mut found.secrets {
        // Nothing of it is needed but its name.
        *secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {
            "name": secret["metadata"]["name"], "namespace": namespace,
        }});
    }
    let controllers = cluster.controllers().await?;
    found.stopped = controllers
        .stopped(namespace)
        .into_iter()
        .cloned()
        .collect();
    let conflicting = controllers.conflicting_controllers(namespace);
    found.argo_cd_runs = conflicting
        .iter()
        .any(|controller| controller.role == Role::ArgoApplications);
    Ok(found)
}

/// Whether an Application is one with which the agent delivers itself: by what bootstrap and the
/// agent wrote on it, never by its name alone.
pub(crate) fn is_own(application: &Value, namespace: &str) -> bool {
    let metadata = &application["metadata"];
    let entries = metadata["managedFields"].as_array();
    let applied = entries
        .into_iter()
        .flatten()
        .any(|entry| entry["manager"] == FIELD_MANAGER && entry["operation"] == "Apply");
    application["spec"]["destination"]["namespace"] == namespace
        && metadata["annotations"][annotation::SYNC_OPTIONS] == OWN_SYNC_OPTIONS
        && (applied || metadata["labels"][label::MANAGED_BY] == namespace)
}

/// Whether a binding for the whole cluster is the one of this namespace's agent.
fn serves(live: &Value, namespace: &str) -> bool {
    match live["subjects"].as_array() {
        None => true,
        Some(subjects) => subjects
            .iter()
            .any(|subject| subject["namespace"] == namespace),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_users_application_is_no_ones_own_by_its_name() {
        let users = json!({
            "metadata": {"name": "root", "managedFields": [
                {"manager": "kubectl-client-side-apply", "operation": "Update"},
                {"manager": "gitops-agent", "operation": "Update"},
            ]},
            "spec": {"destination": {"namespace": "argocd"}},
        });
        assert!(!is_own(&users, "argocd"));
        let mut own = users;
        own["metadata"]["annotations"] = json!({annotation::SYNC_OPTIONS: OWN_SYNC_OPTIONS});
        assert!(!is_own(&own, "argocd"));
        own["metadata"]["labels"] = json!({label::MANAGED_BY: "argocd"});
        assert!(is_own(&own, "argocd"));
        assert!(!is_own(&own, "gitops"));
        own["metadata"]["labels"] = json!({});
        own["metadata"]["managedFields"][1]["operation"] = json!("Apply");
        assert!(is_own(&own, "argocd"));
    }
}
