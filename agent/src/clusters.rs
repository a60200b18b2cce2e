//! Which cluster an application is delivered to.
//!
//! For now there is one, the agent's own; any other destination is refused here and nowhere else.

use std::sync::Arc;

use gitops_api::{ApplicationDestination, constants};

use crate::cluster::Cluster;

/// The clusters the agent delivers to.
pub(crate) struct Clusters {
    in_cluster: Arc<Cluster>,
}

/// A destination the agent does not deliver to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "destination {name} is not a cluster this agent delivers to; it delivers to {} ({})",
    constants::IN_CLUSTER_SERVER,
    constants::IN_CLUSTER_NAME
)]
pub(crate) struct UnknownCluster {
    /// Name or address, as the destination has it.
    pub(crate) name: String,
}

impl Clusters {
    /// Delivers to the agent's own cluster.
    pub(crate) fn new(in_cluster: Arc<Cluster>) -> Self {
        Self { in_cluster }
    }

    /// The cluster of a destination.
    ///
    /// # Errors
    /// When the agent does not deliver to it.
    pub(crate) fn of(
        &self,
        destination: &ApplicationDestination,
    ) -> Result<Arc<Cluster>, UnknownCluster> {
        if is_in_cluster(destination) {
            return Ok(Arc::clone(&self.in_cluster));
        }
        let name = if destination.name.is_empty() {
            &destination.server
        } else {
            &destination.name
        };
        Err(UnknownCluster { name: name.clone() })
    }

    /// The agent's own.
    pub(crate) fn own(&self) -> &Cluster {
        &self.in_cluster
    }

    /// Every cluster.
    pub(crate) fn all(&self) -> impl Iterator<Item = &Cluster> {
        [&*self.in_cluster].into_iter()
    }
}

fn is_in_cluster(destination: &ApplicationDestination) -> bool {
    if destination.name.is_empty() {
        destination.server.trim_end_matches('/') == constants::IN_CLUSTER_SERVER
    } else {
        destination.name == constants::IN_CLUSTER_NAME && destination.server.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_own_cluster_is_delivered_to_by_name_or_by_address_but_not_both() {
        let of = |name: &str, server: &str| {
            is_in_cluster(&ApplicationDestination {
                name: name.into(),
                server: server.into(),
                ..ApplicationDestination::default()
            })
        };
        assert!(of("in-cluster", ""));
        assert!(of("", "https://kubernetes.default.svc"));
        assert!(of("", "https://kubernetes.default.svc/"));
        assert!(!of("in-cluster", "https://kubernetes.default.svc"));
        assert!(!of("other", ""));
        assert!(!of("", "https://example.org"));
        assert!(!of("", ""));
    }
}
