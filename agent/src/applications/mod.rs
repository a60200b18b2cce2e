//! Applications: from a spec to objects in the cluster and a status that says so.
//!
//! Each application is reconciled as a whole: look up, render, compare, decide, carry out, report.
//! Everything decided is decided in core; this module fetches what decisions need and does what
//! they say.

mod act;
pub(crate) mod app_state;
pub(crate) mod cache;
pub(crate) mod compare;
pub(crate) mod condition;
pub(crate) mod context;
pub(crate) mod controller;
mod delete;
mod dependencies;
pub(crate) mod draft;
pub(crate) mod error;
mod guests;
pub(crate) mod handover;
pub(crate) mod observed_revisions;
pub(crate) mod permission;
pub(crate) mod policy;
mod reconcile;
pub(crate) mod report;
mod requeue;
pub(crate) mod source_error;
pub(crate) mod sources;
pub(crate) mod sync;
pub(crate) mod tip;

use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::applications::controller::Controller;
use crate::applications::requeue::Requeue;

/// Pause before an application whose reconciliation panicked is worked on again.
const PANIC_DELAY: Duration = Duration::from_secs(30);

/// Works on one application after another, for ever.
pub(crate) async fn work(controller: Arc<Controller>) {
    let (queue, metrics) = (&controller.queue, &controller.metrics);
    loop {
        let key = queue.next().await;
        metrics
            .queue_depth
            .set(i64::try_from(queue.depth()).unwrap_or(i64::MAX));
        let started = Instant::now();
        tracing::debug!(application = %key, "reconciling");
        // A reconciliation that panics costs one application one attempt, not the agent.
        let task = tokio::spawn(reconcile::reconcile(Arc::clone(&controller), key.clone()));
        let requeue = task.await.unwrap_or_else(|error| {
            tracing::error!(application = %key, %error, "reconcile task panicked");
            Requeue::After(PANIC_DELAY)
        });
        tracing::debug!(application = %key, seconds = started.elapsed().as_secs_f64(), next = ?requeue, "reconciled");
        if let Requeue::After(pause) = requeue {
            queue.add_after(key.clone(), pause);
        }
        let took = started.elapsed();
        metrics.reconcile_seconds.observe(took.as_secs_f64());
        metrics.argo_cd.reconciled(&key.namespace, took);
        queue.done(&key);
    }
}
