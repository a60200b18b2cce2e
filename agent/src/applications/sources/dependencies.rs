//! Charts that a chart in Git depends on and does not bring along.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_api::Application;
use gitops_charts::{DependencySource, RepositoryKind, chart_dependencies};
use gitops_core::report::status::Condition;
use gitops_render::SourceTree;

use crate::applications::condition::comparison_error;
use crate::applications::permission;
use crate::applications::sources::Sources;
use crate::applications::sources::rendered::Dependency;
use crate::repositories::trees::{ChartTree, Overlay, Subtree};

/// Fetches the charts a chart in Git depends on, as `helm dependency build` would, from
/// repositories its project allows.
pub(crate) async fn fetch(
    sources: &Sources,
    app: &Application,
    tree: &Arc<dyn SourceTree>,
    chart_file: &str,
    message: &str,
) -> Result<BTreeMap<String, Dependency>, Condition> {
    let repositories = sources.credentials();
    let project_name = app.spec.effective_project();
    let project = permission::project(&sources.configuration, project_name)?;
    let folder = chart_file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let inside = |path: &str| {
        if folder.is_empty() {
            path.to_owned()
        } else {
            format!("{folder}/{path}")
        }
    };
    let wanted =
        chart_dependencies(|file| tree.read(&inside(file)).ok().map(|bytes| bytes.to_vec()))
            .map_err(|error| comparison_error(error.to_string()))?;
    let mut mounts = BTreeMap::new();
    for dependency in wanted {
        let mount = inside(&format!("charts/{}", dependency.name));
        let (url, kind) = match dependency.source {
            DependencySource::Bundled => return Err(comparison_error(message)),
            DependencySource::Refused { reason } => {
                return Err(comparison_error(format!(
                    "chart dependency {}: {reason}",
                    dependency.name
                )));
            }
            DependencySource::Directory(path) => {
                let path = normalise(&inside(&path)).ok_or_else(|| {
                    comparison_error(format!(
                        "chart dependency {}: {path} leads out of the repository",
                        dependency.name
                    ))
                })?;
                mounts.insert(mount, Dependency::Folder(path));
                continue;
            }
            DependencySource::Repository { url, kind } => (url, kind),
        };
        gitops_core::project::permits_source(&project.spec, project_name, &url)
            .map_err(|denial| comparison_error(denial.to_string()))?;
        let mut repository = repositories.chart(&url, project_name, false);
        if kind != RepositoryKind::Http && repository.kind == RepositoryKind::Http {
            repository.kind = kind;
        }
        let archive = sources
            .fetch_chart(&repository, &dependency.name, &dependency.version)
            .await?;
        mounts.insert(mount, Dependency::Archive(archive));
    }
    Ok(mounts)
}

/// A tree in which the dependencies of a chart are where Helm looks for them.
pub(crate) fn overlay(
    base: Arc<dyn SourceTree>,
    dependencies: &BTreeMap<String, Dependency>,
) -> Arc<dyn SourceTree> {
    if dependencies.is_empty() {
        return base;
    }
    let mounts = dependencies
        .iter()
        .map(|(path, dependency)| {
            let tree: Arc<dyn SourceTree> = match dependency {
                Dependency::Archive(archive) => Arc::new(ChartTree(archive.clone())),
                Dependency::Folder(folder) => Arc::new(Subtree {
                    base: base.clone(),
                    folder: folder.clone(),
                }),
            };
            (path.clone(), tree)
        })
        .collect();
    Arc::new(Overlay { base, mounts })
}

/// `a/b/../c` as `a/c`; `None` when it leaves the root.
fn normalise(path: &str) -> Option<String> {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}
