//! ApplicationSets: kept as what they generate.
//!
//! Each set is looked at as a whole: what it needs is asked for ([`answers`]), core generates and
//! plans, the plan is carried out ([`write`]), the status says what came of it. Woken by what a set
//! depends on ([`wake`]): itself, its Applications, projects, clusters, settings, and refs of the
//! repositories its generators name. Never clones, never polls: repositories are those of Applications.

mod answers;
mod reconcile;
mod wake;
mod watch;
mod write;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use gitops_api::Application;
use gitops_api::application_set::WrittenApplicationSet;
use gitops_core::applicationset::{Cluster, Existing};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Secret;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::{Client, ResourceExt};
use parking_lot::Mutex;
use tokio::task::JoinSet;

use self::reconcile::SetCache;
pub(crate) use self::wake::Wake;
use crate::app_key::AppKey;
use crate::applications::controller::Controller;
use crate::args::ApplicationSets;

/// Sets that are looked at at the same time.
const WORKERS: usize = 4;
/// Pause before a set whose look panicked is looked at again.
const PANIC_PAUSE: Duration = Duration::from_secs(30);

/// Everything a look at a set needs.
pub(crate) struct SetController {
    client: Client,
    controller: Arc<Controller>,
    wake: Arc<Wake>,
    sets: Store<WrittenApplicationSet>,
    clusters: Store<Secret>,
    /// Other controllers of ApplicationSets in the namespace.
    others: Store<Deployment>,
    mode: ApplicationSets,
    caches: Mutex<HashMap<AppKey, Arc<tokio::sync::Mutex<SetCache>>>>,
}

/// Watches sets and what they depend on, and looks at them, until a watch ends.
pub(crate) fn start(
    client: Client,
    controller: Arc<Controller>,
    wake: Arc<Wake>,
    mode: ApplicationSets,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) {
    if mode == ApplicationSets::Off {
        tracing::info!("ApplicationSets are left alone, as --application-sets=off says");
        return;
    }
    let namespace = controller.configuration.namespace.clone();
    let mut watches = watch::Watches {
        client: &client,
        namespace: &namespace,
        wake: &wake,
        tasks,
    };
    let (sets, clusters, others) = (watches.sets(), watches.clusters(), watches.others());
    wake.set_store(sets.clone());
    let sets = Arc::new(SetController {
        client,
        controller,
        wake,
        sets,
        clusters,
        others,
        mode,
        caches: Mutex::default(),
    });
    for _ in 0..WORKERS {
        let sets = Arc::clone(&sets);
        tasks.spawn(async move {
            sets.work().await;
            Ok(())
        });
    }
}

impl SetController {
    async fn work(self: Arc<Self>) {
        // Nothing is decided by half a list.
        let read = async {
            let _ = self.clusters.wait_until_ready().await;
            let _ = self.sets.wait_until_ready().await;
            let _ = self.others.wait_until_ready().await;
        };
        read.await;
        loop {
            let key = self.wake.queue.next().await;
            let look = tokio::spawn(Arc::clone(&self).reconcile(key.clone()));
            let again = look.await.unwrap_or_else(|error| {
                tracing::error!(applicationset = %key, %error, "the look at a set panicked");
                Some(PANIC_PAUSE)
            });
            if let Some(pause) = again {
                self.wake.queue.add_after(key.clone(), pause);
            }
            self.wake.queue.done(&key);
        }
    }

    /// Name of a Deployment that serves the sets already.
    fn other_controller(&self) -> Option<String> {
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

    fn set(&self, key: &AppKey) -> Option<Arc<WrittenApplicationSet>> {
        self.sets
            .get(&ObjectRef::new(&key.name).within(&key.namespace))
    }

    fn cache(&self, key: &AppKey) -> Arc<tokio::sync::Mutex<SetCache>> {
        let mut caches = self.caches.lock();
        Arc::clone(caches.entry(key.clone()).or_default())
    }

    /// The clusters that have a Secret.
    fn known_clusters(&self) -> Vec<Cluster> {
        let secrets = self.clusters.state();
        let mut clusters: Vec<Cluster> = secrets.iter().map(|secret| cluster(secret)).collect();
        clusters.sort();
        clusters
    }

    /// The Applications that are a set's, or have one of these names.
    fn existing(&self, key: &AppKey, names: &BTreeSet<&str>) -> BTreeMap<String, Existing> {
        let applications = self.controller.configuration.applications.state();
        let is_own = |one: &Arc<Application>| {
            let mut owners = one.owner_references().iter();
            owners.any(|owner| owner.kind == "ApplicationSet" && owner.name == key.name)
        };
        applications
            .iter()
            .filter(|one| one.namespace().as_deref() == Some(&key.namespace))
            .filter(|one| is_own(one) || names.contains(one.name_any().as_str()))
            .map(|one| (one.name_any(), Existing::of(one)))
            .collect()
    }
}

fn cluster(secret: &Secret) -> Cluster {
    let text = |key: &str| {
        let value = secret.data.as_ref().and_then(|data| data.get(key));
        value.map_or_else(String::new, |value| {
            String::from_utf8_lossy(&value.0).into_owned()
        })
    };
    Cluster {
        secret: secret.name_any(),
        name: text("name"),
        server: text("server"),
        project: text("project"),
        labels: secret.labels().clone(),
        annotations: secret.annotations().clone(),
    }
}
