//! What the Pods of an object and the events about them say: images, crashes, nodes, volumes,
//! quotas.

use gitops_api::ResourceStatus;
use gitops_kit::text;
use k8s_openapi::api::core::v1::{Event, PersistentVolumeClaim, Pod};

use crate::explain::ownership::Subject;
use crate::explain::{Cause, Inquiry, MAX_EVIDENCE_LINES, colon, events};
use crate::pods::problem;
use crate::pods::problem::{Fault, Problem};
use crate::pods::tree::Tree;
use crate::status::drift;
use crate::status::reason::Code;

/// The Pods beneath an object; only the one that was asked about, when one was.
pub(super) fn pods<'a>(
    inquiry: &Inquiry<'_>,
    resource: &ResourceStatus,
    tree: &Tree<'a>,
) -> Vec<&'a Pod> {
    let asked = inquiry
        .evidence
        .subject
        .as_ref()
        .and_then(|subject| subject.name().strip_prefix("Pod/").map(str::to_owned));
    let mut pods = tree.pods_of(resource);
    if let Some(asked) = asked {
        pods.retain(|pod| pod.metadata.name.as_deref() == Some(&asked));
    }
    pods
}

fn pod_name(pod: &Pod) -> &str {
    pod.metadata.name.as_deref().unwrap_or_default()
}

pub(super) fn of_pods(
    inquiry: &Inquiry<'_>,
    resource: &ResourceStatus,
    fault: Fault,
    broken: &[(&Pod, Problem)],
    all: usize,
) -> Cause {
    let object = drift::object_name(resource);
    let asked = inquiry.evidence.subject.as_ref().map(Subject::name);
    let which = match asked {
        Some(asked) if asked.starts_with("Pod/") => asked,
        _ if resource.kind == "Pod" => object,
        _ if all == 1 => format!("the Pod of {object}"),
        _ if all == broken.len() => format!("all {all} Pods of {object}"),
        _ => format!("{} of {all} Pods of {object}", broken.len()),
    };
    let several = broken.len() > 1;
    let verb = match (fault, several) {
        (Fault::Unschedulable, _) => "cannot be placed on a node",
        (Fault::ImagePull, _) => "cannot get the image",
        (Fault::Configuration, _) => "cannot start: something it needs is not there",
        (Fault::OutOfMemory, false) => "is killed for using more memory than it may",
        (Fault::OutOfMemory, true) => "are killed for using more memory than they may",
        (Fault::CrashLoop, false) => "is crash-looping",
        (Fault::CrashLoop, true) => "are crash-looping",
        (Fault::Failed, _) => "ended with a failure",
        (Fault::NotReady, false) => "runs but is not ready",
        (Fault::NotReady, true) => "run but are not ready",
        (Fault::StuckDeleting, false) => "should be gone and is not",
        (Fault::StuckDeleting, true) => "should be gone and are not",
    };
    let namespace = inquiry.in_namespace(&resource.namespace);
    let mut cause = Cause::new(Code::Degraded, fault.as_str(), format!("{which} {verb}"));
    for (pod, problem) in broken.iter().take(MAX_EVIDENCE_LINES) {
        let line = format!(
            "Pod/{} {}{}",
            pod_name(pod),
            problem.state,
            colon(&problem.detail)
        );
        cause = cause.evidence(line);
    }
    if broken.len() > MAX_EVIDENCE_LINES {
        cause = cause.evidence(format!("and {} more", broken.len() - MAX_EVIDENCE_LINES));
    }
    let Some((first, problem)) = broken.first() else {
        return cause;
    };
    for event in events::warnings(
        &inquiry.evidence.events,
        &resource.namespace,
        "Pod",
        pod_name(first),
        inquiry.now,
    )
    .into_iter()
    .filter(|event| says_more(event, problem))
    .take(MAX_EVIDENCE_LINES)
    {
        cause = cause.evidence(events::in_words(event, inquiry.now));
    }
    if fault == Fault::Unschedulable && speaks_of_volumes(&problem.detail) {
        cause = cause.all(claims(inquiry, first));
    }
    let pod = pod_name(first);
    let container = if problem.container.is_empty() {
        String::new()
    } else {
        format!(" -c {}", problem.container)
    };
    let describe = format!("kubectl describe pod {pod}{namespace}");
    match fault {
        Fault::CrashLoop | Fault::OutOfMemory => with_rollback(
            inquiry,
            cause
                .next(
                    format!("kubectl logs {pod}{container}{namespace} --previous --tail=50"),
                    "logs of the previous container",
                )
                .next(describe, "its limits, probes and last end"),
        ),
        Fault::Failed | Fault::NotReady => with_rollback(
            inquiry,
            cause
                .next(
                    format!("kubectl logs {pod}{container}{namespace} --tail=50"),
                    "what it says",
                )
                .next(describe, "its probes and events"),
        ),
        Fault::ImagePull => with_rollback(
            inquiry,
            cause.next(describe, "which image and which pull secret"),
        ),
        Fault::Unschedulable => cause.next(describe, "what it asks for").next(
            format!("kubectl describe nodes{}", inquiry.evidence.flags),
            "what the nodes have left",
        ),
        Fault::Configuration => with_rollback(inquiry, cause.next(describe, "what it refers to")),
        Fault::StuckDeleting => cause.next(describe, "its finalizers and its node"),
    }
}

/// Where a change in Git may have brought the trouble, the way back is worth a word.
fn with_rollback(inquiry: &Inquiry<'_>, cause: Cause) -> Cause {
    let deployments = inquiry.status().map_or(0, |status| status.history.len());
    if deployments < 2 {
        return cause;
    }
    cause.next(
        format!("kubectl gitops rollback {}", inquiry.app()),
        "back to the last good commit, through Git",
    )
}

