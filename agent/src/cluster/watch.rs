//! Watches of the kinds in use, limited to objects that carry the agent's label.
//!
//! A watch starts when an application first needs a kind and goes on until the kind is no longer
//! served. Everything seen goes to the index; applications that may be affected are queued. Objects
//! that an earlier tool delivered carry no label until they first change: while an application has
//! such objects, a second watch of the kind shows what carries none, and what nobody wants of it is
//! passed over.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt, TryStreamExt, stream};
use gitops_api::constants;
use gitops_core::attempts::Ask;
use gitops_core::live::object::LiveObject;
use gitops_core::manifest::object;
use gitops_core::manifest::object::{GroupKind, GroupVersionKind, ObjectKey};
use gitops_transport::chain;
use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::discovery::{Discovery, api_resource};
use super::index::Index;
use crate::metrics::Metrics;
use crate::patience::patiently;
use crate::settings::CurrentSettings;
use crate::watch_backoff::CappedBackoff;

/// Called with the instance names whose applications may have changed.
pub(crate) type OnChange = Arc<dyn Fn(BTreeSet<String>) + Send + Sync>;

/// Kinds that are asked about at the same time.
const MAX_CONCURRENT_LISTS: usize = 16;

/// All watches of one cluster.
#[derive(Clone)]
pub(crate) struct Watches {
    client: Client,
    discovery: Discovery,
    index: Arc<Index>,
    managed_by: String,
    settings: CurrentSettings,
    on_change: OnChange,
    metrics: Arc<Metrics>,
    running: Arc<Mutex<HashMap<Followed, Running>>>,
    asked: Arc<tokio::sync::Mutex<bool>>,
}

/// A kind, and which of its objects.
type Followed = (GroupKind, Marks);

/// Which objects of a kind a watch shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Marks {
    /// Those with the agent's label.
    Marked,
    /// Those without.
    Unmarked,
}

struct Running {
    gvk: GroupVersionKind,
    /// Its first listing did not come in time once; nobody waits for it again.
    given_up: bool,
    synced: watch::Receiver<bool>,
    task: AbortHandle,
}

/// What a task follows.
struct Watch {
    resource: ApiResource,
    gvk: GroupVersionKind,
    marks: Marks,
    /// What the list that is under way showed.
    listed: HashSet<ObjectKey>,
    synced: watch::Sender<bool>,
}

