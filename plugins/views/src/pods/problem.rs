//! What is wrong with one Pod, by what the kubelet and the scheduler wrote on it.

use std::collections::BTreeMap;

use gitops_kit::paint::Style;
use gitops_kit::text;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod, PodCondition};

/// Seconds a container may run without being ready before that counts as a problem.
const STARTING_SECONDS: i64 = 60;
/// Seconds a Pod may take longer to end than it was given.
const DELETION_SECONDS: i64 = 60;

/// Kind of problem. The names are part of the JSON output of `explain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// No node takes the Pod.
    Unschedulable,
    /// The image cannot be had.
    ImagePull,
    /// A ConfigMap, a Secret, a volume or a command is not as the Pod says.
    Configuration,
    /// A container used more memory than it may.
    OutOfMemory,
    /// A container ends again and again.
    CrashLoop,
    /// The Pod ended with a failure.
    Failed,
    /// It runs and says it is not ready.
    NotReady,
    /// It should be gone.
    StuckDeleting,
}

impl Fault {
    /// Name in JSON output.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unschedulable => "Unschedulable",
            Self::ImagePull => "ImagePull",
            Self::Configuration => "Configuration",
            Self::OutOfMemory => "OutOfMemory",
            Self::CrashLoop => "CrashLoop",
            Self::Failed => "PodFailed",
            Self::NotReady => "NotReady",
            Self::StuckDeleting => "StuckDeleting",
        }
    }
}

/// What is wrong with a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Kind.
    pub fault: Fault,
    /// In a word, as Kubernetes calls it: `CrashLoopBackOff`.
    pub state: String,
    /// In words, one line; may be empty.
    pub detail: String,
    /// The container, when one is at fault.
    pub container: String,
}

/// The problem that keeps the Pod from working; `None` when it works or is on its way.
pub fn of(pod: &Pod, now: Timestamp) -> Option<Problem> {
    if let Some(problem) = stuck_deleting(pod, now) {
        return Some(problem);
    }
    if pod.metadata.deletion_timestamp.is_some() {
        return None;
    }
    let status = pod.status.as_ref()?;
    let phase = status.phase.as_deref().unwrap_or_default();
    if phase == "Succeeded" {
        return None;
    }
    if let Some(problem) = unschedulable(pod) {
        return Some(problem);
    }
    let failed = phase == "Failed";
    let images = images(pod);
    let several = pod.spec.as_ref().is_some_and(|spec| {
        spec.containers.len() + spec.init_containers.as_ref().map_or(0, Vec::len) > 1
    });
    let lists = [
        (&status.init_container_statuses, "init container"),
        (&status.container_statuses, "container"),
    ];
    for (list, what) in lists {
        for container in list.iter().flatten() {
            if let Some(mut problem) = of_container(container, &images, failed) {
                if several || what != "container" {
                    let place = format!("{what} {}", text::one_line(&container.name));
                    problem.detail = joined(&place, &problem.detail);
                }
                return Some(problem);
            }
        }
    }
    if failed {
        let reason = status.reason.as_deref().unwrap_or("Failed");
        let message = status.message.as_deref().unwrap_or_default();
        return Some(problem(Fault::Failed, reason, message, ""));
    }
    not_ready(pod, now)
}

/// What a Pod without a problem does.
pub fn state(pod: &Pod) -> (&'static str, Style) {
    if pod.metadata.deletion_timestamp.is_some() {
        return ("Terminating", Style::Dim);
    }
    let phase = pod
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    match phase {
        Some("Succeeded") => ("Completed", Style::Dim),
        Some("Running") if is_ready(pod) => ("Running", Style::Good),
        Some("Running") => ("Running, not ready", Style::Warn),
        Some("Pending") if is_scheduled(pod) => ("Starting", Style::Warn),
        Some("Pending") | None => ("Pending", Style::Warn),
        Some("Failed") => ("Failed", Style::Bad),
        Some(_) => ("Unknown", Style::Bad),
    }
}

