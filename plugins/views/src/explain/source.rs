//! What keeps Git and live from being compared: the spec, the project, the repository, the render.
//!
//! The agent's condition types say where it failed, its reasons how. What an agent without reasons, or
//! Argo CD, says is shown in its own words.

use gitops_api::constants::condition;
use gitops_api::status::ApplicationCondition;
use gitops_core::reason;
use gitops_core::reason::Reason;
use gitops_kit::text;

use crate::explain::{Cause, Inquiry};
use crate::status::live;
use crate::status::reason::Code;

/// Name of the cause that says that a deletion waits for a user.
pub(super) const CONFIRMATION: &str = "Confirmation";

pub(super) fn look(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>, notes: &mut Vec<String>) {
    let Some(status) = inquiry.status() else {
        return;
    };
    for found in &status.conditions {
        match found.condition_type.as_str() {
            // Told with the deletion, the hold and the last sync.
            condition::DELETION_ERROR | condition::HELD_WARNING | condition::PAUSED_WARNING => {}
            condition::SYNC_ERROR => sync_error(inquiry, found, causes),
            condition::INVALID_SPEC_ERROR | condition::COMPARISON_ERROR => {
                causes.push(blocked(inquiry, found));
            }
            condition::CONFIRMATION_WARNING => causes.push(asked(inquiry, found)),
            condition::SYNC_WINDOW_WARNING => causes.push(sync_window(inquiry, found)),
            condition::SHARED_RESOURCE_WARNING => causes.push(
                Cause::new(
                    Code::Warning,
                    "SharedResource",
                    "an object belongs to another application too",
                )
                .because(inquiry, &inquiry.reason(found))
                .evidence(&found.message)
                .next(
                    format!("kubectl gitops status{}", inquiry.namespace_flag()),
                    "the applications; take the object out of one of them",
                ),
            ),
            _ if found.is_error() => causes.push(
                Cause::new(Code::Error, "Failed", &found.message)
                    .because(inquiry, &inquiry.reason(found))
                    .evidence(since(inquiry, found)),
            ),
            other => {
                let advice = inquiry.advice(&inquiry.reason(found));
                let note = format!("{other}: {}{advice}", found.message);
                notes.push(text::one_line(&note));
            }
        }
    }
}

fn since(inquiry: &Inquiry<'_>, found: &ApplicationCondition) -> String {
    found
        .last_transition_time
        .as_ref()
        .map_or_else(String::new, |time| {
            format!(
                "{} since {}",
                found.condition_type,
                text::age(time.0, inquiry.now)
            )
        })
}

fn asked(inquiry: &Inquiry<'_>, found: &ApplicationCondition) -> Cause {
    let reason = inquiry.reason(found);
    let question = reason.question().unwrap_or_else(|| found.message.clone());
    Cause::new(
        Code::OutOfSync,
        CONFIRMATION,
        "it is waiting for approval of a deletion",
    )
    .because(inquiry, &reason)
    .evidence(question)
    .evidence(since(inquiry, found))
    .next(
        format!("kubectl gitops diff {}", inquiry.app()),
        "all that would be deleted",
    )
    .next(
        format!("kubectl gitops approve {}", inquiry.app()),
        "agree; or bring the manifests back in Git",
    )
}

fn sync_window(inquiry: &Inquiry<'_>, found: &ApplicationCondition) -> Cause {
    let message = text::one_line(&found.message);
    let reason = inquiry.reason(found);
    let (code, name, what) = match &reason {
        Reason::SyncWindow { opens: Some(_), .. } => (
            Code::OutOfSync,
            "SyncWindow",
            "a sync window of its project keeps it from being synced now",
        ),
        Reason::SyncWindow { opens: None, .. } => (
            Code::OutOfSync,
            "SyncWindow",
            "a sync window of its project keeps it from being synced",
        ),
        Reason::SyncWindowInvalid { .. } | Reason::SyncWindowProblem { .. } => (
            Code::Warning,
            "SyncWindowInvalid",
            "a sync window of its project cannot be read",
        ),
        _ => (Code::Warning, "SyncWindow", message.as_str()),
    };
    let project = inquiry
        .summary
        .as_ref()
        .map_or("default", |summary| summary.project.as_str());
    Cause::new(code, name, what)
        .because(inquiry, &reason)
        .evidence(&message)
        .evidence(since(inquiry, found))
        .next(
            format!(
                "kubectl get appproject {project}{} -o yaml",
                inquiry.namespace_flag()
            ),
            "its windows, in spec.syncWindows",
        )
}

/// Whose commit it is that cannot be compared, and what is live instead.
fn tip(inquiry: &Inquiry<'_>) -> String {
    let application = inquiry.application();
    let Some(tip) = application.and_then(|one| live::tip(one, inquiry.now, true)) else {
        return String::new();
    };
    let target = inquiry
        .summary
        .as_ref()
        .map_or("", |summary| summary.target.as_str());
    let live = application.and_then(live::of);
    let live = live.map_or_else(String::new, |live| {
        format!(
            "; live is {}",
            live::commit(&live.commit, inquiry.now, true)
        )
    });
    format!("{target} is at {tip}{live}")
}

