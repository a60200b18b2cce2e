//! Waits for what happens in a cluster by itself: by watching it. Decides nothing.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::StreamExt;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::progress::Progress;
use gitops_kit::text;
use k8s_openapi::api::core::v1::Pod;
use kube::Api;
use kube::api::ListParams;
use kube::runtime::watcher::{self, watch_object};
use serde_json::Value;

use crate::commands::bootstrap::cluster::{Cluster, shown};

/// Longest wait for a definition to be served.
const ESTABLISHED: Duration = Duration::from_mins(1);

impl Cluster<'_> {
    /// Waits until a definition's kind is served.
    pub async fn established(self, definition: &Value) -> Result<(), CommandError> {
        let name = definition["metadata"]["name"].as_str().unwrap_or_default();
        let mut states = watch_object(self.api(definition), name).boxed();
        let served = async {
            while let Some(state) = states.next().await {
                let Ok(Some(live)) = state else { continue };
                let conditions = live.data["status"]["conditions"].as_array();
                let established = conditions.into_iter().flatten().any(|condition| {
                    condition["type"] == "Established" && condition["status"] == "True"
                });
                if established {
                    return;
                }
            }
        };
        tokio::time::timeout(ESTABLISHED, served)
            .await
            .map_err(|_| {
                CommandError::new(
                    CommandErrorKind::Incomplete,
                    format!("the cluster does not serve {name} after a minute"),
                )
                .hint(format!("see why: kubectl describe crd {name}"))
                .hint("run the command again: it goes on where it stopped")
            })
    }

    /// Waits until a workload has all its Pods, telling what keeps them.
    pub async fn available(
        self,
        workload: &Value,
        timeout: Duration,
        progress: &mut Progress,
    ) -> Result<(), CommandError> {
        let name = text::one_line(workload["metadata"]["name"].as_str().unwrap_or_default());
        let namespace = workload["metadata"]["namespace"]
            .as_str()
            .unwrap_or_default();
        let mut states = watch_object(self.api(workload), &name).boxed();
        let mut pulse = tokio::time::interval(Duration::from_secs(3));
        let mut why = String::new();
        let waiting = async {
            loop {
                tokio::select! {
                    state = states.next() => match state {
                        Some(Ok(Some(live))) if is_available(&live.data, live.metadata.generation) => return,
                        Some(_) => {}
                        None => return,
                    },
                    _ = pulse.tick() => {
                        if let Some(reason) = self.trouble(namespace, &name).await {
                            progress.update(&format!("waiting for {name}: {reason}"));
                            why = reason;
                        }
                    }
                }
            }
        };
        if tokio::time::timeout(timeout, waiting).await.is_ok() {
            return Ok(());
        }
        let why = if why.is_empty() {
            String::new()
        } else {
            format!(": {why}")
        };
        Err(CommandError::new(
            CommandErrorKind::Incomplete,
            format!(
                "{name} did not become ready within {}s{why}",
                timeout.as_secs()
            ),
        )
        .hint(format!(
            "look at it: kubectl -n {namespace} describe pods -l app.kubernetes.io/name={name}"
        ))
        .hint("then run the command again: it goes on where it stopped"))
    }

    /// What the Pods of the agent wait for.
    async fn trouble(self, namespace: &str, name: &str) -> Option<String> {
        let api: Api<Pod> = Api::namespaced(self.connection.client.clone(), namespace);
        let params = ListParams::default().labels(&format!("app.kubernetes.io/name={name}"));
        let pods = self.connection.wait(api.list(&params)).await.ok()?.ok()?;
        pods.items.iter().find_map(|pod| {
            let status = pod.status.as_ref()?;
            let container = status
                .container_statuses
                .iter()
                .flatten()
                .find_map(|container| {
                    let waiting = container.state.as_ref()?.waiting.as_ref()?;
                    let reason = waiting.reason.clone()?;
                    let message = waiting.message.clone().unwrap_or_default();
                    Some(format!("{reason} {message}"))
                });
            let scheduled = status.conditions.iter().flatten().find_map(|condition| {
                let waits = condition.type_ == "PodScheduled" && condition.status == "False";
                waits.then(|| condition.message.clone()).flatten()
            });
            let reason = container.or(scheduled)?;
            Some(text::cut(&text::one_line(&reason), 160, false))
        })
    }

    /// Waits until an object is gone.
    pub async fn gone(self, object: &Value, timeout: Duration) -> Result<(), CommandError> {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let mut states = watch_object(self.api(object), name).boxed();
        let waiting = async {
            while let Some(state) = states.next().await {
                if matches!(state, Ok(None)) {
                    return;
                }
            }
        };
        tokio::time::timeout(timeout, waiting).await.map_err(|_| {
            CommandError::new(
                CommandErrorKind::Incomplete,
                format!("{} is not gone after {}s", shown(object), timeout.as_secs()),
            )
            .hint("see what it waits for: kubectl gitops status")
            .hint("then run the command again: it goes on where it stopped")
        })
    }

    /// Waits until no Pod with these labels is left.
    pub async fn no_pods(
        self,
        namespace: &str,
        labels: &str,
        timeout: Duration,
    ) -> Result<(), CommandError> {
        let api: Api<Pod> = Api::namespaced(self.connection.client.clone(), namespace);
        let config = watcher::Config::default().labels(labels);
        let mut events = watcher::watcher(api, config).boxed();
        let mut pods = BTreeSet::new();
        let waiting = async {
            while let Some(event) = events.next().await {
                let name = |pod: &Pod| pod.metadata.name.clone().unwrap_or_default();
                match event {
                    Ok(watcher::Event::Init) => pods.clear(),
                    Ok(watcher::Event::InitApply(pod) | watcher::Event::Apply(pod)) => {
                        pods.insert(name(&pod));
                    }
                    Ok(watcher::Event::Delete(pod)) => {
                        pods.remove(&name(&pod));
                        if pods.is_empty() {
                            return;
                        }
                    }
                    Ok(watcher::Event::InitDone) if pods.is_empty() => return,
                    Ok(watcher::Event::InitDone) | Err(_) => {}
                }
            }
        };
        tokio::time::timeout(timeout, waiting).await.map_err(|_| {
            CommandError::new(
                CommandErrorKind::Incomplete,
                format!(
                    "Pods of the agent are left in {namespace} after {}s",
                    timeout.as_secs()
                ),
            )
            .hint(format!(
                "see why: kubectl -n {namespace} describe pods -l {labels}"
            ))
        })
    }
}

fn is_available(live: &Value, generation: Option<i64>) -> bool {
    let status = &live["status"];
    let wanted = live["spec"]["replicas"].as_u64().unwrap_or(1);
    status["observedGeneration"].as_i64() >= generation
        && status["updatedReplicas"].as_u64().unwrap_or(0) >= wanted
        && status["availableReplicas"].as_u64().unwrap_or(0) >= wanted
        && status["replicas"].as_u64().unwrap_or(0) <= wanted
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_rollout_is_over_when_all_pods_are_new_and_available() {
        let live = |observed: i64, updated: u64, available: u64, all: u64| {
            json!({"spec": {"replicas": 1}, "status": {
                "observedGeneration": observed, "updatedReplicas": updated,
                "availableReplicas": available, "replicas": all,
            }})
        };
        assert!(is_available(&live(2, 1, 1, 1), Some(2)));
        assert!(!is_available(&live(1, 1, 1, 1), Some(2)));
        assert!(!is_available(&live(2, 0, 1, 1), Some(2)));
        assert!(!is_available(&live(2, 1, 0, 1), Some(2)));
        assert!(!is_available(&live(2, 1, 1, 2), Some(2)));
    }
}
