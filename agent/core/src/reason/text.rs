//! The one sentence of each reason.

use std::fmt;

use gitops_api::constants::annotation;

use super::{Fight, Names, ObjectState, Reason, RequestedBy};
use crate::manifest::phase::Phase;
use crate::source::revision::short;
use crate::sync::approval::{Subject, how};

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown { message, .. } => f.write_str(message),
            Self::SpecInvalid { detail }
            | Self::ProjectDenies { detail }
            | Self::ProjectUnusable { detail }
            | Self::RepositoryFetching { detail }
            | Self::ChartNotFound { detail }
            | Self::ChartInvalid { detail }
            | Self::PathMissing { detail }
            | Self::RenderFailed { detail, .. }
            | Self::RenderLimit { detail }
            | Self::RendererFailed { detail }
            | Self::ManifestInvalid { detail }
            | Self::ComparisonFailed { detail }
            | Self::RepeatedResource { detail }
            | Self::RenderWarning { detail }
            | Self::ExcludedResource { detail }
            | Self::InvalidSetting { detail }
            | Self::SyncWindowProblem { detail }
            | Self::ImmutableField { detail }
            | Self::QuotaExceeded { detail }
            | Self::AdmissionDenied { detail }
            | Self::NamespaceMissing { detail }
            | Self::NamespaceTerminating { detail }
            | Self::ObjectKindUnknown { detail }
            | Self::ObjectNotOwn { detail }
            | Self::AgentForbidden { detail }
            | Self::ApiServerUnreachable { detail }
            | Self::ObjectRefused { detail }
            | Self::ObjectDegraded { detail }
            | Self::HookFailed { detail }
            | Self::HookRunning { detail }
            | Self::DeletionFailed { detail } => f.write_str(detail),
            Self::RepositoryUnreachable { detail, last_known }
            | Self::RepositoryNotFound { detail, last_known }
            | Self::RepositoryAccessDenied { detail, last_known }
            | Self::CertificateUntrusted { detail, last_known }
            | Self::HostKeyUntrusted { detail, last_known }
            | Self::RevisionUnknown { detail, last_known }
            | Self::RepositoryFailed { detail, last_known } => match last_known {
                None => f.write_str(detail),
                Some(commit) => write!(
                    f,
                    "{detail}; comparing with the last known commit {}",
                    short(commit)
                ),
            },
            Self::RevisionAmbiguous {
                target,
                taken,
                other,
            } => write!(
                f,
                "{target} is the name of a tag and of a branch; {taken} is followed, not {other}"
            ),
            Self::TagMoved { tag, before, after } => write!(
                f,
                "tag {tag} has moved from {} to {}, and is followed",
                short(before),
                short(after)
            ),
            Self::ProjectMissing { project, namespace } => write!(
                f,
                "project {project} does not exist in namespace {namespace}; create the AppProject \
                 or change spec.project"
            ),
            Self::DestinationUnknown { destination } => write!(
                f,
                "destination {destination} is not a cluster this agent delivers to; it delivers to \
                 https://kubernetes.default.svc (in-cluster)"
            ),
            Self::KindUnknown { objects } => write!(
                f,
                "the cluster does not serve the kind of {objects}; install its \
                 CustomResourceDefinition or correct apiVersion and kind"
            ),
            Self::EmptyRender {} => f.write_str(
                "Git holds no manifests for this application, and deleting all its objects is not \
                 allowed; set syncPolicy.automated.allowEmpty or delete the application",
            ),
            Self::SharedResource {
                object,
                owner,
                application,
            } => write!(
                f,
                "{object} is part of applications {owner} and {application}; it stays with {owner}, \
                 remove it from one of them"
            ),
            Self::AdmissionMutated { object, detail } => write!(f, "{object}: {detail}"),
            Self::FieldKept {
                object,
                field,
                manager,
            } => write!(
                f,
                "{object}: {field} is no longer in Git and stays: {manager} sets it"
            ),
            Self::FieldLeftOut {
                object,
                field,
                repeated,
                origin,
            } => {
                let why = if *repeated {
                    "is given more than once, and the last one counts"
                } else {
                    "is a field the API server does not know, and is left out"
                };
                write!(f, "{object}: {field} {why} ({origin})")
            }
            Self::HoldInForce { .. } => hold(self, f),
            Self::HoldInvalid { detail } => {
                write!(f, "annotation {} is ignored: {detail}", annotation::HOLD)
            }
            Self::Paused { .. } => paused(self, f),
            Self::ObjectsMissing { objects } => {
                write!(f, "in Git, not in the cluster: {objects}")
            }
            Self::ObjectsChanged { objects } => write!(f, "changed in Git: {objects}"),
            Self::ObjectsDrifted { objects } => write!(f, "changed in the cluster: {objects}"),
            Self::ObjectsNotInGit { objects } => write!(f, "no longer in Git: {objects}"),
            Self::ObjectsHandedOver { objects } => {
                write!(f, "to be taken over from another application: {objects}")
            }
            Self::AutoSyncOff {} => f.write_str("automated sync is off"),
            Self::SetDecidesSync { set } => write!(
                f,
                "automated sync is off: ApplicationSet {set} syncs it when its step has its turn"
            ),
            Self::PruneOff {} => {
                f.write_str("only objects that are no longer in Git are left, and prune is off")
            }
            Self::SelfHealOff {} => f.write_str(
                "this revision was delivered, the cluster was changed since, and self-heal is off",
            ),
            Self::RetriesExhausted { retries } => write!(
                f,
                "all attempts to deliver this revision failed ({retries} retries); it is tried \
                 again when Git or the Application changes"
            ),
            Self::RetryScheduled { attempt, at } => {
                write!(
                    f,
                    "the last sync failed; retrying attempt #{attempt} at {at}"
                )
            }
            Self::SelfHealBackoff { times, objects } => self_heal_backoff(*times, objects, f),
            Self::HandoverWaiting { applications } => write!(
                f,
                "waiting for other applications to observe the revision before objects change hands \
                 or are deleted: {applications}"
            ),
            Self::DependencyWaiting { applications } => {
                let names = Names::of(applications);
                write!(f, "waiting for what it depends on: {names}")
            }
            Self::DependencyCircle { applications } => write!(
                f,
                "the Application depends on itself: {}",
                applications.join(" -> ")
            ),
            Self::SyncWindow { .. } => sync_window(self, f),
            Self::SyncWindowInvalid { detail } => {
                write!(f, "no sync while a sync window cannot be read: {detail}")
            }
            Self::PruneApproval {
                revision,
                question,
                approval,
                namespace,
                application,
                ..
            } => {
                let subject = Subject {
                    namespace,
                    name: application,
                };
                let how = how(subject, approval);
                write!(f, "at {}: {question}; {how}", short(revision))
            }
            Self::Syncing {} => f.write_str("syncing"),
            Self::HookWaiting {
                step,
                objects,
                more,
            }
            | Self::WaveWaiting {
                step,
                objects,
                more,
            } => {
                write!(f, "waiting in {step} for ")?;
                listed(f, objects, *more, ", ", |object, f| {
                    if object.state.is_empty() {
                        write!(f, "{}", object.object)
                    } else {
                        write!(f, "{} ({})", object.object, object.state)
                    }
                })
            }
            Self::Terminated {} => f.write_str("operation terminated"),
            Self::SyncTimeout { seconds, waiting } => {
                write!(f, "operation terminated: it took longer than {seconds} s")?;
                if !waiting.is_empty() {
                    write!(f, " while {waiting}")?;
                }
                f.write_str(
                    "; the limit is controller.sync.timeout.seconds in argocd-cmd-params-cm",
                )
            }
            Self::Superseded { waiting } => {
                write!(f, "superseded by a newer commit while {waiting}")
            }
            Self::ObjectsFailed { objects, more } => {
                listed(f, objects, *more, "; ", |object, f| {
                    write!(f, "{}: {}", object.object, object.state)
                })
            }
            Self::SyncFailed { revision, detail } => {
                write!(f, "sync to {} failed: {detail}", short(revision))
            }
            Self::SyncRetrying {
                failure,
                attempt,
                at,
            } => write!(
                f,
                "{failure}; retrying attempt #{attempt} at {}",
                at.strftime("%H:%M:%S UTC")
            ),
            Self::NamespaceNotCreated { namespace, detail } => {
                write!(f, "namespace {namespace} could not be created: {detail}")
            }
            Self::ManifestsUnsupported {} => {
                f.write_str("operation.sync.manifests is not supported; commit the manifests")
            }
            Self::SharedResourceRefused { objects } => write!(
                f,
                "nothing was applied, because an object is shared and the option \
                 FailOnSharedResource is set: {objects}; remove it from one of the applications"
            ),
            Self::DryRunRefused { summary, objects } => {
                write!(f, "{summary}; refused: {objects}")
            }
            Self::DefinitionNotEstablished { seconds } => write!(
                f,
                "timed out waiting {seconds} s for condition Established of the \
                 CustomResourceDefinition"
            ),
            Self::PruneNotRequested {} => {
                f.write_str("no longer in Git; sync with prune to delete it")
            }
            Self::PruneForbidden {} => f.write_str(
                "no longer in Git, but kept: its Application has the option Prune=false, or it is \
                 annotated Prune=false, Delete=false or helm.sh/resource-policy: keep",
            ),
            Self::PruneAwaitsApproval {} => {
                f.write_str("no longer in Git; pending approval of its deletion")
            }
            Self::PruneWouldDeleteAll {} => f.write_str(
                "Git holds no manifests, and deleting every object of the application is not \
                 allowed; set syncPolicy.automated.allowEmpty or delete the application",
            ),
            Self::OwnedByOther { owner } => write!(
                f,
                "belongs to application {owner}; remove it from one of the two applications"
            ),
            Self::AgentStopped {} => f.write_str(
                "somebody scaled this agent to zero, and it is not started again by itself",
            ),
            Self::AlreadyDeleting {} => f.write_str("is being deleted already"),
            Self::Unconfirmed {} => {
                f.write_str("waiting for the API server to confirm a difference")
            }
            Self::DeletionBlocked { .. }
            | Self::DeletionApproval { .. }
            | Self::DeletionHooksUnknown { .. }
            | Self::DeletionHookFailed { .. }
            | Self::DeletionHookWaiting { .. }
            | Self::DeletionWaiting { .. } => deletion(self, f),
        }
    }
}

