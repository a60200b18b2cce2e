//! Which classes of storage wait for the first Pod that uses a claim: asked for only where there are
//! claims, and again after some minutes.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use gitops_core::manifest::object::GroupVersionKind;
use parking_lot::Mutex;

use super::write::Writer;

/// For how long the answer counts: classes hardly ever change.
const KEPT: Duration = Duration::from_mins(5);

/// The classes of one cluster.
#[derive(Debug, Default)]
pub(crate) struct StorageClasses {
    known: Mutex<Option<Known>>,
}

#[derive(Debug)]
struct Known {
    at: Instant,
    waiting: HashSet<String>,
}

impl StorageClasses {
    /// Whether it is time to ask.
    pub(crate) fn are_due(&self) -> bool {
        let known = self.known.lock();
        known.as_ref().is_none_or(|known| known.at.elapsed() > KEPT)
    }

    /// Asks the API server; what cannot be read binds at once, as far as anybody knows.
    pub(crate) async fn learn(&self, writer: &Writer) {
        let kind = GroupVersionKind {
            group: "storage.k8s.io".into(),
            version: "v1".into(),
            kind: "StorageClass".into(),
        };
        let classes = match writer.list(&kind).await {
            Ok(classes) => classes,
            Err(error) => {
                tracing::debug!(%error, "classes of storage cannot be listed");
                Vec::new()
            }
        };
        let waiting = classes
            .iter()
            .filter(|class| class["volumeBindingMode"] == "WaitForFirstConsumer")
            .filter_map(|class| class["metadata"]["name"].as_str().map(str::to_owned));
        *self.known.lock() = Some(Known {
            at: Instant::now(),
            waiting: waiting.collect(),
        });
    }

    /// Whether claims of a class wait for the first Pod that uses them.
    pub(crate) fn wait_for_consumer(&self, class: &str) -> bool {
        let known = self.known.lock();
        known
            .as_ref()
            .is_some_and(|known| known.waiting.contains(class))
    }
}