/// Events repeat what the Pod says already; only other ones add something.
fn says_more(event: &Event, problem: &Problem) -> bool {
    let reason = event.reason.as_deref().unwrap_or_default();
    let message = text::one_line(event.message.as_deref().unwrap_or_default());
    !matches!(reason, "BackOff" | "FailedScheduling" | "Failed")
        && !problem.detail.contains(message.as_str())
}

fn speaks_of_volumes(said: &str) -> bool {
    let said = said.to_lowercase();
    said.contains("volume")
}

/// The volumes a Pod without a node waits for.
fn claims(inquiry: &Inquiry<'_>, pod: &Pod) -> Vec<String> {
    let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
    let volumes = pod.spec.as_ref().and_then(|spec| spec.volumes.as_deref());
    let names = volumes
        .unwrap_or_default()
        .iter()
        .filter_map(|volume| volume.persistent_volume_claim.as_ref())
        .map(|claim| claim.claim_name.as_str());
    let mut lines = Vec::new();
    for name in names {
        let claim = inquiry.evidence.claims.iter().find(|claim| {
            claim.metadata.name.as_deref() == Some(name)
                && claim.metadata.namespace.as_deref() == Some(namespace)
        });
        // One that is not there, or not to be read: the events say.
        lines.extend(claim.and_then(unbound));
        let events = &inquiry.evidence.events;
        let said = events::warnings(
            events,
            namespace,
            "PersistentVolumeClaim",
            name,
            inquiry.now,
        );
        lines.extend(
            said.into_iter()
                .take(1)
                .map(|event| events::in_words(event, inquiry.now)),
        );
    }
    lines
}

/// A claim without a volume: `PersistentVolumeClaim/data is Pending (storage class fast)`.
fn unbound(claim: &PersistentVolumeClaim) -> Option<String> {
    let phase = claim
        .status
        .as_ref()
        .and_then(|status| status.phase.as_deref());
    if phase == Some("Bound") {
        return None;
    }
    let class = claim
        .spec
        .as_ref()
        .and_then(|spec| spec.storage_class_name.as_deref())
        .map_or_else(
            || "no storage class".to_owned(),
            |class| format!("storage class {class}"),
        );
    Some(format!(
        "PersistentVolumeClaim/{} is {} ({class})",
        claim.metadata.name.as_deref().unwrap_or_default(),
        phase.unwrap_or("Pending")
    ))
}

/// Pods that are not even made: quota, admission, a ServiceAccount that is not there.
pub(super) fn not_made(
    inquiry: &Inquiry<'_>,
    resource: &ResourceStatus,
    tree: &Tree<'_>,
) -> Option<Cause> {
    let own = (resource.kind.as_str(), resource.name.as_str());
    let makers = tree.makers_of(resource);
    let (kind, name, event) = std::iter::once(own)
        .chain(makers)
        .find_map(|(kind, name)| {
            let warnings = events::warnings(
                &inquiry.evidence.events,
                &resource.namespace,
                kind,
                name,
                inquiry.now,
            );
            let event = warnings
                .into_iter()
                .find(|event| event.reason.as_deref() == Some("FailedCreate"))?;
            Some((kind, name, event))
        })?;
    let said = event.message.as_deref().unwrap_or_default();
    let namespace = inquiry.in_namespace(&resource.namespace);
    let object = drift::object_name(resource);
    let is_quota = said.contains("exceeded quota");
    let cause = if is_quota {
        Cause::new(
            Code::Degraded,
            "QuotaExceeded",
            format!("{object} cannot make its Pods: the quota of the namespace is used up"),
        )
    } else {
        Cause::new(
            Code::Degraded,
            "PodsRefused",
            format!("{object} cannot make its Pods: the cluster refuses them"),
        )
    };
    let cause = cause
        .evidence(format!("of {kind}/{name}"))
        .evidence(events::in_words(event, inquiry.now));
    Some(if is_quota {
        cause.next(
            format!("kubectl describe resourcequotas{namespace}"),
            "what is used and allowed",
        )
    } else {
        cause.next(
            format!("kubectl describe {} {name}{namespace}", kind.to_lowercase()),
            "what was refused",
        )
    })
}

/// Pods that wait for a volume, a ConfigMap or a Secret to mount.
pub(super) fn mounts(
    inquiry: &Inquiry<'_>,
    resource: &ResourceStatus,
    pods: &[&Pod],
) -> Option<Cause> {
    let (pod, event) = pods
        .iter()
        .filter(|pod| !problem::is_ready(pod))
        .find_map(|pod| {
            let warnings = events::warnings(
                &inquiry.evidence.events,
                &resource.namespace,
                "Pod",
                pod_name(pod),
                inquiry.now,
            );
            let event = warnings.into_iter().find(|event| {
                matches!(
                    event.reason.as_deref(),
                    Some("FailedMount" | "FailedAttachVolume" | "FailedCreatePodSandBox")
                )
            })?;
            Some((*pod, event))
        })?;
    Some(
        Cause::new(
            Code::Degraded,
            "MountFailed",
            format!(
                "a Pod of {} waits for a volume",
                drift::object_name(resource)
            ),
        )
        .evidence(format!(
            "Pod/{} {}",
            pod_name(pod),
            events::in_words(event, inquiry.now)
        ))
        .all(claims(inquiry, pod))
        .next(
            format!(
                "kubectl describe pod {}{}",
                pod_name(pod),
                inquiry.in_namespace(&resource.namespace)
            ),
            "what it mounts",
        ),
    )
}
