//! Wiring: clients, watches of the agent's own namespace, workers, and their end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use gitops_api::AppProject;
use gitops_charts::{ChartFetcher, FetcherConfig};
use gitops_render::{Renderer, RendererConfig};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Config};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::applications::{AppKey, Cluster, Controller, ObservedRevisions, Reporter, key_of};
use crate::args::{Args, Command, RunArgs};
use crate::cluster::discovery::Discovery;
use crate::cluster::index::Index;
use crate::cluster::watch::{CappedBackoff, Watches};
use crate::cluster::write::Writer;
use crate::metrics::Metrics;
use crate::queue::Queue;
use crate::repositories::hub::RepositoryManager;
use crate::settings::CurrentSettings;
use crate::{configuration, lease, previews, serve};

/// Events of one application within this time are answered by one reconciliation.
const COALESCE: Duration = Duration::from_millis(20);

/// Runs the agent until it is told to stop.
///
/// # Errors
/// Whatever makes going on pointless: no API server at start, the lease lost, no render worker.
pub(crate) fn start(args: Args) -> anyhow::Result<()> {
    let Command::Run(args) = args.command;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(32)
        // Unoptimised builds of the Git and TLS libraries need more than the default 2 MiB; memory
        // is only taken as it is used.
        .thread_stack_size(8 << 20)
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    runtime.block_on(run(args))
}

async fn run(args: RunArgs) -> anyhow::Result<()> {
    let stop = CancellationToken::new();
    let metrics = Arc::new(Metrics::new());
    let ready = Arc::new(AtomicBool::new(false));
    let mut tasks: JoinSet<anyhow::Result<()>> = JoinSet::new();
    tasks.spawn(stop_on_signal(stop.clone()));
    tasks.spawn(serve::serve(
        args.metrics_addr,
        metrics.clone(),
        ready.clone(),
        stop.clone(),
    ));

    let client = client(&args).await?;
    let identity = identity(&args);
    tracing::info!(
        namespace = args.namespace,
        identity,
        "waiting for the lease"
    );
    let lease = tokio::select! {
        lease = lease::wait(client.clone(), &args.namespace, identity, &stop) => lease?,
        // Nothing but a failure to serve ends a task this early.
        ended = tasks.join_next() => return finish(ended, &stop),
    };
    let Some(lease) = lease else { return Ok(()) };
    metrics.leader.set(1);
    tasks.spawn(lease.hold(stop.clone()));

    let controller = controller(&args, client, metrics, &mut tasks).await?;
    ready.store(true, Ordering::Relaxed);
    for _ in 0..args.workers.max(1) {
        let (controller, stop) = (controller.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, () = controller.work() => {} }
            Ok(())
        });
    }
    tasks.spawn(previews::answer(controller, stop.clone()));
    tracing::info!("the agent runs");
    let ended = tasks.join_next().await;
    let result = finish(ended, &stop);
    // The lease is given back and open requests are answered before the process ends.
    let rest = async {
        while let Some(ended) = tasks.join_next().await {
            if let Ok(Err(error)) = ended {
                tracing::debug!(error = format!("{error:#}"), "ended");
            }
        }
    };
    if tokio::time::timeout(Duration::from_secs(5), rest)
        .await
        .is_err()
    {
        tasks.abort_all();
    }
    result
}

/// The first task to end decides how the agent ends; all others are told.
fn finish(
    ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    stop.cancel();
    match ended {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(error).context("a part of the agent broke off"),
        None => Ok(()),
    }
}

async fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("told to stop"),
        _ = interrupt.recv() => tracing::info!("told to stop"),
        () = stop.cancelled() => {}
    }
    Ok(())
}

/// One name a process: the Pod's, so that a restarted container takes its own lease again at once.
fn identity(args: &RunArgs) -> String {
    args.identity.clone().unwrap_or_else(|| {
        std::env::var("HOSTNAME").unwrap_or_else(|_| format!("gitops-agent-{}", std::process::id()))
    })
}

async fn client(args: &RunArgs) -> anyhow::Result<Client> {
    let mut config = match &args.kubeconfig {
        Some(path) => {
            let kubeconfig = Kubeconfig::read_from(path)
                .with_context(|| format!("cannot read kubeconfig {}", path.display()))?;
            Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
                .await
                .with_context(|| format!("cannot use kubeconfig {}", path.display()))?
        }
        None => Config::incluster().context(
            "this process does not run in a Pod with a service account; give --kubeconfig FILE",
        )?,
    };
    // Retries are decided where it is known whether they make sense.
    config.default_retry = false;
    config.connect_timeout = Some(Duration::from_secs(5));
    Client::try_from(config).context("cannot make a client for the API server")
}

fn renderer(args: &RunArgs) -> anyhow::Result<Renderer> {
    let program = match &args.renderer {
        Some(program) => program.clone(),
        None => beside_this_program("gitops-renderer")?,
    };
    anyhow::ensure!(
        program.is_file(),
        "the render worker {} does not exist; give --renderer FILE",
        program.display()
    );
    Ok(Renderer::new(RendererConfig {
        max_workers: usize::from(args.render_workers),
        memory_bytes: args.render_memory_mib << 20,
        ..RendererConfig::new(program)
    }))
}

fn beside_this_program(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    Ok(program.with_file_name(name))
}

