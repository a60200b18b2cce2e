//! Which charts a chart directory needs, and where each is to be had.
//!
//! Reads `Chart.yaml` and `Chart.lock` (`requirements.yaml` and `.lock` for `apiVersion: v1`) as
//! `helm dependency build` does: a lock file must fit, and then decides the versions. Never fetches
//! and never looks into the `charts` directory itself.

use gitops_core::source::version::parse_version;
use serde::Deserialize;

use crate::archive::first_line;
use crate::error::ChartError;
use crate::repository::RepositoryKind;
use crate::version;

/// One chart that another one depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChartDependency {
    /// Name of the chart.
    pub name: String,
    /// Exact version when `locked`, else a range.
    pub version: String,
    /// Whether the version is the lock file's.
    pub locked: bool,
    /// Where it comes from.
    pub source: DependencySource,
}

/// Where a dependency comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DependencySource {
    /// No repository is named: it must be in the `charts` directory.
    Bundled,
    /// A directory, relative to the chart's directory (`file://../common`).
    Directory(String),
    /// A chart repository or registry.
    Repository {
        /// URL as written.
        url: String,
        /// Protocol; a registry over plain HTTP is a matter of its repository Secret.
        kind: RepositoryKind,
    },
    /// It cannot be fetched here. That matters only when the `charts` directory does not have it.
    Refused {
        /// Why, and what to write instead.
        reason: String,
    },
}

impl ChartDependency {
    /// Whether the `charts` directory, of which these are the entries' names, already has it: as a
    /// directory, or as `NAME-VERSION.tgz` of any version (Helm does not compare it either).
    pub fn is_bundled<'a>(&self, charts_directory: impl IntoIterator<Item = &'a str>) -> bool {
        charts_directory.into_iter().any(|entry| {
            let version = entry
                .strip_suffix(".tgz")
                .and_then(|stem| stem.strip_prefix(&self.name))
                .and_then(|rest| rest.strip_prefix('-'));
            entry == self.name || version.is_some_and(|version| parse_version(version).is_some())
        })
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    api_version: Option<String>,
    dependencies: Option<Vec<Listed>>,
}

/// A lock file, or `requirements.yaml`.
#[derive(Deserialize)]
struct Dependencies {
    dependencies: Option<Vec<Listed>>,
}

#[derive(Deserialize)]
struct Listed {
    name: Option<String>,
    version: Option<String>,
    repository: Option<String>,
}

/// The dependencies of the chart directory that `read` reads files of, by name.
pub fn chart_dependencies(
    read: impl Fn(&str) -> Option<Vec<u8>>,
) -> Result<Vec<ChartDependency>, ChartError> {
    let Some(chart) = read("Chart.yaml") else {
        return Err(invalid(
            "Chart.yaml",
            "there is none in this directory, so this is no chart",
        ));
    };
    let metadata: Metadata = parse("Chart.yaml", &chart)?;
    let mut listed_in = "Chart.yaml";
    let mut lock_file = "Chart.lock";
    let mut listed = metadata.dependencies.unwrap_or_default();
    if metadata.api_version.as_deref() == Some("v1")
        && let Some(requirements) = read("requirements.yaml")
    {
        listed_in = "requirements.yaml";
        lock_file = "requirements.lock";
        let requirements: Dependencies = parse(listed_in, &requirements)?;
        listed = requirements.dependencies.unwrap_or_default();
    }
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    let lock = match read(lock_file) {
        Some(lock) => Some(
            parse::<Dependencies>(lock_file, &lock)?
                .dependencies
                .unwrap_or_default(),
        ),
        None => None,
    };
    if lock.as_ref().is_some_and(|lock| lock.len() != listed.len()) {
        return Err(out_of_sync(lock_file, listed_in, "it lists other charts"));
    }
    let mut dependencies = Vec::with_capacity(listed.len());
    for (index, dependency) in listed.iter().enumerate() {
        let name = dependency
            .name
            .clone()
            .filter(|name| !name.is_empty())
            .ok_or_else(|| invalid(listed_in, &format!("dependencies[{index}] has no name")))?;
        if name.contains('/') || name == ".." {
            return Err(invalid(
                listed_in,
                &format!("dependencies[{index}]: {name:?} is no chart name"),
            ));
        }
        let range_text = dependency.version.as_deref().unwrap_or_default();
        let repository = dependency.repository.as_deref().unwrap_or_default();
        let source = source(repository);
        let range = version::range(range_text).map_err(|reason| {
            invalid(
                listed_in,
                &format!("dependency {name}: version {range_text:?}: {reason}"),
            )
        })?;
        let locked = match lock.as_ref().and_then(|lock| lock.get(index)) {
            None => None,
            Some(entry) => {
                let version = entry.version.as_deref().unwrap_or_default();
                let same = entry.name.as_deref() == Some(&name)
                    && entry.repository.as_deref().unwrap_or_default() == repository;
                // A range admits no pre-release it does not name, yet the lock may hold one that
                // was asked for literally.
                let fits = version == range_text
                    || parse_version(version).is_some_and(|version| range.matches(&version));
                if !same || !fits {
                    let detail = format!("dependency {name} {range_text} is locked otherwise");
                    return Err(out_of_sync(lock_file, listed_in, &detail));
                }
                Some(version.to_owned())
            }
        };
        dependencies.push(ChartDependency {
            name,
            locked: locked.is_some(),
            version: locked.unwrap_or_else(|| range_text.to_owned()),
            source,
        });
    }
    Ok(dependencies)
}