fn hold(reason: &Reason, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Reason::HoldInForce {
        revision,
        instead_of,
        until,
        by,
        why,
    } = reason
    else {
        return Ok(());
    };
    let (held, tracked) = (short(revision), short(instead_of));
    write!(f, "{held} is delivered instead of {tracked}")?;
    if let Some(until) = until {
        write!(f, " until {until}")?;
    }
    if !by.is_empty() {
        write!(f, ", by {by}")?;
    }
    if !why.is_empty() {
        write!(f, ": {why}")?;
    }
    f.write_str("; it ends by itself when Git changes what the application renders to")
}

fn paused(reason: &Reason, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Reason::Paused {
        by,
        why,
        until,
        everything,
        ..
    } = reason
    else {
        return Ok(());
    };
    f.write_str(if *everything {
        "paused with all applications"
    } else {
        "paused"
    })?;
    if !by.is_empty() {
        write!(f, " by {by}")?;
    }
    match until {
        Some(until) => write!(f, " until {until}")?,
        None => f.write_str(" until it is resumed")?,
    }
    if !why.is_empty() {
        write!(f, ": {why}")?;
    }
    f.write_str("; it is compared, and nothing is applied or deleted")
}

fn self_heal_backoff(times: usize, objects: &[Fight], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    write!(
        f,
        "self-heal is backing off, changed back more than {times} times within a minute: "
    )?;
    for (index, fight) in objects.iter().enumerate() {
        if index > 0 {
            f.write_str("; ")?;
        }
        write!(f, "{}", fight.object)?;
        for (index, field) in fight.fields.iter().enumerate() {
            let between = if index == 0 { " (" } else { ", " };
            let by = field.manager.as_deref().unwrap_or("an unknown manager");
            write!(f, "{between}{} by {by}", field.path)?;
        }
        if !fight.fields.is_empty() {
            f.write_str(")")?;
        }
    }
    f.write_str(
        "; stop whoever changes it, or leave the field out of Git or under ignoreDifferences",
    )
}

