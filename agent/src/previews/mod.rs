//! Previews: questions people ask about an application, answered once and deleted after a while.
//!
//! Answering changes nothing: not the cluster, not what the agent knows of an application. All
//! state is in the Preview itself, so that another agent can go on.

mod answer;
mod edited_tree;
mod objects;
mod restore;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use futures::{StreamExt, TryStreamExt};
use gitops_api::Preview;
use gitops_api::preview::{KEPT_SECONDS, PreviewPhase, PreviewStatus};
use gitops_core::report::status::seconds;
use gitops_transport::chain;
use jiff::Timestamp;
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::core::PartialObjectMeta;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, ResourceExt};
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::applications::controller::Controller;
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

/// Answers Previews until told to stop.
pub(crate) async fn answer(
    client: Client,
    controller: Arc<Controller>,
    stop: CancellationToken,
) -> anyhow::Result<()> {
    let queue: Arc<Queue<String>> = Arc::default();
    let workers = (0..WORKERS).map(|_| work(client.clone(), controller.clone(), queue.clone()));
    tokio::select! {
        () = stop.cancelled() => {}
        () = notice(client.clone(), &controller.configuration.namespace, &queue) => {}
        _ = futures::future::join_all(workers) => {}
    }
    Ok(())
}

/// Queues every Preview there is and every new one.
async fn notice(client: Client, namespace: &str, queue: &Queue<String>) {
    let api: Api<PartialObjectMeta<Preview>> = Api::namespaced(client, namespace);
    let mut events = watcher(api, watcher::Config::default())
        .backoff(CappedBackoff::default())
        .boxed();
    loop {
        match events.try_next().await {
            Ok(Some(watcher::Event::Apply(preview) | watcher::Event::InitApply(preview))) => {
                queue.add(preview.name_any());
            }
            Ok(Some(_)) => {}
            Ok(None) => return,
            // Without the definition there are no Previews; it may still come.
            Err(error) => tracing::debug!(error = chain(&error), "watch of Previews disconnected"),
        }
    }
}

async fn work(client: Client, controller: Arc<Controller>, queue: Arc<Queue<String>>) {
    loop {
        let name = queue.next().await;
        // An answer that panics costs one Preview, not the agent.
        let task = tokio::spawn(handle(client.clone(), controller.clone(), name.clone()));
        let again = match task.await {
            Ok(Ok(again)) => again,
            Ok(Err(error)) => {
                tracing::warn!(
                    preview = name,
                    error = format!("{error:#}"),
                    "a Preview could not be answered"
                );
                Some(RETRY_DELAY)
            }
            Err(error) => {
                tracing::error!(preview = name, %error, "preview task panicked");
                None
            }
        };
        if let Some(delay) = again {
            queue.add_after(name.clone(), delay);
        }
        queue.done(&name);
    }
}

/// Answers one Preview, or deletes it when it was answered long ago. Returns when to look again.
async fn handle(
    client: Client,
    controller: Arc<Controller>,
    name: String,
) -> anyhow::Result<Option<Duration>> {
    let api: Api<Preview> = Api::namespaced(client, &controller.configuration.namespace);
    let Some(preview) = api.get_opt(&name).await.context("reading it")? else {
        return Ok(None);
    };
    if preview.metadata.deletion_timestamp.is_some() {
        return Ok(None);
    }
    let status = preview.status.as_ref();
    if let Some(completed) = status.and_then(|status| status.completed_at.as_ref()) {
        let left = completed.0.as_second() + KEPT_SECONDS - Timestamp::now().as_second();
        if left > 0 {
            return Ok(Some(Duration::from_secs(left.unsigned_abs())));
        }
        let deleted = api.delete(&name, &DeleteParams::default()).await;
        return match deleted {
            Ok(_) => Ok(None),
            Err(kube::Error::Api(error)) if error.code == 404 => Ok(None),
            Err(error) => Err(error).context("deleting it"),
        };
    }
    if status.is_none_or(|status| status.phase != PreviewPhase::Running) {
        let running = PreviewStatus {
            phase: PreviewPhase::Running,
            ..PreviewStatus::default()
        };
        write(&api, &name, &running).await?;
    }
    tracing::info!(
        preview = name,
        application = preview.spec.application,
        "answering"
    );
    let handled =
        tokio::time::timeout(ANSWER_TIMEOUT, answer::preview(&controller, &preview.spec)).await;
    let mut status = match handled {
        Ok(Ok(status)) => status,
        Ok(Err(message)) => failed(message),
        Err(_) => failed(format!("no answer within {} s", ANSWER_TIMEOUT.as_secs())),
    };
    status.completed_at = Some(seconds(Timestamp::now()));
    write(&api, &name, &status).await?;
    Ok(Some(Duration::from_secs(KEPT_SECONDS.unsigned_abs())))
}

fn failed(message: String) -> PreviewStatus {
    PreviewStatus {
        phase: PreviewPhase::Failed,
        message,
        ..PreviewStatus::default()
    }
}

async fn write(api: &Api<Preview>, name: &str, status: &PreviewStatus) -> anyhow::Result<()> {
    let patch = json!({ "status": status });
    let written = api
        .patch_status(name, &PatchParams::default(), &Patch::Merge(&patch))
        .await;
    match written {
        Ok(_) => Ok(()),
        // Whoever asked does not wait any more.
        Err(kube::Error::Api(error)) if error.code == 404 => Ok(()),
        Err(error) => Err(error).context("writing the answer"),
    }
}
