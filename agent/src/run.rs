//! Wiring: clients, watches of the agent's own namespace, workers, and their end.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context;
use gitops_api::AppProject;
use gitops_charts::{ChartFetcher, FetcherConfig};
use gitops_core::attempts::Ask;
use gitops_core::manifest::object::{GroupKind, GroupVersionKind};
use gitops_render::{Renderer, RendererConfig};
use gitops_transport::{HostSlots, chain};
use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::app_key::AppKey;
use crate::applications::cache::AppCaches;
use crate::applications::controller::Controller;
use crate::applications::observed_revisions::ObservedRevisions;
use crate::applications::policy::Limits;
use crate::applications::report::reporter::Reporter;
use crate::applications::sources::Sources;
use crate::applications::sources::outside::Outside;
use crate::applicationsets::Wake;
use crate::args::{Args, Command, RunArgs};
use crate::cluster::Cluster;
use crate::cluster::discovery::Discovery;
use crate::clusters::Clusters;
use crate::configuration::{Configuration, Told};
use crate::dependents::Dependents;
use crate::fence::Fence;
use crate::follower::Follower;
use crate::metrics::Metrics;
use crate::patience::patiently;
use crate::queue::Queue;
use crate::repositories::charts::Charts;
use crate::repositories::manager::{self, ManagerConfig, RepositoryManager};
use crate::request_limits::RequestLimits;
use crate::rivals::Rivals;
use crate::settings::CurrentSettings;
use crate::{
    applications, applicationsets, configuration, digest_key, lease, previews, serve, start,
};

/// Events of one application within this time are answered by one reconciliation.
const COALESCE_DELAY: Duration = Duration::from_millis(20);

/// Threads for work that blocks. Conversations with servers hold at most 24 of them
/// ([`HostSlots`]), which leaves the others for rendering and for reading mirrors.
const BLOCKING_THREADS: usize = 64;

/// Runs the agent until it is told to stop.
///
/// # Errors
/// Whatever makes going on pointless: no API server at start, the lease lost, no render worker.
pub(crate) fn start(args: Args) -> anyhow::Result<()> {
    let Command::Run(args) = args.command;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(BLOCKING_THREADS)
        // Unoptimized builds of the Git and TLS libraries need more than the default 2 MiB; memory
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

    let renderer = renderer(&args)?;
    check_jail(&renderer, args.require_jail, &metrics).await?;
    let fence = Fence::default();
    let Clients { lease, client } = clients(&args, &fence).await?;
    let identity = identity(&args);
    let rivals = Rivals::watch(&client, &args.namespace, &mut tasks);
    let hint = "may the service account list Deployments and StatefulSets of its namespace?";
    let listed = start::waiting_for("the list of other controllers", hint, rivals.listed());
    tokio::select! {
        () = listed => {}
        ended = tasks.join_next() => return finish(ended, &stop),
    }
    // It is as ready as it can be: who takes over from Argo CD waits for that before it is stopped.
    ready.store(true, Ordering::Relaxed);
    tokio::select! {
        gone = rivals.gone(&stop) => if !gone { return Ok(()) },
        ended = tasks.join_next() => return finish(ended, &stop),
    }
    ready.store(false, Ordering::Relaxed);
    tracing::info!(
        namespace = args.namespace,
        identity,
        "waiting for the lease"
    );
    let lease = tokio::select! {
        lease = lease::wait(lease, &args.namespace, identity, fence.clone(), &stop) => lease?,
        // Nothing but a failure to serve ends a task this early.
        ended = tasks.join_next() => return finish(ended, &stop),
    };
    let Some(lease) = lease else { return Ok(()) };
    metrics.leader.set(1);
    tasks.spawn(lease.hold(stop.clone()));
    tasks.spawn(Arc::clone(&rivals).guard(fence, stop.clone()));

    // Tasks of its own until all is there: what ends among those that run already is seen meanwhile.
    let mut watches = JoinSet::new();
    let wake = Arc::<Wake>::default();
    let starting = Box::pin(controller(
        &args,
        client.clone(),
        renderer,
        metrics,
        rivals,
        &wake,
        &mut watches,
    ));
    let controller = tokio::select! {
        controller = starting => controller?,
        ended = tasks.join_next() => return wind_up(ended, tasks, &stop).await,
    };
    let (sets_client, sets) = (client.clone(), args.application_sets);
    applicationsets::start(sets_client, controller.clone(), wake, sets, &mut watches);
    tasks.spawn(all_of(watches));
    ready.store(true, Ordering::Relaxed);
    for _ in 0..args.workers.max(1) {
        let (controller, stop) = (controller.clone(), stop.clone());
        tasks.spawn(async move {
            tokio::select! { () = stop.cancelled() => {}, () = applications::work(controller) => {} }
            Ok(())
        });
    }
    tasks.spawn(previews::answer(client, controller, stop.clone()));
    tracing::info!("the agent runs");
    let ended = tasks.join_next().await;
    wind_up(ended, tasks, &stop).await
}

