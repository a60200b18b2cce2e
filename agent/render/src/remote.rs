//! What kustomizations and lists of values files refer to outside of their repository. The worker says what it needs; who renders gets it, and
//! hands it over as trees.

use serde::{Deserialize, Serialize};

/// A folder of another repository's, a chart, or a file of another server.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Remote {
    /// What it is.
    pub kind: RemoteKind,
    /// The repository, or the file's address.
    pub url: String,
    /// Name of the chart; empty for anything else.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// A branch, tag or commit, or a version or range of a chart; empty for the default branch and for a file.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub revision: String,
}

/// What is outside of a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum RemoteKind {
    /// A commit of a Git repository.
    Git,
    /// A chart of a chart repository.
    Chart,
    /// A file behind an `https://` or `http://` address. Its tree holds it by any name.
    File,
}

impl Remote {
    /// The name its tree has in a render and in what was read ([`crate::InputSet`]).
    pub fn tree(&self) -> String {
        let Self {
            kind,
            url,
            name,
            revision,
        } = self;
        let kind = match kind {
            RemoteKind::Git => "git",
            RemoteKind::Chart => "chart",
            RemoteKind::File => "file",
        };
        format!("{kind} {url} {name} {revision}")
    }
}
