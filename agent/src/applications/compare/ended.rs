//! What an earlier agent saw end by itself: recalled from the status, because the object is gone.

use gitops_api::ApplicationStatus;
use gitops_core::report::status::identity;

use crate::cluster::Cluster;

/// Takes up which objects did their work before this agent started.
pub(crate) fn recall(cluster: &Cluster, previous: &ApplicationStatus) {
    for resource in &previous.resources {
        if !resource.completed.is_empty() {
            let (_, key) = identity(resource);
            cluster.index.note_ended(&key, &resource.completed);
        }
    }
}
