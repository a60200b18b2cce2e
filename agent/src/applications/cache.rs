//! What the agent remembers of an application between two reconciliations. Only a cache: all of it
//! can be found again in the cluster and in Git.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use gitops_api::{Application, ApplicationStatus};
use gitops_core::kept::Kept;
use gitops_core::reason::Reason;
use gitops_core::report::memory::Delivered;
use gitops_core::source::FailedAttempts;
use gitops_core::sync::autosync::HealHistory;
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::app_key::AppKey;
use crate::applications::report::handled::HandledRequests;
use crate::applications::sources::rendered::RenderCache;

/// Bytes of manifests that are kept of all applications together. They are kept so that a commit which
/// touches nothing of theirs costs no render; what is dropped is rendered again.
const MAX_KEPT_MANIFESTS: usize = 256 << 20;

/// The memory of every application. One application is worked on under the lock of its own.
pub(crate) struct AppCaches {
    caches: Mutex<HashMap<AppKey, Arc<tokio::sync::Mutex<AppCache>>>>,
    kept: Mutex<Kept<AppKey>>,
}

impl Default for AppCaches {
    fn default() -> Self {
        Self {
            caches: Mutex::default(),
            kept: Mutex::new(Kept::new(MAX_KEPT_MANIFESTS)),
        }
    }
}

impl AppCaches {
    /// What is remembered of an application.
    pub(crate) fn of(&self, key: &AppKey) -> Arc<tokio::sync::Mutex<AppCache>> {
        Arc::clone(self.caches.lock().entry(key.clone()).or_default())
    }

    /// Takes note of what an application keeps now, and drops manifests of those that were looked at
    /// longest ago when all together keep too much.
    pub(crate) fn note_kept(&self, key: &AppKey, cache: &AppCache) {
        let bytes = cache.renders().iter().map(|render| render.bytes()).sum();
        for other in self.kept.lock().used(key, bytes) {
            let other = self.of(&other);
            // One that is worked on takes note of itself when it is done.
            if let Ok(mut other) = other.try_lock() {
                other.rendered.drop_manifests();
                other.held.drop_manifests();
                other.operating.drop_manifests();
            }
        }
    }

    /// Forgets an application that is gone.
    pub(crate) fn forget(&self, key: &AppKey) {
        self.caches.lock().remove(key);
        self.kept.lock().forget(key);
    }
}

/// The memory of one application.
#[derive(Default)]
pub(crate) struct AppCache {
    /// The last render.
    pub(crate) rendered: RenderCache,
    /// The last render of a revision that is held instead of the tracked one.
    pub(crate) held: RenderCache,
    /// The last render of a revision that a sync was asked for or began with.
    pub(crate) operating: RenderCache,
    /// The tracked commit at which [`gitops_api::status::LiveRevision`] was last found out.
    pub(crate) live_at: Option<String>,
    /// Passes in a row that could not even compare.
    pub(crate) failed: Option<FailedAttempts>,
    /// Passes in a row over its deletion that failed.
    pub(crate) failures: u32,
    /// When its objects were healed.
    pub(crate) heals: HealHistory,
    /// What its deletion waits for, and since when.
    pub(crate) waits: Option<(Reason, Timestamp)>,
    /// When the API server was last asked what admission makes of what it overruled.
    pub(crate) admission_asked: Option<Timestamp>,
    /// Most bytes its status may have since the API server refused a larger one.
    pub(crate) max_status: Option<usize>,
    /// The Application as the last write left it.
    pub(crate) written: Option<Arc<Application>>,
    /// Of the Application that went with the last finalizer, its `metadata.uid`.
    pub(crate) gone: Option<String>,
    /// What an operation did and the API server was not told yet.
    pub(crate) unsaved: Option<Unsaved>,
    /// Passes in a row that could not clean up hooks.
    pub(crate) cleanups: u32,
    /// A status as it was stored, and as it was sent: definitions that are not this project's drop a
    /// part of it.
    pub(crate) sent: Option<(ApplicationStatus, ApplicationStatus)>,
    /// Whether this agent compared it and reported that: from then on no sync is unreported.
    pub(crate) reported: bool,
    /// What was found delivered although no operation says so, to be remembered.
    pub(crate) delivered: Option<Delivered>,
}

/// A report that could not be written. It is written before anything else is done: what is on record
/// is what the next step depends on.
pub(crate) struct Unsaved {
    /// The Application it was made from.
    pub(crate) app: Application,
    pub(crate) status: ApplicationStatus,
    pub(crate) handled: HandledRequests,
}

impl AppCache {
    fn renders(&self) -> [&RenderCache; 3] {
        [&self.rendered, &self.held, &self.operating]
    }

    /// The Application as it is now: as it was read, or as the last write left it when that is
    /// newer. A watch may be behind our own writes, and an operation that was answered must not be
    /// carried out again.
    pub(crate) fn newest(&self, read: Arc<Application>) -> Arc<Application> {
        match &self.written {
            Some(written) if version(&read) < version(written) => Arc::clone(written),
            _ => read,
        }
    }

    /// The same of a reference.
    pub(crate) fn latest<'a>(&'a self, read: &'a Application) -> &'a Application {
        match &self.written {
            Some(written) if version(read) < version(written) => written,
            _ => read,
        }
    }

    /// Whether an Application that a watch still shows is known to be gone.
    pub(crate) fn is_gone(&self, read: &Application) -> bool {
        self.gone.is_some() && self.gone == read.metadata.uid
    }

    /// The status of an Application as it is now.
    pub(crate) fn status<'a>(&'a self, read: &'a Application) -> Cow<'a, ApplicationStatus> {
        match (&self.latest(read).status, &self.sent) {
            (Some(status), Some((stored, sent))) if status == stored => Cow::Borrowed(sent),
            (Some(status), _) => Cow::Borrowed(status),
            (None, _) => Cow::Owned(ApplicationStatus::default()),
        }
    }

    /// An annotation of an Application as it is now.
    pub(crate) fn annotation<'a>(&'a self, read: &'a Application, name: &str) -> Option<&'a str> {
        let annotations = self.latest(read).metadata.annotations.as_ref()?;
        annotations.get(name).map(String::as_str)
    }
}

/// Resource versions of one kind of object are ordered (Kubernetes API conventions, KEP-5504).
fn version(app: &Application) -> Option<u64> {
    app.metadata.resource_version.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use gitops_api::Operation;

    use super::*;

    fn at(version: &str, operation: Option<Operation>) -> Arc<Application> {
        let mut app = Application::default();
        app.metadata.resource_version = Some(version.into());
        app.operation = operation;
        Arc::new(app)
    }

    #[test]
    fn an_answered_operation_does_not_come_back_with_an_older_reading() {
        let asked = || Some(Operation::default());
        let mut cache = AppCache::default();
        assert!(cache.newest(at("9", asked())).operation.is_some());
        cache.written = Some(at("10", None));
        assert!(cache.newest(at("9", asked())).operation.is_none());
        assert!(
            cache.newest(at("11", asked())).operation.is_some(),
            "asked for again"
        );
    }
}
