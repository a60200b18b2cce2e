//! Applications: from a spec to objects in the cluster and a status that says so.
//!
//! Each application is reconciled as a whole: look up, render, compare, decide, carry out, report.
//! Everything decided is decided in core; this module fetches what decisions need and does what
//! they say.

mod cache;
mod compare;
mod delete;
mod reconcile;
mod report;
mod sources;
mod sync;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use gitops_api::{AppProject, Application};
use gitops_charts::ChartFetcher;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::manifest::tracking;
use gitops_core::sync::budget::Budget;
use gitops_render::Renderer;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::api::PropagationPolicy;
use kube::runtime::reflector::Store;
use kube::{Client, ResourceExt};

use crate::cluster::discovery::Discovery;
use crate::cluster::index::Index;
use crate::cluster::watch::Watches;
use crate::cluster::write::{Deleted, WriteError, Writer};
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::repositories::hub::RepositoryManager;
use crate::settings::CurrentSettings;

pub(crate) use crate::applications::cache::{
    AppCache, Dependency, RenderedSource, RenderedSources,
};
pub(crate) use crate::applications::report::reporter::Reporter;
pub(crate) use crate::applications::sources::render::comparison_error;
pub(crate) use crate::applications::sources::resolve::ResolvedSource;
pub(crate) use crate::applications::sync::handover::ObservedRevisions;
pub(crate) use gitops_core::source::revision::short;

/// Namespace and name of an Application.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct AppKey {
    /// Namespace of the Application.
    pub(crate) namespace: String,
    /// Name of the Application.
    pub(crate) name: String,
}

impl AppKey {
    /// The Application as an object.
    fn object(&self) -> ObjectKey {
        ObjectKey {
            group: gitops_api::constants::GROUP.into(),
            kind: "Application".into(),
            namespace: self.namespace.clone(),
            name: self.name.clone(),
        }
    }
}

impl fmt::Display for AppKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// What the agent's own namespace says, kept current by watches.
pub(crate) struct Configuration {
    /// The Applications.
    pub(crate) applications: Store<Application>,
    /// The projects.
    pub(crate) projects: Store<AppProject>,
    /// Repository and credential Secrets.
    pub(crate) secrets: Store<Secret>,
    /// argocd-cm, known hosts, certificates.
    pub(crate) config_maps: Store<ConfigMap>,
}

/// The cluster applications are delivered to.
pub(crate) struct Cluster {
    /// Kinds it serves.
    pub(crate) discovery: Discovery,
    /// Records of managed objects.
    pub(crate) index: Arc<Index>,
    /// Watches that fill the index.
    pub(crate) watches: Watches,
    /// The way to change it.
    pub(crate) writer: Writer,
}

impl Cluster {
    /// Deletes an object if it is still the one of `uid`, and takes note of what became of it: a
    /// watch shows the same later, and only of objects that carry the label.
    pub(crate) async fn delete(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
        uid: &str,
        propagation: PropagationPolicy,
    ) -> Result<(), WriteError> {
        match self.writer.delete(gvk, key, uid, propagation).await? {
            Deleted::Leaving(object) => {
                self.index.observe_leaving(&object);
            }
            Deleted::Gone => {
                self.index.remove(key);
                self.index.note_absent(key);
            }
            Deleted::Another => {
                if let Some(object) = self.writer.get(gvk, key).await? {
                    self.index.observe(&object);
                }
            }
        }
        Ok(())
    }
}

/// Everything a reconciliation needs.
pub(crate) struct Controller {
    /// Namespace of the agent.
    pub(crate) namespace: String,
    /// Client for Applications.
    pub(crate) client: Client,
    /// The agent's own namespace.
    pub(crate) configuration: Configuration,
    /// argocd-cm.
    pub(crate) settings: CurrentSettings,
    /// Git repositories.
    pub(crate) hub: RepositoryManager,
    /// Chart repositories.
    pub(crate) charts: ChartFetcher,
    /// Renders.
    pub(crate) renderer: Renderer,
    /// Where to deliver.
    pub(crate) cluster: Cluster,
    /// Which application is next.
    pub(crate) queue: Arc<Queue<AppKey>>,
    /// Status, events.
    pub(crate) reporter: Reporter,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
    /// How often chart ranges are looked up again.
    pub(crate) poll_interval: std::time::Duration,
    /// Longest time one sync may take, unless argocd-cmd-params-cm says another; none without end.
    pub(crate) sync_timeout: Option<std::time::Duration>,
    /// How much of an application a sync prunes unasked.
    pub(crate) prune_budget: Budget,
    /// `file://` repositories are allowed (tests).
    pub(crate) allow_file: bool,
    /// Which revisions each application has looked at.
    pub(crate) observed_revisions: ObservedRevisions,
    /// What is remembered of each application.
    pub(crate) caches: Mutex<HashMap<AppKey, Arc<tokio::sync::Mutex<AppCache>>>>,
}

impl Controller {
    /// Name under which an application's objects are tracked.
    pub(crate) fn instance(&self, key: &AppKey) -> String {
        tracking::instance_name(&key.namespace, &key.name, &self.namespace)
    }

    /// The Application, if it exists.
    pub(crate) fn application(&self, key: &AppKey) -> Option<Arc<Application>> {
        let reference = kube::runtime::reflector::ObjectRef::new(&key.name).within(&key.namespace);
        self.configuration.applications.get(&reference)
    }

    /// Whether an application of this instance name exists.
    pub(crate) fn exists(&self, instance: &str) -> bool {
        self.application(&app_key(instance, &self.namespace))
            .is_some()
    }

    pub(crate) fn cache(&self, key: &AppKey) -> Arc<tokio::sync::Mutex<AppCache>> {
        self.caches
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .entry(key.clone())
            .or_default()
            .clone()
    }

    /// Works on one application after another, for ever.
    pub(crate) async fn work(self: Arc<Self>) {
        loop {
            let key = self.queue.next().await;
            self.metrics
                .queue_depth
                .set(i64::try_from(self.queue.depth()).unwrap_or(i64::MAX));
            let started = std::time::Instant::now();
            // A reconciliation that panics costs one application one attempt, not the agent.
            let task = tokio::spawn(self.clone().reconcile(key.clone()));
            match task.await {
                Ok(again) => {
                    if let Some(delay) = again {
                        self.queue.add_after(key.clone(), delay);
                    }
                }
                Err(error) => {
                    tracing::error!(application = %key, %error, "reconciliation broke off");
                    self.queue
                        .add_after(key.clone(), std::time::Duration::from_secs(30));
                }
            }
            self.metrics
                .reconcile_seconds
                .observe(started.elapsed().as_secs_f64());
            self.queue.done(&key);
        }
    }
}

/// Namespace and name of an object.
pub(crate) fn key_of<K: kube::Resource>(object: &K) -> AppKey {
    AppKey {
        namespace: object.namespace().unwrap_or_default(),
        name: object.name_any(),
    }
}

/// The application of an instance name.
pub(crate) fn app_key(instance: &str, control_plane_namespace: &str) -> AppKey {
    let (namespace, name) = tracking::application_of(instance, control_plane_namespace);
    AppKey {
        namespace: namespace.into(),
        name: name.into(),
    }
}
