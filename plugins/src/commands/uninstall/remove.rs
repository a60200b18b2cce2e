//! Removes an agent. Each step may be repeated: what is gone already is passed over.

use std::time::Duration;

use gitops_api::constants::{annotation, finalizer};
use gitops_core::live::give_back::given_back;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::progress::Progress;
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::cluster::installation::AGENT_PODS;
use crate::commands::bootstrap::cluster::{Cluster, shown};
use crate::commands::bootstrap::take_over;
use crate::commands::uninstall::find;
use crate::commands::uninstall::plan::{Found, UninstallOptions, has_finalizers};

/// Attempts at giving an object back that others change at the same time.
const GIVE_BACKS: usize = 5;
/// Field manager of what Argo CD applies.
const ARGO_CD: &str = "argocd-controller";

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
        if object["kind"] == "Deployment" {
            end_agent(cluster, object, namespace, timeout, progress).await?;
        }
        delete(cluster, object, progress).await?;
    }
    // The agent may have been at work on one of them until now.
    let again = find::find(cluster, namespace).await?;
    let keeps = found.keeps_finalizers(options);
    let others = again.applications.iter().chain(&again.held_sets);
    let others = others.filter(|_| !keeps);
    for application in again.own.iter().chain(others) {
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
        give_back(cluster, &again.applications, progress).await?;
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

/// Ends the agent before its Deployment goes: one that learns late of its own Application's end would make
/// again what it sees missing, but never heals a Deployment that somebody scaled to nothing.
async fn end_agent(
    cluster: Cluster<'_>,
    deployment: &Value,
    namespace: &str,
    timeout: Duration,
    progress: &mut Progress,
) -> Result<(), CommandError> {
    progress.begin("waiting for the agent to end");
    if cluster.live(deployment).await?.is_some() {
        let stopped = json!({"spec": {"replicas": 0}});
        cluster.merge(deployment, &stopped).await?;
    }
    cluster.no_pods(namespace, AGENT_PODS, timeout).await?;
    progress.done("the agent has ended");
    Ok(())
}

/// Leaves Applications and what they delivered as a working Argo CD needs them.
async fn give_back(
    cluster: Cluster<'_>,
    applications: &[Value],
    progress: &mut Progress,
) -> Result<(), CommandError> {
    let mut given = 0_usize;
    let mut failed: Vec<String> = Vec::new();
    for application in applications {
        progress.begin(&format!("giving back {}", shown(application)));
        if let Some(patch) = ended(application, Timestamp::now()) {
            cluster.merge(application, &patch).await?;
        }
        let options = &application["spec"]["syncPolicy"]["syncOptions"];
        let server_side = options.as_array().is_some_and(|options| {
            options
                .iter()
                .any(|option| option == "ServerSideApply=true")
        });
        let resources = application["status"]["resources"].as_array();
        for resource in resources.into_iter().flatten() {
            let object = reference(resource);
            match give_back_object(cluster, &object, server_side).await {
                Ok(true) => given += 1,
                Ok(false) => {}
                Err(error) => failed.push(format!("{}: {}", shown(&object), error.message)),
            }
        }
    }
    progress.done(&format!("{given} objects are Argo CD's again"));
    // Argo CD has to be started all the same: nobody serves the Applications now.
    if let Some(first) = failed.first() {
        progress.warn(&format!(
            "{} objects could not be given back, so that fields removed from Git will stay on them: {first}",
            failed.len()
        ));
    }
    Ok(())
}

async fn give_back_object(
    cluster: Cluster<'_>,
    object: &Value,
    server_side: bool,
) -> Result<bool, CommandError> {
    // Somebody may change it meanwhile: then it is read again.
    for _ in 0..GIVE_BACKS {
        let Some(live) = cluster.live(object).await? else {
            return Ok(false);
        };
        let Some(patch) = given_back(&live, server_side) else {
            return Ok(false);
        };
        if cluster.merge_as(object, &patch, ARGO_CD).await? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What is taken off an Application, and what is said of an operation that nobody works on any more;
/// `None` when there is nothing of either.
fn ended(application: &Value, now: Timestamp) -> Option<Value> {
    let mut patch = json!({});
    if application["metadata"]["annotations"][annotation::MEMORY].is_string() {
        patch["metadata"]["annotations"][annotation::MEMORY] = Value::Null;
    }
    let phase = application["status"]["operationState"]["phase"].as_str();
    if matches!(phase, Some("Running" | "Terminating")) && application["operation"].is_null() {
        let seconds = Timestamp::from_second(now.as_second()).unwrap_or(now);
        patch["status"]["operationState"] = json!({
            "phase": "Failed", "finishedAt": seconds.to_string(),
            "message": "ended: the agent that carried it out was removed",
        });
    }
    (patch != json!({})).then_some(patch)
}

/// The object that an entry of `status.resources` is about.
fn reference(resource: &Value) -> Value {
    let text = |name: &str| resource[name].as_str().unwrap_or_default();
    let version = text("version");
    let version = match text("group") {
        "" => version.to_owned(),
        group => format!("{group}/{version}"),
    };
    let mut object = json!({"apiVersion": version, "kind": text("kind"),
        "metadata": {"name": text("name")}});
    if !text("namespace").is_empty() {
        object["metadata"]["namespace"] = text("namespace").into();
    }
    object
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_that_nobody_works_on_is_ended() {
        let now = Timestamp::from_second(60).unwrap();
        let app = |phase: &str, operation: Value| json!({"status": {"operationState": {"phase": phase}}, "operation": operation});
        let running = ended(&app("Running", Value::Null), now).unwrap();
        assert_eq!(running["status"]["operationState"]["phase"], "Failed");
        assert_eq!(
            running["status"]["operationState"]["finishedAt"],
            "1970-01-01T00:01:00Z"
        );
        assert_eq!(
            ended(&app("Running", json!({"sync": {}})), now),
            None,
            "Argo CD goes on with it"
        );
        assert_eq!(ended(&app("Succeeded", Value::Null), now), None);
        let remembers = json!({"metadata": {"annotations": {annotation::MEMORY: "{}"}}});
        let patch = ended(&remembers, now).unwrap();
        assert_eq!(
            patch["metadata"]["annotations"][annotation::MEMORY],
            Value::Null
        );
    }

    #[test]
    fn resources_are_found_by_what_a_status_says() {
        let resource = json!({"group": "apps", "version": "v1", "kind": "Deployment", "namespace": "n", "name": "web"});
        let expected = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "web", "namespace": "n"}});
        assert_eq!(reference(&resource), expected);
        let cluster_scoped = json!({"version": "v1", "kind": "Namespace", "name": "n"});
        assert_eq!(reference(&cluster_scoped)["metadata"], json!({"name": "n"}));
    }
}
