//! The pool of workers: started on demand, one request each at a time, ended when idle, killed and replaced when they
//! crash, hang or ask for too much, never shared by two projects. A bad request costs itself an error and nothing else.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::config::RendererConfig;
use crate::error::RenderError;
use crate::jail::Jail;
use crate::lookups::Cancellation;
use crate::request::{RenderRequest, Rendered};
use crate::session;
use crate::worker::{RenderSwitch, Switch, Worker};

/// Renders sources. Cheap to clone; clones share their workers.
#[derive(Clone)]
pub struct Renderer {
    shared: Arc<Shared>,
}

/// What a worker does for an ApplicationSet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperation {
    /// Fill templates in Go's language.
    Templates,
    /// Read YAML texts.
    Values,
}

impl SetOperation {
    fn job(self) -> &'static str {
        match self {
            Self::Templates => "templates",
            Self::Values => "values",
        }
    }
}

/// Whose workers serve ApplicationSets: those of no project.
const SET_PARTITION: &str = "\0applicationsets";

struct Shared {
    config: RendererConfig,
    slots: Semaphore,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    workers: Vec<(Worker, Instant)>,
    /// A task is there that ends workers.
    watched: bool,
}

/// Gives a render up when its time is over, or its request is dropped before it is done.
struct GiveUpOnDrop(Option<RenderSwitch>);

impl Drop for GiveUpOnDrop {
    fn drop(&mut self) {
        if let Some(switch) = &self.0 {
            switch.give_up();
        }
    }
}

impl Renderer {
    /// No worker is started yet.
    pub fn new(config: RendererConfig) -> Self {
        let slots = Semaphore::new(config.max_workers.max(1));
        Self {
            shared: Arc::new(Shared {
                config,
                slots,
                idle: Mutex::default(),
            }),
        }
    }

    /// Renders one source. Waits for a free worker, but not for ever; the time limit begins when it is found. Must run
    /// in a Tokio runtime.
    pub async fn render(&self, request: RenderRequest) -> Result<Rendered, RenderError> {
        let spec = &request.source.spec;
        if !request.source.is_chart_archive
            && spec.chart.is_none()
            && spec.path.as_deref().is_none_or(str::is_empty)
            && spec.reference.is_some()
        {
            return Ok(nothing());
        }
        let project = request.app.project.clone();
        let request = Arc::new(request);
        self.run(&project, move |worker, config, cancellation| {
            session::render(worker, config, &request, cancellation)
        })
        .await
    }

    /// Fills templates of ApplicationSets and reads their YAML: `body` is JSON as agent/renderer/appset reads it, the
    /// answers are in the order of its parts. Waits and is limited as [`Self::render`]. Must run in a Tokio runtime.
    pub async fn application_set(
        &self,
        operation: SetOperation,
        body: Vec<u8>,
    ) -> Result<Vec<serde_json::Value>, RenderError> {
        self.run(SET_PARTITION, move |worker, config, _| {
            session::application_set(worker, config, operation.job(), &body)
        })
        .await
    }

