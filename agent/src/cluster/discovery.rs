//! Which kinds the cluster serves, and where.
//!
//! Read once at start and again when a CustomResourceDefinition changes; never per request.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use gitops_core::attempts::Ask;
use gitops_core::backoff;
use gitops_core::live::discovery::{ServedKind, ServedKinds};
use gitops_core::manifest::object::{GroupVersionKind, Scope};
use gitops_transport::chain;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::{ApiResource, PartialObjectMeta};
use kube::discovery::{ApiCapabilities, verbs};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt, discovery};
use parking_lot::RwLock;
use tokio::time::{Instant, timeout_at};

use crate::patience::patiently;
use crate::seen::Seen;
use crate::watch_backoff::CappedBackoff;

/// Longest pause before kinds that could not be read are asked for again.
const MAX_PAUSE: Duration = Duration::from_secs(30);
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

    /// A kind among those known now; asks the API server again when it is not there.
    pub(crate) async fn find(
        &self,
        find: impl Fn(&ServedKinds) -> Option<&ServedKind>,
    ) -> kube::Result<Option<ServedKind>> {
        if let Some(found) = find(&self.kinds()) {
            return Ok(Some(found.clone()));
        }
        self.refresh().await?;
        Ok(find(&self.kinds()).cloned())
    }

    /// Asks again.
    pub(crate) async fn refresh(&self) -> kube::Result<()> {
        let ask = || discovery::Discovery::new(self.client.clone()).run_aggregated();
        let found = patiently(Ask::Read, ask).await?;
        let version = patiently(Ask::Read, || self.client.apiserver_version()).await?;
        let version = version.git_version;
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
        let mut seen = Seen::default();
        // When to ask, and how often that failed.
        let mut due: Option<(Instant, u32)> = None;
        loop {
            let event = match due {
                Some((at, _)) => timeout_at(at, events.try_next()).await,
                None => Ok(events.try_next().await),
            };
            match event {
                Ok(Ok(Some(event))) => {
                    let read = |definition: &PartialObjectMeta<CustomResourceDefinition>| {
                        let version = definition.resource_version().unwrap_or_default();
                        (definition.name_any(), version)
                    };
                    if !seen.note(&event, read).is_empty() && due.is_none() {
                        due = Some((Instant::now() + SETTLING_DELAY, 0));
                    }
                }
                Ok(Ok(None)) => return,
                Ok(Err(error)) => {
                    tracing::debug!(error = chain(&error), "watch disconnected, reconnecting");
                }
                Err(_) => {
                    let before = self.kinds();
                    due = match self.refresh().await {
                        Ok(()) => {
                            on_answer(before.api_versions != self.kinds().api_versions);
                            None
                        }
                        Err(error) => {
                            tracing::warn!(error = chain(&error), "kinds could not be read");
                            let failed = due.map_or(0, |(_, failed)| failed);
                            let pause = backoff::delay(failed, SETTLING_DELAY, 2, MAX_PAUSE);
                            Some((Instant::now() + pause, failed.saturating_add(1)))
                        }
                    };
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
