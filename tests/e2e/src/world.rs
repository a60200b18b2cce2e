//! The world of one test: namespaces of its own, an agent of its own, repositories of its own.

use std::fmt::Debug;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::{ConfigMap, Event};
use kube::runtime::watcher;
use kube::{Api, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;

use crate::agent::{Agent, Launch};
use crate::control_plane::{ControlPlane, typed};
use crate::fault_proxy::FaultProxy;
use crate::person::Person;
use crate::repository::Repo;
use crate::{must, wait};

/// Everything one test works with.
pub struct World {
    /// The control plane.
    pub plane: ControlPlane,
    /// Namespace of the agent, its Applications and Secrets.
    pub namespace: String,
    /// Namespace applications deliver to; exists.
    pub target: String,
    agent: Mutex<Agent>,
    proxy: Option<FaultProxy>,
    folder: TempDir,
}

impl World {
    /// A world on the shared control plane, with the `default` project and a running agent.
    pub async fn new(name: &str) -> Self {
        Self::on(ControlPlane::shared().await, name).await
    }

    /// The same on a control plane of the test's own.
    pub async fn on(plane: ControlPlane, name: &str) -> Self {
        let namespace = unique(name);
        plane.namespace(&namespace).await;
        plane.apply(&default_project(&namespace)).await;
        Self::without_project(plane, namespace).await
    }

    /// A world whose agent reaches the API server through [`Self::proxy`]; nothing else does.
    pub async fn behind_proxy(name: &str) -> Self {
        let plane = ControlPlane::shared().await;
        let namespace = unique(name);
        plane.namespace(&namespace).await;
        plane.apply(&default_project(&namespace)).await;
        Self::start(plane, namespace, true).await
    }

    /// A world in an existing namespace, with nothing in it.
    pub async fn without_project(plane: ControlPlane, namespace: String) -> Self {
        Self::start(plane, namespace, false).await
    }

    async fn start(plane: ControlPlane, namespace: String, proxied: bool) -> Self {
        let target = format!("{namespace}-apps");
        plane.namespace(&target).await;
        let folder = must(TempDir::with_prefix("gitops-e2e-"), "make a folder");
        let direct = plane.agent_kubeconfig(&namespace, folder.path()).await;
        let proxy = proxied.then(|| FaultProxy::start(&direct));
        let agent = Agent::start(Launch {
            kubeconfig: proxy
                .as_ref()
                .map_or(direct, |proxy| proxy.kubeconfig(folder.path())),
            cache: folder.path().join("cache"),
            poll_interval: "1s".into(),
            log_level: "info,gitops_agent=debug".into(),
            identity: format!("{namespace}-agent"),
            namespace: namespace.clone(),
        });
        agent.ready().await;
        Self {
            plane,
            namespace,
            target,
            agent: Mutex::new(agent),
            proxy,
            folder,
        }
    }

    /// The agent.
    pub fn agent(&self) -> MutexGuard<'_, Agent> {
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the agent reaches the API server through.
    ///
    /// # Panics
    /// In a world that was not made by [`Self::behind_proxy`].
    pub fn proxy(&self) -> &FaultProxy {
        match &self.proxy {
            Some(proxy) => proxy,
            None => panic!("the agent of this test goes through no proxy"),
        }
    }

    /// The end of the agent's log.
    pub fn agent_tail(&self) -> String {
        match self.agent.try_lock() {
            Ok(agent) => agent.tail(50),
            Err(_) => String::new(),
        }
    }

    /// Waits until the agent, since its last start, logged a line with this text.
    pub async fn logged(&self, text: &str) {
        let log = self.agent().log_since_start();
        log.contains(text, 0, text).await;
    }

    /// How often the agent, since its last start, logged a line with this text.
    pub fn times_logged(&self, text: &str) -> usize {
        self.agent().log_since_start().count(text)
    }

    /// Waits until it has logged such a line more often than that.
    pub async fn logged_again(&self, text: &str, already: usize) {
        let log = self.agent().log_since_start();
        log.contains(text, already, text).await;
    }

    /// Asks the agent to end; returns whether it ended well.
    pub async fn stop(&self) -> bool {
        let child = self.agent().terminate();
        Agent::ended(child).await
    }

    /// A folder that lives as long as the test.
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// An administrator of the cluster, whose commands go to the namespace of this test.
    pub fn person(&self) -> Person {
        Person::with_kubeconfig(self.plane.kubeconfig()).in_namespace(&self.namespace)
    }

    /// A person who may do no more than `rules`, those of a Role, say, in the namespace of this
    /// test.
    pub async fn person_with(&self, name: &str, rules: serde_json::Value) -> Person {
        let token = self.plane.account(&self.namespace, name).await;
        let account = (self.namespace.as_str(), name);
        self.plane.allow(&self.namespace, account, rules).await;
        let person = Person::new().in_namespace(&self.namespace);
        let user = serde_json::json!({"token": token});
        person.writes_kubeconfig(self.plane.kubeconfig_of(&user));
        person
    }

    /// A repository of this test.
    pub fn repo(&self, name: &str) -> Repo {
        Repo::create(&format!("{}-{name}", self.namespace))
    }

    /// Applies YAML in the namespace of the agent.
    pub async fn configure(&self, yaml: &str) {
        let mut value: serde_json::Value = must(serde_saphyr::from_str(yaml), "read a manifest");
        value["metadata"]["namespace"] = self.namespace.clone().into();
        self.plane.apply_value_as("gitops-e2e", value).await;
    }

    /// The API of a kind in the target namespace.
    pub fn api<K>(&self) -> Api<K>
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>,
    {
        Api::namespaced(self.plane.client.clone(), &self.target)
    }

    /// Watches an object of the target namespace until it satisfies a condition.
    pub async fn object<K>(&self, name: &str, what: &str, mut found: impl FnMut(&K) -> bool) -> K
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize
            + Send
            + 'static,
    {
        match wait::until(self.api::<K>(), name, |object| {
            object.is_some_and(&mut found)
        })
        .await
        {
            Ok(Some(object)) => object,
            Ok(None) => panic!("{name} is gone"),
            Err(last) => panic!(
                "{name} did not become: {what}\n{last}\n{}",
                self.agent_tail()
            ),
        }
    }

    /// Waits until an object of the target namespace is gone.
    pub async fn object_gone<K>(&self, name: &str)
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned
            + Serialize
            + Send
            + 'static,
    {
        if let Err(last) = wait::until(self.api::<K>(), name, |object| object.is_none()).await {
            panic!("{name} is still there\n{last}\n{}", self.agent_tail());
        }
    }

    /// Whether an object of the target namespace exists now.
    pub async fn exists<K>(&self, name: &str) -> bool
    where
        K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
            + Clone
            + Debug
            + DeserializeOwned,
    {
        must(self.api::<K>().get_opt(name).await, "read an object").is_some()
    }

    /// The value of a ConfigMap made by [`crate::manifests::config_map`], once it is this.
    pub async fn config_map_is(&self, name: &str, value: &str) -> ConfigMap {
        self.object(name, &format!("value {value}"), |map: &ConfigMap| {
            map.data
                .as_ref()
                .and_then(|data| data.get("value"))
                .is_some_and(|live| live == value)
        })
        .await
    }

    /// Waits for an event of a reason about an object of the target namespace.
    pub async fn event(&self, kind: &str, name: &str, reason: &str) -> String {
        use futures::StreamExt;
        let config = watcher::Config::default()
            .fields(&format!("involvedObject.name={name},reason={reason}"));
        let mut events = watcher(self.api::<Event>(), config).boxed();
        let waited = tokio::time::timeout(wait::LIMIT, async {
            while let Some(event) = events.next().await {
                let Ok(watcher::Event::Apply(event) | watcher::Event::InitApply(event)) = event
                else {
                    continue;
                };
                if event.involved_object.kind.as_deref() == Some(kind) {
                    return event.message.unwrap_or_default();
                }
            }
            String::new()
        })
        .await;
        waited.unwrap_or_else(|_| {
            panic!(
                "no event {reason} about {kind} {name}\n{}",
                self.agent_tail()
            )
        })
    }

    /// Every event in the namespaces of this test, as JSON.
    pub async fn all_events(&self) -> String {
        let mut text = String::new();
        for namespace in [&self.namespace, &self.target] {
            let api: Api<Event> = Api::namespaced(self.plane.client.clone(), namespace);
            let events = must(
                api.list(&kube::api::ListParams::default()).await,
                "list events",
            );
            text += &serde_json::to_string(&events.items).unwrap_or_default();
        }
        text
    }

    /// Tries a ConfigMap with a key until an admission policy refuses it: policies take effect
    /// some time after they are made, and nothing says when.
    pub async fn policy_in_force(&self, namespace: &str, key: &str) {
        let api: Api<ConfigMap> = Api::namespaced(self.plane.client.clone(), namespace);
        let probe = typed(serde_json::json!({"metadata": {"name": "probe"}, "data": {key: ""}}));
        let dry_run = kube::api::PostParams {
            dry_run: true,
            ..kube::api::PostParams::default()
        };
        let refused = tokio::time::timeout(wait::LIMIT, async {
            while api.create(&dry_run, &probe).await.is_ok() {
                tokio::task::yield_now().await;
            }
        });
        assert!(
            refused.await.is_ok(),
            "the admission policy did not take effect"
        );
    }
}

/// A namespace no other test uses, also in another run on the same control plane.
pub fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |age| age.as_millis());
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    // Of one length, so that columns are as wide in each run.
    format!("e2e-{name}-{:07x}{count:02x}", now & 0x0fff_ffff)
}

/// The `default` project of the installation, in a namespace.
pub fn default_project(namespace: &str) -> String {
    let text = include_str!("../../../manifests/default-project.yaml");
    text.replace("namespace: argocd", &format!("namespace: {namespace}"))
}
