//! The messages of the conversation with a worker, as agent/renderer/protocol has them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::ChartDependency;
use crate::remote::Remote;
use crate::request::Packaged;
use crate::source::JsonnetVariable;

/// What a worker sends.
#[derive(Debug, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum FromWorker {
    Hello {
        protocol: u32,
        kustomize: String,
        helm: String,
        landlock: String,
        seccomp: String,
    },
    Stat {
        tree: String,
        path: String,
    },
    Read {
        tree: String,
        path: String,
    },
    List {
        tree: String,
        path: String,
    },
    Object {
        path: String,
        #[serde(default)]
        line: Option<u32>,
    },
    Done {
        #[serde(default)]
        warnings: Vec<String>,
        #[serde(default)]
        without: Vec<String>,
        /// The worker takes no other job and ends.
        #[serde(default)]
        last: bool,
    },
    Failed(Failure),
}

impl FromWorker {
    /// Whether the worker takes no other job after this.
    pub(crate) fn is_last(&self) -> bool {
        match self {
            Self::Done { last, .. } | Self::Failed(Failure { last, .. }) => *last,
            _ => false,
        }
    }
}

/// Why a worker has no result.
#[derive(Debug, Deserialize)]
pub(crate) struct Failure {
    pub(crate) kind: String,
    pub(crate) message: String,
    #[serde(default)]
    pub(crate) path: String,
    #[serde(default)]
    pub(crate) line: Option<u32>,
    #[serde(default)]
    pub(crate) dependencies: Vec<ChartDependency>,
    #[serde(default)]
    pub(crate) remotes: Vec<Remote>,
    /// The worker takes no other job and ends.
    #[serde(default)]
    pub(crate) last: bool,
}

/// What is answered to a question.
#[derive(Debug, Serialize)]
#[serde(tag = "type", rename_all = "camelCase")]
pub(crate) enum Answer {
    File { real: String },
    Directory { real: String },
    Absent,
    Content,
    Listing { items: Vec<Item> },
    Refused,
}

/// One name in a listing.
#[derive(Debug, Serialize)]
pub(crate) struct Item {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) link: bool,
}

/// One job.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Job<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: &'static str,
    pub(crate) path: &'a str,
    pub(crate) timeout_millis: u64,
    #[serde(flatten)]
    pub(crate) options: Option<Options>,
}

/// The options of the three kinds.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum Options {
    Directory(DirectoryOptions),
    Kustomize(KustomizeOptions),
    Helm(HelmOptions),
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct DirectoryOptions {
    pub(crate) recurse: bool,
    pub(crate) include: String,
    pub(crate) exclude: String,
    pub(crate) all_files: bool,
    pub(crate) jsonnet: Option<JsonnetOptions>,
}

/// What .jsonnet files are given.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JsonnetOptions {
    pub(crate) tlas: Vec<JsonnetVariable>,
    pub(crate) ext_vars: Vec<JsonnetVariable>,
    /// Folders from the tree's root.
    pub(crate) libs: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KustomizeOptions {
    pub(crate) name_prefix: String,
    pub(crate) name_suffix: String,
    pub(crate) namespace: String,
    pub(crate) images: Vec<String>,
    pub(crate) replicas: Vec<Replica>,
    pub(crate) common_labels: BTreeMap<String, String>,
    pub(crate) force_common_labels: bool,
    pub(crate) label_without_selector: bool,
    pub(crate) label_include_templates: bool,
    pub(crate) common_annotations: BTreeMap<String, String>,
    pub(crate) force_common_annotations: bool,
    pub(crate) patches: Vec<Value>,
    pub(crate) components: Vec<String>,
    pub(crate) ignore_missing_components: bool,
    pub(crate) kube_version: String,
    pub(crate) api_versions: Vec<String>,
    pub(crate) load_anywhere: bool,
    pub(crate) legacy_order: bool,
    pub(crate) managed_by_label: bool,
    pub(crate) remotes: Vec<GivenRemote>,
}

/// Something outside of the repository, and the tree it is in.
#[derive(Debug, Serialize)]
pub(crate) struct GivenRemote {
    #[serde(flatten)]
    pub(crate) remote: Remote,
    pub(crate) tree: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct Replica {
    pub(crate) name: String,
    pub(crate) count: i64,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct HelmOptions {
    pub(crate) release_name: String,
    pub(crate) namespace: String,
    pub(crate) value_files: Vec<FileReference>,
    pub(crate) values: String,
    pub(crate) parameters: Vec<Parameter>,
    pub(crate) file_parameters: Vec<FileParameter>,
    pub(crate) skip_crds: bool,
    pub(crate) skip_tests: bool,
    pub(crate) skip_schema_validation: bool,
    pub(crate) kube_version: String,
    pub(crate) api_versions: Vec<String>,
    pub(crate) packaged: Vec<Packaged>,
    /// What precedes a template's path in origins.
    pub(crate) shown: String,
    pub(crate) remotes: Vec<GivenRemote>,
}

/// A file of one of the job's trees.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct FileReference {
    pub(crate) tree: String,
    pub(crate) path: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Parameter {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) force_string: bool,
}

#[derive(Debug, Serialize)]
pub(crate) struct FileParameter {
    pub(crate) name: String,
    pub(crate) file: FileReference,
}
