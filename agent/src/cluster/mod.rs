//! One cluster the agent delivers to: the kinds it serves, the watches on it, the records of what is
//! live in it, and the ways to read and change it. Knows nothing of Applications.

pub(crate) mod discovery;
mod edit;
mod exclusive;
mod guests;
pub(crate) mod index;
pub(crate) mod inspect;
pub(crate) mod log_tail;
mod started;
pub(crate) mod storage_classes;
pub(crate) mod watch;
pub(crate) mod write;
mod write_error;

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gitops_api::constants;
use gitops_core::backoff;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::object;
use gitops_core::manifest::object::{GroupVersionKind, ObjectKey};
use gitops_core::project::{DeletePermit, ReleasePermit};
use kube::Client;
use kube::api::PropagationPolicy;
use parking_lot::Mutex;
use serde_json::Value;

use crate::cluster::discovery::Discovery;
use crate::cluster::index::Index;
use crate::cluster::log_tail::LogTail;
use crate::cluster::storage_classes::StorageClasses;
use crate::cluster::watch::{OnChange, Watches};
use crate::cluster::write::{Deleted, WriteError, Writer};
use crate::events::Events;
use crate::metrics::Metrics;
use crate::settings::CurrentSettings;

/// One cluster. Everything that is read from it or written to it goes through its own client.
pub(crate) struct Cluster {
    client: Client,
    /// Kinds it serves.
    pub(crate) discovery: Discovery,
    /// Records of managed objects.
    pub(crate) index: Arc<Index>,
    /// Watches that fill the index.
    pub(crate) watches: Watches,
    /// The way to change it.
    pub(crate) writer: Writer,
    /// Its classes of storage.
    pub(crate) storage_classes: StorageClasses,
    /// Events about its objects.
    pub(crate) events: Events,
    /// Objects that are looked at until they are gone.
    followed: Arc<Mutex<HashSet<ObjectKey>>>,
    /// Told which instances may have changed.
    on_change: OnChange,
}

/// First and longest pause between two looks at an object that is being deleted and that no watch
/// shows.
const LEAVING_PAUSE: Duration = Duration::from_millis(500);
const LEAVING_MAX_PAUSE: Duration = Duration::from_secs(30);

impl Cluster {
    /// A cluster that serves these kinds; watches begin when an application needs them.
    ///
    /// `managed_by` is the label's value on the objects of this agent, `concurrency` how many
    /// writes may be under way at the same time. `on_change` is told which instances may have
    /// changed.
    pub(crate) fn new(
        client: Client,
        discovery: Discovery,
        managed_by: &str,
        concurrency: u16,
        settings: CurrentSettings,
        on_change: OnChange,
        metrics: Arc<Metrics>,
    ) -> Self {
        let index = Arc::new(Index::new(settings.clone()));
        let watches = Watches::new(
            client.clone(),
            discovery.clone(),
            index.clone(),
            managed_by,
            settings,
            Arc::clone(&on_change),
            metrics.clone(),
        );
        let writer = Writer::new(
            client.clone(),
            discovery.clone(),
            concurrency,
            metrics.clone(),
        );
        let events = Events::new(client.clone(), metrics);
        Self {
            client,
            discovery,
            index,
            watches,
            writer,
            storage_classes: StorageClasses::default(),
            events,
            followed: Arc::default(),
            on_change,
        }
    }

