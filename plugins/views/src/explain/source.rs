//! What keeps Git and live from being compared: the spec, the project, the repository, the render.
//!
//! The agent's condition types say where it failed; its words, and those Argo CD uses, say how.

use gitops_api::constants::condition;
use gitops_api::status::ApplicationCondition;
use gitops_core::sync::approval;
use gitops_kit::text;

use crate::explain::{Cause, Inquiry};
use crate::status::reason::Code;

/// Name of the cause that says that a deletion waits for a user.
pub(super) const CONFIRMATION: &str = "Confirmation";

/// A way to fail, with the words by which it is known.
struct Pattern {
    name: &'static str,
    what: &'static str,
    words: &'static [&'static str],
}

/// First match wins: what is said of a repository often quotes the network's words too.
const PATTERNS: &[Pattern] = &[
    Pattern {
        name: "ProjectMissing",
        what: "its project does not exist",
        words: &["create the appproject", "referencing project"],
    },
    Pattern {
        name: "ProjectDenies",
        what: "its project does not allow it",
        words: &[
            "of the appproject",
            "is not permitted in project",
            "not permitted in project",
        ],
    },
    Pattern {
        name: "DestinationUnknown",
        what: "nobody delivers to its destination",
        words: &[
            "is not a cluster this agent delivers to",
            "there are no clusters with this name",
        ],
    },
    Pattern {
        name: "KindUnknown",
        what: "the cluster does not serve a kind it uses",
        words: &[
            "does not serve",
            "no matches for kind",
            "could not find the requested resource",
        ],
    },
    Pattern {
        name: "CertificateUntrusted",
        what: "the certificate of the repository's server is not trusted",
        words: &["tls certificate", "x509:"],
    },
    Pattern {
        name: "HostKeyUntrusted",
        what: "the ssh key of the repository's server is not trusted",
        words: &["ssh host key", "knownhosts:", "host key verification"],
    },
    Pattern {
        name: "RepositoryAccessDenied",
        what: "the repository does not accept the agent's credentials",
        words: &[
            "access to ",
            "authentication required",
            "authentication failed",
            "authorization failed",
            "permission denied",
            " 401",
            " 403",
        ],
    },
    Pattern {
        name: "RepositoryNotFound",
        what: "there is no such repository",
        words: &["no repository at", "repository not found"],
    },
    Pattern {
        name: "ChartNotFound",
        what: "there is no such chart or version",
        words: &[
            "not found in oci://",
            "not found in http",
            "no chart version found",
        ],
    },
    Pattern {
        name: "RevisionUnknown",
        what: "there is no such revision",
        words: &[
            "\" is not in ",
            "has no revision",
            "matches several commits",
            "unable to resolve",
        ],
    },
    Pattern {
        name: "RepositoryUnreachable",
        what: "the repository cannot be reached",
        words: &[
            "cannot reach",
            "cannot be reached",
            "did not answer",
            "no such host",
            "connection refused",
            "i/o timeout",
            "dial tcp",
        ],
    },
    Pattern {
        name: "PathMissing",
        what: "its path does not exist",
        words: &[
            "app path does not exist",
            "` does not exist at",
            "no such directory",
            "no such folder",
            "no such directory",
        ],
    },
];

