//! What the source and destination of an Application must say before anything is fetched.

use gitops_api::{ApplicationDestination, ApplicationSource, ApplicationSpec};

use super::url::unusable;
use crate::mask;
use crate::sync::retry::{RetryError, RetryPolicy};

/// Something in `spec` that cannot be carried out; each becomes part of an InvalidSpecError.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecProblem {
    /// Neither `source` nor `sources`.
    #[error("spec.source.repoURL and either spec.source.path or spec.source.chart are required")]
    NoSource,
    /// A source without a repository.
    #[error("{field}.repoURL is required: the repository to deploy from")]
    NoRepository {
        /// The source.
        field: String,
    },
    /// A source that says nothing of what to deploy.
    #[error("{field} needs a path (\".\" for the whole repository) or a chart{}",
        if *.several { ", or a ref" } else { "" })]
    NothingToRender {
        /// The source.
        field: String,
        /// Whether it is one of several, where a ref is enough.
        several: bool,
    },
    /// A chart without a version.
    #[error(
        "{field}.targetRevision is required for a chart: a version or a range such as \"1.2.*\""
    )]
    ChartWithoutRevision {
        /// The source.
        field: String,
    },
    /// `ref` where there is no Git repository to refer to.
    #[error(
        "{field}.ref \"{name}\": only a Git repository can be referred to, not a chart or OCI artifact"
    )]
    RefOfChart {
        /// The source.
        field: String,
        /// The name.
        name: String,
    },
    /// A name that `$name/path` cannot spell.
    #[error("{field}.ref \"{name}\" may only hold letters, digits, \"-\" and \"_\"")]
    MalformedRef {
        /// The source.
        field: String,
        /// The name.
        name: String,
    },
    /// Two sources of one name.
    #[error("{field}.ref \"{name}\" is the ref of an earlier source too; give each its own name")]
    RepeatedRef {
        /// The later source.
        field: String,
        /// The name.
        name: String,
    },
    /// More than one of helm, kustomize, directory and plugin.
    #[error("{field} sets {}; a source is of one kind, keep one of them", .kinds.join(" and "))]
    SeveralKinds {
        /// The source.
        field: String,
        /// The fields that are set.
        kinds: Vec<&'static str>,
    },
    /// A path that leads out of the repository.
    #[error(
        "{field}.path \"{path}\" must be a path inside the repository, without a leading \"/\" and not above its root"
    )]
    PathOutside {
        /// The source.
        field: String,
        /// The path.
        path: String,
    },
    /// A URL that nothing can be fetched from.
    #[error("{field}.repoURL \"{url}\": {why}")]
    UnusableUrl {
        /// The source.
        field: String,
        /// The URL, without credentials.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// `sourceHydrator`.
    #[error(
        "spec.sourceHydrator is not supported; point spec.source at the branch that holds the rendered manifests"
    )]
    Hydrator,
    /// Neither a server nor a name.
    #[error(
        "spec.destination needs a server (such as https://kubernetes.default.svc) or a name (such as in-cluster)"
    )]
    NoDestination,
    /// Both a server and a name.
    #[error("spec.destination has both name \"{name}\" and server \"{server}\"; keep one of them")]
    AmbiguousDestination {
        /// The name.
        name: String,
        /// The server.
        server: String,
    },
    /// `syncPolicy.retry` cannot be read.
    #[error(transparent)]
    Retry(#[from] RetryError),
}

