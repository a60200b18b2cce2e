//! The Helm chart as one archive. Its links into `manifests` become the files they lead to.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use super::archive::Entry;

/// Name of the chart, and of the folder in its archive.
const NAME: &str = "gitops-agent";

/// The archive's file name, as `helm package` would choose it.
pub(crate) fn archive(version: &str) -> String {
    format!("{NAME}-{}.tgz", version.trim_start_matches('v'))
}

/// Every file of a chart's folder.
pub(crate) fn entries(folder: &Path) -> Result<Vec<Entry>> {
    let mut found = Vec::new();
    let mut folders = vec![(folder.to_path_buf(), NAME.to_owned())];
    while let Some((folder, prefix)) = folders.pop() {
        let listed =
            fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
        for entry in listed {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let name = format!("{prefix}/{name}");
            if path.is_dir() {
                folders.push((path, name));
            } else {
                let content =
                    fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
                found.push(Entry {
                    name,
                    content,
                    program: false,
                });
            }
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tools;

    #[test]
    fn links_become_files() {
        let entries = entries(&tools::repository().join("manifests/chart")).unwrap();
        let names: Vec<_> = entries.iter().map(|entry| entry.name.as_str()).collect();
        for name in [
            "gitops-agent/Chart.yaml",
            "gitops-agent/templates/deployment.yaml",
            "gitops-agent/files/base/deployment.yaml",
            "gitops-agent/files/crds/application-crd.yaml",
        ] {
            assert!(names.contains(&name), "{name} in {names:?}");
        }
        assert_eq!(archive("v1.2.3"), "gitops-agent-1.2.3.tgz");
    }
}
