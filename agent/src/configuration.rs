//! The agent's own namespace, kept current by watches: Applications, projects, credentials,
//! settings. Queues the applications a change asks work for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use gitops_api::constants::{annotation, config_map};
use gitops_api::{AppProject, Application, OperationPhase};
use gitops_core::manifest::digest;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::app_key::AppKey;
use crate::args::RunArgs;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::settings::SettingsReader;
use crate::watch_backoff::CappedBackoff;

/// What the agent's own namespace says, kept current by watches.
pub(crate) struct Configuration {
    /// The agent's own namespace.
    pub(crate) namespace: String,
    /// The Applications.
    pub(crate) applications: Store<Application>,
    /// The projects.
    pub(crate) projects: Store<AppProject>,
    /// Repository and credential Secrets.
    pub(crate) secrets: Store<Secret>,
    /// argocd-cm, known hosts, certificates.
    pub(crate) config_maps: Store<ConfigMap>,
}

impl Configuration {
    /// The Application, if it exists.
    pub(crate) fn application(&self, key: &AppKey) -> Option<Arc<Application>> {
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        self.applications.get(&reference)
    }

    /// The project of that name, if it exists.
    pub(crate) fn project(&self, name: &str) -> Option<Arc<AppProject>> {
        self.projects
            .get(&ObjectRef::new(name).within(&self.namespace))
    }

    /// The ConfigMap of that name, if it exists and belongs to Argo CD.
    pub(crate) fn config_map(&self, name: &str) -> Option<Arc<ConfigMap>> {
        self.config_maps
            .get(&ObjectRef::new(name).within(&self.namespace))
    }

    /// Name under which an application's objects are tracked.
    pub(crate) fn instance(&self, key: &AppKey) -> String {
        key.instance(&self.namespace)
    }

    /// Whether an application of this instance name exists.
    pub(crate) fn exists(&self, instance: &str) -> bool {
        let key = AppKey::of_instance(instance, &self.namespace);
        self.application(&key).is_some()
    }
}

