//! Previews: questions people ask about an application, answered once and deleted after a while.
//!
//! Askers take turns, and see of an object what they may read. Answering changes nothing: not the cluster, not what the agent knows of an application. All
//! state is in the Preview itself, so that another agent can go on.

mod answer;
mod edited_tree;
mod fit;
mod objects;
mod reader;
mod restore;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use gitops_api::Preview;
use gitops_api::preview::{KEPT_SECONDS, PreviewPhase, PreviewStatus};
use gitops_core::attempts::Ask;
use gitops_core::report::requester::Asker;
use gitops_core::report::status::seconds;
use gitops_core::report::turns::{Noticed, Turns};
use gitops_core::report::{size, turns};
use gitops_transport::chain;
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use self::reader::Reader;
use crate::applications::controller::Controller;
use crate::patience::patiently;
use crate::queue::Queue;
use crate::watch_backoff::CappedBackoff;

/// Previews answered at the same time.
const WORKERS: usize = 2;
/// Longest time one answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);
/// How long an answer waits for a server: most of its own time.
const PATIENCE: Duration = Duration::from_secs(90);
/// Pause before an answer that could not be written is tried again.
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// Previews read at a time: each may be as large as an object can be.
const PAGE: u32 = 20;

/// Answers Previews until told to stop.
pub(crate) async fn answer(
    client: Client,
    controller: Arc<Controller>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let previews = Arc::new(Previews {
        api: Api::namespaced(client.clone(), &controller.configuration.namespace),
        client,
        controller,
        turns: Mutex::default(),
        wake: Notify::new(),
        later: Queue::default(),
    });
    let workers = (0..WORKERS).map(|_| previews.work());
    tokio::select! {
        () = stop.cancelled() => {}
        () = previews.notice() => {}
        () = previews.look_again() => {}
        _ = futures::future::join_all(workers) => {}
    }
    Ok(())
}

/// The Previews of the agent's namespace.
struct Previews {
    api: Api<Preview>,
    client: Client,
    controller: Arc<Controller>,
    /// Those that wait for an answer.
    turns: Mutex<Turns>,
    wake: Notify,
    /// Those to be looked at later: to be deleted, or answered after all.
    later: Queue<String>,
}

impl Previews {
    /// Takes up every Preview there is and every new one.
    async fn notice(&self) {
        let config = watcher::Config::default().page_size(PAGE);
        let mut events = watcher(self.api.clone(), config)
            .backoff(CappedBackoff::default())
            .boxed();
        loop {
            match events.try_next().await {
                Ok(Some(watcher::Event::Apply(preview) | watcher::Event::InitApply(preview))) => {
                    self.take_up(&preview).await;
                }
                Ok(Some(_)) => {}
                Ok(None) => return,
                // Without the definition there are no Previews; it may still come.
                Err(error) => {
                    tracing::debug!(error = chain(&error), "watch of Previews disconnected");
                }
            }
        }
    }

    async fn take_up(&self, preview: &Preview) {
        let name = preview.name_any();
        if preview.metadata.deletion_timestamp.is_some() {
            return;
        }
        if let Some(left) = time_left(preview) {
            return self.later.add_after(name, left);
        }
        let asker = self.asker(preview).await;
        let noticed = self.turns.lock().add(asker.name(), &name);
        match noticed {
            Noticed::Waits => self.wake.notify_one(),
            Noticed::Known => {}
            Noticed::TooMany => {
                let refused = completed(failed(turns::too_many()));
                if write(&self.api, &name, &refused).await.is_err() {
                    self.later.add_after(name, RETRY_DELAY);
                }
            }
        }
    }

    async fn asker(&self, preview: &Preview) -> Asker {
        if !self.controller.limits.checks_askers {
            return Asker::unchecked(preview);
        }
        let (policy, binding) = reader::policy(&self.client).await;
        Asker::of(preview, policy.as_ref(), binding.as_ref())
    }

