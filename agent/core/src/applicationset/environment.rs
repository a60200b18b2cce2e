//! What all sets of an installation share: the clusters there are, and how paths are read.

use std::collections::BTreeMap;

use gitops_api::constants::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};
use k8s_openapi::api::core::v1::Secret;

use super::forge::Forges;
use super::patterns::FileGlobbing;

/// A cluster, as its Secret describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cluster {
    /// Name of the Secret; empty for the local cluster that has none.
    pub secret: String,
    /// Name of the cluster.
    pub name: String,
    /// Address of its API.
    pub server: String,
    /// The project it belongs to.
    pub project: String,
    /// Labels of the Secret.
    pub labels: BTreeMap<String, String>,
    /// Annotations of the Secret.
    pub annotations: BTreeMap<String, String>,
}

impl Cluster {
    /// The cluster the agent runs in, without a Secret.
    pub fn local() -> Self {
        Self {
            name: IN_CLUSTER_NAME.to_owned(),
            server: IN_CLUSTER_SERVER.to_owned(),
            ..Self::default()
        }
    }

    /// What a Secret says about a cluster, besides what opens it.
    pub fn of_secret(secret: &Secret) -> Self {
        let text = |key: &str| {
            let value = secret.data.as_ref().and_then(|data| data.get(key));
            value.map_or_else(String::new, |value| {
                String::from_utf8_lossy(&value.0).into_owned()
            })
        };
        let metadata = &secret.metadata;
        Self {
            secret: metadata.name.clone().unwrap_or_default(),
            name: text("name"),
            server: text("server"),
            project: text("project"),
            labels: metadata.labels.clone().unwrap_or_default(),
            annotations: metadata.annotations.clone().unwrap_or_default(),
        }
    }
}

/// What holds for all sets of an installation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Environment {
    /// The clusters that have a Secret.
    pub clusters: Vec<Cluster>,
    /// How patterns of files are read.
    pub file_globbing: FileGlobbing,
    /// Directories whose name begins with a dot count, too.
    pub hidden_directories: bool,
    /// Which forges may be asked.
    pub forges: Forges,
    /// Sets that say so change their Applications step by step.
    pub rolls: bool,
}

/// A text as a part of a name: lower case, and `-` for what no name holds.
/// Source: `SanitizeName` of applicationset/utils.
pub fn normalize(text: &str) -> String {
    let plain: String = text
        .to_lowercase()
        .chars()
        .map(|c| {
            if c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c) {
                c
            } else {
                '-'
            }
        })
        .take(253)
        .collect();
    plain.trim_matches(['-', '.']).to_owned()
}