/// Watches everything that configures the agent and waits until each has been read once.
pub(crate) async fn read(
    args: &RunArgs,
    client: &Client,
    queue: &Arc<Queue<AppKey>>,
    metrics: &Arc<Metrics>,
    settings: SettingsReader,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<Configuration> {
    let namespace = &args.namespace;
    let (applications, app_writer) = reflector::store::<Application>();
    let (app_queue, app_metrics, app_store) =
        (queue.clone(), metrics.clone(), applications.clone());
    let mut seen = HashMap::new();
    follow(
        Api::namespaced(client.clone(), namespace),
        watcher::Config::default(),
        app_writer,
        tasks,
        move |event| {
            app_metrics
                .applications
                .set(i64::try_from(app_store.len()).unwrap_or(i64::MAX));
            match event {
                watcher::Event::Apply(app) | watcher::Event::InitApply(app) => {
                    // The agent's own status writes come back here and ask for nothing.
                    let digest = request_digest(app);
                    let key = AppKey::of(app);
                    if seen.insert(key.clone(), digest.clone()) != Some(digest) {
                        app_queue.add(key);
                    }
                }
                watcher::Event::Delete(app) => {
                    seen.remove(&AppKey::of(app));
                    app_queue.add(AppKey::of(app));
                }
                watcher::Event::Init | watcher::Event::InitDone => {}
            }
        },
    );
    let all = |queue: &Arc<Queue<AppKey>>, applications: &Store<Application>| {
        let (queue, applications) = (queue.clone(), applications.clone());
        move || {
            for app in applications.state() {
                queue.add(AppKey::of(app.as_ref()));
            }
        }
    };
    let (projects, writer) = reflector::store::<AppProject>();
    let everything = all(queue, &applications);
    let api = Api::namespaced(client.clone(), namespace);
    follow(
        api,
        watcher::Config::default(),
        writer,
        tasks,
        move |event| {
            if is_change(event) {
                everything();
            }
        },
    );
    let (secrets, writer) = reflector::store::<Secret>();
    let everything = all(queue, &applications);
    let selector = format!(
        "{} in ({}, {})",
        gitops_api::constants::label::SECRET_TYPE,
        gitops_api::constants::secret_type::REPOSITORY,
        gitops_api::constants::secret_type::REPO_CREDS
    );
    let api = Api::namespaced(client.clone(), namespace);
    follow(
        api,
        watcher::Config::default().labels(&selector),
        writer,
        tasks,
        move |event| {
            if is_change(event) {
                everything();
            }
        },
    );
    let (config_maps, writer) = reflector::store::<ConfigMap>();
    let everything = all(queue, &applications);
    let api = Api::namespaced(client.clone(), namespace);
    let config = watcher::Config::default().labels("app.kubernetes.io/part-of=argocd");
    let settings = Arc::new(settings);
    let (reader, store) = (settings.clone(), config_maps.clone());
    let argocd_cm = ObjectRef::new(config_map::SETTINGS).within(namespace);
    follow(api, config, writer, tasks, move |event| {
        let listed = matches!(event, watcher::Event::InitDone);
        if is_change(event) || listed {
            let changed = reader.read(store.get(&argocd_cm).as_deref());
            if changed || is_change(event) {
                everything();
            }
        }
    });
    let read = async {
        applications.wait_until_ready().await?;
        projects.wait_until_ready().await?;
        secrets.wait_until_ready().await?;
        config_maps.wait_until_ready().await
    };
    tokio::time::timeout(Duration::from_mins(1), read)
        .await
        .context(
            "Applications, AppProjects, Secrets and ConfigMaps could not be read within a minute; \
             are the CustomResourceDefinitions installed, and may the service account list them?",
        )?
        .context("a watch ended")?;
    // The watch may tell of it a moment later, and nothing may begin with other settings.
    let argocd_cm = ObjectRef::new(config_map::SETTINGS).within(namespace);
    settings.read(config_maps.get(&argocd_cm).as_deref());
    Ok(Configuration {
        namespace: namespace.clone(),
        applications,
        projects,
        secrets,
        config_maps,
    })
}

fn is_change<K>(event: &watcher::Event<K>) -> bool {
    matches!(event, watcher::Event::Apply(_) | watcher::Event::Delete(_))
}

/// What of an Application asks for work: everything but its status, and of that the wish to end
/// an operation.
fn request_digest(app: &Application) -> String {
    let annotations: BTreeMap<_, _> = app
        .annotations()
        .iter()
        .filter(|(name, _)| {
            name.starts_with("argocd.argoproj.io/")
                || [annotation::HOLD, annotation::PRUNE_BUDGET].contains(&name.as_str())
        })
        .collect();
    digest::of_value(&serde_json::json!([
        app.spec,
        app.operation,
        annotations,
        app.metadata.deletion_timestamp,
        app.metadata.finalizers,
        app.uid(),
        app.status
            .as_ref()
            .and_then(|status| status.operation_state.as_ref())
            .is_some_and(|state| state.phase == OperationPhase::Terminating),
    ]))
}

/// Keeps a store current and tells every event.
fn follow<K>(
    api: Api<K>,
    config: watcher::Config,
    writer: reflector::store::Writer<K>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
    mut on_event: impl FnMut(&watcher::Event<K>) + Send + 'static,
) where
    K: Resource<DynamicType = ()>
        + Clone
        + DeserializeOwned
        + std::fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let stream = watcher(api, config)
        .backoff(CappedBackoff::default())
        .modify(|object| {
            object.meta_mut().managed_fields = None;
        });
    let mut stream = reflector(writer, stream).boxed();
    tasks.spawn(async move {
        loop {
            match stream.try_next().await {
                Ok(Some(event)) => on_event(&event),
                Ok(None) => anyhow::bail!("a watch of the agent's own namespace ended"),
                Err(error) => tracing::warn!(
                    kind = std::any::type_name::<K>(),
                    error = gitops_transport::chain(&error),
                    "a watch broke; it is taken up again"
                ),
            }
        }
    });
}
