//! What a render is asked for and what it gives.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::inputs::InputSet;
use crate::remote::Remote;
use crate::source::SourceSpec;
use crate::tree::SourceTree;

/// What a render may know of its Application and cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AppContext {
    /// metadata.name.
    pub name: String,
    /// spec.destination.namespace; may be empty.
    pub destination_namespace: String,
    /// spec.project.
    pub project: String,
    /// Version of the destination cluster, such as `v1.36.3`.
    pub kube_version: String,
    /// `group/version` and `group/version/Kind` of the destination cluster.
    pub api_versions: Arc<[String]>,
    /// `kustomize.buildOptions` of argocd-cm.
    pub kustomize: KustomizeBuild,
    /// `helm.valuesFileSchemes` of argocd-cm: schemes by which values files may be had from other servers.
    pub values_schemes: Arc<[String]>,
}

/// Options of `kustomize build` that an installation may set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KustomizeBuild {
    /// `--load-restrictor LoadRestrictionsNone`: files outside of their kustomization's folder, inside of the repository.
    pub load_anywhere: bool,
    /// `--reorder legacy`: objects by kind.
    pub legacy_order: bool,
    /// `--enable-managedby-label`.
    pub managed_by_label: bool,
}

/// One source and the trees it may read.
#[derive(Clone)]
pub struct SourceRequest {
    /// The source as the Application says.
    pub spec: SourceSpec,
    /// Its repository at `revision`, or its chart.
    pub tree: Arc<dyn SourceTree>,
    /// What targetRevision resolved to.
    pub revision: String,
    /// Other sources with a `ref`, by `$name`.
    pub refs: BTreeMap<String, Arc<dyn SourceTree>>,
    /// The tree is a chart's archive, whose root is the chart.
    pub is_chart_archive: bool,
    /// Folders of the chart's `charts` folder that stand for the archive of a dependency.
    pub packaged: Vec<Packaged>,
    /// What its kustomizations refer to outside of it, as far as it is there.
    pub remotes: BTreeMap<Remote, Arc<dyn SourceTree>>,
}

/// A dependency that is laid into a chart, and is no part of its folder: the chart's .helmignore does not reach into it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Packaged {
    /// Path of its folder in the chart, such as `charts/redis`.
    pub path: String,
    /// It is a folder that Helm would make the archive of first, by that folder's own .helmignore.
    pub folder: bool,
}

impl fmt::Debug for SourceRequest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SourceRequest")
            .field("path", &self.spec.path)
            .field("revision", &self.revision)
            .field("refs", &self.refs.keys())
            .field("is_chart_archive", &self.is_chart_archive)
            .finish_non_exhaustive()
    }
}

/// One render: one source of one Application.
#[derive(Clone, Debug)]
pub struct RenderRequest {
    /// The Application.
    pub app: AppContext,
    /// Its source.
    pub source: SourceRequest,
}

/// How a source was rendered; the names of Argo CD's `status.sourceType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceType {
    /// Plain manifests.
    Directory,
    /// A kustomization.
    Kustomize,
    /// A chart.
    Helm,
}

impl fmt::Display for SourceType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory => "Directory",
            Self::Kustomize => "Kustomize",
            Self::Helm => "Helm",
        })
    }
}

/// Where an object came from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// File in the repository: a manifest, a template, or a kustomization file when nothing finer is known.
    pub path: String,
    /// Line of the object's first line, where the file holds the object itself.
    pub line: Option<u32>,
}

/// One object of a result.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedObject {
    /// The object as the repository says; namespace and tracking are not added here.
    pub value: Value,
    /// Where it came from.
    pub origin: Origin,
}

/// A render's result.
#[derive(Clone, Debug)]
pub struct Rendered {
    /// In the order the tool gives; duplicates are left in.
    pub objects: Vec<RenderedObject>,
    /// How it was rendered.
    pub source_type: SourceType,
    /// Everything that was read.
    pub inputs: InputSet,
    /// What a user should know although it is no error.
    pub warnings: Vec<String>,
    /// Files of the source's own tree that could have held objects and hold none: empty, cut off, or no manifest.
    pub without: Vec<String>,
}