fn source(repository: &str) -> DependencySource {
    let refused = |reason: &str| DependencySource::Refused {
        reason: reason.to_owned(),
    };
    if repository.is_empty() {
        return DependencySource::Bundled;
    }
    if let Some(path) = repository.strip_prefix("file://") {
        return if path.starts_with('/') {
            refused(
                "an absolute file:// path is on someone's machine; write it relative to the chart",
            )
        } else {
            DependencySource::Directory(path.to_owned())
        };
    }
    if repository.starts_with('@') || repository.starts_with("alias:") {
        return refused(
            "a repository alias is defined only on the machine of whoever added it; write the \
             repository's URL",
        );
    }
    let url = repository.to_owned();
    if repository.starts_with("oci://") {
        return DependencySource::Repository {
            url,
            kind: RepositoryKind::Oci { plain_http: false },
        };
    }
    if repository.starts_with("https://") || repository.starts_with("http://") {
        return DependencySource::Repository {
            url,
            kind: RepositoryKind::Http,
        };
    }
    refused("only https://, http://, oci:// and file:// repositories are understood")
}

fn parse<T: for<'de> Deserialize<'de>>(file: &'static str, bytes: &[u8]) -> Result<T, ChartError> {
    let options = serde_saphyr::options! {
        duplicate_keys: serde_saphyr::DuplicateKeyPolicy::LastWins,
        with_snippet: false,
    };
    serde_saphyr::from_slice_with_options(bytes, options)
        .map_err(|error| invalid(file, first_line(&error.to_string())))
}

fn invalid(file: &'static str, reason: &str) -> ChartError {
    ChartError::InvalidDependencies {
        file,
        reason: reason.to_owned(),
    }
}

