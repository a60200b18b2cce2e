//! Every Job that ever was in a namespace: which hook it was, in which run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use k8s_openapi::api::batch::v1::Job;
use kube::runtime::watcher::{self, watcher};
use kube::{Api, ResourceExt};

/// Uids of Jobs by name and run.
type Seen = BTreeMap<(String, String), BTreeSet<String>>;

/// A record that goes on until dropped.
pub(crate) struct Runs {
    seen: Arc<Mutex<Seen>>,
    watching: tokio::task::JoinHandle<()>,
}

impl Runs {
    /// Begins to take notes.
    pub(crate) fn record(jobs: Api<Job>) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let note = Arc::clone(&seen);
        let watching = tokio::spawn(async move {
            let mut events = watcher(jobs, watcher::Config::default()).boxed();
            while let Some(event) = events.next().await {
                if let Ok(
                    watcher::Event::Apply(job)
                    | watcher::Event::InitApply(job)
                    | watcher::Event::Delete(job),
                ) = event
                {
                    let run = job.annotations().get("gitops-agent.io/operation").cloned();
                    let hook = (job.name_any(), run.unwrap_or_default());
                    let uid = job.uid().unwrap_or_default();
                    let mut seen = note.lock().unwrap_or_else(PoisonError::into_inner);
                    seen.entry(hook).or_default().insert(uid);
                }
            }
        });
        Self { seen, watching }
    }

    /// What was seen so far.
    pub(crate) fn seen(&self) -> Seen {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clone()
    }

    /// Forgets it.
    pub(crate) fn forget(&self) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.clear();
    }
}

impl Drop for Runs {
    fn drop(&mut self) {
        self.watching.abort();
    }
}