/// Checks the parts of a spec that need no repository and no cluster.
/// Source: Argo CD, `ValidateRepo` and `validateSourcePermissions`.
pub fn validate(spec: &ApplicationSpec) -> Result<(), Vec<SpecProblem>> {
    let mut problems = Vec::new();
    if spec.source_hydrator.is_some() {
        problems.push(SpecProblem::Hydrator);
    } else if spec.effective_sources().is_empty() {
        problems.push(SpecProblem::NoSource);
    }
    let several = !spec.sources.is_empty();
    check_sources("spec", spec.effective_sources(), several, &mut problems);
    check_destination(&spec.destination, &mut problems);
    let retry = spec
        .sync_policy
        .as_ref()
        .and_then(|policy| policy.retry.as_ref());
    if let Err(error) = RetryPolicy::of_automated_sync(retry) {
        problems.push(error.into());
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Checks sources that stand in for those of a spec, such as an operation's.
///
/// # Errors
/// What is wrong with them; `parent` is the field they are in.
pub fn validate_sources(
    parent: &str,
    sources: &[ApplicationSource],
    several: bool,
) -> Result<(), Vec<SpecProblem>> {
    let mut problems = Vec::new();
    check_sources(parent, sources, several, &mut problems);
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

fn check_sources(
    parent: &str,
    sources: &[ApplicationSource],
    several: bool,
    problems: &mut Vec<SpecProblem>,
) {
    let mut names: Vec<&str> = Vec::new();
    for (position, source) in sources.iter().enumerate() {
        let field = if several {
            format!("{parent}.sources[{position}]")
        } else {
            format!("{parent}.source")
        };
        check_source(&field, source, several, problems);
        let name = source.ref_name.as_str();
        if !name.is_empty() && names.contains(&name) {
            problems.push(SpecProblem::RepeatedRef {
                field,
                name: name.into(),
            });
        }
        names.push(name);
    }
}

fn check_source(
    field: &str,
    source: &ApplicationSource,
    several: bool,
    problems: &mut Vec<SpecProblem>,
) {
    let field = field.to_owned();
    let (chart, name) = (!source.chart.is_empty(), source.ref_name.as_str());
    if source.repo_url.trim().is_empty() {
        problems.push(SpecProblem::NoRepository {
            field: field.clone(),
        });
    } else if let Some(why) = unusable(&source.repo_url) {
        let url = mask::mask_text::<&str>(&source.repo_url, &[]);
        problems.push(SpecProblem::UnusableUrl {
            field: field.clone(),
            url,
            why,
        });
    }
    if source.path.is_empty() && !chart && (name.is_empty() || !several) {
        problems.push(SpecProblem::NothingToRender {
            field: field.clone(),
            several,
        });
    }
    if chart && source.target_revision.is_empty() {
        problems.push(SpecProblem::ChartWithoutRevision {
            field: field.clone(),
        });
    }
    if !name.is_empty() {
        let name = name.to_owned();
        if chart || source.repo_url.starts_with("oci://") {
            problems.push(SpecProblem::RefOfChart {
                field: field.clone(),
                name,
            });
        } else if !name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        {
            problems.push(SpecProblem::MalformedRef {
                field: field.clone(),
                name,
            });
        }
    }
    let kinds: Vec<&'static str> = [
        ("helm", source.helm.is_some()),
        ("kustomize", source.kustomize.is_some()),
        ("directory", source.directory.is_some()),
        ("plugin", source.plugin.is_some()),
    ]
    .into_iter()
    .filter_map(|(kind, set)| set.then_some(kind))
    .collect();
    if kinds.len() > 1 {
        problems.push(SpecProblem::SeveralKinds {
            field: field.clone(),
            kinds,
        });
    }
    if leads_outside(&source.path) {
        problems.push(SpecProblem::PathOutside {
            field,
            path: source.path.clone(),
        });
    }
}

fn leads_outside(path: &str) -> bool {
    let mut depth = 0_i32;
    path.starts_with('/')
        || path.contains(['\\', '\0'])
        || path.split('/').any(|segment| {
            depth += match segment {
                "" | "." => 0,
                ".." => -1,
                _ => 1,
            };
            depth < 0
        })
}

fn check_destination(destination: &ApplicationDestination, problems: &mut Vec<SpecProblem>) {
    match (destination.name.is_empty(), destination.server.is_empty()) {
        (true, true) => problems.push(SpecProblem::NoDestination),
        (false, false) => problems.push(SpecProblem::AmbiguousDestination {
            name: destination.name.clone(),
            server: destination.server.clone(),
        }),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn problems(sources: Value, destination: Value) -> Vec<String> {
        let mut spec = json!({"project": "default"});
        let field = if sources.is_array() {
            "sources"
        } else {
            "source"
        };
        spec[field] = sources;
        spec["destination"] = destination;
        let spec: ApplicationSpec = serde_json::from_value(spec).unwrap();
        validate(&spec)
            .err()
            .unwrap_or_default()
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    fn source_problems(sources: Value) -> Vec<String> {
        problems(sources, json!({"name": "in-cluster", "namespace": "shop"}))
    }

    #[test]
    fn sources() {
        let git = "https://host/repo";
        let cases = [
            (json!({"repoURL": git, "path": "."}), vec![]),
            (json!({"repoURL": git, "path": "a/../b"}), vec![]),
            (
                json!({"repoURL": "git@host:org/repo.git", "path": "a"}),
                vec![],
            ),
            (
                json!({"repoURL": git, "chart": "nginx", "targetRevision": "1.x"}),
                vec![],
            ),
            (
                json!([{"repoURL": git, "path": "a"}, {"repoURL": git, "ref": "values"}]),
                vec![],
            ),
            (json!(null), vec!["spec.source.repoURL and either"]),
            (
                json!({"path": "a"}),
                vec!["spec.source.repoURL is required"],
            ),
            (json!({"repoURL": git}), vec!["spec.source needs a path"]),
            (
                json!({"repoURL": git, "ref": "values"}),
                vec!["spec.source needs a path"],
            ),
            (
                json!([{"repoURL": git, "path": "a"}, {"repoURL": git}]),
                vec!["spec.sources[1] needs a path"],
            ),
            (
                json!({"repoURL": git, "chart": "nginx"}),
                vec!["spec.source.targetRevision is required"],
            ),
            (
                json!([{"repoURL": git, "chart": "nginx", "targetRevision": "1", "ref": "v"}]),
                vec!["only a Git repository can be referred to"],
            ),
            (
                json!([{"repoURL": "oci://host/a", "path": ".", "ref": "v"}]),
                vec!["only a Git repository"],
            ),
            (
                json!([{"repoURL": git, "ref": "a b"}]),
                vec!["may only hold"],
            ),
            (
                json!([{"repoURL": git, "ref": "v"}, {"repoURL": git, "ref": "v"}]),
                vec!["spec.sources[1].ref \"v\" is the ref"],
            ),
            (
                json!({"repoURL": git, "path": "a", "helm": {}, "kustomize": {}}),
                vec!["spec.source sets helm and kustomize"],
            ),
            (
                json!({"repoURL": git, "path": "/a"}),
                vec!["spec.source.path \"/a\" must be"],
            ),
            (
                json!({"repoURL": git, "path": "a/../../b"}),
                vec!["not above its root"],
            ),
            (
                json!({"repoURL": "javascript://x", "path": "a"}),
                vec!["scheme is not supported"],
            ),
            (
                json!({"repoURL": "--upload-pack=x", "path": "a"}),
                vec!["it is not a URL"],
            ),
            (
                json!({"repoURL": "https://user:hunter2@host/a/../b", "path": "a"}),
                vec!["\"https://***@host/a/../b\": \".\" and \"..\""],
            ),
        ];
        for (sources, expected) in cases {
            let found = source_problems(sources.clone());
            assert_eq!(found.len(), expected.len(), "{sources} {found:?}");
            for (found, expected) in found.iter().zip(expected) {
                assert!(found.contains(expected), "{sources} {found}");
            }
        }
    }

    #[test]
    fn destinations() {
        let source = json!({"repoURL": "https://host/repo", "path": "."});
        let of = |destination| problems(source.clone(), destination);
        assert_eq!(
            of(json!({"server": "https://kubernetes.default.svc"})),
            Vec::<String>::new()
        );
        assert!(of(json!({"namespace": "shop"}))[0].contains("needs a server"));
        assert!(of(json!({"server": "https://x", "name": "y"}))[0].contains("keep one of them"));
    }

    #[test]
    fn the_rest_of_the_spec() {
        let spec: ApplicationSpec = serde_json::from_value(json!({
            "source": {"repoURL": "https://host/repo", "path": "."},
            "destination": {"name": "in-cluster"},
            "syncPolicy": {"retry": {"limit": 1, "backoff": {"duration": "soon"}}},
        }))
        .unwrap();
        let problems = validate(&spec).unwrap_err();
        assert!(
            problems[0]
                .to_string()
                .contains("backoff.duration: \"soon\""),
            "{problems:?}"
        );
    }
}
