//! Whose logs of an Application are worth reading, and in which order: what does not work first, of a
//! container that crashed the run that crashed.

use std::cmp::Reverse;

use gitops_kit::text;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStatus, Pod};

use super::problem;
use super::problem::Problem;

/// The log of one container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Log {
    /// Namespace of the Pod.
    pub namespace: String,
    /// The Pod.
    pub pod: String,
    /// The container.
    pub container: String,
    /// Of the run before the one of now.
    pub previous: bool,
    /// What is wrong with the Pod, in words; empty when nothing is.
    pub why: String,
}

/// What is read, and what cannot be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logs {
    /// The logs in their order.
    pub logs: Vec<Log>,
    /// Containers that wrote nothing yet, and why: `web-1/web: ImagePullBackOff`.
    pub silent: Vec<String>,
}

/// The logs of these Pods. `previous`: of the runs before, also of what works.
pub fn of(pods: &[&Pod], container: Option<&str>, previous: bool, now: Timestamp) -> Logs {
    let mut order: Vec<(&Pod, Option<Problem>)> = pods
        .iter()
        .map(|pod| (*pod, problem::of(pod, now)))
        .collect();
    order.sort_by_key(|(pod, problem)| {
        let metadata = &pod.metadata;
        let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
        (problem.is_none(), Reverse(created), metadata.name.clone())
    });
    let mut found = Logs::default();
    for (pod, problem) in &order {
        of_pod(pod, problem.as_ref(), container, previous, &mut found);
    }
    found
}

fn of_pod(
    pod: &Pod,
    problem: Option<&Problem>,
    only: Option<&str>,
    previous: bool,
    found: &mut Logs,
) {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    let (namespace, name) = (text(&pod.metadata.namespace), text(&pod.metadata.name));
    let why = problem.map_or_else(String::new, |problem| {
        if problem.detail.is_empty() {
            problem.state.clone()
        } else {
            format!("{}: {}", problem.state, problem.detail)
        }
    });
    let Some(status) = &pod.status else { return };
    let inits = status.init_container_statuses.iter().flatten();
    // An init container that did its work says nothing about what is wrong now.
    let inits = inits.filter(|status| only.is_some() || !has_succeeded(status));
    let mut containers: Vec<&ContainerStatus> = inits
        .chain(status.container_statuses.iter().flatten())
        .collect();
    containers.retain(|status| only.is_none_or(|only| status.name == only));
    let faulty = problem.map(|problem| problem.container.as_str());
    containers.sort_by_key(|status| faulty != Some(status.name.as_str()));
    for status in containers {
        let state = status.state.as_ref();
        let waiting = state.and_then(|state| state.waiting.as_ref());
        let before = status.last_state.as_ref();
        let ended = before.and_then(|before| before.terminated.as_ref());
        let has_run_before = ended.is_some() || status.restart_count > 0;
        if (previous || waiting.is_some()) && !has_run_before {
            let reason = waiting.and_then(|waiting| waiting.reason.as_deref());
            let reason = if previous && waiting.is_none() {
                "it has run once only"
            } else {
                reason.unwrap_or("it has not started")
            };
            let place = format!("{name}/{}", status.name);
            found
                .silent
                .push(text::one_line(&format!("{place}: {reason}")));
            continue;
        }
        found.logs.push(Log {
            namespace: namespace.clone(),
            pod: name.clone(),
            container: status.name.clone(),
            previous: previous || waiting.is_some(),
            why: why.clone(),
        });
    }
}

fn has_succeeded(status: &ContainerStatus) -> bool {
    let ended = status
        .state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    ended.is_some_and(|ended| ended.exit_code == 0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn pod(name: &str, second: u32, statuses: &Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "n", "creationTimestamp": format!("2026-01-01T00:00:{second:02}Z")},
            "spec": {"containers": []},
            "status": {"phase": "Running", "containerStatuses": statuses,
                "conditions": [{"type": "Ready", "status": "True"}]},
        }))
        .unwrap()
    }

    fn container(name: &str, restarts: i32, state: &Value, before: &Value) -> Value {
        json!({"name": name, "image": "i", "imageID": "", "ready": true, "restartCount": restarts,
            "state": state, "lastState": before})
    }

    fn told(pods: &[&Pod], only: Option<&str>, previous: bool) -> (Vec<String>, Vec<String>) {
        let now = "2026-01-01T00:10:00Z".parse().unwrap();
        let found = of(pods, only, previous, now);
        let logs = found.logs.iter().map(|log| {
            let run = if log.previous { " before" } else { "" };
            format!("{}/{}{run}", log.pod, log.container)
        });
        (logs.collect(), found.silent)
    }

    #[test]
    fn what_crashed_is_read_first_and_by_the_run_that_crashed() {
        let running = json!({"running": {"startedAt": "2026-01-01T00:00:00Z"}});
        let crashed = json!({"terminated": {"exitCode": 1, "reason": "Error"}});
        let backoff = json!({"waiting": {"reason": "CrashLoopBackOff", "message": "back-off"}});
        let pulling =
            json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
        let none = json!({});
        let old = pod("old", 1, &json!([container("web", 0, &running, &none)]));
        let new = pod("new", 2, &json!([container("web", 0, &running, &none)]));
        let crashing = pod(
            "crashing",
            0,
            &json!([
                container("side", 0, &running, &none),
                container("web", 4, &backoff, &crashed)
            ]),
        );
        let pulls = pod("pulls", 3, &json!([container("web", 0, &pulling, &none)]));
        let pods = [&old, &new, &crashing, &pulls];
        let (logs, silent) = told(&pods, None, false);
        assert_eq!(
            logs,
            ["crashing/web before", "crashing/side", "new/web", "old/web"]
        );
        assert_eq!(silent, ["pulls/web: ImagePullBackOff"]);
        let (logs, _) = told(&pods, Some("side"), false);
        assert_eq!(logs, ["crashing/side"]);
        let (logs, silent) = told(&[&old, &crashing], Some("web"), true);
        assert_eq!(logs, ["crashing/web before"]);
        assert_eq!(silent, ["old/web: it has run once only"]);
        assert_eq!(told(&[], None, false), (vec![], vec![]));
    }
}