    /// Looks at Previews whose time has come.
    async fn look_again(&self) {
        loop {
            let name = self.later.next().await;
            match self.api.get_opt(&name).await {
                Ok(Some(preview)) if time_left(&preview) == Some(Duration::ZERO) => {
                    let deleted = self.api.delete(&name, &DeleteParams::default()).await;
                    if let Err(error) = deleted
                        && !matches!(&error, kube::Error::Api(error) if error.code == 404)
                    {
                        tracing::debug!(preview = name, error = chain(&error), "not deleted");
                        self.later.add_after(name.clone(), RETRY_DELAY);
                    }
                }
                Ok(Some(preview)) => self.take_up(&preview).await,
                Ok(None) => {}
                Err(_) => self.later.add_after(name.clone(), RETRY_DELAY),
            }
            self.later.done(&name);
        }
    }

    async fn work(self: &Arc<Self>) {
        loop {
            let notified = self.wake.notified();
            let next = self.turns.lock().next_turn();
            let Some((asker, name)) = next else {
                notified.await;
                continue;
            };
            // One notification may stand for several Previews: pass it on.
            self.wake.notify_one();
            // An answer that panics costs one Preview, not the agent.
            let previews = Arc::clone(self);
            let task = tokio::spawn({
                let name = name.clone();
                async move { previews.handle(&name).await }
            });
            let pause = match task.await {
                Ok(Ok(())) => Some(Duration::from_secs(KEPT_SECONDS.unsigned_abs())),
                Ok(Err(error)) => {
                    let error = format!("{error:#}");
                    tracing::warn!(preview = name, error, "a Preview could not be answered");
                    Some(RETRY_DELAY)
                }
                Err(error) => {
                    tracing::error!(preview = name, %error, "preview task panicked");
                    None
                }
            };
            self.turns.lock().done(&asker, &name);
            self.wake.notify_one();
            if let Some(pause) = pause {
                self.later.add_after(name, pause);
            }
        }
    }

    /// Answers one Preview, unless it was answered meanwhile.
    async fn handle(&self, name: &str) -> anyhow::Result<()> {
        let api = &self.api;
        let preview = patiently(Ask::Read, || api.get_opt(name)).await;
        let Some(preview) = preview.context("reading it")? else {
            return Ok(());
        };
        if preview.metadata.deletion_timestamp.is_some() || time_left(&preview).is_some() {
            return Ok(());
        }
        let status = preview.status.as_ref();
        if status.is_none_or(|status| status.phase != PreviewPhase::Running) {
            let running = PreviewStatus {
                phase: PreviewPhase::Running,
                ..PreviewStatus::default()
            };
            write(api, name, &running).await.context("writing it")?;
        }
        let reader = Reader::new(self.client.clone(), self.asker(&preview).await);
        tracing::info!(
            preview = name,
            application = preview.spec.application,
            requester = reader.asker().name(),
            "answering"
        );
        let answer = answer::preview(&self.controller, &preview.spec, &reader);
        let mut status = match tokio::time::timeout(ANSWER_TIMEOUT, answer).await {
            Ok(Ok(status)) => status,
            Ok(Err(message)) => failed(message),
            Err(_) => failed(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
        };
        fit::fit(&mut status);
        match write(api, name, &completed(status)).await {
            // It is no smaller the next time.
            Err(kube::Error::Api(error)) if size::is_too_large(error.code, &error.message) => {
                let message = "the answer is too large to be stored; ask without whole objects, or \
                               make the Application smaller";
                write(api, name, &completed(failed(message.into()))).await
            }
            written => written,
        }
        .context("writing the answer")
    }
}

/// How long an answered Preview is still kept; `None` for one without an answer.
fn time_left(preview: &Preview) -> Option<Duration> {
    let completed = preview.status.as_ref()?.completed_at.as_ref()?;
    let left = completed.0.as_second() + KEPT_SECONDS - Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(left).unwrap_or(0)))
}

fn completed(status: PreviewStatus) -> PreviewStatus {
    PreviewStatus {
        completed_at: Some(seconds(Timestamp::now())),
        ..status
    }
}

fn failed(message: String) -> PreviewStatus {
    PreviewStatus {
        phase: PreviewPhase::Failed,
        message,
        ..PreviewStatus::default()
    }
}

async fn write(api: &Api<Preview>, name: &str, status: &PreviewStatus) -> kube::Result<()> {
    let patch = json!({ "status": status });
    let (params, patch) = (PatchParams::default(), Patch::Merge(&patch));
    match patiently(Ask::Apply, || api.patch_status(name, &params, &patch)).await {
        Ok(_) => Ok(()),
        // Whoever asked does not wait any more.
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        Err(error) => Err(error),
    }
}
