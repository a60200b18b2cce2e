//! More agents of one world: they wait for the lease, and only one at a time may write.

use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use tempfile::TempDir;

use crate::agent::{Agent, Launch};
use crate::fault_proxy::{FaultProxy, Request};
use crate::must;
use crate::world::World;

/// One more agent of a world, which reaches the API server through a proxy of its own.
pub struct Replica {
    /// The agent.
    pub agent: Agent,
    /// What it reaches the API server through.
    pub proxy: FaultProxy,
    _folder: TempDir,
}

impl Replica {
    /// Starts it, and waits until it waits for the lease.
    pub async fn start(world: &World, name: &str) -> Self {
        let folder = must(TempDir::with_prefix("gitops-e2e-"), "make a folder");
        let proxy = FaultProxy::start(&world.folder().join("agent.kubeconfig"));
        let agent = Agent::start(Launch {
            kubeconfig: proxy.kubeconfig(folder.path()),
            cache: folder.path().join("cache"),
            poll_interval: "1s".into(),
            log_level: "info,gitops_agent=debug".into(),
            identity: format!("{}-{name}", world.namespace),
            namespace: world.namespace.clone(),
        });
        let log = agent.log_since_start();
        let waits = "waiting for the lease";
        log.contains(waits, 0, waits).await;
        Self {
            agent,
            proxy,
            _folder: folder,
        }
    }
}

/// How often the lease of a world went from one agent to another.
pub async fn handovers(world: &World) -> usize {
    let leases: Api<Lease> = Api::namespaced(world.plane.client.clone(), &world.namespace);
    let lease = must(leases.get("gitops-agent").await, "read the lease");
    let transitions = lease.spec.and_then(|spec| spec.lease_transitions);
    usize::try_from(transitions.unwrap_or_default()).unwrap_or_default()
}

/// How often another agent wrote than the one before, by the time at which their writes came; what
/// they write to the lease itself does not count.
pub fn turns(agents: &[Vec<Request>]) -> usize {
    let writes = agents.iter().enumerate().flat_map(|(agent, requests)| {
        let writes = requests
            .iter()
            .filter(|request| request.verb.writes() && request.resource != "leases");
        writes.map(move |request| (request.at, agent))
    });
    let mut writes: Vec<_> = writes.collect();
    writes.sort_unstable();
    writes
        .windows(2)
        .filter(|pair| pair[0].1 != pair[1].1)
        .count()
}
