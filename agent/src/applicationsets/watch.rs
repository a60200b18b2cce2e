//! Watches of sets and of what only they depend on: clusters, and other controllers that serve them.

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use futures::{StreamExt, TryStreamExt};
use gitops_api::application_set::WrittenApplicationSet;
use gitops_api::constants::{label, secret_type};
use gitops_core::manifest::digest;
use gitops_transport::chain;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::Store;
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource};
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::task::JoinSet;

use super::wake::SharedWake;
use crate::app_key::AppKey;
use crate::watch_backoff::CappedBackoff;

/// What a Secret of a cluster says besides how to get in, which no set needs.
const CLUSTER_KEYS: [&str; 3] = ["name", "server", "project"];

/// Watches of one namespace.
pub(super) struct Watches<'a> {
    pub(super) client: &'a Client,
    pub(super) namespace: &'a str,
    pub(super) wake: &'a SharedWake,
    pub(super) tasks: &'a mut JoinSet<anyhow::Result<()>>,
}

impl Watches<'_> {
    /// The sets. Their status concerns nobody: the agent writes it.
    pub(super) fn sets(&mut self) -> Store<WrittenApplicationSet> {
        let wake = Arc::clone(self.wake);
        let mut seen: HashMap<AppKey, String> = HashMap::new();
        self.follow(
            watcher::Config::default(),
            |_: &mut WrittenApplicationSet| {},
            move |event, store| match event {
                watcher::Event::Apply(set) | watcher::Event::InitApply(set) => {
                    let metadata = &set.metadata;
                    let digest = digest::of_value(&json!([
                        set.spec,
                        metadata.labels,
                        metadata.annotations,
                        metadata.finalizers,
                        metadata.deletion_timestamp,
                        metadata.uid,
                    ]));
                    let key = AppKey::of(set);
                    if seen.insert(key.clone(), digest.clone()) != Some(digest) {
                        wake.set(key);
                    }
                }
                watcher::Event::Delete(set) => {
                    let key = AppKey::of(set);
                    seen.remove(&key);
                    wake.set(key);
                }
                // Nobody tells of what was deleted while the watch was down.
                watcher::Event::InitDone => {
                    let state = store.state();
                    let there: HashSet<AppKey> =
                        state.iter().map(|set| AppKey::of(set.as_ref())).collect();
                    for gone in seen.extract_if(|key, _| !there.contains(key)) {
                        wake.set(gone.0);
                    }
                }
                watcher::Event::Init => {}
            },
        )
    }

    /// The Secrets of clusters, without what opens them.
    pub(super) fn clusters(&mut self) -> Store<Secret> {
        let selector = format!("{}={}", label::SECRET_TYPE, secret_type::CLUSTER);
        let wake = Arc::clone(self.wake);
        self.follow(
            watcher::Config::default().labels(&selector),
            |secret: &mut Secret| {
                if let Some(data) = &mut secret.data {
                    data.retain(|key, _| CLUSTER_KEYS.contains(&key.as_str()));
                }
                if let Some(annotations) = &mut secret.metadata.annotations {
                    // It repeats the whole Secret.
                    annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
                }
                secret.string_data = None;
            },
            move |event, _| {
                if !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_)) {
                    wake.clusters();
                }
            },
        )
    }

    /// Deployments of Argo CD's own controller of ApplicationSets.
    pub(super) fn others(&mut self) -> Store<Deployment> {
        let wake = Arc::clone(self.wake);
        let selector = "app.kubernetes.io/name=argocd-applicationset-controller";
        self.follow(
            watcher::Config::default().labels(selector),
            |_: &mut Deployment| {},
            move |event, _| {
                if !matches!(event, watcher::Event::Init | watcher::Event::InitApply(_)) {
                    wake.everything();
                }
            },
        )
    }

    fn follow<K>(
        &mut self,
        config: watcher::Config,
        modify: impl Fn(&mut K) + Send + Sync + 'static,
        mut on_event: impl FnMut(&watcher::Event<K>, &Store<K>) + Send + 'static,
    ) -> Store<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + Debug
            + Send
            + Sync
            + 'static,
    {
        let (store, writer) = reflector::store::<K>();
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let stream = watcher(api, config)
            .backoff(CappedBackoff::default())
            .modify(move |object| {
                object.meta_mut().managed_fields = None;
                modify(object);
            });
        let mut stream = reflector(writer, stream).boxed();
        let current = store.clone();
        self.tasks.spawn(async move {
            loop {
                match stream.try_next().await {
                    Ok(Some(event)) => on_event(&event, &current),
                    Ok(None) => anyhow::bail!("a watch for ApplicationSets ended"),
                    Err(error) => tracing::warn!(
                        kind = std::any::type_name::<K>(),
                        error = chain(&error),
                        "watch disconnected, reconnecting"
                    ),
                }
            }
        });
        store
    }
}
