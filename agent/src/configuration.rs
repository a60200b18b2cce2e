//! The agent's own namespace, kept current by watches: Applications, projects, credentials,
//! settings. Queues the applications a change asks work for.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use gitops_api::constants::{annotation, config_map, label, secret_type};
use gitops_api::{AppProject, Application, OperationPhase};
use gitops_core::live::argo_cd;
use gitops_core::manifest::digest;
use gitops_core::manifest::object::ObjectKey;
use gitops_core::project::{ProjectProblem, ProjectRules, Surroundings};
use gitops_transport::chain;
use k8s_openapi::api::core::v1::{ConfigMap, Secret};
use kube::core::NamespaceResourceScope;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::{WatchStreamExt, reflector, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use parking_lot::Mutex;
use serde::de::DeserializeOwned;
use tokio::task::JoinSet;

use crate::app_key::AppKey;
use crate::applicationsets::Wake;
use crate::args::RunArgs;
use crate::dependents::Dependents;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::repositories::credentials::CurrentCredentials;
use crate::rivals::Rivals;
use crate::seen::Seen;
use crate::settings::{CurrentSettings, SettingsReader};
use crate::start;
use crate::watch_backoff::CappedBackoff;

/// What the agent's own namespace says, kept current by watches.
pub(crate) struct Configuration {
    /// The agent's own namespace.
    pub(crate) namespace: String,
    /// The Applications.
    pub(crate) applications: Store<Application>,
    /// The projects.
    pub(crate) projects: Store<AppProject>,
    /// How repositories are reached.
    pub(crate) credentials: Arc<CurrentCredentials>,
    /// The rules of the projects.
    rules: Arc<ProjectRulesCache>,
    settings: CurrentSettings,
}

/// Why there are no rules to measure an application by.
#[derive(Clone, Debug)]
pub(crate) enum NoRules {
    /// The project does not exist.
    Missing,
    /// It has rules that could not be followed.
    Unusable(Arc<Vec<ProjectProblem>>),
}

/// The rules of the projects as they were last put together. Whatever they are made from takes them
/// away when it changes.
#[derive(Default)]
struct ProjectRulesCache(Mutex<HashMap<String, Result<Arc<ProjectRules>, NoRules>>>);

impl ProjectRulesCache {
    fn forget(&self) {
        self.0.lock().clear();
    }
}

impl Configuration {
    /// The Application, if it exists.
    pub(crate) fn application(&self, key: &AppKey) -> Option<Arc<Application>> {
        let reference = ObjectRef::new(&key.name).within(&key.namespace);
        self.applications.get(&reference)
    }

    /// The rules of the project of that name, as they are now: with those of the global projects
    /// that select it, and the repositories that belong to it.
    pub(crate) fn rules(&self, name: &str) -> Result<Arc<ProjectRules>, NoRules> {
        // Kept while they are made, so that what changes meanwhile forgets them, too.
        let mut known = self.rules.0.lock();
        if let Some(rules) = known.get(name) {
            return rules.clone();
        }
        let rules = self.read_rules(name);
        if !matches!(rules, Err(NoRules::Missing)) {
            known.insert(name.to_owned(), rules.clone());
        }
        rules
    }

    fn read_rules(&self, name: &str) -> Result<Arc<ProjectRules>, NoRules> {
        let project = self.project(name).ok_or(NoRules::Missing)?;
        let settings = self.settings.get();
        let find = |name: &str| self.project(name);
        let around = Surroundings {
            repositories: self.credentials.get().of_project(name),
            ..settings.surroundings(&find)
        };
        let rules = ProjectRules::of(&project, &around);
        rules
            .map(Arc::new)
            .map_err(|problems| NoRules::Unusable(Arc::new(problems)))
    }

    /// The project of that name, if it exists.
    pub(crate) fn project(&self, name: &str) -> Option<Arc<AppProject>> {
        self.projects
            .get(&ObjectRef::new(name).within(&self.namespace))
    }

    /// Name under which an application's objects are tracked.
    pub(crate) fn instance(&self, key: &AppKey) -> String {
        key.instance(&self.namespace)
    }

    /// Whether an application of this instance name exists and may have delivered an object: one
    /// that lists what it delivered and not this object has not, whatever the object's marks say.
    pub(crate) fn may_hold(&self, instance: &str, object: &ObjectKey) -> bool {
        let key = AppKey::of_instance(instance, &self.namespace);
        let Some(app) = self.application(&key) else {
            return false;
        };
        let status = app.status.iter();
        let mut listed = status.flat_map(|status| &status.resources);
        // Field by field: one of ten thousand objects may be looked for ten thousand times.
        listed.any(|resource| {
            resource.name == object.name
                && resource.namespace == object.namespace
                && resource.kind == object.kind
                && resource.group == object.group
        })
    }
}

/// Who is told of what changes.
pub(crate) struct Told<'a> {
    /// Of what concerns an Application.
    pub(crate) queue: &'a Arc<Queue<AppKey>>,
    /// Of what concerns an ApplicationSet.
    pub(crate) wake: &'a Arc<Wake>,
    /// Of what other controllers write.
    pub(crate) rivals: Arc<Rivals>,
    /// Of what becomes of an Application that others wait for.
    pub(crate) dependents: Arc<Dependents>,
}