/// Whether the Pod says it is ready.
pub fn is_ready(pod: &Pod) -> bool {
    condition(pod, "Ready").is_some_and(|condition| condition.status == "True")
}

/// The last end of one of its containers, when that was a failure: for Pods that run again.
pub fn last_failure(pod: &Pod) -> Option<&ContainerStateTerminated> {
    let statuses = pod.status.as_ref()?.container_statuses.as_deref()?;
    statuses
        .iter()
        .filter_map(|container| container.last_state.as_ref()?.terminated.as_ref())
        .filter(|ended| ended.exit_code != 0)
        .max_by_key(|ended| ended.finished_at.as_ref().map(|time| time.0))
}

/// `exit code 137, OOMKilled`.
pub fn ending(ended: &ContainerStateTerminated) -> String {
    let reason = ended.reason.as_deref().unwrap_or_default();
    let code = format!("exit code {}", ended.exit_code);
    match reason {
        "" | "Error" => code,
        reason => format!("{code}, {}", text::one_line(reason)),
    }
}

fn of_container(
    container: &ContainerStatus,
    images: &BTreeMap<&str, &str>,
    pod_failed: bool,
) -> Option<Problem> {
    let state = container.state.as_ref()?;
    if let Some(waiting) = &state.waiting {
        let reason = waiting.reason.as_deref().unwrap_or_default();
        let message = waiting.message.as_deref().unwrap_or_default();
        let fault = fault_of_waiting(reason)?;
        let detail = match fault {
            Fault::ImagePull => {
                let image = images
                    .get(container.name.as_str())
                    .copied()
                    .unwrap_or(container.image.as_str());
                if message.contains(image) {
                    message.to_owned()
                } else {
                    joined(image, message)
                }
            }
            Fault::CrashLoop => return Some(crash_loop(container, reason, message)),
            _ => message.to_owned(),
        };
        return Some(problem(fault, reason, &detail, &container.name));
    }
    let ended = state.terminated.as_ref()?;
    if ended.exit_code == 0 {
        return None;
    }
    let fault = match ended.reason.as_deref() {
        Some("OOMKilled") => Fault::OutOfMemory,
        _ if pod_failed => Fault::Failed,
        _ => Fault::CrashLoop,
    };
    let message = ended.message.as_deref().unwrap_or_default();
    let detail = joined(&ending(ended), message);
    let word = if fault == Fault::OutOfMemory {
        "OOMKilled"
    } else {
        "Error"
    };
    Some(problem(fault, word, &detail, &container.name))
}

fn fault_of_waiting(reason: &str) -> Option<Fault> {
    match reason {
        "ImagePullBackOff"
        | "ErrImagePull"
        | "InvalidImageName"
        | "ErrImageNeverPull"
        | "ImageInspectError"
        | "RegistryUnavailable"
        | "SignatureValidationFailed" => Some(Fault::ImagePull),
        "CrashLoopBackOff" => Some(Fault::CrashLoop),
        // CreateContainerConfigError, CreateContainerError, RunContainerError, …
        other if other.ends_with("Error") || other.starts_with("Err") => Some(Fault::Configuration),
        _ => None,
    }
}

fn crash_loop(container: &ContainerStatus, reason: &str, message: &str) -> Problem {
    let ended = container
        .last_state
        .as_ref()
        .and_then(|state| state.terminated.as_ref());
    let fault = match ended.and_then(|ended| ended.reason.as_deref()) {
        Some("OOMKilled") => Fault::OutOfMemory,
        _ => Fault::CrashLoop,
    };
    let restarts = match container.restart_count {
        0 => String::new(),
        1 => ", 1 restart".to_owned(),
        count => format!(", {count} restarts"),
    };
    let detail = match ended {
        Some(ended) => {
            let said = ended.message.as_deref().unwrap_or_default();
            joined(&format!("{}{restarts}", ending(ended)), said)
        }
        None if restarts.is_empty() => message.to_owned(),
        None => restarts.trim_start_matches(", ").to_owned(),
    };
    problem(fault, reason, &detail, &container.name)
}

