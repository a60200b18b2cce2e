//! Charts that a chart in Git depends on and does not bring along.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use gitops_api::Application;
use gitops_charts::{DependencySource, RepositoryKind, chart_dependencies};
use gitops_core::source::version::parse_version;
use gitops_render::{Packaged, SourceTree};

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
    let bundled: Vec<String> = match tree.list(&inside("charts")) {
        Ok(items) => items.into_iter().map(|item| item.name).collect(),
        Err(_) => Vec::new(),
    };
    let mut mounts = BTreeMap::new();
    for dependency in wanted {
        let comes_along = dependency.is_bundled(bundled.iter().map(String::as_str));
        let mount = free_mount(&mounts, &inside(&format!("charts/{}", dependency.name)));
        let (url, kind) = match dependency.source {
            DependencySource::Bundled | DependencySource::Refused { .. } if comes_along => continue,
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

/// Where a chart is laid that has the name of another one, as two versions of one chart have: what
/// its folder is called does not matter to Helm.
fn free_mount(mounts: &BTreeMap<String, Dependency>, mount: &str) -> String {
    let mut names = (2..).map(|number| format!("{mount}{COPY}{number}"));
    if mounts.contains_key(mount) {
        names
            .find(|name| !mounts.contains_key(name))
            .unwrap_or_default()
    } else {
        mount.to_owned()
    }
}

/// Between the name of a chart and the number of its folder, where several have one name.
const COPY: char = '~';

/// What the renderer has to know of where charts were laid, by their paths in the chart.
pub(crate) fn packaged(dependencies: &BTreeMap<String, Dependency>) -> Vec<Packaged> {
    let packaged = |(mount, dependency): (&String, &Dependency)| Packaged {
        path: match mount.rsplit_once('/') {
            Some((_, name)) => format!("charts/{name}"),
            None => mount.clone(),
        },
        folder: matches!(dependency, Dependency::Folder(_)),
    };
    dependencies.iter().map(packaged).collect()
}

/// Archives of other versions of charts that were laid into a chart; `helm dependency build`
/// removes them.
fn stale_archives(
    base: &Arc<dyn SourceTree>,
    dependencies: &BTreeMap<String, Dependency>,
) -> BTreeSet<String> {
    let mut stale = BTreeSet::new();
    for mount in dependencies.keys() {
        let Some((charts, name)) = mount.rsplit_once('/') else {
            continue;
        };
        let name = name.split_once(COPY).map_or(name, |(name, _)| name);
        let archive_of = |entry: &str| {
            let version = entry.strip_suffix(".tgz")?.strip_prefix(name)?;
            parse_version(version.strip_prefix('-')?)
        };
        let items = base.list(charts).unwrap_or_default();
        let archives = items.iter().filter(|item| archive_of(&item.name).is_some());
        stale.extend(archives.map(|item| format!("{charts}/{}", item.name)));
    }
    stale
}

/// A tree in which the dependencies of a chart are where Helm looks for them.
pub(crate) fn overlay(
    base: Arc<dyn SourceTree>,
    dependencies: &BTreeMap<String, Dependency>,
) -> Arc<dyn SourceTree> {
    if dependencies.is_empty() {
        return base;
    }
    let hidden = stale_archives(&base, dependencies);
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
    Arc::new(Overlay {
        base,
        mounts,
        hidden,
    })
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

#[cfg(test)]
mod tests {
    use gitops_render::MemoryTree;

    use super::*;

    fn folder(path: &str) -> Dependency {
        Dependency::Folder(path.into())
    }

    #[test]
    fn charts_of_one_name_lie_beside_each_other() {
        let mut mounts = BTreeMap::new();
        for path in ["one", "two", "three"] {
            let mount = free_mount(&mounts, "app/charts/lib");
            mounts.insert(mount, folder(path));
        }
        let names: Vec<&String> = mounts.keys().collect();
        assert_eq!(
            names,
            ["app/charts/lib", "app/charts/lib~2", "app/charts/lib~3"]
        );
        let told = packaged(&mounts);
        assert!(
            told.iter()
                .all(|one| one.folder && one.path.starts_with("charts/lib"))
        );
    }

    #[test]
    fn archives_of_other_versions_go_and_other_charts_stay() {
        let mut tree = MemoryTree::new();
        for name in [
            "lib-0.1.0.tgz",
            "lib-v0.2.0-rc.1.tgz",
            "lib-extra-0.1.0.tgz",
            "lib.tgz",
            "other-1.0.0.tgz",
        ] {
            tree.insert(format!("app/charts/{name}"), "x");
        }
        tree.insert("lib/Chart.yaml", "x");
        let base: Arc<dyn SourceTree> = Arc::new(tree);
        for mount in ["app/charts/lib", "app/charts/lib~2"] {
            let mounts = BTreeMap::from([(mount.to_owned(), folder("lib"))]);
            let laid = overlay(base.clone(), &mounts);
            let listed = laid.list("app/charts").unwrap_or_default();
            let mut names: Vec<&str> = listed.iter().map(|item| item.name.as_str()).collect();
            names.sort_unstable();
            let name = mount.rsplit('/').next().unwrap_or_default();
            let mut expected = vec!["lib-extra-0.1.0.tgz", "lib.tgz", name, "other-1.0.0.tgz"];
            expected.sort_unstable();
            assert_eq!(names, expected);
            let gone = laid.entry("app/charts/lib-0.1.0.tgz");
            assert!(matches!(gone, Ok(gitops_render::TreeEntry::Absent)));
        }
    }
}