/// Ends with the first task that ended, when the others have ended too or had their time.
async fn wind_up(
    ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>,
    mut tasks: JoinSet<anyhow::Result<()>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let result = finish(ended, stop);
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

/// Ends with the first of them that fails, or that was not to end.
async fn all_of(mut tasks: JoinSet<anyhow::Result<()>>) -> anyhow::Result<()> {
    while let Some(ended) = tasks.join_next().await {
        ended.context("a task of the agent ended")??;
    }
    Ok(())
}

/// The first task to end decides how the agent ends; all others are told.
fn finish(
    ended: Option<Result<anyhow::Result<()>, tokio::task::JoinError>>,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    stop.cancel();
    match ended {
        Some(Ok(result)) => result,
        Some(Err(error)) => Err(error).context("a task of the agent ended"),
        None => Ok(()),
    }
}

async fn stop_on_signal(stop: CancellationToken) -> anyhow::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).context("cannot wait for signals")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot wait for signals")?;
    tokio::select! {
        _ = terminate.recv() => tracing::info!("received shutdown signal"),
        _ = interrupt.recv() => tracing::info!("received shutdown signal"),
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

/// Clients of the API server.
struct Clients {
    /// For the lease only: it is what opens the fence.
    lease: Client,
    /// For everything else: writes only while the lease is held.
    client: Client,
}

async fn clients(args: &RunArgs, fence: &Fence) -> anyhow::Result<Clients> {
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
    let unfenced = Client::try_from(config.clone());
    let fenced = ClientBuilder::try_from(config).map(|builder| {
        let builder = builder.with_layer(fence).with_layer(&RequestLimits);
        builder.build()
    });
    let cannot = "cannot make a client for the API server";
    Ok(Clients {
        lease: unfenced.context(cannot)?,
        client: fenced.context(cannot)?,
    })
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
        require_jail: args.require_jail,
        output_bytes: args.max_manifests_mib << 20,
        ..RendererConfig::new(program)
    }))
}

/// Starts a render worker once, so that a missing layer of its jail is known before anything is rendered: it is told once,
/// as a warning and a metric, or ends the agent when the jail is required.
async fn check_jail(renderer: &Renderer, required: bool, metrics: &Metrics) -> anyhow::Result<()> {
    let jail = match renderer.probe().await {
        Ok(jail) => jail,
        Err(error) if required => return Err(error).context("--require-jail is set"),
        Err(error) => {
            // Each render says the same; the agent goes on for what needs none.
            tracing::warn!(error = chain(&error), "render workers do not start");
            return Ok(());
        }
    };
    for (layer, in_force) in jail.layers() {
        metrics.jail(layer, in_force);
    }
    if let Some(missing) = jail.missing() {
        tracing::warn!(
            missing,
            "render workers are confined by less than they should be"
        );
    }
    Ok(())
}

fn beside_this_program(name: &str) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe().context("cannot find this binary's own path")?;
    Ok(program.with_file_name(name))
}

async fn controller(
    args: &RunArgs,
    client: Client,
    renderer: Renderer,
    metrics: Arc<Metrics>,
    rivals: Arc<Rivals>,
    wake: &Arc<Wake>,
    tasks: &mut JoinSet<anyhow::Result<()>>,
) -> anyhow::Result<Arc<Controller>> {
    // Whoever needs it makes it again each time: it may be full or read-only for a while.
    if let Err(error) = std::fs::create_dir_all(&args.cache_dir) {
        tracing::warn!(
            directory = %args.cache_dir.display(),
            %error,
            "the cache directory cannot be made; what cannot be kept is asked for again"
        );
    }
    let slots = Arc::new(HostSlots::default());
    let charts = ChartFetcher::new(FetcherConfig {
        max_age: args.poll_interval,
        http: args.limits(),
        local_addresses: args.local_addresses(),
        slots: Arc::clone(&slots),
        ..FetcherConfig::new(args.cache_dir.join("charts"))
    });
    let charts = Charts::new(charts);
    let queue: Arc<Queue<AppKey>> = Arc::default();
    let (settings_reader, settings) = CurrentSettings::new();
    let discovery = start::until_done("the kinds the API server serves", async || {
        Discovery::start(client.clone()).await
    });
    let cluster = Cluster::new(
        client.clone(),
        discovery.await,
        &args.namespace,
        args.concurrency,
        settings.clone(),
        on_objects(queue.clone(), args.namespace.clone()),
        metrics.clone(),
    );
    let cluster = Arc::new(cluster);
    let repositories = RepositoryManager::new(
        ManagerConfig {
            directory: args.cache_dir.join("git"),
            interval: args.poll_interval,
            metrics: metrics.clone(),
            slots,
            cache: Some(args.cache_limit()),
        },
        on_repositories(queue.clone(), wake.clone()),
    );
    tasks.spawn({
        let repositories = repositories.clone();
        async move {
            repositories.sweep().await;
            Ok(())
        }
    });
    let dependents = Arc::<Dependents>::default();
    let told = Told {
        queue: &queue,
        wake,
        rivals,
        dependents: Arc::clone(&dependents),
    };
    let configuration =
        configuration::read(args, &client, told, &metrics, settings_reader, tasks).await?;
    let configuration = Arc::new(configuration);
    metrics.argo_cd.tell_of(configuration.applications.clone());
    metrics.argo_cd.serves(&cluster.discovery.kinds().version);
    queue.group_by({
        let configuration = Arc::clone(&configuration);
        move |key| {
            let app = configuration.application(key);
            app.map_or_else(String::new, |app| app.spec.effective_project().to_owned())
        }
    });
    ensure_default_project(&client, &configuration).await;
    let controller = Arc::new(Controller {
        sources: Sources {
            configuration: configuration.clone(),
            settings: settings.clone(),
            digest_key: digest_key::read(&client, &args.namespace).await?,
            repositories,
            charts,
            outside: Outside::default(),
            renderer,
            metrics: metrics.clone(),
        },
        configuration,
        clusters: Clusters::new(cluster.clone()),
        reporter: Reporter::new(client, metrics.clone()),
        observed_revisions: ObservedRevisions::default(),
        dependents,
        caches: AppCaches::default(),
        queue,
        limits: Limits {
            poll_interval: args.poll_interval,
            sync_timeout: Some(args.sync_timeout).filter(|limit| !limit.is_zero()),
            prune_budget: args.prune_budget,
            checks_askers: args.checks_askers(),
        },
        metrics,
    });
    let watches = cluster.watches.clone();
    tokio::spawn(async move {
        if let Err(error) = watches.ensure_in_use(hook_kinds()).await {
            tracing::warn!(
                error = chain(&error),
                "cannot look for hooks of applications that are gone"
            );
        }
    });
    tasks.spawn(follow_kinds(cluster, controller.clone()));
    tasks.spawn(follow_settings(settings, controller.clone()));
    controller.requeue_all();
    Ok(controller)
}