fn unschedulable(pod: &Pod) -> Option<Problem> {
    let scheduled = condition(pod, "PodScheduled").filter(|found| found.status == "False")?;
    let reason = scheduled.reason.as_deref().unwrap_or_default();
    let message = scheduled.message.as_deref().unwrap_or_default();
    match reason {
        "Unschedulable" | "SchedulerError" => {
            Some(problem(Fault::Unschedulable, "Pending", message, ""))
        }
        "SchedulingGated" => Some(problem(
            Fault::Unschedulable,
            "SchedulingGated",
            message,
            "",
        )),
        _ => None,
    }
}

fn not_ready(pod: &Pod, now: Timestamp) -> Option<Problem> {
    let status = pod.status.as_ref()?;
    if status.phase.as_deref() != Some("Running") || is_ready(pod) {
        return None;
    }
    let ready = condition(pod, "Ready")?;
    let since = ready.last_transition_time.as_ref()?.0;
    if now.as_second() - since.as_second() < STARTING_SECONDS {
        return None;
    }
    let waiting: Vec<&str> = status
        .container_statuses
        .iter()
        .flatten()
        .filter(|container| !container.ready)
        .map(|container| container.name.as_str())
        .collect();
    let containers = match waiting.as_slice() {
        [] => String::new(),
        names => format!(" (container {})", names.join(", ")),
    };
    let detail = format!("not ready for {}{containers}", text::age(since, now));
    let container = waiting.first().copied().unwrap_or_default();
    Some(problem(Fault::NotReady, "NotReady", &detail, container))
}

fn stuck_deleting(pod: &Pod, now: Timestamp) -> Option<Problem> {
    let since = pod.metadata.deletion_timestamp.as_ref()?.0;
    // The timestamp is when the Pod should be gone: its grace period is in it already.
    if now.as_second() - since.as_second() < DELETION_SECONDS {
        return None;
    }
    let finalizers = pod.metadata.finalizers.as_deref().unwrap_or_default();
    let detail = if finalizers.is_empty() {
        format!("should be gone for {}", text::age(since, now))
    } else {
        format!(
            "should be gone for {}, held by finalizer {}",
            text::age(since, now),
            finalizers.join(", ")
        )
    };
    Some(problem(Fault::StuckDeleting, "Terminating", &detail, ""))
}

fn condition<'a>(pod: &'a Pod, name: &str) -> Option<&'a PodCondition> {
    let conditions = pod.status.as_ref()?.conditions.as_deref()?;
    conditions.iter().find(|condition| condition.type_ == name)
}

fn is_scheduled(pod: &Pod) -> bool {
    pod.spec
        .as_ref()
        .and_then(|spec| spec.node_name.as_deref())
        .is_some_and(|node| !node.is_empty())
}

/// What the Pod asks for: the status names the image only after it was pulled.
fn images(pod: &Pod) -> BTreeMap<&str, &str> {
    let spec = pod.spec.as_ref();
    spec.into_iter()
        .flat_map(|spec| {
            spec.containers
                .iter()
                .chain(spec.init_containers.iter().flatten())
        })
        .filter_map(|container| Some((container.name.as_str(), container.image.as_deref()?)))
        .collect()
}

fn joined(first: &str, second: &str) -> String {
    match (first.is_empty(), second.is_empty()) {
        (_, true) => first.to_owned(),
        (true, false) => second.to_owned(),
        (false, false) => format!("{first}: {second}"),
    }
}

fn problem(fault: Fault, state: &str, detail: &str, container: &str) -> Problem {
    Problem {
        fault,
        state: text::one_line(state),
        detail: text::one_line(detail),
        container: text::one_line(container),
    }
}