    /// Gives a job to a worker, and to another one if the first had ended while it was idle, before it could take it:
    /// that is not the job's fault.
    async fn run<T: Send + 'static>(
        &self,
        project: &str,
        job: impl Fn(&mut Worker, &RendererConfig, &Cancellation) -> Result<T, RenderError>
        + Send
        + Sync
        + 'static,
    ) -> Result<T, RenderError> {
        let job = Arc::new(job);
        match self.attempt(project, &job).await {
            Err(Lost {
                error: _,
                retry: true,
            }) => self.attempt(project, &job).await.map_err(|lost| lost.error),
            result => result.map_err(|lost| lost.error),
        }
    }

    /// Starts a worker and ends it, to know that one can be started, and what confines it. Must run in a Tokio runtime.
    ///
    /// # Errors
    /// When it does not start, or lacks a layer of its jail and [`RendererConfig::require_jail`] is set.
    pub async fn probe(&self) -> Result<Jail, RenderError> {
        let shared = Arc::clone(&self.shared);
        let switch = RenderSwitch::new(Switch::default());
        let _guard = GiveUpOnDrop(Some(switch.clone()));
        let started = tokio::task::spawn_blocking(move || {
            Worker::start(&shared.config, switch.worker(), "").map(|worker| worker.jail().clone())
        });
        let config = &self.shared.config;
        match tokio::time::timeout(config.timeout, started).await {
            Ok(Ok(result)) => result,
            Ok(Err(panicked)) => Err(RenderError::Crashed {
                detail: panicked.to_string(),
            }),
            Err(_) => Err(RenderError::Timeout(config.timeout)),
        }
    }

    async fn attempt<T, F>(&self, project: &str, work: &Arc<F>) -> Result<T, Lost>
    where
        T: Send + 'static,
        F: Fn(&mut Worker, &RendererConfig, &Cancellation) -> Result<T, RenderError>
            + Send
            + Sync
            + 'static,
    {
        let shared = Arc::clone(&self.shared);
        let config = &self.shared.config;
        // Held until the worker is back, or the render given up: then its worker is dead and its thread about to end.
        let free = shared.slots.acquire();
        let _slot = match tokio::time::timeout(config.queue_timeout, free).await {
            Ok(Ok(slot)) => slot,
            Ok(Err(_)) => {
                return Err(Lost::from(RenderError::Crashed {
                    detail: "the renderer is closed".to_owned(),
                }));
            }
            Err(_) => {
                return Err(Lost::from(RenderError::Busy {
                    waited: config.queue_timeout,
                    workers: config.max_workers.max(1),
                }));
            }
        };
        let (reused, retired) = shared.take_idle(project);
        let was_idle = reused.is_some();
        let switch =
            RenderSwitch::new(reused.as_ref().map_or_else(Switch::default, Worker::switch));
        let mut guard = GiveUpOnDrop(Some(switch.clone()));
        let job = tokio::task::spawn_blocking({
            let (shared, work) = (Arc::clone(&shared), Arc::clone(work));
            let project = project.to_owned();
            move || {
                drop(retired);
                // It may have waited for a thread until nobody waited for it.
                if switch.cancellation().is_cancelled() {
                    return Err(RenderError::Timeout(shared.config.timeout));
                }
                let mut worker = match reused {
                    Some(worker) => worker,
                    None => Worker::start(&shared.config, switch.worker(), &project)?,
                };
                worker.begin_job();
                let cancellation = switch.cancellation();
                let result = work(&mut worker, &shared.config, cancellation);
                let retry = was_idle
                    && !worker.has_answered()
                    && matches!(result, Err(RenderError::Crashed { .. }));
                Ok::<_, RenderError>((result.map_err(|error| Lost { error, retry }), worker))
            }
        });
        let finished = tokio::time::timeout(config.timeout, job).await;
        let Ok(finished) = finished else {
            // The guard kills the worker and ends what its thread does.
            return Err(Lost::from(RenderError::Timeout(config.timeout)));
        };
        let (result, worker) = match finished {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(error)) => return Err(Lost::from(error)),
            Err(panicked) => {
                return Err(Lost::from(RenderError::Crashed {
                    detail: panicked.to_string(),
                }));
            }
        };
        guard.0 = None;
        if worker.is_free() {
            shared.put_idle(worker);
        }
        result
    }
}

/// A render that failed, and whether another worker may do better.
struct Lost {
    error: RenderError,
    retry: bool,
}

impl From<RenderError> for Lost {
    fn from(error: RenderError) -> Self {
        Self {
            error,
            retry: false,
        }
    }
}

fn nothing() -> Rendered {
    Rendered {
        objects: Vec::new(),
        source_type: crate::SourceType::Directory,
        inputs: crate::InputSet::default(),
        warnings: Vec::new(),
        without: Vec::new(),
    }
}

impl Shared {
    /// The worker of a project that was used last, whose memory is warm, if it still lives. Without one, those of other
    /// projects that have been idle longest make room: there are never more workers than slots. Ending takes a moment, so
    /// it is left to the caller.
    fn take_idle(&self, project: &str) -> (Option<Worker>, Vec<Worker>) {
        let mut retired = Vec::new();
        let mut idle = self.idle.lock();
        while let Some(place) = idle
            .workers
            .iter()
            .rposition(|(worker, _)| worker.partition() == project)
        {
            let (worker, _) = idle.workers.remove(place);
            if worker.is_running() {
                return (Some(worker), retired);
            }
            retired.push(worker);
        }
        while idle.workers.len() > self.slots.available_permits() {
            retired.push(idle.workers.remove(0).0);
        }
        (None, retired)
    }

    fn put_idle(self: &Arc<Self>, worker: Worker) {
        let mut idle = self.idle.lock();
        idle.workers.push((worker, Instant::now()));
        if !idle.watched {
            idle.watched = true;
            tokio::spawn(end_idle(Arc::downgrade(self), self.config.idle));
        }
    }

    /// Takes out the workers that were idle for too long, and says when to look again.
    fn expired(&self) -> (Vec<Worker>, Option<Instant>) {
        let mut idle = self.idle.lock();
        let now = Instant::now();
        let limit = self.config.idle;
        let (old, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut idle.workers)
            .into_iter()
            .partition(|(_, since)| now - *since >= limit);
        idle.workers = kept;
        let next = idle.workers.iter().map(|(_, since)| *since + limit).min();
        idle.watched = next.is_some();
        (old.into_iter().map(|(worker, _)| worker).collect(), next)
    }
}

async fn end_idle(shared: Weak<Shared>, first: Duration) {
    let mut wake = Instant::now() + first;
    loop {
        tokio::time::sleep_until(wake.into()).await;
        let Some(shared) = shared.upgrade() else {
            return;
        };
        let (old, next) = shared.expired();
        drop(shared);
        drop(old);
        match next {
            Some(next) => wake = next,
            None => return,
        }
    }
}