fn out_of_sync(lock: &'static str, listed_in: &str, detail: &str) -> ChartError {
    invalid(
        lock,
        &format!("out of sync with {listed_in}: {detail}; run `helm dependency update` and commit"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(files: &[(&str, &str)]) -> Result<Vec<ChartDependency>, ChartError> {
        chart_dependencies(|name| {
            files
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, content)| content.as_bytes().to_vec())
        })
    }

    const CHART: &str = "\
apiVersion: v2
name: shop
version: 0.1.0
dependencies:
- name: postgresql
  version: 12.x
  repository: https://charts.example.com
  condition: postgresql.enabled
  import-values: [data]
- name: redis
  version: ^1.2
  repository: oci://registry.example.com/charts
  alias: cache
- name: common
  version: '*'
  repository: file://../common
- name: local
- name: aliased
  repository: '@stable'
- name: absolute
  repository: file:///srv/charts/x
- name: odd
  repository: git+ssh://x
";
    const LOCK: &str = "\
dependencies:
- {name: postgresql, version: 12.3.1, repository: 'https://charts.example.com'}
- {name: redis, version: 1.4.0, repository: 'oci://registry.example.com/charts'}
- {name: common, version: 0.3.0, repository: 'file://../common'}
- {name: local, version: '', repository: ''}
- {name: aliased, version: 1.0.0, repository: '@stable'}
- {name: absolute, version: 1.0.0, repository: 'file:///srv/charts/x'}
- {name: odd, version: 1.0.0, repository: 'git+ssh://x'}
digest: sha256:0
generated: 2024-01-01T00:00:00Z
";

    #[test]
    fn every_kind_of_source() {
        let found = read(&[("Chart.yaml", CHART)]).unwrap();
        let short: Vec<_> = found
            .iter()
            .map(|d| (d.name.as_str(), d.version.as_str(), d.locked))
            .collect();
        assert_eq!(
            short,
            [
                ("postgresql", "12.x", false),
                ("redis", "^1.2", false),
                ("common", "*", false),
                ("local", "", false),
                ("aliased", "", false),
                ("absolute", "", false),
                ("odd", "", false),
            ]
        );
        let repository = |url: &str, kind| DependencySource::Repository {
            url: url.to_owned(),
            kind,
        };
        assert_eq!(
            found[0].source,
            repository("https://charts.example.com", RepositoryKind::Http)
        );
        let oci = RepositoryKind::Oci { plain_http: false };
        assert_eq!(
            found[1].source,
            repository("oci://registry.example.com/charts", oci)
        );
        assert_eq!(
            found[2].source,
            DependencySource::Directory("../common".into())
        );
        assert_eq!(found[3].source, DependencySource::Bundled);
        for refused in &found[4..] {
            assert!(
                matches!(refused.source, DependencySource::Refused { .. }),
                "{refused:?}"
            );
        }
    }

    #[test]
    fn a_lock_decides_the_versions() {
        let found = read(&[("Chart.yaml", CHART), ("Chart.lock", LOCK)]).unwrap();
        assert!(found.iter().all(|d| d.locked));
        assert_eq!(
            (found[0].version.as_str(), found[1].version.as_str()),
            ("12.3.1", "1.4.0")
        );
    }

    #[test]
    fn a_lock_that_does_not_fit_is_refused() {
        for (from, to) in [
            ("version: 12.3.1", "version: 13.0.0"),
            ("name: redis", "name: valkey"),
            (
                "oci://registry.example.com/charts",
                "oci://elsewhere.example.com",
            ),
            ("- {name: local, version: '', repository: ''}\n", ""),
        ] {
            let lock = LOCK.replace(from, to);
            let error = read(&[("Chart.yaml", CHART), ("Chart.lock", &lock)]).unwrap_err();
            assert!(
                error.to_string().contains("helm dependency update"),
                "{error}"
            );
        }
    }

    #[test]
    fn charts_of_the_first_api_version() {
        let requirements = "dependencies:\n- name: a\n  version: 1.0.0\n  repository: https://x\n";
        let found = read(&[
            ("Chart.yaml", "apiVersion: v1\nname: old\nversion: 1.0.0"),
            ("requirements.yaml", requirements),
            ("requirements.lock", requirements),
        ])
        .unwrap();
        assert_eq!((found.len(), found[0].locked), (1, true));
    }

    #[test]
    fn malformed_files_name_the_place() {
        let cases = [
            (vec![], "Chart.yaml"),
            (vec![("Chart.yaml", "dependencies: [")], "Chart.yaml"),
            (
                vec![("Chart.yaml", "dependencies: [{version: 1.0.0}]")],
                "dependencies[0] has no name",
            ),
            (
                vec![("Chart.yaml", "dependencies: [{name: ../x}]")],
                "no chart name",
            ),
            (
                vec![("Chart.yaml", "dependencies: [{name: a, version: main}]")],
                "dependency a: version \"main\"",
            ),
        ];
        for (files, expected) in cases {
            let error = read(&files).unwrap_err().to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
        assert_eq!(read(&[("Chart.yaml", "name: x")]), Ok(Vec::new()));
    }

    #[test]
    fn the_charts_directory_may_have_it() {
        let dependency = ChartDependency {
            name: "redis".into(),
            version: "1.x".into(),
            locked: false,
            source: DependencySource::Bundled,
        };
        for (entry, bundled) in [
            ("redis", true),
            ("redis-1.2.3.tgz", true),
            ("redis-cluster-1.2.3.tgz", false),
            ("redis.tgz", false),
            ("redis-cluster", false),
        ] {
            assert_eq!(dependency.is_bundled(["other", entry]), bundled, "{entry}");
        }
    }
}
