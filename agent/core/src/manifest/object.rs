//! Identity of Kubernetes objects: what a manifest is called, wherever it comes from.
//!
//! Never looks further into an object than `apiVersion`, `kind` and `metadata`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Group, version and kind of a manifest, as `apiVersion` and `kind` spell it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupVersionKind {
    /// API group; empty for the core group.
    pub group: String,
    /// API version without the group, such as `v1`.
    pub version: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
}

impl GroupVersionKind {
    /// Reads `apiVersion` and `kind`; `None` when either is missing, empty or not a string.
    pub fn of(object: &Value) -> Option<Self> {
        let api_version = object
            .get("apiVersion")?
            .as_str()
            .filter(|s| !s.is_empty())?;
        let kind = object.get("kind")?.as_str().filter(|s| !s.is_empty())?;
        let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
        Some(Self {
            group: group.into(),
            version: version.into(),
            kind: kind.into(),
        })
    }

    /// `apiVersion` as a manifest spells it: `apps/v1`, or `v1` for the core group.
    pub fn api_version(&self) -> String {
        if self.group.is_empty() {
            self.version.clone()
        } else {
            format!("{}/{}", self.group, self.version)
        }
    }

    /// The part of the identity that does not change with the API version.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind {
            group: self.group.clone(),
            kind: self.kind.clone(),
        }
    }
}

impl fmt::Display for GroupVersionKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.api_version(), self.kind)
    }
}

/// Group and kind: what rules are keyed by.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct GroupKind {
    /// API group; empty for the core group.
    pub group: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
}

impl fmt::Display for GroupKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.group.is_empty() {
            f.write_str(&self.kind)
        } else {
            write!(f, "{}/{}", self.group, self.kind)
        }
    }
}

/// Whether objects of a kind live in a namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Such as `Deployment`.
    Namespaced,
    /// Such as `ClusterRole`.
    Cluster,
}

/// Full identity of one object in one cluster. The API version is not part of it: the same object
/// is served under several.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectKey {
    /// API group; empty for the core group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub group: String,
    /// Kind, such as `Deployment`.
    pub kind: String,
    /// Namespace; empty for cluster-scoped objects.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
}

impl ObjectKey {
    /// Reads the identity of a manifest; `None` without `apiVersion`, `kind` or a name.
    pub fn of(object: &Value) -> Option<Self> {
        let gvk = GroupVersionKind::of(object)?;
        let metadata = object.get("metadata")?;
        let name = metadata.get("name")?.as_str().filter(|s| !s.is_empty())?;
        let namespace = metadata
            .get("namespace")
            .and_then(Value::as_str)
            .unwrap_or_default();
        Some(Self {
            group: gvk.group,
            kind: gvk.kind,
            namespace: namespace.into(),
            name: name.into(),
        })
    }

    /// Group and kind of this object.
    pub fn group_kind(&self) -> GroupKind {
        GroupKind {
            group: self.group.clone(),
            kind: self.kind.clone(),
        }
    }
}

impl fmt::Display for ObjectKey {
    /// `apps/Deployment shop/web`, `ConfigMap shop/settings`, `Namespace shop`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.group.is_empty() {
            write!(f, "{}/", self.group)?;
        }
        write!(f, "{} ", self.kind)?;
        if !self.namespace.is_empty() {
            write!(f, "{}/", self.namespace)?;
        }
        f.write_str(&self.name)
    }
}

/// `metadata.annotations[name]`, when it is a string.
pub fn annotation<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object
        .get("metadata")?
        .get("annotations")?
        .get(name)?
        .as_str()
}

/// Whether an annotation that lists options, separated by commas, has this one.
pub fn has_option(object: &Value, name: &str, option: &str) -> bool {
    annotation(object, name)
        .is_some_and(|options| options.split(',').any(|set| set.trim() == option))
}

/// The wave of an object: `argocd.argoproj.io/sync-wave`, else Helm's hook weight, on any object
/// as in Argo CD; 0 when neither is an integer.
pub fn wave(object: &Value) -> i64 {
    use gitops_api::constants::annotation::{HELM_HOOK_WEIGHT, SYNC_WAVE};
    [SYNC_WAVE, HELM_HOOK_WEIGHT]
        .iter()
        .find_map(|name| wave_of(annotation(object, name)?))
        .unwrap_or(0)
}

/// A wave as it is written; `None` when it is no integer of 64 bits. Blanks around it make it
/// unreadable, as in Argo CD.
pub(crate) fn wave_of(text: &str) -> Option<i64> {
    text.parse().ok()
}

/// `metadata.labels[name]`, when it is a string.
pub fn label<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get("metadata")?.get("labels")?.get(name)?.as_str()
}

/// Where a manifest was written: for messages that lead a person to the line to change.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// Path in the repository or chart.
    pub path: String,
    /// Line of the document's first key, where the renderer knows it.
    pub line: Option<u32>,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identity_of_manifests() {
        let cases = [
            (
                json!({"apiVersion":"apps/v1","kind":"Deployment","metadata":{"namespace":"shop","name":"web"}}),
                Some("apps/Deployment shop/web"),
            ),
            (
                json!({"apiVersion":"v1","kind":"Namespace","metadata":{"name":"shop"}}),
                Some("Namespace shop"),
            ),
            (
                json!({"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":""}}),
                None,
            ),
            (json!({"kind":"ConfigMap","metadata":{"name":"x"}}), None),
            (json!([1]), None),
        ];
        for (object, expected) in cases {
            assert_eq!(
                ObjectKey::of(&object).map(|k| k.to_string()).as_deref(),
                expected,
                "{object}"
            );
        }
    }
}
