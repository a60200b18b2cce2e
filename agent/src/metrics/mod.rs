//! Prometheus metrics of the agent, in the OpenMetrics text format.

pub(crate) mod argo_cd;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use argo_cd::ArgoCdMetrics;

/// Label of requests by what they do.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Verb {
    verb: &'static str,
}

/// Label of results.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Outcome {
    outcome: &'static str,
}

/// Label of what confines render workers.
#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
pub(crate) struct Layer {
    layer: &'static str,
}

/// Every metric; cheap to update from anywhere.
#[derive(Debug)]
pub(crate) struct Metrics {
    root: Registry,
    /// Those of Argo CD's names.
    pub(crate) argo_cd: ArgoCdMetrics,
    requests: Family<Verb, Counter>,
    syncs: Family<Outcome, Counter>,
    renders: Family<Outcome, Counter>,
    fetches: Family<Outcome, Counter>,
    cache: Family<Outcome, Counter>,
    jail: Family<Layer, Gauge>,
    /// Time from the start of a reconciliation to its end.
    pub(crate) reconcile_seconds: Histogram,
    /// Objects whose drift was taken back.
    pub(crate) heals: Counter,
    /// Objects the agent watches.
    pub(crate) objects: Gauge,
    /// Kinds the agent watches.
    pub(crate) watches: Gauge,
    /// Watches that disconnected and were reopened.
    pub(crate) watch_errors: Counter,
    /// Applications the agent knows.
    pub(crate) applications: Gauge,
    /// Applications waiting to be reconciled.
    pub(crate) queue_depth: Gauge,
    /// 1 while this process holds the lease.
    pub(crate) leader: Gauge,
}

impl Metrics {
    /// All metrics at zero.
    pub(crate) fn new() -> Self {
        let mut root = Registry::default();
        let argo_cd = ArgoCdMetrics::new(&mut root);
        let registry = root.sub_registry_with_prefix("gitops_agent");
        let requests = Family::default();
        registry.register(
            "api_requests",
            "Requests to the API server besides watches and the lease, by what they do",
            requests.clone(),
        );
        let syncs = Family::default();
        registry.register(
            "syncs",
            "Finished sync operations, by outcome",
            syncs.clone(),
        );
        let renders = Family::default();
        registry.register(
            "renders",
            "Renders asked for: rendered, unchanged (inputs as before, no render) or failed",
            renders.clone(),
        );
        let fetches = Family::default();
        registry.register(
            "git_requests",
            "Requests to Git servers: listed, fetched or failed",
            fetches.clone(),
        );
        let cache = Family::default();
        registry.register(
            "cache_faults",
            "Faults of the cache directory: damaged (thrown away and fetched anew) or unusable (full, read-only, gone)",
            cache.clone(),
        );
        let jail = Family::default();
        registry.register(
            "jail",
            "1 while this layer of the jail of render workers is in force, 0 when the kernel has none",
            jail.clone(),
        );
        let reconcile_seconds = Histogram::new(exponential_buckets(0.001, 2.0, 16));
        registry.register_with_unit(
            "reconcile",
            "Time of one reconciliation of one application",
            Unit::Seconds,
            reconcile_seconds.clone(),
        );
        let heals = Counter::default();
        registry.register("heals", "Objects whose drift was taken back", heals.clone());
        let objects = Gauge::default();
        registry.register("objects", "Managed objects watched", objects.clone());
        let watches = Gauge::default();
        registry.register("watches", "Kinds watched", watches.clone());
        let watch_errors = Counter::default();
        registry.register(
            "watch_errors",
            "Watches that disconnected and were reopened",
            watch_errors.clone(),
        );
        let applications = Gauge::default();
        registry.register("applications", "Applications known", applications.clone());
        let queue_depth = Gauge::default();
        registry.register(
            "queue_depth",
            "Applications waiting to be reconciled",
            queue_depth.clone(),
        );
        let leader = Gauge::default();
        registry.register(
            "leader",
            "1 while this process holds the lease",
            leader.clone(),
        );
        Self {
            root,
            argo_cd,
            requests,
            syncs,
            renders,
            fetches,
            cache,
            jail,
            reconcile_seconds,
            heals,
            objects,
            watches,
            watch_errors,
            applications,
            queue_depth,
            leader,
        }
    }

    /// Counts a request to the API server.
    pub(crate) fn write(&self, verb: &'static str) {
        self.requests.get_or_create(&Verb { verb }).inc();
    }

    /// Counts a finished sync.
    pub(crate) fn sync(&self, outcome: &'static str) {
        self.syncs.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a render.
    pub(crate) fn render(&self, outcome: &'static str) {
        self.renders.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a fault of the cache: `damaged` or `unusable`.
    pub(crate) fn cache_fault(&self, outcome: &'static str) {
        self.cache.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts a request to a Git server.
    pub(crate) fn git(&self, outcome: &'static str) {
        self.fetches.get_or_create(&Outcome { outcome }).inc();
    }

    /// Sets whether a layer of the jail of render workers is in force.
    pub(crate) fn jail(&self, layer: &'static str, in_force: bool) {
        self.jail
            .get_or_create(&Layer { layer })
            .set(i64::from(in_force));
    }

    /// The text a scrape gets.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.root)?;
        Ok(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_layer_of_the_jail_is_zero() {
        let metrics = Metrics::new();
        for (layer, in_force) in [("landlock", false), ("seccomp", true)] {
            metrics.jail(layer, in_force);
        }
        let text = metrics.text().unwrap();
        assert!(text.contains("gitops_agent_jail{layer=\"landlock\"} 0"));
        assert!(text.contains("gitops_agent_jail{layer=\"seccomp\"} 1"));
    }
}
