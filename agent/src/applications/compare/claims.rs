//! Claims that are not bound: which of them wait for the first Pod that uses them, by their class.

use std::collections::HashMap;

use gitops_core::live::object::LiveObject;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::manifest::object::ObjectKey;

use crate::cluster::Cluster;

/// Asks for the classes of storage when there is a claim and they are not known.
pub(crate) async fn learn(cluster: &Cluster, desired: &DesiredSet) {
    let has_claims = desired.objects.keys().any(is_claim);
    if has_claims && cluster.storage_classes.are_due() {
        cluster.storage_classes.learn(&cluster.writer).await;
    }
}

/// Takes note of the claims that do not wait for a Pod: their volumes are made at once, or never.
pub(crate) fn settle(
    cluster: &Cluster,
    desired: &DesiredSet,
    live: &mut HashMap<ObjectKey, LiveObject>,
) {
    for claim in live.values_mut() {
        let Some(class) = &claim.awaits_consumer else {
            continue;
        };
        // A class of the same application may be as new as the claim.
        let own = desired
            .objects
            .values()
            .find(|object| object.key.kind == "StorageClass" && object.key.name == **class);
        let waits = match own {
            Some(own) => own.manifest()["volumeBindingMode"] == "WaitForFirstConsumer",
            None => cluster.storage_classes.wait_for_consumer(class),
        };
        if !waits {
            claim.awaits_consumer = None;
        }
    }
}

fn is_claim(key: &ObjectKey) -> bool {
    key.group.is_empty() && key.kind == "PersistentVolumeClaim"
}
