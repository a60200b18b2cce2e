//! Follows one Application until a verdict: by watching it, never by asking again after a pause.
//!
//! Decides nothing about the Application; the caller's judge does. What is decided here: what
//! ends the waiting from outside (time, Ctrl-C, deletion, a refusal of the API server) and what
//! users are told meanwhile.

use std::time::Duration;

use futures::StreamExt;
use gitops_api::Application;
use gitops_api::constants::LEASE_NAME;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::interrupt::Listener;
use gitops_kit::progress::Progress;
use gitops_kit::text;
use gitops_views::status::agent::Agent;
use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::Lease;
use kube::Api;
use kube::runtime::WatchStreamExt;
use kube::runtime::watcher::{self, watch_object};
use tokio::time::{Instant, MissedTickBehavior, Sleep, sleep_until};

use crate::cluster::connection::Connection;
use crate::cluster::failure;
use crate::cluster::installation::AGENT_PODS;

/// How often the agent's Lease is read, and a judge whose verdict may depend on time asked again.
const PULSE: Duration = Duration::from_secs(5);
/// How long the API server may be out of reach before it is said.
const OUT_OF_REACH_TIMEOUT: Duration = Duration::from_secs(3);

/// What a judge says about an Application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Not yet; how far it is.
    Wait(String),
    /// It is as wanted.
    Done(String),
    /// It will not be as wanted.
    Failed(String, ExitStatus),
    /// Something has to be found out first: the following stops without a word. Only for
    /// [`follow_step`].
    Pause,
}

/// Which Application to follow, and for how long.
#[derive(Clone, Debug)]
pub struct Followed<'a> {
    /// Namespace of the Application.
    pub namespace: &'a str,
    /// Name of the Application.
    pub name: &'a str,
    /// Longest wait; `None` waits without end.
    pub timeout: Option<Duration>,
}

/// Waits until the judge decides. The judge may say things of its own on the progress; a verdict's
/// text is said here.
pub async fn follow(
    connection: &Connection,
    followed: &Followed<'_>,
    progress: &mut Progress,
    judge: impl FnMut(&Application, &mut Progress) -> Verdict,
) -> Result<ExitStatus, CommandError> {
    let ended = Box::pin(follow_step(connection, followed, progress, judge)).await?;
    // A judge that pauses here has nothing more to wait for.
    Ok(ended.unwrap_or(ExitStatus::Success))
}

/// The same for a judge that may pause; `None` when it does.
pub async fn follow_step(
    connection: &Connection,
    followed: &Followed<'_>,
    progress: &mut Progress,
    mut judge: impl FnMut(&Application, &mut Progress) -> Verdict,
) -> Result<Option<ExitStatus>, CommandError> {
    let Followed {
        namespace, name, ..
    } = followed;
    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    let mut watched = watch_object(api, name).default_backoff().boxed();
    let interrupted = Listener::new();
    let deadline = followed.timeout.map(|timeout| Instant::now() + timeout);
    let mut deadline = std::pin::pin!(end(deadline));
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut latest: Option<Application> = None;
    let mut said = String::new();
    let mut agent_said = false;
    let mut out_of_reach: Option<Instant> = None;
    loop {
        let application = tokio::select! {
            state = watched.next() => match state {
                Some(Ok(Some(application))) => {
                    out_of_reach = None;
                    latest.insert(application)
                }
                Some(Ok(None)) => {
                    progress.failed(&format!("Application {name} is gone: it was deleted"));
                    return Ok(Some(ExitStatus::No));
                }
                Some(Err(error)) => {
                    let since = *out_of_reach.get_or_insert_with(Instant::now);
                    refusal(error, connection)?;
                    if since.elapsed() >= OUT_OF_REACH_TIMEOUT {
                        progress.warn(&format!(
                            "the API server at {} cannot be reached; trying again",
                            connection.endpoint.server
                        ));
                    }
                    continue;
                }
                // The watch restarts by itself and does not end.
                None => return Err(ended(connection)),
            },
            _ = pulse.tick() => {
                if let Some(warning) = agent_warning(connection, namespace).await {
                    if !std::mem::replace(&mut agent_said, true) {
                        progress.warn(&warning);
                    }
                } else {
                    agent_said = false;
                }
                match &mut latest {
                    Some(application) => application,
                    None => continue,
                }
            }
            () = &mut deadline => {
                progress.failed(&format!(
                    "not in time{}",
                    if said.is_empty() { String::new() } else { format!(": {said}") },
                ));
                return Ok(Some(ExitStatus::No));
            }
            () = interrupted.told_to_stop() => {
                progress.clear();
                progress.warn(&format!(
                    "stopped waiting; the cluster goes on by itself. See: kubectl gitops status \
                     {name} -n {namespace}"
                ));
                return Ok(Some(ExitStatus::Interrupted));
            }
        };
        match judge(application, progress) {
            Verdict::Wait(text) => {
                progress.update(&text);
                said = text;
            }
            Verdict::Done(text) => {
                progress.done(&text);
                return Ok(Some(ExitStatus::Success));
            }
            Verdict::Failed(text, status) => {
                progress.failed(&text);
                return Ok(Some(status));
            }
            Verdict::Pause => return Ok(None),
        }
    }
}

/// The end of a wait; without a deadline there is none that anybody sees.
pub fn end(deadline: Option<Instant>) -> Sleep {
    sleep_until(deadline.unwrap_or_else(|| Instant::now() + Duration::from_hours(24 * 365)))
}

/// What the agent's silence means for somebody who waits; `None` when it is not silent.
async fn agent_warning(connection: &Connection, namespace: &str) -> Option<String> {
    let leases: Api<Lease> = Api::namespaced(connection.client.clone(), namespace);
    let Ok(Ok(Some(lease))) = connection.wait(leases.get_opt(LEASE_NAME)).await else {
        // Not everybody may read Leases, and another controller may be at work.
        return None;
    };
    let now = Timestamp::now();
    match Agent::of(&lease, now) {
        Agent::Stale { renewed } => Some(format!(
            "the agent in namespace {namespace} has been silent for {}; nothing happens until it \
             is back (kubectl -n {namespace} get pods -l {AGENT_PODS})",
            text::age(renewed, now)
        )),
        _ => None,
    }
}

/// What asking again does not cure.
pub fn refusal(error: watcher::Error, connection: &Connection) -> Result<(), CommandError> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error)
            if failure::is_final(&error) =>
        {
            Err(failure::of(
                error,
                "watch Applications",
                &connection.endpoint,
            ))
        }
        _ => Ok(()),
    }
}

fn ended(connection: &Connection) -> CommandError {
    CommandError::new(
        CommandErrorKind::Server,
        format!("the watch at {} ended", connection.endpoint.server),
    )
}