    /// Reads an object as it is now and takes note of what was found.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached. Without its kind an object is absent.
    pub(crate) async fn refresh(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<(), WriteError> {
        let known = self.index.uid(key);
        let found = self.writer.get(gvk, key).await;
        self.note_found(key, known, found)
    }

    /// The same from the API server's cache, which costs it far less and may be a moment old:
    /// enough for objects that no watch shows for lack of the label.
    ///
    /// # Errors
    /// As [`Self::refresh`].
    pub(crate) async fn probe(
        &self,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
    ) -> Result<(), WriteError> {
        let known = self.index.uid(key);
        let found = self.writer.get_cached(gvk, key).await;
        self.note_found(key, known, found)
    }

    /// Has these instances looked at: what the records say of them is otherwise than they were told.
    pub(crate) fn wake(&self, instances: BTreeSet<String>) {
        if !instances.is_empty() {
            (self.on_change)(instances);
        }
    }

    fn note_found(
        &self,
        key: &ObjectKey,
        known: Option<String>,
        found: Result<Option<Value>, WriteError>,
    ) -> Result<(), WriteError> {
        match found {
            Ok(Some(object)) => self.wake(self.index.observe(&object)),
            // With its kind, all objects of it went.
            Ok(None) | Err(WriteError::UnknownKind(_)) => {
                // What a watch showed only meanwhile is newer than the answer.
                if let Some(uid) = known {
                    self.wake(self.index.remove(key, &uid));
                }
                self.index.note_absent(key);
            }
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Deletes the object that is permitted, if it is still the one that was looked at, and takes note
    /// of what became of it: a watch shows the same later, and only of objects that carry the label.
    /// False when it is another object by now, or another application's.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub(crate) async fn delete(
        &self,
        permit: &DeletePermit,
        gvk: &GroupVersionKind,
        propagation: PropagationPolicy,
    ) -> Result<bool, WriteError> {
        let key = permit.key();
        match self.writer.delete(permit, gvk, propagation).await? {
            Deleted::Leaving(object) => {
                self.wake(self.index.observe_leaving(&object));
                if object::label(&object, constants::label::MANAGED_BY).is_none() {
                    self.follow_leaving(gvk.clone(), key.clone());
                }
            }
            Deleted::Gone => {
                self.wake(self.index.remove(key, permit.uid()));
                self.index.note_absent(key);
            }
            Deleted::Another => {
                if let Some(object) = self.writer.get(gvk, key).await? {
                    self.wake(self.index.observe(&object));
                }
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Takes the agent's own finalizer off the object of a hook, and takes note of what it is then.
    ///
    /// # Errors
    /// When the API server refuses or cannot be reached.
    pub(crate) async fn release_hook(
        &self,
        permit: &ReleasePermit,
        live: &LiveObject,
    ) -> Result<(), WriteError> {
        if let Some(object) = self.writer.release_hook(permit, &live.gvk()).await? {
            // It may have gone with the finalizer, and a watch may have said so already.
            self.wake(self.index.observe_leaving(&object));
        } else {
            self.wake(self.index.remove(permit.key(), &live.uid));
            self.index.note_absent(permit.key());
        }
        Ok(())
    }

    /// Looks from time to time whether an object that was deleted is gone, for one that no watch
    /// shows: it carries another controller's marks only. Ends when the object does.
    fn follow_leaving(&self, gvk: GroupVersionKind, key: ObjectKey) {
        let (writer, index) = (self.writer.clone(), Arc::clone(&self.index));
        let on_change = Arc::clone(&self.on_change);
        tokio::spawn(async move {
            let mut attempt = 0;
            while let Some(live) = index.get(&key).filter(|live| live.deleting) {
                let pause = backoff::delay(attempt, LEAVING_PAUSE, 2, LEAVING_MAX_PAUSE);
                tokio::time::sleep(pause).await;
                attempt = attempt.saturating_add(1);
                match writer.get(&gvk, &key).await {
                    Ok(Some(object)) => on_change(index.observe(&object)),
                    Ok(None) | Err(WriteError::UnknownKind(_)) => {
                        on_change(index.remove(&key, &live.uid));
                    }
                    Err(error) => tracing::debug!(object = %key, %error, "cannot look up"),
                }
            }
        });
    }

    /// Whether a container of a hook's object ever ran, as far as anybody can know: where it cannot be
    /// told, it did.
    pub(crate) async fn has_started(&self, hook: &ObjectKey) -> bool {
        started::has_started(&self.client, hook).await
    }

    /// The same for the object of a hook that another client deletes and that nobody marked: the
    /// application that wants its name is told when it is gone.
    pub(crate) fn follow_for(&self, gvk: GroupVersionKind, key: ObjectKey, instance: &str) {
        if !self.followed.lock().insert(key.clone()) {
            return;
        }
        let (writer, index) = (self.writer.clone(), Arc::clone(&self.index));
        let on_change = Arc::clone(&self.on_change);
        let followed = Arc::clone(&self.followed);
        let instance = instance.to_owned();
        tokio::spawn(async move {
            let mut attempt = 0;
            loop {
                let pause = backoff::delay(attempt, LEAVING_PAUSE, 2, LEAVING_MAX_PAUSE);
                tokio::time::sleep(pause).await;
                attempt = attempt.saturating_add(1);
                let known = index.uid(&key);
                match writer.get(&gvk, &key).await {
                    Ok(Some(object)) => on_change(index.observe(&object)),
                    Ok(None) | Err(WriteError::UnknownKind(_)) => {
                        if let Some(uid) = known {
                            on_change(index.remove(&key, &uid));
                        }
                        break;
                    }
                    Err(error) => tracing::debug!(object = %key, %error, "cannot look up"),
                }
                if index.get(&key).is_none_or(|live| !live.deleting) {
                    break;
                }
            }
            followed.lock().remove(&key);
            on_change(BTreeSet::from([instance]));
        });
    }

    /// The end of the log of a hook's Pod, with what has to be masked in it.
    ///
    /// # Errors
    /// Why the log has to be kept back.
    pub(crate) async fn log_tail(&self, hook: &ObjectKey) -> Result<LogTail, String> {
        log_tail::read(&self.client, hook).await
    }

    /// Reads the served kinds again whenever one is defined or withdrawn, and tells when they are
    /// others than before. Ends only when the watch of the definitions does.
    pub(crate) async fn follow_kinds(&self, on_change: impl Fn()) {
        self.discovery
            .follow(|changed| {
                self.watches.drop_unneeded();
                if changed {
                    on_change();
                }
            })
            .await;
    }
}
