//! Another controller on the same Applications: Argo CD's application controller. While one runs, or
//! writes, this process writes nothing; when it is gone, the process ends and starts anew with nothing
//! it remembers of before.
//!
//! What a workload is, and what a write proves, is decided in core.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use futures::{StreamExt, TryStreamExt};
use gitops_core::live::argo_cd;
use gitops_transport::chain;
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::fence::Fence;
use crate::watch_backoff::CappedBackoff;

/// After its last write a controller that no workload in the namespace shows counts as gone.
const QUIET: Duration = Duration::from_mins(5);

/// Kinds of workloads that another controller may be.
const KINDS: usize = 2;

/// What is known of other controllers.
#[derive(Debug)]
pub(crate) struct Rivals {
    running: watch::Sender<Running>,
    written: Mutex<Written>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Running {
    /// Kinds of workloads that were listed.
    listed: BTreeSet<&'static str>,
    /// Workloads that run: `StatefulSet argocd/argocd-application-controller`.
    workloads: BTreeSet<String>,
    /// Writes seen since this process began.
    writes: u64,
}

#[derive(Debug, Default)]
struct Written {
    /// When each Application was last written by another controller.
    last: HashMap<String, Option<String>>,
    /// When a new write was seen.
    seen: Option<Instant>,
}

impl Rivals {
    /// Watches the workloads of a namespace.
    pub(crate) fn watch(
        client: &Client,
        namespace: &str,
        tasks: &mut JoinSet<anyhow::Result<()>>,
    ) -> std::sync::Arc<Self> {
        let rivals = std::sync::Arc::new(Self {
            running: watch::Sender::new(Running::default()),
            written: Mutex::default(),
        });
        let sets: Api<StatefulSet> = Api::namespaced(client.clone(), namespace);
        tasks.spawn(std::sync::Arc::clone(&rivals).follow(sets, "StatefulSet"));
        let deployments: Api<Deployment> = Api::namespaced(client.clone(), namespace);
        tasks.spawn(std::sync::Arc::clone(&rivals).follow(deployments, "Deployment"));
        rivals
    }

    async fn follow<K>(
        self: std::sync::Arc<Self>,
        api: Api<K>,
        kind: &'static str,
    ) -> anyhow::Result<()>
    where
        K: Resource + Clone + DeserializeOwned + Serialize + std::fmt::Debug + Send + 'static,
    {
        let mut events = watcher(api, watcher::Config::default())
            .backoff(CappedBackoff::default())
            .boxed();
        loop {
            let event = match events.try_next().await {
                Ok(Some(event)) => event,
                Ok(None) => anyhow::bail!("the watch of {kind}s ended"),
                Err(error) => {
                    tracing::warn!(
                        error = chain(&error),
                        kind,
                        "cannot look for other controllers"
                    );
                    // Who may not look does not wait for ever: writes are still seen.
                    if is_forbidden(&error) {
                        self.running
                            .send_if_modified(|running| running.listed.insert(kind));
                    }
                    continue;
                }
            };
            let name = |object: &K| {
                let namespace = object.namespace().unwrap_or_default();
                format!("{kind} {namespace}/{}", object.name_any())
            };
            self.running.send_if_modified(|running| {
                let before = running.clone();
                match &event {
                    watcher::Event::Init => {
                        running.workloads.retain(|known| !known.starts_with(kind));
                    }
                    watcher::Event::InitDone => drop(running.listed.insert(kind)),
                    watcher::Event::Delete(object) => drop(running.workloads.remove(&name(object))),
                    watcher::Event::Apply(object) | watcher::Event::InitApply(object) => {
                        let value = serde_json::to_value(object).unwrap_or_default();
                        if argo_cd::is_application_controller(&value) && argo_cd::is_running(&value)
                        {
                            running.workloads.insert(name(object));
                        } else {
                            running.workloads.remove(&name(object));
                        }
                    }
                }
                *running != before
            });
        }
    }

    /// Takes note of when an Application was last written by another controller, if ever. What was
    /// written before this process first saw it proves nothing of now.
    pub(crate) fn note_written(&self, application: &str, time: Option<&str>) {
        let mut written = self.written.lock();
        let known = written
            .last
            .insert(application.to_owned(), time.map(str::to_owned));
        if known.is_some_and(|known| time.is_some_and(|time| known.as_deref() < Some(time))) {
            written.seen = Some(Instant::now());
            self.running.send_modify(|running| running.writes += 1);
        }
    }

