//! Which kinds the cluster serves, and where.
//!
//! Read once at start and again when a CustomResourceDefinition changes; never per request.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use gitops_core::live::discovery::{ServedKind, ServedKinds};
use gitops_core::manifest::object::{GroupVersionKind, Scope};
use gitops_transport::chain;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::{ApiResource, PartialObjectMeta};
use kube::discovery::{ApiCapabilities, verbs};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, discovery};
use parking_lot::RwLock;
use tokio::time::timeout;

use crate::watch_backoff::CappedBackoff;

/// A definition is established a moment after it is stored, in several steps.
const SETTLING_DELAY: Duration = Duration::from_millis(200);

/// The kinds known now, shared.
#[derive(Clone)]
pub(crate) struct Discovery {
    client: Client,
    kinds: Arc<RwLock<Arc<ServedKinds>>>,
}

impl Discovery {
    /// Asks the API server for the first time.
    pub(crate) async fn start(client: Client) -> kube::Result<Self> {
        let discovery = Self {
            client,
            kinds: Arc::default(),
        };
        discovery.refresh().await?;
        Ok(discovery)
    }

    /// The kinds known now.
    pub(crate) fn kinds(&self) -> Arc<ServedKinds> {
        self.kinds.read().clone()
    }

    /// Asks again.
    pub(crate) async fn refresh(&self) -> kube::Result<()> {
        let found = discovery::Discovery::new(self.client.clone())
            .run_aggregated()
            .await?;
        let version = self.client.apiserver_version().await?.git_version;
        let groups = found.groups();
        let versions = groups.flat_map(|group| group.versions().map(move |name| (group, name)));
        let served = versions.flat_map(|(group, name)| group.versioned_resources(name));
        let kinds = ServedKinds::new(version, served.map(|(kind, can)| served_kind(kind, &can)));
        *self.kinds.write() = Arc::new(kinds);
        Ok(())
    }

    /// Asks again whenever a CustomResourceDefinition changes, and tells whether the answer differs
    /// from the one before. Ends only when the watch does.
    pub(crate) async fn follow(&self, on_answer: impl Fn(bool)) {
        let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(self.client.clone());
        let mut events = watcher(api, watcher::Config::default())
            .backoff(CappedBackoff::default())
            .boxed();
        loop {
            match events.try_next().await {
                Ok(Some(watcher::Event::Apply(_) | watcher::Event::Delete(_))) => {
                    while let Ok(Some(_)) = timeout(SETTLING_DELAY, events.next()).await {}
                    let before = self.kinds();
                    match self.refresh().await {
                        Ok(()) => on_answer(before.api_versions != self.kinds().api_versions),
                        Err(error) => {
                            tracing::warn!(error = chain(&error), "kinds could not be read");
                        }
                    }
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                Err(error) => {
                    tracing::debug!(error = chain(&error), "watch disconnected, reconnecting");
                }
            }
        }
    }
}

fn served_kind(resource: ApiResource, capabilities: &ApiCapabilities) -> ServedKind {
    ServedKind {
        gvk: GroupVersionKind {
            group: resource.group,
            version: resource.version,
            kind: resource.kind,
        },
        plural: resource.plural,
        scope: match capabilities.scope {
            discovery::Scope::Namespaced => Scope::Namespaced,
            discovery::Scope::Cluster => Scope::Cluster,
        },
        watchable: capabilities.supports_operation(verbs::WATCH)
            && capabilities.supports_operation(verbs::LIST),
    }
}

/// The path segments of a kind's API.
pub(crate) fn api_resource(served: &ServedKind) -> ApiResource {
    ApiResource {
        group: served.gvk.group.clone(),
        version: served.gvk.version.clone(),
        api_version: served.gvk.api_version(),
        kind: served.gvk.kind.clone(),
        plural: served.plural.clone(),
    }
}