/// Watches everything that configures the agent and waits until each has been read once.
pub(crate) async fn read(
    args: &RunArgs,
    client: &Client,
    told: Told<'_>,
    metrics: &Arc<Metrics>,
    settings: SettingsReader,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<Configuration> {
    let mut watches = NamespaceWatches {
        client,
        namespace: &args.namespace,
        tasks,
    };
    let Told {
        queue,
        wake,
        rivals,
        dependents,
    } = told;
    let applications = watches.applications(queue, wake, metrics, rivals, dependents);
    let rules = Arc::<ProjectRulesCache>::default();
    let current_settings = settings.current();
    let everything = {
        let (queue, applications) = (Arc::clone(queue), applications.clone());
        let rules = Arc::clone(&rules);
        let wake = Arc::clone(wake);
        move || {
            rules.forget();
            wake.everything();
            for app in applications.state() {
                queue.add(AppKey::of(app.as_ref()));
            }
        }
    };
    let projects = watches.projects(everything.clone());
    let credentials = Arc::new(CurrentCredentials::new(args.repositories()));
    let secrets = watches.secrets(&credentials, everything.clone());
    let settings = Arc::new(settings);
    let config_maps = watches.config_maps(&settings, &credentials, everything);
    listed(&applications, "Applications").await?;
    listed(&projects, "AppProjects").await?;
    listed(&secrets, "Secrets").await?;
    listed(&config_maps, "ConfigMaps").await?;
    // The watches may tell of it a moment later, and nothing may begin with anything else.
    credentials.set_secrets(&secrets.state());
    read_config_maps(&config_maps, &args.namespace, &settings, &credentials);
    Ok(Configuration {
        namespace: args.namespace.clone(),
        applications,
        projects,
        credentials,
        rules,
        settings: current_settings,
    })
}

/// Waits for the first list of a kind.
async fn listed<K>(store: &Store<K>, kind: &str) -> anyhow::Result<()>
where
    K: Resource<DynamicType = ()> + Clone + 'static,
{
    let hint = "is its CustomResourceDefinition installed, and may the service account list it?";
    start::waiting_for(kind, hint, store.wait_until_ready())
        .await
        .context("a watch ended")
}

/// Watches of the agent's own namespace. Each takes note of what it brings before it wakes anybody.
struct NamespaceWatches<'a> {
    client: &'a Client,
    namespace: &'a str,
    tasks: &'a mut JoinSet<anyhow::Result<()>>,
}

