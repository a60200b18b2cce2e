//! Starts watching sets, and looks at one after another.

use std::sync::Arc;
use std::time::Duration;

use gitops_transport::ClientPool;
use kube::Client;
use parking_lot::Mutex;
use tokio::task::JoinSet;

use super::controller::SetController;
use super::wake::Wake;
use super::watch::Watches;
use crate::applications::controller::Controller;
use crate::args::ApplicationSets;

/// Sets that are looked at at the same time.
const WORKERS: usize = 4;
/// Pause before a set whose look panicked is looked at again.
const PANIC_PAUSE: Duration = Duration::from_secs(30);

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
    let mut watches = Watches {
        client: &client,
        namespace: &namespace,
        wake: &wake,
        tasks,
    };
    let (sets, clusters, others) = (watches.sets(), watches.clusters(), watches.others());
    wake.set_store(sets.clone());
    let sets = Arc::new(SetController {
        forges: ClientPool::default(),
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
}
