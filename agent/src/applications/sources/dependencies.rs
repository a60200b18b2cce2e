//! Charts that a chart in Git depends on and does not bring along.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_api::Application;
use gitops_charts::{DependencySource, RepositoryKind, chart_dependencies};
use gitops_render::SourceTree;

use crate::applications::error::ReconcileError;
use crate::applications::permission;
use crate::applications::source_error::SourceError;
use crate::applications::sources::Sources;
use crate::applications::sources::rendered::Dependency;
use crate::repositories::charts::ChartQuery;
use crate::repositories::trees::{ChartTree, Overlay, Subtree};

/// Fetches the charts a chart in Git depends on, as `helm dependency build` would, from
/// repositories its project allows. `None` when one of them has to come with the chart.
pub(crate) async fn fetch(
    sources: &Sources,
    app: &Application,
    tree: &Arc<dyn SourceTree>,
    chart_file: &str,
) -> Result<Option<BTreeMap<String, Dependency>>, ReconcileError> {
    let credentials = sources.configuration.credentials.get();
    let project_name = app.spec.effective_project();
    let rules = permission::rules(&sources.configuration, &app.spec)?;
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
            .map_err(SourceError::from)?;
    let mut mounts = BTreeMap::new();
    for dependency in wanted {
        let mount = inside(&format!("charts/{}", dependency.name));
        let (url, kind) = match dependency.source {
            DependencySource::Bundled => return Ok(None),
            DependencySource::Refused { reason } => {
                let chart = dependency.name;
                return Err(SourceError::Dependency { chart, reason }.into());
            }
            DependencySource::Directory(path) => {
                let path = normalize(&inside(&path)).ok_or_else(|| SourceError::Dependency {
                    chart: dependency.name,
                    reason: format!("{path} leads out of the repository"),
                })?;
                mounts.insert(mount, Dependency::Folder(path));
                continue;
            }
            DependencySource::Repository { url, kind } => (url, kind),
        };
        let permit = rules
            .permits_source(&url)
            .map_err(|denial| ReconcileError::Denied(vec![denial.to_string()]))?;
        let mut repository = credentials.chart(&permit, project_name, false);
        if kind != RepositoryKind::Http && repository.kind == RepositoryKind::Http {
            repository.kind = kind;
        }
        let query = ChartQuery {
            repository,
            chart: dependency.name,
            version: dependency.version,
        };
        let archive = sources.chart(&query, false).await?;
        mounts.insert(mount, Dependency::Archive { url, archive });
    }
    Ok(Some(mounts))
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
                Dependency::Archive { archive, .. } => Arc::new(ChartTree(archive.clone())),
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
fn normalize(path: &str) -> Option<String> {
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