impl NamespaceWatches<'_> {
    fn applications(
        &mut self,
        queue: &Arc<Queue<AppKey>>,
        wake: &Arc<Wake>,
        metrics: &Arc<Metrics>,
        rivals: Arc<Rivals>,
        dependents: Arc<Dependents>,
    ) -> Store<Application> {
        let (gone, wake) = (Arc::clone(wake), Arc::clone(wake));
        let look = move |app: &Application| {
            let value =
                serde_json::json!({"metadata": {"managedFields": app.metadata.managed_fields}});
            let name = AppKey::of(app).to_string();
            rivals.note_written(&name, argo_cd::last_written(&value));
            wake.application(app);
        };
        let (queue, metrics) = (Arc::clone(queue), Arc::clone(metrics));
        let config = watcher::Config::default();
        let waiting = Arc::clone(&queue);
        let after = move |event: &watcher::Event<Application>| match event {
            watcher::Event::Apply(app) | watcher::Event::Delete(app) => {
                for waits in dependents.of(&AppKey::of(app)) {
                    waiting.add(waits);
                }
            }
            watcher::Event::InitDone => {
                for waits in dependents.all() {
                    waiting.add(waits);
                }
            }
            watcher::Event::Init | watcher::Event::InitApply(_) => {}
        };
        // The agent's own status writes come back here and ask for nothing.
        self.follow(
            config,
            (look, after),
            request_digest,
            move |changed, store| {
                metrics
                    .applications
                    .set(i64::try_from(store.len()).unwrap_or(i64::MAX));
                for app in changed {
                    let reference = ObjectRef::new(&app.name).within(&app.namespace);
                    if store.get(&reference).is_none() {
                        gone.application_gone(app);
                    }
                    queue.add(app.clone());
                }
            },
        )
    }

    fn projects(&mut self, on_change: impl Fn() + Send + 'static) -> Store<AppProject> {
        let config = watcher::Config::default();
        self.follow(config, (|_: &_| {}, |_: &_| {}), version, move |_, _| {
            on_change();
        })
    }

    fn secrets(
        &mut self,
        credentials: &Arc<CurrentCredentials>,
        on_change: impl Fn() + Send + 'static,
    ) -> Store<Secret> {
        let selector = format!(
            "{} in ({}, {})",
            label::SECRET_TYPE,
            secret_type::REPOSITORY,
            secret_type::REPO_CREDS
        );
        let credentials = Arc::clone(credentials);
        let config = watcher::Config::default().labels(&selector);
        self.follow(
            config,
            (|_: &_| {}, |_: &_| {}),
            version,
            move |_, store: &Store<Secret>| {
                if credentials.set_secrets(&store.state()) {
                    on_change();
                }
            },
        )
    }

    fn config_maps(
        &mut self,
        settings: &Arc<SettingsReader>,
        credentials: &Arc<CurrentCredentials>,
        on_change: impl Fn() + Send + 'static,
    ) -> Store<ConfigMap> {
        let (settings, credentials) = (Arc::clone(settings), Arc::clone(credentials));
        let namespace = self.namespace.to_owned();
        let config = watcher::Config::default().labels("app.kubernetes.io/part-of=argocd");
        self.follow(
            config,
            (|_: &_| {}, |_: &_| {}),
            version,
            move |_, store| {
                if read_config_maps(store, &namespace, &settings, &credentials) {
                    on_change();
                }
            },
        )
    }

    /// Keeps a store current and tells what changed, after the store has it. `look` sees each object with
    /// what is not kept of it, and `after` each event that the store has; `print` is what of an object
    /// matters.
    fn follow<K>(
        &mut self,
        config: watcher::Config,
        (look, after): (
            impl Fn(&K) + Send + 'static,
            impl Fn(&watcher::Event<K>) + Send + 'static,
        ),
        print: impl Fn(&K) -> String + Send + 'static,
        mut on_change: impl FnMut(&[AppKey], &Store<K>) + Send + 'static,
    ) -> Store<K>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
            + Clone
            + DeserializeOwned
            + std::fmt::Debug
            + Send
            + Sync
            + 'static,
    {
        let (store, writer) = reflector::store::<K>();
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let stream = watcher(api, config)
            .backoff(CappedBackoff::default())
            .modify(move |object| {
                look(object);
                object.meta_mut().managed_fields = None;
            });
        let mut stream = reflector(writer, stream).boxed();
        let current = store.clone();
        let mut seen = Seen::default();
        self.tasks.spawn(async move {
            loop {
                match stream.try_next().await {
                    Ok(Some(event)) => {
                        let read = |object: &K| (AppKey::of(object), print(object));
                        let changed = seen.note(&event, read);
                        after(&event);
                        if !changed.is_empty() {
                            on_change(&changed, &current);
                        }
                    }
                    Ok(None) => anyhow::bail!("a watch of the agent's own namespace ended"),
                    Err(error) => tracing::warn!(
                        kind = std::any::type_name::<K>(),
                        error = chain(&error),
                        "watch disconnected, reconnecting"
                    ),
                }
            }
        });
        store
    }
}

/// Takes over the ConfigMaps as they are now; says whether that changed anything.
fn read_config_maps(
    store: &Store<ConfigMap>,
    namespace: &str,
    settings: &SettingsReader,
    credentials: &CurrentCredentials,
) -> bool {
    let get = |name: &str| store.get(&ObjectRef::new(name).within(namespace));
    let settings_changed = settings.read(get(config_map::SETTINGS).as_deref());
    let parameters_changed = settings.read_parameters(get(config_map::PARAMETERS).as_deref());
    let trust_changed = credentials.set_trust(
        get(config_map::TLS_CERTS).as_deref(),
        get(config_map::SSH_KNOWN_HOSTS).as_deref(),
    );
    let pause_changed = settings.read_pause(get(config_map::PAUSED).as_deref());
    settings_changed || parameters_changed || trust_changed || pause_changed
}

/// Any difference matters.
fn version<K: ResourceExt>(object: &K) -> String {
    format!(
        "{}/{}",
        object.uid().unwrap_or_default(),
        object.resource_version().unwrap_or_default()
    )
}

/// What of an Application asks for work: everything but its status, and of that the wish to end
/// an operation.
fn request_digest(app: &Application) -> String {
    let annotations: BTreeMap<_, _> = app
        .annotations()
        .iter()
        .filter(|(name, _)| {
            name.starts_with("argocd.argoproj.io/")
                || [
                    annotation::HOLD,
                    annotation::PAUSED,
                    annotation::PRUNE_BUDGET,
                    annotation::DEPENDS_ON,
                ]
                .contains(&name.as_str())
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
