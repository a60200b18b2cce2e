//! The parts of the agent that work on applications. Each does one thing and keeps its own state;
//! nothing here decides or does anything.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::app_key::AppKey;
use crate::applications::cache::AppCaches;
use crate::applications::observed_revisions::ObservedRevisions;
use crate::applications::policy::Limits;
use crate::applications::report::reporter::Reporter;
use crate::applications::sources::Sources;
use crate::clusters::Clusters;
use crate::configuration::Configuration;
use crate::dependents::Dependents;
use crate::metrics::Metrics;
use crate::queue::Queue;

/// Everything a reconciliation needs.
pub(crate) struct Controller {
    /// The agent's own namespace.
    pub(crate) configuration: Arc<Configuration>,
    /// What Git and chart repositories hold, rendered.
    pub(crate) sources: Sources,
    /// Where it is delivered.
    pub(crate) clusters: Clusters,
    /// Status, events, finalizers of Applications.
    pub(crate) reporter: Reporter,
    /// Which revisions each application has observed.
    pub(crate) observed_revisions: ObservedRevisions,
    /// Which applications wait for which.
    pub(crate) dependents: Arc<Dependents>,
    /// What is remembered of each application.
    pub(crate) caches: AppCaches,
    /// Which application is next.
    pub(crate) queue: Arc<Queue<AppKey>>,
    /// What the command line allows.
    pub(crate) limits: Limits,
    /// Counters.
    pub(crate) metrics: Arc<Metrics>,
}

impl Controller {
    /// Reconciles other applications, given by their instance names, again.
    pub(crate) fn requeue(&self, instances: BTreeSet<String>) {
        for instance in instances {
            let key = AppKey::of_instance(&instance, &self.configuration.namespace);
            self.queue.add(key);
        }
    }

    /// Reconciles every application again.
    pub(crate) fn requeue_all(&self) {
        for app in self.configuration.applications.state() {
            self.queue.add(AppKey::of(app.as_ref()));
        }
    }
}
