//! A proxy between an agent and the API server that hurts what passes: it refuses, swallows, delays
//! and cuts requests by rules, holds and cuts watches, and writes down what was asked.
//!
//! Lets everything pass until a test says otherwise. The agent speaks plain HTTP to it; it speaks to
//! the API server with the credentials of the kubeconfig it was made from.

mod forward;
mod request;
mod rule;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};

pub use self::request::{Request, Verb};
pub use self::rule::{Answer, Callback, Fault, Requests, Rule};
use crate::must;

/// A proxy that serves until dropped.
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _ends: oneshot::Sender<()>,
}

/// What connections share.
#[derive(Default)]
struct Shared {
    rules: Mutex<Vec<(Requests, Fault, Rule)>>,
    log: Mutex<Vec<Request>>,
    lines: watch::Sender<Lines>,
}

/// The state of connections and of the watches on them.
#[derive(Clone, Debug, Default)]
struct Lines {
    /// Nothing moves, and nobody is told.
    silent: bool,
    /// Connections end as soon as they are made.
    away: bool,
    /// How often every connection was cut.
    cuts: u64,
    /// How often every watch was cut.
    watch_cuts: u64,
    /// How much later the events of a resource arrive.
    late: BTreeMap<String, Duration>,
    /// Resources whose events are kept back.
    held: BTreeSet<String>,
}

impl FaultProxy {
    /// Starts one before the API server of a kubeconfig, on a thread of its own: a test may block
    /// its thread.
    pub fn start(kubeconfig: &Path) -> Self {
        let listener = must(std::net::TcpListener::bind(("127.0.0.1", 0)), "listen");
        must(listener.set_nonblocking(true), "listen");
        let address = must(listener.local_addr(), "listen");
        let shared = Arc::<Shared>::default();
        let (ends, ended) = oneshot::channel::<()>();
        let serving = (Arc::clone(&shared), kubeconfig.to_path_buf());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build();
            must(runtime, "make a runtime").block_on(async move {
                let (shared, kubeconfig) = serving;
                let client = forward::client(&kubeconfig).await;
                let listener = must(TcpListener::from_std(listener), "listen");
                tokio::select! {
                    () = forward::accept(listener, client, shared) => {}
                    _ = ended => {}
                }
            });
        });
        Self {
            address,
            shared,
            _ends: ends,
        }
    }

    /// Writes a kubeconfig that leads through it.
    pub fn kubeconfig(&self, folder: &Path) -> PathBuf {
        let path = folder.join(format!("proxy-{}.kubeconfig", self.address.port()));
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "proxy",
            "clusters": [{"name": "proxy", "cluster": {"server": format!("http://{}", self.address)}}],
            "users": [{"name": "proxy", "user": {}}],
            "contexts": [{"name": "proxy", "context": {"cluster": "proxy", "user": "proxy"}}],
        });
        must(std::fs::write(&path, config.to_string()), "write it");
        path
    }

    /// From now on, this happens to these requests. Where several rules hit, the one that was made
    /// first does; each counts what it chooses.
    pub fn on(&self, requests: Requests, fault: Fault) -> Rule {
        let rule = Rule::new();
        lock(&self.shared.rules).push((requests, fault, rule.clone()));
        rule
    }

    /// Lifts every rule, and lets everything move again.
    pub fn heal(&self) {
        for (_, _, rule) in lock(&self.shared.rules).drain(..) {
            rule.lift();
        }
        self.shared.lines.send_modify(|lines| {
            *lines = Lines {
                cuts: lines.cuts,
                watch_cuts: lines.watch_cuts,
                ..Lines::default()
            }
        });
    }

    /// Cuts every connection.
    pub fn cut_connections(&self) {
        self.shared.lines.send_modify(|lines| lines.cuts += 1);
    }

    /// Cuts every watch; they can be taken up again.
    pub fn cut_watches(&self) {
        self.shared.lines.send_modify(|lines| lines.watch_cuts += 1);
    }

    /// From now on, the events of a resource arrive so much later; zero ends it.
    pub fn delay_watches(&self, resource: &str, late: Duration) {
        self.shared.lines.send_modify(|lines| {
            lines.late.insert(resource.into(), late);
        });
    }

    /// Keeps the events of a resource back, until [`Self::let_watches_go`].
    pub fn hold_watches(&self, resource: &str) {
        self.shared.lines.send_modify(|lines| {
            lines.held.insert(resource.into());
        });
    }

    /// Ends [`Self::hold_watches`].
    pub fn let_watches_go(&self, resource: &str) {
        self.shared.lines.send_modify(|lines| {
            lines.held.remove(resource);
        });
    }

    /// While silent, connections stay and nothing moves on them: neither requests, nor answers, nor
    /// events.
    pub fn silent(&self, silent: bool) {
        self.shared.lines.send_modify(|lines| lines.silent = silent);
    }

    /// While away, connections are cut, those that are open and every new one.
    pub fn away(&self, away: bool) {
        self.shared.lines.send_modify(|lines| {
            lines.away = away;
            lines.cuts += u64::from(away);
        });
    }

    /// Everything that was asked so far, in the order it came.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.log).clone()
    }

    /// How many of these came so far.
    pub fn count(&self, requests: &Requests) -> usize {
        let log = lock(&self.shared.log);
        log.iter().filter(|asked| requests.match_(asked)).count()
    }

    /// Forgets what was asked so far.
    pub fn forget(&self) {
        lock(&self.shared.log).clear();
    }
}

impl Shared {
    /// Takes note of a request; says what happens to it, and which hit of its rule it is.
    fn take(&self, request: Request) -> (usize, Option<(Fault, Rule, usize)>) {
        let mut hit = None;
        for (requests, fault, rule) in lock(&self.rules).iter() {
            if !requests.match_(&request) {
                continue;
            }
            rule.state.send_modify(|state| {
                state.seen += 1;
                if hit.is_none() && !state.lifted && requests.include(state.seen) {
                    state.hurt += 1;
                    hit = Some((fault.clone(), rule.clone(), state.hurt));
                }
            });
        }
        let mut log = lock(&self.log);
        log.push(request);
        (log.len() - 1, hit)
    }

    fn answered(&self, at: usize, status: u16) {
        // It may have been forgotten meanwhile.
        if let Some(request) = lock(&self.log).get_mut(at) {
            request.answered = Some(status);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
