//! Whether anything of a hook ever ran: what did not can be given up without being interrupted.

use gitops_core::manifest::object::ObjectKey;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};
use kube::api::ListParams;
use kube::{Api, Client};

/// Whether a container of the Pods of a Job, or of a Pod, ever ran. Of other kinds nobody can know.
pub(super) async fn has_started(client: &Client, hook: &ObjectKey) -> bool {
    let pods: Api<Pod> = Api::namespaced(client.clone(), &hook.namespace);
    let found = match (hook.group.as_str(), hook.kind.as_str()) {
        ("", "Pod") => pods
            .get_opt(&hook.name)
            .await
            .map(|pod| pod.into_iter().collect()),
        ("batch", "Job") => {
            // Pods may be gone that ran.
            let jobs: Api<Job> = Api::namespaced(client.clone(), &hook.namespace);
            let Ok(Some(job)) = jobs.get_opt(&hook.name).await else {
                return true;
            };
            let status = job.status.unwrap_or_default();
            if status.succeeded.unwrap_or(0) + status.failed.unwrap_or(0) > 0 {
                return true;
            }
            let of_job = ListParams::default().labels(&format!("job-name={}", hook.name));
            pods.list(&of_job).await.map(|list| list.items)
        }
        _ => return true,
    };
    found.map_or(true, |pods| pods.iter().any(ran))
}

fn ran(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    let lists = status
        .into_iter()
        .flat_map(|status| [&status.init_container_statuses, &status.container_statuses]);
    lists.flatten().flatten().any(container_ran)
}

fn container_ran(container: &ContainerStatus) -> bool {
    let ran = |state: &Option<k8s_openapi::api::core::v1::ContainerState>| {
        state
            .as_ref()
            .is_some_and(|state| state.running.is_some() || state.terminated.is_some())
    };
    container.restart_count > 0 || ran(&container.state) || ran(&container.last_state)
}
