//! Namespaces that are to go, with what is in them that is not the application's.

use gitops_core::manifest::object::ObjectKey;
use gitops_core::sync::guests::Guests;

use crate::cluster::Cluster;

/// Looks into the Namespaces among these objects.
pub(crate) async fn find(cluster: &Cluster, instance: &str, objects: Vec<ObjectKey>) -> Guests {
    let mut found = Guests::new();
    for key in objects {
        let is_namespace = key.group.is_empty() && key.kind == "Namespace";
        let leaves = |key| cluster.index.get(key).is_some_and(|live| live.deleting);
        if !is_namespace || leaves(&key) {
            continue;
        }
        let guests = cluster.guests(&key.name, instance).await;
        if !guests.is_empty() {
            found.insert(key, guests);
        }
    }
    found
}
