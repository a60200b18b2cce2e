//! The part of an ApplicationSource that decides what is rendered, as serde types of its own so that a field this crate
//! does not know cannot stop it. Field names and meanings are those of the Application CRD.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One source of an Application.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct SourceSpec {
    /// Where the repository or chart repository is; shown and substituted, never fetched here.
    #[serde(rename = "repoURL")]
    pub repo_url: String,
    /// Directory in the repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Chart name in a chart repository.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chart: Option<String>,
    /// As written in the Application.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_revision: Option<String>,
    /// Name other sources use this one's files by.
    #[serde(rename = "ref", skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Helm options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub helm: Option<HelmSpec>,
    /// Kustomize options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kustomize: Option<KustomizeSpec>,
    /// Directory options.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub directory: Option<DirectorySpec>,
    /// Config management plugin; refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plugin: Option<Value>,
}

impl SourceSpec {
    /// Reads a source from an Application's JSON. Null means absent, as in Kubernetes.
    pub fn from_json(mut source: Value) -> Result<Self, serde_json::Error> {
        if let Value::Object(fields) = &mut source {
            for (name, value) in fields.iter_mut() {
                // Inside inline values and patches a null has a meaning of its own.
                if let Value::Object(options) = value {
                    options.retain(|_, value| !value.is_null());
                } else if name == "repoURL" && value.is_null() {
                    *value = Value::String(String::new());
                }
            }
            fields.retain(|_, value| !value.is_null());
        }
        serde_json::from_value(source)
    }
}

/// `helm` of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HelmSpec {
    /// Files in order; globs and `$ref/…` allowed.
    pub value_files: Vec<String>,
    /// A value file that does not exist is no error.
    pub ignore_missing_value_files: bool,
    /// Inline YAML.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub values: String,
    /// Inline values; wins over `values`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values_object: Option<Value>,
    /// `--set` and `--set-string`.
    pub parameters: Vec<HelmParameter>,
    /// `--set-file`.
    pub file_parameters: Vec<HelmFileParameter>,
    /// Default: the Application's name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub release_name: String,
    /// Default: the destination's namespace.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Leave the chart's CRDs out.
    pub skip_crds: bool,
    /// Leave test hooks out.
    pub skip_tests: bool,
    /// Do not check values against the chart's schema.
    pub skip_schema_validation: bool,
    /// In place of the cluster's version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kube_version: String,
    /// In place of the cluster's API versions.
    pub api_versions: Vec<String>,
}

/// One `--set`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HelmParameter {
    /// Path of the value.
    pub name: String,
    /// New value.
    pub value: String,
    /// Keep numbers and booleans strings.
    pub force_string: bool,
}

/// One `--set-file`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HelmFileParameter {
    /// Path of the value.
    pub name: String,
    /// File whose content is the value.
    pub path: String,
}

/// `kustomize` of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct KustomizeSpec {
    /// Prefix of every name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_prefix: String,
    /// Suffix of every name.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub name_suffix: String,
    /// Namespace of every object.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// `[old=]image:tag` or `@digest`.
    pub images: Vec<String>,
    /// Counts by workload name.
    pub replicas: Vec<KustomizeReplica>,
    /// Labels of every object.
    pub common_labels: BTreeMap<String, String>,
    /// Replace labels of the file.
    pub force_common_labels: bool,
    /// Do not add them to selectors.
    pub label_without_selector: bool,
    /// Add them to templates as well.
    pub label_include_templates: bool,
    /// Annotations of every object.
    pub common_annotations: BTreeMap<String, String>,
    /// Replace annotations of the file.
    pub force_common_annotations: bool,
    /// Substitute the build environment in annotations.
    pub common_annotations_envsubst: bool,
    /// Patches after those of the file.
    pub patches: Vec<Value>,
    /// Components after those of the file.
    pub components: Vec<String>,
    /// A component that does not exist is no error.
    pub ignore_missing_components: bool,
    /// What charts see in place of the cluster's version.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub kube_version: String,
    /// What charts see in place of the cluster's API versions.
    pub api_versions: Vec<String>,
}

/// A count for a workload.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct KustomizeReplica {
    /// The workload's name.
    pub name: String,
    /// A number, or a number in quotes.
    pub count: Value,
}

/// `directory` of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct DirectorySpec {
    /// Directories below as well.
    pub recurse: bool,
    /// Glob of files to take.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub include: String,
    /// Glob of files to leave out; wins over `include`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub exclude: String,
    /// Take files of any extension.
    pub disable_extension_filter: bool,
    /// What .jsonnet files are given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jsonnet: Option<JsonnetSpec>,
}

/// `directory.jsonnet` of a source.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct JsonnetSpec {
    /// Arguments of a file that is a function.
    pub tlas: Vec<JsonnetVariable>,
    /// What `std.extVar` finds.
    pub ext_vars: Vec<JsonnetVariable>,
    /// Folders from the repository's root in which imports are looked for, the last one first.
    pub libs: Vec<String>,
}

/// A text or code for Jsonnet.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct JsonnetVariable {
    /// Its name.
    pub name: String,
    /// The text, or the code.
    pub value: String,
    /// Whether it is code.
    pub code: bool,
}
