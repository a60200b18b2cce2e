//! What a look at a set needs, and what is known of the namespace around it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use gitops_api::Application;
use gitops_api::application_set::WrittenApplicationSet;
use gitops_core::applicationset::{Cluster, Existing};
use gitops_transport::ClientPool;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;

use super::cache::SetCache;
use super::wake::Wake;
use crate::app_key::AppKey;
use crate::applications::controller::Controller;
use crate::args::ApplicationSets;

/// Everything a look at a set needs.
pub(super) struct SetController {
    pub(super) client: Client,
    pub(super) controller: Arc<Controller>,
    pub(super) wake: Arc<Wake>,
    pub(super) sets: Store<WrittenApplicationSet>,
    pub(super) clusters: Store<Secret>,
    /// Other controllers of ApplicationSets in the namespace.
    pub(super) others: Store<Deployment>,
    pub(super) mode: ApplicationSets,
    /// Clients of forges, by how they are reached.
    pub(super) forges: ClientPool,
    pub(super) caches: Mutex<HashMap<AppKey, Arc<tokio::sync::Mutex<SetCache>>>>,
}

impl SetController {
    /// Name of a Deployment that serves the sets already.
    pub(super) fn other_controller(&self) -> Option<String> {
        if self.mode == ApplicationSets::On {
            return None;
        }
        let runs = |one: &Arc<Deployment>| {
            let spec = one.spec.as_ref();
            spec.and_then(|spec| spec.replicas).unwrap_or(1) > 0
                && one.metadata.deletion_timestamp.is_none()
        };
        self.others
            .state()
            .into_iter()
            .find(runs)
            .map(|one| one.name_any())
    }

    pub(super) fn set(&self, key: &AppKey) -> Option<Arc<WrittenApplicationSet>> {
        self.sets
            .get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    pub(super) fn cache(&self, key: &AppKey) -> Arc<tokio::sync::Mutex<SetCache>> {
        let mut caches = self.caches.lock();
        Arc::clone(caches.entry(key.clone()).or_default())
    }

    /// The clusters that have a Secret.
    pub(super) fn known_clusters(&self) -> Vec<Cluster> {
        let secrets = self.clusters.state();
        let mut clusters: Vec<Cluster> = secrets
            .iter()
            .map(|secret| Cluster::of_secret(secret))
            .collect();
        clusters.sort();
        clusters
    }

    /// The Applications that are a set's, or have one of these names.
    pub(super) fn existing(
        &self,
        key: &AppKey,
        names: &BTreeSet<&str>,
    ) -> BTreeMap<String, Existing> {
        let applications = self.of_namespace(key);
        applications
            .filter(|one| is_of(one, key) || names.contains(one.name_any().as_str()))
            .map(|one| (one.name_any(), Existing::of(&one)))
            .collect()
    }

    /// The Applications of a set that is there or was.
    pub(super) fn applications_of(&self, key: &AppKey) -> Vec<Arc<Application>> {
        let applications = self.of_namespace(key);
        applications.filter(|one| is_of(one, key)).collect()
    }

    /// An Application of a set's namespace.
    pub(super) fn application(&self, key: &AppKey, name: &str) -> Option<Arc<Application>> {
        let reference = ObjectRef::new(name).within(&key.namespace);
        self.controller.configuration.applications.get(&reference)
    }

    fn of_namespace(&self, key: &AppKey) -> impl Iterator<Item = Arc<Application>> {
        let applications = self.controller.configuration.applications.state();
        let is_here = |one: &Arc<Application>| one.namespace().as_deref() == Some(&*key.namespace);
        applications.into_iter().filter(is_here)
    }
}

fn is_of(application: &Application, set: &AppKey) -> bool {
    application.sets().any(|name| name == set.name)
}
