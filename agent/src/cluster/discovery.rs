//! Which kinds the cluster serves, and where.
//!
//! Read once at start and again when a CustomResourceDefinition changes; never per request.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use gitops_core::manifest::desired::Scope;
use gitops_core::manifest::object::{GroupKind, GroupVersionKind};
use gitops_transport::chain;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::core::{ApiResource, PartialObjectMeta};
use kube::discovery::verbs;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, discovery};
use parking_lot::RwLock;
use tokio::time::timeout;

use crate::watch_backoff::CappedBackoff;

/// A definition is established a moment after it is stored, in several steps.
const SETTLING_DELAY: Duration = Duration::from_millis(200);

/// A kind in one version, as it is served.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Path segments of its API.
    pub(crate) resource: ApiResource,
    /// Whether it can be listed and watched.
    pub(crate) watchable: bool,
}

/// What the API server answered at one time.
#[derive(Debug, Default)]
pub(crate) struct Kinds {
    served: HashMap<GroupVersionKind, Served>,
    scopes: HashMap<GroupKind, Scope>,
    /// `v1`, `apps/v1`, `apps/v1/Deployment`, …: what charts call API versions. Sorted.
    pub(crate) api_versions: Arc<[String]>,
    /// Version of the cluster, such as `v1.36.3`.
    pub(crate) version: String,
}

impl Kinds {
    /// How a kind is served in exactly this version.
    pub(crate) fn served(&self, gvk: &GroupVersionKind) -> Option<&Served> {
        self.served.get(gvk)
    }

    /// Every kind that can be watched, once, in one of its versions.
    pub(crate) fn watchable(&self) -> Vec<GroupVersionKind> {
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
    pub(crate) fn scope(&self, kind: &GroupKind) -> Option<Scope> {
        self.scopes.get(kind).copied()
    }
}

/// The kinds known now, shared.
#[derive(Clone)]
pub(crate) struct Discovery {
    client: Client,
    kinds: Arc<RwLock<Arc<Kinds>>>,
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
    pub(crate) fn kinds(&self) -> Arc<Kinds> {
        self.kinds.read().clone()
    }

    /// Asks again.
    pub(crate) async fn refresh(&self) -> kube::Result<()> {
        let found = discovery::Discovery::new(self.client.clone())
            .run_aggregated()
            .await?;
        let version = self.client.apiserver_version().await?.git_version;
        let mut kinds = Kinds {
            version,
            ..Kinds::default()
        };
        let mut api_versions = Vec::new();
        for group in found.groups() {
            for version in group.versions() {
                for (resource, capabilities) in group.versioned_resources(version) {
                    api_versions.push(resource.api_version.clone());
                    api_versions.push(format!("{}/{}", resource.api_version, resource.kind));
                    let scope = match capabilities.scope {
                        discovery::Scope::Namespaced => Scope::Namespaced,
                        discovery::Scope::Cluster => Scope::Cluster,
                    };
                    let gvk = GroupVersionKind {
                        group: resource.group.clone(),
                        version: resource.version.clone(),
                        kind: resource.kind.clone(),
                    };
                    let watchable = capabilities.supports_operation(verbs::WATCH)
                        && capabilities.supports_operation(verbs::LIST);
                    kinds.scopes.insert(gvk.group_kind(), scope);
                    kinds.served.insert(
                        gvk,
                        Served {
                            resource,
                            watchable,
                        },
                    );
                }
            }
        }
        api_versions.sort_unstable();
        api_versions.dedup();
        kinds.api_versions = api_versions.into();
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
                Err(error) => tracing::debug!(error = chain(&error), "watch broke"),
            }
        }
    }
}