async fn controller(
    args: &RunArgs,
    client: Client,
    metrics: Arc<Metrics>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<Arc<Controller>> {
    let renderer = renderer(args)?;
    std::fs::create_dir_all(&args.cache_dir)
        .with_context(|| format!("cannot make the cache folder {}", args.cache_dir.display()))?;
    let charts = ChartFetcher::new(FetcherConfig {
        max_age: args.poll_interval,
        ..FetcherConfig::new(args.cache_dir.join("charts"))
    })
    .context("cannot make the chart cache")?;
    let queue: Arc<Queue<AppKey>> = Arc::default();
    let discovery = Discovery::start(client.clone())
        .await
        .context("cannot ask the API server which kinds it serves")?;
    let (settings_reader, settings) = CurrentSettings::new();
    let index = Arc::new(Index::new(settings.clone()));
    let watches = Watches::new(
        client.clone(),
        discovery.clone(),
        index.clone(),
        &args.namespace,
        settings.clone(),
        on_objects(queue.clone(), args.namespace.clone()),
        metrics.clone(),
    );
    let hub = RepositoryManager::new(
        args.cache_dir.join("git"),
        args.poll_interval,
        on_repositories(queue.clone()),
        metrics.clone(),
    );
    let configuration =
        configuration::read(args, &client, &queue, &metrics, settings_reader, tasks).await?;
    let writer = Writer::new(
        client.clone(),
        discovery.clone(),
        args.concurrency,
        metrics.clone(),
    );
    let controller = Arc::new(Controller {
        namespace: args.namespace.clone(),
        reporter: Reporter::new(client.clone(), metrics.clone()),
        client: client.clone(),
        configuration,
        settings: settings.clone(),
        hub,
        charts,
        renderer,
        cluster: Cluster {
            discovery,
            index,
            watches,
            writer,
        },
        queue,
        metrics,
        poll_interval: args.poll_interval,
        sync_timeout: Some(args.sync_timeout).filter(|limit| !limit.is_zero()),
        prune_budget: args.prune_budget,
        allow_file: args.allow_file_repositories,
        observed_revisions: ObservedRevisions::default(),
        caches: Mutex::default(),
    });
    ensure_default_project(&controller).await;
    tasks.spawn(follow_definitions(client, controller.clone()));
    tasks.spawn(follow_settings(settings, controller.clone()));
    for app in controller.configuration.applications.state() {
        controller.queue.add(key_of(app.as_ref()));
    }
    Ok(controller)
}

/// Applications that name no project belong to `default`, which allows everything until somebody
/// says otherwise; Argo CD creates it the same way.
async fn ensure_default_project(controller: &Controller) {
    let name = gitops_api::constants::DEFAULT_PROJECT;
    if controller.project(name).is_ok() {
        return;
    }
    let project: Result<AppProject, _> = serde_json::from_value(serde_json::json!({
        "metadata": {"name": name, "namespace": controller.namespace},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }));
    let Ok(project) = project else { return };
    let api: Api<AppProject> = Api::namespaced(controller.client.clone(), &controller.namespace);
    match api
        .create(&kube::api::PostParams::default(), &project)
        .await
    {
        Ok(_) => tracing::info!("created the project default"),
        Err(kube::Error::Api(error)) if error.code == 409 => {}
        Err(error) => tracing::warn!(
            error = crate::cluster::write::chain(&error),
            "the project default does not exist and could not be created"
        ),
    }
}

fn on_objects(queue: Arc<Queue<AppKey>>, namespace: String) -> crate::cluster::watch::OnChange {
    Arc::new(move |instances| {
        let queue = &queue;
        for instance in instances {
            let key = crate::applications::app_key(&instance, &namespace);
            queue.add_after(key, COALESCE);
        }
    })
}

fn on_repositories(queue: Arc<Queue<AppKey>>) -> crate::repositories::hub::OnChange {
    Arc::new(move |apps: BTreeSet<AppKey>| {
        for app in apps {
            queue.add(app);
        }
    })
}

/// Follows those settings that are not read anew at each pass.
async fn follow_settings(
    mut settings: CurrentSettings,
    controller: Arc<Controller>,
) -> anyhow::Result<()> {
    let mut current = settings.get();
    let mut rules = settings.rules();
    loop {
        let interval = current.reconciliation.or(controller.poll_interval);
        controller.hub.set_interval(interval);
        let watches = &controller.cluster.watches;
        watches.drop_unneeded();
        let latest = settings.rules();
        watches.judge_again(|kind| latest.agrees_with(&rules, kind));
        rules = latest;
        match settings.changed().await {
            Some(changed) => current = changed,
            None => anyhow::bail!("the watch of argocd-cm ended"),
        }
    }
}

/// Reads the served kinds again when a CustomResourceDefinition changes.
async fn follow_definitions(client: Client, controller: Arc<Controller>) -> anyhow::Result<()> {
    let api: Api<PartialObjectMeta<CustomResourceDefinition>> = Api::all(client);
    let mut events = watcher(api, watcher::Config::default())
        .backoff(CappedBackoff::default())
        .boxed();
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Apply(_) | watcher::Event::Delete(_))) => {
                // A definition is established a moment after it is stored, in several steps.
                while let Ok(Some(_)) =
                    tokio::time::timeout(Duration::from_millis(200), events.next()).await
                {
                }
                let before = controller.cluster.discovery.kinds();
                if let Err(error) = controller.cluster.discovery.refresh().await {
                    tracing::warn!(
                        error = crate::cluster::write::chain(&error),
                        "kinds could not be read"
                    );
                    continue;
                }
                controller.cluster.watches.drop_unneeded();
                if before.api_versions != controller.cluster.discovery.kinds().api_versions {
                    for app in controller.configuration.applications.state() {
                        controller.queue.add(key_of(app.as_ref()));
                    }
                }
            }
            Ok(Some(_)) => {}
            Ok(None) => anyhow::bail!("the watch of CustomResourceDefinitions ended"),
            Err(error) => {
                tracing::debug!(error = crate::cluster::write::chain(&error), "watch broke");
            }
        }
    }
}