/// What hooks are, but for rare ones: the agent's finalizer on one whose application is gone is found
/// at start only on these.
fn hook_kinds() -> Vec<GroupVersionKind> {
    let kinds = [("batch", "Job"), ("", "Pod")].into_iter();
    let kinds = kinds.map(|(group, kind)| GroupVersionKind {
        group: group.into(),
        version: "v1".into(),
        kind: kind.into(),
    });
    kinds.collect()
}

/// Applications that name no project belong to `default`, which allows everything until somebody
/// says otherwise; Argo CD creates it the same way.
async fn ensure_default_project(client: &Client, configuration: &Configuration) {
    let name = gitops_api::constants::DEFAULT_PROJECT;
    if configuration.project(name).is_some() {
        return;
    }
    let project: Result<AppProject, _> = serde_json::from_value(serde_json::json!({
        "metadata": {"name": name, "namespace": configuration.namespace},
        "spec": {
            "sourceRepos": ["*"],
            "destinations": [{"server": "*", "namespace": "*"}],
            "clusterResourceWhitelist": [{"group": "*", "kind": "*"}],
        },
    }));
    let Ok(project) = project else { return };
    let api: Api<AppProject> = Api::namespaced(client.clone(), &configuration.namespace);
    let params = kube::api::PostParams::default();
    match patiently(Ask::Create, || api.create(&params, &project)).await {
        Ok(_) => tracing::info!("created the project default"),
        Err(kube::Error::Api(error)) if error.code == 409 => {}
        Err(error) => tracing::warn!(
            error = chain(&error),
            "the project default does not exist and could not be created"
        ),
    }
}

fn on_objects(queue: Arc<Queue<AppKey>>, namespace: String) -> crate::cluster::watch::OnChange {
    Arc::new(move |instances| {
        let queue = &queue;
        for instance in instances {
            tracing::debug!(instance, "an object changed");
            let key = AppKey::of_instance(&instance, &namespace);
            queue.add_after(key, COALESCE_DELAY);
        }
    })
}

fn on_repositories(queue: Arc<Queue<AppKey>>, wake: Arc<Wake>) -> manager::OnChange<Follower> {
    Arc::new(move |followers: BTreeSet<Follower>| {
        for follower in followers {
            match follower {
                Follower::Application(app) => queue.add(app),
                Follower::ApplicationSet(set) => wake.set(set),
            }
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
        let interval = current.reconciliation.or(controller.limits.poll_interval);
        controller.sources.repositories.set_interval(interval);
        let latest = settings.rules();
        for cluster in controller.clusters.all() {
            cluster.watches.drop_unneeded();
            let agrees = |kind: &GroupKind| latest.agrees_with(&rules, kind);
            cluster.watches.judge_again(agrees);
        }
        rules = latest;
        match settings.changed().await {
            Some(changed) => current = changed,
            None => anyhow::bail!("the watch of argocd-cm ended"),
        }
    }
}

/// Reconciles every application when the kinds a cluster serves change.
async fn follow_kinds(cluster: Arc<Cluster>, controller: Arc<Controller>) -> anyhow::Result<()> {
    cluster.follow_kinds(|| controller.requeue_all()).await;
    anyhow::bail!("the watch of CustomResourceDefinitions ended")
}