impl Watches {
    /// `managed_by` is the label's value on the objects of this agent.
    pub(crate) fn new(
        client: Client,
        discovery: Discovery,
        index: Arc<Index>,
        managed_by: &str,
        settings: CurrentSettings,
        on_change: OnChange,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            client,
            discovery,
            index,
            managed_by: managed_by.to_owned(),
            settings,
            on_change,
            metrics,
            running: Arc::default(),
            asked: Arc::default(),
        }
    }

    /// Watches these kinds and waits until each has been listed once. Kinds that are not served
    /// or cannot be watched are left out.
    pub(crate) async fn ensure(&self, kinds: impl IntoIterator<Item = GroupVersionKind>) {
        let mut pending = Vec::new();
        for gvk in kinds {
            if let Some(synced) = self.start(&gvk, Marks::Marked) {
                pending.push((gvk, synced));
            }
        }
        for (gvk, mut synced) in pending {
            let listed =
                tokio::time::timeout(Duration::from_secs(30), synced.wait_for(|done| *done));
            if listed.await.is_err() {
                tracing::warn!(kind = %gvk, "initial list is slow; continuing without it");
                self.with(|running| {
                    if let Some(watch) = running.get_mut(&(gvk.group_kind(), Marks::Marked)) {
                        watch.given_up = true;
                    }
                });
            }
        }
    }

    /// Watches what carries no label of these kinds, too: some of it is an application's.
    pub(crate) fn ensure_unmarked(&self, kinds: impl IntoIterator<Item = GroupVersionKind>) {
        for gvk in kinds.into_iter().collect::<BTreeSet<_>>() {
            self.start(&gvk, Marks::Unmarked);
        }
    }

    fn selector(&self, marks: Marks) -> String {
        let label = constants::label::MANAGED_BY;
        match marks {
            Marks::Marked => format!("{label}={}", self.managed_by),
            Marks::Unmarked => format!("!{label}"),
        }
    }

    /// Watches every kind of which the agent ever applied an object, whatever a status says of it:
    /// an agent that was killed may not have said what it did. Asks only once.
    pub(crate) async fn ensure_all_in_use(&self) -> kube::Result<()> {
        let mut asked = self.asked.lock().await;
        if *asked {
            return Ok(());
        }
        let kinds = self.discovery.kinds();
        let found: Vec<Option<GroupVersionKind>> = stream::iter(kinds.watchable())
            .map(|gvk| self.if_in_use(gvk))
            .buffer_unordered(MAX_CONCURRENT_LISTS)
            .try_collect()
            .await?;
        self.ensure(found.into_iter().flatten()).await;
        *asked = true;
        Ok(())
    }

    /// Watches those of these kinds of which there is an object that the agent made: what an application
    /// left behind that is gone by now is nobody else's to find.
    pub(crate) async fn ensure_in_use(&self, kinds: Vec<GroupVersionKind>) -> kube::Result<()> {
        let mut found = Vec::new();
        for kind in kinds {
            found.extend(self.if_in_use(kind).await?);
        }
        self.ensure(found).await;
        Ok(())
    }

    /// The kind, if there is an object of it that was applied. Some controllers copy labels to what
    /// they make; such a copy has an owner, or a mark that names something else.
    async fn if_in_use(&self, gvk: GroupVersionKind) -> kube::Result<Option<GroupVersionKind>> {
        let kinds = self.discovery.kinds();
        let Some(served) = kinds.served(&gvk) else {
            return Ok(None);
        };
        let api: Api<DynamicObject> = Api::all_with(self.client.clone(), &api_resource(served));
        let mut params = ListParams::default()
            .labels(&self.selector(Marks::Marked))
            .limit(100);
        loop {
            let page = match patiently(Ask::Read, || api.list_metadata(&params)).await {
                Ok(page) => page,
                // What the agent may not list it did not apply.
                Err(kube::Error::Api(error)) if matches!(error.code, 403..=405) => {
                    return Ok(None);
                }
                Err(error) => return Err(error),
            };
            let applied = page.items.into_iter().any(|item| {
                let mut value = serde_json::json!({"metadata": item.metadata});
                name_type(&mut value, &gvk);
                LiveObject::observe(&value, false).is_some_and(|live| live.tracking.is_some())
            });
            if applied {
                return Ok(Some(gvk));
            }
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => return Ok(None),
            }
        }
    }

    /// Ends watches of kinds that are no longer served, or that the settings leave alone, with the
    /// records of their objects.
    pub(crate) fn drop_unneeded(&self) {
        let kinds = self.discovery.kinds();
        let gone: Vec<GroupKind> = self.with(|running| {
            let gone: Vec<_> = running
                .keys()
                .map(|(kind, _)| kind)
                .filter(|kind| kinds.scope(kind).is_none() || self.is_excluded(kind))
                .cloned()
                .collect();
            running.retain(|(kind, _), watch| {
                let kept = !gone.contains(kind);
                if !kept {
                    watch.task.abort();
                }
                kept
            });
            gone
        });
        for kind in gone {
            (self.on_change)(self.index.retain_listed(&kind, &HashSet::new(), false));
        }
    }

    /// Reads the objects of all kinds anew that other health rules judge otherwise.
    pub(crate) fn judge_again(&self, agrees: impl Fn(&GroupKind) -> bool) {
        let outdated: Vec<(GroupVersionKind, Marks)> = self.with(|running| {
            let outdated = running.extract_if(|(kind, _), _| !agrees(kind));
            outdated
                .map(|((_, marks), watch)| {
                    watch.task.abort();
                    (watch.gvk, marks)
                })
                .collect()
        });
        for (gvk, marks) in outdated {
            self.index.judge_again(&gvk.group_kind());
            self.start(&gvk, marks);
        }
    }

    fn is_excluded(&self, kind: &GroupKind) -> bool {
        self.settings.get().excludes(&kind.group, &kind.kind)
    }

    fn start(&self, gvk: &GroupVersionKind, marks: Marks) -> Option<watch::Receiver<bool>> {
        if self.is_excluded(&gvk.group_kind()) {
            return None;
        }
        let kinds = self.discovery.kinds();
        let served = kinds.served(gvk).filter(|served| served.watchable)?.clone();
        self.with(|running| {
            let followed = (gvk.group_kind(), marks);
            if let Some(watch) = running.get(&followed) {
                return (!watch.given_up).then(|| watch.synced.clone());
            }
            let (sender, synced) = watch::channel(false);
            let resource = api_resource(&served);
            let watch = Watch {
                resource,
                gvk: gvk.clone(),
                marks,
                listed: HashSet::new(),
                synced: sender,
            };
            let task = tokio::spawn(self.clone().follow(watch));
            let task = task.abort_handle();
            running.insert(
                followed,
                Running {
                    gvk: gvk.clone(),
                    given_up: false,
                    synced: synced.clone(),
                    task,
                },
            );
            self.metrics
                .watches
                .set(i64::try_from(running.len()).unwrap_or(i64::MAX));
            Some(synced)
        })
    }

    /// Follows a kind until its watch is ended.
    async fn follow(self, mut watch: Watch) {
        let api = Api::all_with(self.client.clone(), &watch.resource);
        let config = watcher::Config::default()
            .labels(&self.selector(watch.marks))
            .streaming_lists();
        let mut events = watcher(api, config)
            .backoff(CappedBackoff::default())
            .boxed();
        loop {
            let event = match events.try_next().await {
                Ok(Some(event)) => event,
                Ok(None) => return,
                Err(error) => {
                    self.metrics.watch_errors.inc();
                    tracing::debug!(kind = %watch.gvk, error = chain(&error), "watch disconnected, reconnecting");
                    continue;
                }
            };
            self.metrics.argo_cd.saw(&watch.gvk.group, &watch.gvk.kind);
            let affected = match watch.marks {
                Marks::Marked => self.note_marked(&mut watch, event),
                Marks::Unmarked => self.note_unmarked(&mut watch, event).await,
            };
            if !affected.is_empty() {
                (self.on_change)(affected);
            }
            self.metrics
                .objects
                .set(i64::try_from(self.index.len()).unwrap_or(i64::MAX));
        }
    }

    /// Takes note of what a watch of marked objects shows; gives the instances it concerns.
    fn note_marked(
        &self,
        watch: &mut Watch,
        event: watcher::Event<DynamicObject>,
    ) -> BTreeSet<String> {
        let gvk = &watch.gvk;
        match event {
            watcher::Event::Init => {
                watch.listed.clear();
                BTreeSet::new()
            }
            watcher::Event::InitApply(object) => {
                let value = value_of(object, gvk);
                watch.listed.extend(ObjectKey::of(&value));
                self.index.observe(&value)
            }
            watcher::Event::InitDone => {
                let kind = gvk.group_kind();
                let unmarked = (kind.clone(), Marks::Unmarked);
                let only_marked = self.with(|running| running.contains_key(&unmarked));
                let listed = std::mem::take(&mut watch.listed);
                let gone = self.index.retain_listed(&kind, &listed, only_marked);
                watch.synced.send_replace(true);
                gone
            }
            watcher::Event::Apply(object) => self.index.observe(&value_of(object, gvk)),
            watcher::Event::Delete(object) => {
                let value = value_of(object, gvk);
                if object::label(&value, constants::label::MANAGED_BY).is_some() {
                    let uid = value["metadata"]["uid"].as_str().unwrap_or_default();
                    ObjectKey::of(&value)
                        .map(|key| self.index.remove(&key, uid))
                        .unwrap_or_default()
                } else {
                    // Somebody removed the label: the object is still there.
                    self.index.observe(&value)
                }
            }
        }
    }

    /// The same of what carries no label. What leaves the watch is gone, or has the label now: only the
    /// API server can tell.
    async fn note_unmarked(
        &self,
        watch: &mut Watch,
        event: watcher::Event<DynamicObject>,
    ) -> BTreeSet<String> {
        let gvk = &watch.gvk;
        let mut left = Vec::new();
        let mut affected = BTreeSet::new();
        match event {
            watcher::Event::Init => watch.listed.clear(),
            watcher::Event::InitApply(object) | watcher::Event::Apply(object) => {
                let key = key_of(&object, gvk);
                if self.index.is_of_interest(&key) {
                    affected = self.index.observe(&value_of(object, gvk));
                    watch.listed.insert(key);
                }
            }
            watcher::Event::InitDone => {
                let known = self.index.unmarked(&gvk.group_kind());
                let listed = std::mem::take(&mut watch.listed);
                left.extend(known.into_iter().filter(|key| !listed.contains(key)));
                watch.synced.send_replace(true);
            }
            watcher::Event::Delete(object) => left.push(key_of(&object, gvk)),
        }
        for key in left {
            if self.index.contains(&key) {
                affected.extend(self.look_up(&watch.resource, gvk, &key).await);
            }
        }
        affected
    }

    /// Reads an object that left a watch.
    async fn look_up(
        &self,
        resource: &ApiResource,
        gvk: &GroupVersionKind,
        key: &ObjectKey,
    ) -> BTreeSet<String> {
        let client = self.client.clone();
        let api: Api<DynamicObject> = if key.namespace.is_empty() {
            Api::all_with(client, resource)
        } else {
            Api::namespaced_with(client, &key.namespace, resource)
        };
        let known = self.index.uid(key);
        match api.get_opt(&key.name).await {
            Ok(Some(object)) => self.index.observe(&value_of(object, gvk)),
            Ok(None) => known.map_or_else(BTreeSet::new, |uid| self.index.remove(key, &uid)),
            Err(error) => {
                tracing::debug!(object = %key, error = chain(&error), "cannot look up an object that left a watch");
                BTreeSet::new()
            }
        }
    }

    fn with<T>(&self, f: impl FnOnce(&mut HashMap<Followed, Running>) -> T) -> T {
        f(&mut self.running.lock())
    }
}

fn key_of(object: &DynamicObject, gvk: &GroupVersionKind) -> ObjectKey {
    ObjectKey {
        group: gvk.group.clone(),
        kind: gvk.kind.clone(),
        namespace: object.metadata.namespace.clone().unwrap_or_default(),
        name: object.metadata.name.clone().unwrap_or_default(),
    }
}

/// The object as a value; items of a list carry no type of their own.
fn value_of(object: DynamicObject, gvk: &GroupVersionKind) -> Value {
    let mut value = serde_json::to_value(object).unwrap_or(Value::Null);
    name_type(&mut value, gvk);
    value
}

fn name_type(value: &mut Value, gvk: &GroupVersionKind) {
    if let Some(root) = value.as_object_mut() {
        root.insert("apiVersion".into(), gvk.api_version().into());
        root.insert("kind".into(), gvk.kind.clone().into());
    }
}