fn blocked(inquiry: &Inquiry<'_>, found: &ApplicationCondition) -> Cause {
    let message = text::one_line(&found.message);
    let of_spec = found.condition_type == condition::INVALID_SPEC_ERROR;
    let reason = inquiry.reason(found);
    let (name, what) = classify(&reason, of_spec);
    let mut cause = Cause::new(Code::Error, name, what)
        .because(inquiry, &reason)
        .evidence(&message)
        .evidence(tip(inquiry))
        .evidence(since(inquiry, found));
    if let Reason::RenderFailed {
        file: Some(file), ..
    } = &reason
    {
        cause.what = format!("its manifests cannot be rendered: {}", text::one_line(file));
    }
    if reason.last_known().is_some() {
        cause = cause.evidence("what is live is still compared with the last known commit");
    }
    let app = inquiry.app();
    let flag = inquiry.namespace_flag();
    let again = |cause: Cause| {
        cause.next(
            format!("kubectl gitops refresh {app}"),
            "retry once that is fixed",
        )
    };
    let project = inquiry
        .summary
        .as_ref()
        .map_or("default", |summary| summary.project.as_str());
    match name {
        "ProjectMissing" => cause.next(
            format!("kubectl get appprojects{flag}"),
            "the projects there are",
        ),
        "ProjectDenies" | "ProjectUnusable" => cause.next(
            format!("kubectl get appproject {project}{flag} -o yaml"),
            "what it allows",
        ),
        "RepositoryAccessDenied" | "RepositoryNotFound" | "CertificateUntrusted" => again(cause.next(
            format!(
                "kubectl get secrets{flag} -l 'argocd.argoproj.io/secret-type in (repository, repo-creds)'"
            ),
            "the repositories the agent has credentials for",
        )),
        "HostKeyUntrusted" => again(cause.next(
            format!("kubectl get configmap argocd-ssh-known-hosts-cm{flag} -o yaml"),
            "the ssh keys that are trusted",
        )),
        "RevisionUnknown" => {
            let repository = inquiry
                .summary
                .as_ref()
                .map_or("URL", |summary| summary.repository.as_str());
            cause
                .next(
                    format!("git ls-remote --heads --tags {repository}"),
                    "the revisions there are",
                )
                .next(
                    format!("kubectl edit application {app}"),
                    "correct targetRevision",
                )
        }
        "KindUnknown" => again(cause.next(
            format!("kubectl api-resources{}", inquiry.evidence.flags),
            "the kinds there are",
        )),
        "SpecInvalid" | "DestinationUnknown" => cause.next(
            format!("kubectl edit application {app}"),
            "correct the field",
        ),
        _ => again(cause),
    }
}

/// What the reason comes to. Without one, only where it failed is known.
fn classify(reason: &Reason, of_spec: bool) -> (&'static str, &'static str) {
    let Some(code) = reason.code() else {
        return if of_spec {
            ("SpecInvalid", "the Application cannot be carried out")
        } else {
            ("ComparisonFailed", "Git and live cannot be compared")
        };
    };
    let what = match code {
        reason::Code::SpecInvalid => "the Application cannot be carried out",
        reason::Code::ProjectMissing => "its project does not exist",
        reason::Code::ProjectDenies => "its project does not allow it",
        reason::Code::ProjectUnusable => "its project has rules that cannot be followed",
        reason::Code::DestinationUnknown => "no agent deploys to this destination",
        reason::Code::KindUnknown => "the cluster does not serve a kind it uses",
        reason::Code::CertificateUntrusted => {
            "the certificate of the repository's server is not trusted"
        }
        reason::Code::HostKeyUntrusted => "the ssh key of the repository's server is not trusted",
        reason::Code::RepositoryAccessDenied => {
            "the repository does not accept the agent's credentials"
        }
        reason::Code::RepositoryNotFound => "there is no such repository",
        reason::Code::RepositoryUnreachable => "the repository cannot be reached",
        reason::Code::RepositoryFailed => "the repository cannot be read",
        reason::Code::RepositoryFetching => "the repository is still being fetched",
        reason::Code::ChartNotFound => "there is no such chart or version",
        reason::Code::ChartInvalid => "its chart cannot be used",
        reason::Code::RevisionUnknown => "there is no such revision",
        reason::Code::PathMissing => "its path does not exist",
        reason::Code::RenderFailed | reason::Code::RenderLimit | reason::Code::RendererFailed => {
            "its manifests cannot be rendered"
        }
        reason::Code::ManifestInvalid => "its manifests are not valid",
        _ => "Git and live cannot be compared",
    };
    (code.as_str(), what)
}

fn sync_error(inquiry: &Inquiry<'_>, found: &ApplicationCondition, causes: &mut Vec<Cause>) {
    let message = text::one_line(&found.message);
    let reason = inquiry.reason(found);
    if matches!(reason, Reason::SelfHealBackoff { .. }) {
        // With what it fought about, when the events still say.
        return;
    }
    if matches!(reason, Reason::EmptyRender {}) {
        causes.push(
            Cause::new(
                Code::SyncFailed,
                "EmptyRender",
                "Git holds no manifests, and deleting everything is not allowed",
            )
            .because(inquiry, &reason)
            .evidence(&message)
            .next(
                format!("kubectl get application {} -o yaml", inquiry.app()),
                "is the path right",
            ),
        );
        return;
    }
    if matches!(reason, Reason::ProjectDenies { .. }) {
        causes.push(blocked(inquiry, found));
        return;
    }
    let told = inquiry
        .status()
        .and_then(|status| status.operation_state.as_ref())
        .is_some_and(|state| state.phase.is_completed() && !state.phase.is_successful());
    if !told {
        causes.push(
            Cause::new(Code::SyncFailed, "SyncFailed", &message)
                .because(inquiry, &reason)
                .evidence(since(inquiry, found))
                .next(
                    format!("kubectl gitops sync {}", inquiry.app()),
                    "try again",
                ),
        );
    }
}
