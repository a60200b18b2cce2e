//! Which kinds a cluster serves, where and how: the answer of its discovery API as data.
//!
//! Asks nothing: who asked hands in what was answered. Which version of a kind is preferred is not
//! decided here.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::manifest::object::{GroupKind, GroupVersionKind, Scope};

/// A kind in one version, as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedKind {
    /// Group, version and kind.
    pub gvk: GroupVersionKind,
    /// The resource in paths of the API, such as `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub scope: Scope,
    /// Whether it can be listed and watched.
    pub watchable: bool,
}

/// What the API server answered at one time.
#[derive(Clone, Debug, Default)]
pub struct ServedKinds {
    served: HashMap<GroupVersionKind, ServedKind>,
    scopes: HashMap<GroupKind, Scope>,
    /// `v1`, `apps/v1`, `apps/v1/Deployment`, …: what charts call API versions. Sorted.
    pub api_versions: Arc<[String]>,
    /// Version of the cluster, such as `v1.36.3`.
    pub version: String,
}

impl ServedKinds {
    /// All that a cluster of this version serves.
    pub fn new(version: String, kinds: impl IntoIterator<Item = ServedKind>) -> Self {
        let mut served = HashMap::new();
        let mut scopes = HashMap::new();
        let mut api_versions = Vec::new();
        for kind in kinds {
            let api_version = kind.gvk.api_version();
            api_versions.push(format!("{api_version}/{}", kind.gvk.kind));
            api_versions.push(api_version);
            scopes.insert(kind.gvk.group_kind(), kind.scope);
            served.insert(kind.gvk.clone(), kind);
        }
        api_versions.sort_unstable();
        api_versions.dedup();
        Self {
            served,
            scopes,
            api_versions: api_versions.into(),
            version,
        }
    }

    /// The kind whose resource has this name in paths of the API.
    pub fn of_plural(&self, group: &str, version: &str, plural: &str) -> Option<&ServedKind> {
        let mut kinds = self.served.values();
        kinds.find(|kind| {
            kind.plural == plural && kind.gvk.group == group && kind.gvk.version == version
        })
    }

    /// How a kind is served in exactly this version.
    pub fn served(&self, gvk: &GroupVersionKind) -> Option<&ServedKind> {
        self.served.get(gvk)
    }

    /// Every kind that can be watched, once, in one of its versions.
    pub fn watchable(&self) -> Vec<GroupVersionKind> {
        let mut kinds: BTreeMap<GroupKind, &GroupVersionKind> = BTreeMap::new();
        for (gvk, served) in &self.served {
            if served.watchable {
                let known = kinds.entry(gvk.group_kind()).or_insert(gvk);
                *known = (*known).max(gvk);
            }
        }
        kinds.into_values().cloned().collect()
    }

    /// Whether objects of a kind live in namespaces, whatever the version.
    pub fn scope(&self, kind: &GroupKind) -> Option<Scope> {
        self.scopes.get(kind).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(group: &str, version: &str, kind: &str, watchable: bool) -> ServedKind {
        ServedKind {
            gvk: GroupVersionKind {
                group: group.into(),
                version: version.into(),
                kind: kind.into(),
            },
            plural: format!("{}s", kind.to_lowercase()),
            scope: if kind == "Namespace" {
                Scope::Cluster
            } else {
                Scope::Namespaced
            },
            watchable,
        }
    }

    #[test]
    fn kinds_are_found_by_version_by_scope_and_as_charts_name_them() {
        let kinds = [
            kind("", "v1", "Namespace", true),
            kind("apps", "v1", "Deployment", true),
            kind("apps", "v1beta1", "Deployment", true),
            kind("", "v1", "Binding", false),
        ];
        let kinds = ServedKinds::new("v1.36.3".into(), kinds);
        let gvk = |group: &str, version: &str, name: &str| kind(group, version, name, true).gvk;
        let namespace = gvk("", "v1", "Namespace");
        assert_eq!(kinds.scope(&namespace.group_kind()), Some(Scope::Cluster));
        let deployment = gvk("apps", "v1beta1", "Deployment");
        assert_eq!(kinds.served(&deployment).unwrap().plural, "deployments");
        assert_eq!(kinds.served(&gvk("apps", "v2", "Deployment")), None);
        assert_eq!(kinds.scope(&gvk("x.io", "v1", "Thing").group_kind()), None);
        assert_eq!(kinds.watchable(), [namespace, deployment]);
        assert_eq!(
            &*kinds.api_versions,
            [
                "apps/v1",
                "apps/v1/Deployment",
                "apps/v1beta1",
                "apps/v1beta1/Deployment",
                "v1",
                "v1/Binding",
                "v1/Namespace",
            ]
        );
    }
}
