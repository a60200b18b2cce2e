//! Content of the generated files of `manifests/`. Shared with the test that finds stale ones.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// A generated file.
pub(crate) struct GeneratedFile {
    /// Where it belongs.
    pub(crate) path: PathBuf,
    /// What it holds.
    pub(crate) content: String,
}

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// The folder `manifests/`.
pub(crate) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../manifests")
}

/// One file per CustomResourceDefinition.
pub(crate) fn definitions() -> Result<Vec<GeneratedFile>> {
    gitops_api::crd::all()
        .iter()
        .map(|definition| {
            let name = definition["spec"]["names"]["singular"]
                .as_str()
                .unwrap_or_default();
            Ok(GeneratedFile {
                path: folder().join("crds").join(format!("{name}-crd.yaml")),
                content: format!(
                    "# Generated from agent/api: cargo run -p gitops-api --example crds\n{}",
                    serde_saphyr::to_string(definition)?
                ),
            })
        })
        .collect()
}

/// `install.yaml`: the kustomize base, put together in its order.
pub(crate) fn install() -> Result<Vec<GeneratedFile>> {
    let mut content =
        "# Generated from manifests/base: cargo run -p gitops-api --example crds\n".to_owned();
    for path in resources(&folder().join("base"))? {
        let document = fs::read_to_string(&path)
            .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
        content.push_str("---\n");
        content.push_str(document.trim_end());
        content.push('\n');
    }
    Ok(vec![GeneratedFile {
        path: folder().join("install.yaml"),
        content,
    }])
}

/// The files a folder's kustomization lists, folders resolved.
fn resources(base: &Path) -> Result<Vec<PathBuf>> {
    let path = base.join("kustomization.yaml");
    let text = fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let kustomization: Value = serde_saphyr::from_str(&text)?;
    let mut files = Vec::new();
    for resource in kustomization["resources"].as_array().into_iter().flatten() {
        let resource = base.join(resource.as_str().unwrap_or_default());
        if resource.is_dir() {
            files.extend(resources(&resource)?);
        } else {
            files.push(resource);
        }
    }
    Ok(files)
}
