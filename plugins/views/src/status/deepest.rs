//! The deepest known reason: what the Pods beneath an object say, where the object itself only says
//! that it is not ready.

use gitops_api::{Application, HealthStatusCode};
use gitops_kit::text;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Pod;

use crate::pods::problem;
use crate::pods::tree::{Tree, Workloads};
use crate::status::application::Summary;
use crate::status::drift;
use crate::status::reason::Code;

/// Whether Pods may say more than the reason does.
pub fn may_be_deeper(summary: &Summary) -> bool {
    let reason = summary.reason.as_ref();
    reason.is_some_and(|reason| matches!(reason.code, Code::Degraded | Code::Progressing))
}

/// Puts what the Pods say in the place of what their object says.
pub fn deepen(
    summary: &mut Summary,
    application: &Application,
    workloads: &Workloads,
    now: Timestamp,
) {
    if may_be_deeper(summary)
        && let Some(text) = of(application, workloads, now)
        && let Some(reason) = &mut summary.reason
    {
        reason.text = text;
    }
}

/// `ImagePullBackOff: registry.example/web:2 is not there (Deployment/web)`: the problem of a Pod of
/// the worst object; `None` when no Pod of an unhealthy object has one.
pub fn of(application: &Application, workloads: &Workloads, now: Timestamp) -> Option<String> {
    let status = application.status.as_ref()?;
    let tree = Tree::of(workloads);
    let mut unwell: Vec<_> = status
        .resources
        .iter()
        .filter_map(|resource| {
            let health = resource.health.as_ref()?.status;
            (health != HealthStatusCode::Healthy).then_some((health.severity(), resource))
        })
        .collect();
    unwell.sort_by_key(|(severity, _)| std::cmp::Reverse(*severity));
    unwell.into_iter().find_map(|(_, resource)| {
        let pods = tree.pods_of(resource);
        let mut problems: Vec<_> = pods
            .iter()
            .filter_map(|pod| Some((problem::of(pod, now)?, began(pod))))
            .collect();
        // Of several the newest Pod is of the newest template.
        problems.sort_by_key(|(problem, began)| (problem.fault, std::cmp::Reverse(*began)));
        let (problem, _) = problems.into_iter().next()?;
        let detail = if problem.detail.is_empty() {
            String::new()
        } else {
            format!(": {}", problem.detail)
        };
        Some(text::one_line(&format!(
            "{}{detail} ({})",
            problem.state,
            drift::object_name(resource)
        )))
    })
}

fn began(pod: &Pod) -> Option<Timestamp> {
    Some(pod.metadata.creation_timestamp.as_ref()?.0)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_pods_reason_stands_in_for_that_of_their_object() {
        let application: Application = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "Application",
            "metadata": {"name": "web", "namespace": "argocd"},
            "spec": {"destination": {}, "project": "default"},
            "status": {
                "sync": {"status": "Synced"}, "health": {"status": "Progressing"},
                "resources": [
                    {"kind": "Service", "version": "v1", "name": "web", "namespace": "n", "status": "Synced", "health": {"status": "Healthy"}},
                    {"group": "apps", "kind": "Deployment", "version": "v1", "name": "web", "namespace": "n", "status": "Synced",
                     "health": {"status": "Progressing", "message": "1 of 2 replicas are updated"}}]}
        }))
        .unwrap();
        let pod = |waiting: &str| {
            serde_json::from_value(json!({
                "metadata": {"name": "web-1", "namespace": "n", "uid": "u",
                    "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-6d", "uid": "r", "controller": true}]},
                "status": {"phase": "Pending", "containerStatuses": [{"name": "web", "image": "i", "imageID": "", "ready": false,
                    "restartCount": 0, "state": {"waiting": {"reason": waiting}}}]}
            }))
            .unwrap()
        };
        let set = serde_json::from_value(json!({
            "metadata": {"name": "web-6d", "namespace": "n", "uid": "r",
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "d", "controller": true}]},
            "spec": {"replicas": 1, "selector": {}}
        }))
        .unwrap();
        let mut workloads = Workloads {
            pods: vec![pod("ContainerCreating")],
            replica_sets: vec![set],
            ..Workloads::default()
        };
        let now = Timestamp::UNIX_EPOCH;
        let why = |workloads: &Workloads| {
            let mut summary = Summary::of(&application, now, true);
            deepen(&mut summary, &application, workloads, now);
            summary.reason.unwrap().text
        };
        assert_eq!(
            why(&workloads),
            "1 of 2 replicas are updated (Deployment/web)"
        );
        workloads.pods.push(pod("ImagePullBackOff"));
        let deep = why(&workloads);
        assert!(deep.starts_with("ImagePullBackOff"), "{deep}");
        assert!(deep.ends_with("(Deployment/web)"), "{deep}");
    }
}