pub(super) fn look(inquiry: &Inquiry<'_>, causes: &mut Vec<Cause>, notes: &mut Vec<String>) {
    let Some(status) = inquiry.status() else {
        return;
    };
    for found in &status.conditions {
        match found.condition_type.as_str() {
            // Told with the deletion, the hold and the last sync.
            condition::DELETION_ERROR | condition::HELD_WARNING => {}
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
                .evidence(&found.message)
                .next(
                    format!("kubectl gitops status{}", inquiry.namespace_flag()),
                    "the applications; take the object out of one of them",
                ),
            ),
            _ if found.is_error() => causes.push(
                Cause::new(Code::Error, "Failed", &found.message).evidence(since(inquiry, found)),
            ),
            other => notes.push(text::one_line(&format!("{other}: {}", found.message))),
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
    let question = approval::question(&found.message).unwrap_or(&found.message);
    Cause::new(
        Code::OutOfSync,
        CONFIRMATION,
        "it waits until somebody agrees to a deletion",
    )
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
    let (code, name, what) = if message.contains("; it may from ") {
        (
            Code::OutOfSync,
            "SyncWindow",
            "a sync window of its project keeps it from being synced now",
        )
    } else if message.contains("no end of that is in sight") {
        (
            Code::OutOfSync,
            "SyncWindow",
            "a sync window of its project keeps it from being synced",
        )
    } else {
        (
            Code::Warning,
            "SyncWindowInvalid",
            "a sync window of its project cannot be read",
        )
    };
    let project = inquiry
        .summary
        .as_ref()
        .map_or("default", |summary| summary.project.as_str());
    Cause::new(code, name, what)
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

fn blocked(inquiry: &Inquiry<'_>, found: &ApplicationCondition) -> Cause {
    let message = text::one_line(&found.message);
    let of_spec = found.condition_type == condition::INVALID_SPEC_ERROR;
    let (name, what) = classify(&message, of_spec);
    let mut cause = Cause::new(Code::Error, name, what)
        .evidence(&message)
        .evidence(since(inquiry, found));
    if name == "RenderFailed"
        && let Some(place) = file_of(&message)
    {
        cause.what = format!("its manifests cannot be rendered: {place}");
    }
    if message.contains("comparing with the last known commit") {
        cause = cause.evidence("what is live is still compared with the last known commit");
    }
    let app = inquiry.app();
    let flag = inquiry.namespace_flag();
    let again = |cause: Cause| {
        cause.next(
            format!("kubectl gitops refresh {app}"),
            "try again when that is mended",
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
        "ProjectDenies" => cause.next(
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
        "RenderFailed" | "PathMissing" | "ComparisonFailed" | "RepositoryUnreachable"
        | "ChartNotFound" => again(cause),
        _ => cause.next(
            format!("kubectl edit application {app}"),
            "correct the field",
        ),
    }
}

fn classify(message: &str, of_spec: bool) -> (&'static str, &'static str) {
    let lower = message.to_lowercase();
    let known = PATTERNS
        .iter()
        .find(|pattern| pattern.words.iter().any(|word| lower.contains(word)));
    match known {
        Some(pattern) => (pattern.name, pattern.what),
        None if of_spec => ("SpecInvalid", "the Application cannot be carried out"),
        None if file_of(message).is_some() || speaks_of_rendering(&lower) => {
            ("RenderFailed", "its manifests cannot be rendered")
        }
        None => ("ComparisonFailed", "Git and live cannot be compared"),
    }
}

fn speaks_of_rendering(lower: &str) -> bool {
    [
        "render",
        "helm",
        "kustomize",
        "manifest generation",
        "template",
    ]
    .iter()
    .any(|word| lower.contains(word))
}

/// The file a message names, with the line when it does: `apps/web/deploy.yaml:9`.
fn file_of(message: &str) -> Option<&str> {
    message
        .split(|character: char| character.is_whitespace() || "\"'`()[],;".contains(character))
        .map(|word| word.trim_end_matches([':', '.']))
        .find(|word| {
            let file = word.split(':').next().unwrap_or_default();
            [".yaml", ".yml", ".json", ".tpl", ".jsonnet"]
                .iter()
                .any(|ending| file.ends_with(ending) && file.len() > ending.len())
        })
}

fn sync_error(inquiry: &Inquiry<'_>, found: &ApplicationCondition, causes: &mut Vec<Cause>) {
    let message = text::one_line(&found.message);
    if message.contains("slowed down") {
        // With what it fought about, when the events still say.
        return;
    }
    if message.contains("holds no manifests") {
        causes.push(
            Cause::new(
                Code::SyncFailed,
                "EmptyRender",
                "Git holds no manifests, and deleting everything is not allowed",
            )
            .evidence(&message)
            .next(
                format!("kubectl get application {} -o yaml", inquiry.app()),
                "is the path right",
            ),
        );
        return;
    }
    let told = inquiry
        .status()
        .and_then(|status| status.operation_state.as_ref())
        .is_some_and(|state| state.phase.is_completed() && !state.phase.is_successful());
    if !told {
        causes.push(
            Cause::new(Code::SyncFailed, "SyncFailed", &message)
                .evidence(since(inquiry, found))
                .next(
                    format!("kubectl gitops sync {}", inquiry.app()),
                    "try again",
                ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_told_apart() {
        let table = [
            (
                "access to https://git.example/a.git denied: 401; check the credentials in its repository Secret",
                "RepositoryAccessDenied",
            ),
            (
                "cannot reach https://git.example/a.git: connection refused; check the URL",
                "RepositoryUnreachable",
            ),
            (
                "cannot trust the TLS certificate of https://git.example/a.git: unknown issuer",
                "CertificateUntrusted",
            ),
            (
                "the ssh host key of ssh://git.example/a.git is not trusted: changed",
                "HostKeyUntrusted",
            ),
            (
                "no repository at https://git.example/a.git: 404; check the URL",
                "RepositoryNotFound",
            ),
            (
                "revision \"mian\" is not in https://git.example/a.git; did you mean main?",
                "RevisionUnknown",
            ),
            (
                "chart web 9.x not found in https://charts.example; newest is 1.0.0",
                "ChartNotFound",
            ),
            (
                "apps/web/deploy.yaml:9: mapping values are not allowed here",
                "RenderFailed",
            ),
            (
                "kustomize build: accumulating resources: not-there.yaml",
                "RenderFailed",
            ),
            (
                "execution error at (web/templates/a.tpl:3:4): no color",
                "RenderFailed",
            ),
            (
                "the cluster does not serve the kind of Unheard/of; install its CustomResourceDefinition",
                "KindUnknown",
            ),
            (
                "a.yaml: project p does not allow Secret in namespace x; to allow it, add it to spec.namespaceResourceWhitelist of the AppProject",
                "ProjectDenies",
            ),
            ("something else", "ComparisonFailed"),
        ];
        for (message, expected) in table {
            assert_eq!(classify(message, false).0, expected, "{message}");
        }
        let spec = [
            (
                "project p does not exist in namespace argocd; create the AppProject or change spec.project",
                "ProjectMissing",
            ),
            (
                "spec.source.repoURL is required: the repository to deploy from",
                "SpecInvalid",
            ),
            (
                "destination staging is not a cluster this agent delivers to; it delivers to x",
                "DestinationUnknown",
            ),
        ];
        for (message, expected) in spec {
            assert_eq!(classify(message, true).0, expected, "{message}");
        }
    }

    #[test]
    fn files_are_found_in_messages() {
        assert_eq!(
            file_of("in apps/web/deploy.yaml:9: bad"),
            Some("apps/web/deploy.yaml:9")
        );
        assert_eq!(
            file_of("error at (web/templates/a.tpl:3:4): no"),
            Some("web/templates/a.tpl:3:4")
        );
        assert_eq!(file_of("open \"base/x.yml\"."), Some("base/x.yml"));
        assert_eq!(file_of("no file .yaml here"), None);
    }
}
