//! What is in a namespace that is to be deleted: a look at every kind that lives in namespaces, at
//! metadata only. It is asked for where a Namespace is to go, and nowhere else.

use futures::{StreamExt, stream};
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey, Scope};
use gitops_core::reason::Names;
use gitops_core::sync::guests;
use kube::api::ListParams;
use serde_json::Value;

use super::Cluster;

/// Requests under way at the same time.
const AT_ONCE: usize = 8;
/// Most objects of a kind that are looked at: the question names a few and counts the rest.
const LIMIT: u32 = 100;

impl Cluster {
    /// What is in a namespace and not of the application; a kind that cannot be listed is a guest,
    /// because nobody knows what would go.
    pub(crate) async fn guests(&self, namespace: &str, instance: &str) -> Names {
        let kinds = self.discovery.kinds();
        let kinds: Vec<_> = kinds
            .watchable()
            .into_iter()
            .filter(|gvk| guests::counts(&gvk.kind))
            .filter(|gvk| kinds.scope(&gvk.group_kind()) == Some(Scope::Namespaced))
            .collect();
        let mut found: Vec<String> = stream::iter(kinds)
            .map(|gvk| self.guests_of_kind(gvk, namespace, instance))
            .buffer_unordered(AT_ONCE)
            .concat()
            .await;
        found.sort();
        found.dedup();
        Names::of(found)
    }

    async fn guests_of_kind(
        &self,
        gvk: GroupVersionKind,
        namespace: &str,
        instance: &str,
    ) -> Vec<String> {
        let Ok(api) = self.writer.api(&gvk, namespace).await else {
            return Vec::new();
        };
        let params = ListParams::default().limit(LIMIT);
        let list = match api.list_metadata(&params).await {
            Ok(list) => list.items,
            // Withdrawn meanwhile, or not to be listed by anybody.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 405) => {
                return Vec::new();
            }
            Err(error) => {
                tracing::debug!(%error, %gvk, namespace, "cannot list what is there");
                return vec![format!("all {} (they cannot be listed)", gvk.kind)];
            }
        };
        let names = list.iter().filter_map(|object| {
            let object: Value = serde_json::to_value(object).ok()?;
            let text = |name: &str| object["metadata"][name].as_str().map(str::to_owned);
            let key = ObjectKey {
                group: gvk.group.clone(),
                kind: gvk.kind.clone(),
                namespace: text("namespace")?,
                name: text("name")?,
            };
            guests::name(&object, &key, instance)
        });
        names.collect()
    }
}