    /// Why this process must not act now; `None`: it may.
    fn conflict(&self) -> Option<String> {
        let running = self.running.borrow();
        if !running.workloads.is_empty() {
            let names: Vec<&str> = running.workloads.iter().map(String::as_str).collect();
            return Some(format!(
                "Argo CD's application controller runs and serves the same Applications ({}); nothing \
                 is written until it is stopped: kubectl gitops bootstrap --adopt takes over from it, \
                 kubectl gitops uninstall leaves it alone",
                names.join(", ")
            ));
        }
        let seen = self.written.lock().seen;
        seen.filter(|seen| seen.elapsed() < QUIET).map(|_| {
            "Argo CD's application controller writes statuses of the same Applications, from where it \
             cannot be seen; nothing is written until it has been silent for five minutes: stop it, or \
             remove this agent with kubectl gitops uninstall"
                .to_owned()
        })
    }

    /// Waits until it is known which controllers run.
    pub(crate) async fn listed(&self) {
        let mut running = self.running.subscribe();
        let _ = running
            .wait_for(|running| running.listed.len() == KINDS)
            .await;
    }

    /// Waits until no other controller runs; `false` when told to stop before.
    pub(crate) async fn gone(&self, stop: &CancellationToken) -> bool {
        let mut running = self.running.subscribe();
        let mut said = None;
        loop {
            let listed = running.borrow_and_update().listed.len() == KINDS;
            let conflict = self.conflict();
            if listed && conflict.is_none() {
                return true;
            }
            if said != conflict {
                if let Some(why) = &conflict {
                    tracing::warn!("waiting: {why}");
                }
                said = conflict;
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                changed = running.changed() => if changed.is_err() { return false },
            }
        }
    }

    /// Closes the fence while another controller acts. Ends when there was one and it is gone.
    pub(crate) async fn guard(
        self: std::sync::Arc<Self>,
        fence: Fence,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        let mut running = self.running.subscribe();
        let mut blocked = false;
        loop {
            running.borrow_and_update();
            match self.conflict() {
                Some(why) => {
                    if !blocked {
                        tracing::error!("stopped: {why}");
                    }
                    blocked = true;
                    fence.block();
                }
                None if blocked => anyhow::bail!(
                    "the other controller is gone: this process starts anew, without what it remembers"
                ),
                None => {}
            }
            let quiet = async {
                if blocked {
                    tokio::time::sleep(QUIET).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = quiet => {}
                changed = running.changed() => if changed.is_err() { return Ok(()) },
            }
        }
    }
}

fn is_forbidden(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::InitialListFailed(kube::Error::Api(status)) if status.code == 403)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rivals() -> Rivals {
        Rivals {
            running: watch::Sender::new(Running {
                listed: BTreeSet::from(["Deployment", "StatefulSet"]),
                ..Running::default()
            }),
            written: Mutex::default(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn writes_of_before_prove_nothing_and_later_ones_do_for_a_while() {
        let rivals = rivals();
        rivals.note_written("argocd/web", Some("2026-01-01T00:00:00Z"));
        rivals.note_written("argocd/new", None);
        rivals.note_written("argocd/web", Some("2026-01-01T00:00:00Z"));
        assert_eq!(rivals.conflict(), None);
        rivals.note_written("argocd/web", Some("2026-01-01T00:00:01Z"));
        assert!(rivals.conflict().is_some());
        tokio::time::advance(QUIET).await;
        assert_eq!(rivals.conflict(), None);
        rivals.note_written("argocd/new", Some("2026-01-01T00:00:01Z"));
        assert!(rivals.conflict().is_some(), "the first write at all");
    }

    #[tokio::test(start_paused = true)]
    async fn the_fence_closes_and_the_process_ends_when_the_other_is_gone() {
        let rivals = std::sync::Arc::new(rivals());
        let (fence, stop) = (Fence::default(), CancellationToken::new());
        fence.renewed(Instant::now(), Duration::from_hours(1));
        let guard = tokio::spawn(std::sync::Arc::clone(&rivals).guard(fence.clone(), stop.clone()));
        let name = "StatefulSet argocd/argocd-application-controller";
        rivals.running.send_modify(|running| {
            running.workloads.insert(name.into());
        });
        while fence.is_open() {
            tokio::task::yield_now().await;
        }
        fence.renewed(Instant::now(), Duration::from_hours(1));
        assert!(!fence.is_open(), "the lease alone does not open it again");
        assert!(!guard.is_finished());
        rivals
            .running
            .send_modify(|running| running.workloads.clear());
        assert!(guard.await.unwrap().is_err());
    }
}
