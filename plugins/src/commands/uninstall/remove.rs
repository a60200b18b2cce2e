//! Removes an agent. Each step may be repeated: what is gone already is passed over.

use std::time::Duration;

use gitops_api::constants::finalizer;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::progress::Progress;
use serde_json::{Value, json};

use crate::commands::bootstrap::cluster::{Cluster, shown};
use crate::commands::bootstrap::take_over;
use crate::commands::uninstall::find;
use crate::commands::uninstall::plan::{Found, UninstallOptions, has_finalizers};

/// Does it.
pub async fn remove(
    cluster: Cluster<'_>,
    found: &Found,
    options: &UninstallOptions,
    timeout: Duration,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    let namespace = &found.namespace;
    // Without them nothing makes again what goes now.
    for application in &found.own {
        take_off_finalizers(cluster, application).await?;
        delete(cluster, application, progress).await?;
    }
    if options.workloads && !found.applications.is_empty() {
        workloads(cluster, found, timeout, progress).await?;
    }
    for object in &found.objects {
        delete(cluster, object, progress).await?;
        if object["kind"] == "Deployment" {
            progress.begin("waiting for the agent to end");
            cluster
                .no_pods(namespace, "app.kubernetes.io/name=gitops-agent", timeout)
                .await?;
            progress.done("the agent has ended");
        }
    }
    // The agent may have been at work on one of them until now.
    let again = find::find(cluster, namespace).await?;
    for application in again.own.iter().chain(&again.applications) {
        if has_finalizers(application) {
            progress.begin(&format!("taking the finalizers off {}", shown(application)));
            take_off_finalizers(cluster, application).await?;
        }
    }
    for application in &again.own {
        delete(cluster, application, progress).await?;
    }
    if options.applications || options.definitions {
        for application in &again.applications {
            delete(cluster, application, progress).await?;
        }
    }
    for secret in &found.secrets {
        delete(cluster, secret, progress).await?;
    }
    if options.definitions {
        for definition in &found.definitions {
            progress.begin(&format!("deleting {}", shown(definition)));
            cluster.delete(definition).await?;
            cluster.gone(definition, timeout).await?;
            progress.done(&format!("deleted {}", shown(definition)));
        }
    }
    if options.restore {
        for controller in &found.stopped {
            progress.begin(&format!("starting {}", controller.shown()));
            let object = take_over::object(controller);
            cluster
                .merge(&object, &take_over::start(controller))
                .await?;
            progress.done(&format!(
                "started {} in {}",
                controller.shown(),
                controller.namespace
            ));
        }
    }
    Ok(())
}

/// Lets the agent delete what the Applications delivered, while it is still there.
async fn workloads(
    cluster: Cluster<'_>,
    found: &Found,
    timeout: Duration,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    if !cluster.agent_runs(&found.namespace).await {
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            "no agent is alive that could delete what the Applications delivered",
        )
        .hint(
            "leave out --delete-workloads, or repair the agent first: kubectl gitops bootstrap",
        ));
    }
    for application in &found.applications {
        progress.begin(&format!(
            "deleting {} with what it delivered",
            shown(application)
        ));
        let with = json!({"metadata": {"finalizers": [finalizer::RESOURCES]}});
        cluster.merge(application, &with).await?;
        cluster.delete(application).await?;
    }
    progress.begin("waiting until everything delivered is gone");
    for application in &found.applications {
        cluster.gone(application, timeout).await?;
    }
    progress.done(&format!(
        "deleted {} Applications with what they delivered",
        found.applications.len()
    ));
    Ok(())
}

async fn take_off_finalizers(cluster: Cluster<'_>, object: &Value) -> Result<(), CommandError> {
    if !has_finalizers(object) || cluster.live(object).await?.is_none() {
        return Ok(());
    }
    let without = json!({"metadata": {"finalizers": null}});
    cluster.merge(object, &without).await
}

async fn delete(
    cluster: Cluster<'_>,
    object: &Value,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    progress.begin(&format!("deleting {}", shown(object)));
    cluster.delete(object).await?;
    progress.done(&format!("deleted {}", shown(object)));
    Ok(())
}