fn sync_window(reason: &Reason, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let Reason::SyncWindow {
        by,
        project,
        windows,
        denied,
        opens,
    } = reason
    else {
        return Ok(());
    };
    let what = match by {
        RequestedBy::Automation => "no automated sync",
        RequestedBy::User => "manual sync not allowed",
        RequestedBy::RunningSync => "the sync waits",
    };
    let windows = windows.join(", ");
    let state = if *denied { "is open" } else { "is not open" };
    write!(f, "{what}: of project {project}, {windows} {state}; ")?;
    match opens {
        Some(moment) => write!(f, "allowed from {moment}"),
        None => f.write_str("no upcoming window"),
    }
}

fn deletion(reason: &Reason, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    match reason {
        Reason::DeletionBlocked {
            detail,
            finalizers,
            namespace,
            application,
        } => write!(
            f,
            "{detail}; to leave the objects as they are, remove the finalizers {finalizers} (kubectl \
             edit applications.argoproj.io {application} -n {namespace})"
        ),
        Reason::DeletionApproval {
            objects,
            guests,
            approval,
            namespace,
            application,
        } => {
            let subject = Subject {
                namespace,
                name: application,
            };
            let how = how(subject, approval);
            let question = super::wire::deletion_question(objects, guests);
            write!(f, "{question}; {how}")
        }
        Reason::DeletionHooksUnknown {
            phase,
            detail,
            finalizer,
        } => write!(
            f,
            "its {phase} hooks have to run and cannot be made: {detail}; to go on without them, \
             remove the finalizer {finalizer}"
        ),
        Reason::DeletionHookFailed {
            phase,
            hooks,
            finalizer,
            logs,
        } => {
            let deleted = if *phase == Phase::PreDelete {
                "nothing was deleted"
            } else {
                "the objects are gone"
            };
            write!(
                f,
                "{phase} hook failed, {deleted}: {hooks}; correct the hook in Git, or delete its \
                 object to run it again, or remove the finalizer {finalizer} to go on without it"
            )?;
            logs.iter().try_for_each(|log| write!(f, "; {log}"))
        }
        Reason::DeletionHookWaiting { phase, hooks } => {
            write!(f, "waiting in {phase} for {hooks}")
        }
        Reason::DeletionWaiting { wave, objects } => write!(
            f,
            "waiting in wave {wave} until gone: {objects}; look at what their finalizers wait for"
        ),
        _ => Ok(()),
    }
}

fn listed(
    f: &mut fmt::Formatter<'_>,
    objects: &[ObjectState],
    more: usize,
    between: &str,
    one: impl Fn(&ObjectState, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (index, object) in objects.iter().enumerate() {
        if index > 0 {
            f.write_str(between)?;
        }
        one(object, f)?;
    }
    match more {
        0 => Ok(()),
        more if between == ", " => write!(f, " and {more} more"),
        more => write!(f, "{between}and {more} more"),
    }
}
