//! `wait` for several Applications: one watch for all of them, a line for each, and a verdict over all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use futures::{StreamExt, stream};
use gitops_api::Application;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::interrupt::Listener;
use gitops_kit::progress::Progress;
use gitops_kit::text;
use jiff::Timestamp;
use kube::api::ListParams;
use kube::runtime::watcher::Event;
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, ResourceExt};
use tokio::time::MissedTickBehavior;

use crate::cluster::connection::Connection;
use crate::cluster::follow::{Verdict, end, refusal};
use crate::cluster::{application, look};
use crate::commands::sync::goal::{Goal, Judgement, WaitState, judge};

/// How often a verdict that may depend on time is asked for again.
const PULSE: Duration = Duration::from_secs(5);
/// Requests for a look at Git under way at the same time.
const MAX_CONCURRENT: usize = 8;
/// Names in a line of what is still waited for.
const SHOWN: usize = 3;

/// One of the Applications.
struct Waited {
    state: WaitState,
    seen: Option<Application>,
    /// How far it is, in the words of the judge.
    said: String,
    /// Whether it is as wanted; `None` while it is waited for.
    ended: Option<bool>,
}

impl Waited {
    fn new() -> Self {
        Self {
            state: WaitState::new(Timestamp::now()),
            seen: None,
            said: "not seen yet".into(),
            ended: None,
        }
    }
}

/// Waits until every Application with these labels is as wanted, or will not be. Those that come
/// meanwhile are waited for, too.
pub(super) async fn wait(
    namespace: &str,
    selector: Option<&str>,
    connection: &Connection,
    goal: &Goal,
    deadline: Option<Instant>,
    progress: &mut Progress,
) -> Result<ExitStatus, CommandError> {
    let labels = selector.unwrap_or_default();
    let params = ListParams::default().labels(labels);
    let found = application::list(Some(namespace), params, connection).await?;
    if found.is_empty() {
        let none = application::none_found(Some(namespace), selector, connection).await;
        return Err(CommandError::new(CommandErrorKind::NotFound, none));
    }
    let mut waited: BTreeMap<String, Waited> = BTreeMap::new();
    waited.extend(found.iter().map(|one| (one.name_any(), Waited::new())));
    progress.begin(&format!(
        "letting the agent look at {} Applications",
        found.len()
    ));
    // What was pushed a moment ago counts, where the user may ask for a look.
    let asked = stream::iter(&found)
        .map(|one| look::ask(one, "normal", connection))
        .buffer_unordered(MAX_CONCURRENT);
    let asked: Vec<_> = asked.collect().await;
    let asked: Vec<bool> = asked.into_iter().collect::<Result<_, _>>()?;
    if asked.contains(&false) {
        progress.info(
            "you may not ask the agent to look at Git (patch applications); it looks at its poll interval",
        );
    }
    let patience = Instant::now() + super::LOOK;

    let api: Api<Application> = Api::namespaced(connection.client.clone(), namespace);
    let config = watcher::Config::default().labels(labels);
    let mut events = watcher(api, config).default_backoff().boxed();
    let interrupted = Listener::new();
    let mut late = std::pin::pin!(end(deadline.map(tokio::time::Instant::from_std)));
    let mut pulse = tokio::time::interval(PULSE);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Ok(Event::Apply(one) | Event::InitApply(one))) => {
                    let known = waited.entry(one.name_any()).or_insert_with(Waited::new);
                    known.seen = Some(one);
                }
                Some(Ok(Event::Delete(one))) => {
                    if let Some(known) = waited.get_mut(&one.name_any()).filter(|it| it.ended.is_none()) {
                        progress.failed(&format!("{}: it was deleted", one.name_any()));
                        known.ended = Some(false);
                    }
                }
                Some(Ok(Event::Init | Event::InitDone)) => {}
                Some(Err(error)) => refusal(error, connection)?,
                None => return Ok(ExitStatus::No),
            },
            _ = pulse.tick() => {}
            () = &mut late => {
                for (name, one) in waited.iter_mut().filter(|(_, one)| one.ended.is_none()) {
                    progress.failed(&format!("{name}: not in time: {}", one.said));
                    one.ended = Some(false);
                }
                return Ok(summary(&waited, namespace, progress));
            }
            () = interrupted.told_to_stop() => {
                progress.clear();
                progress.warn("stopped waiting; the cluster goes on by itself");
                return Ok(ExitStatus::Interrupted);
            }
        }
        let looks = Instant::now() < patience;
        for (name, one) in waited.iter_mut().filter(|(_, one)| one.ended.is_none()) {
            verdict(name, one, goal, looks, progress);
        }
        if waited.values().all(|one| one.ended.is_some()) {
            return Ok(summary(&waited, namespace, progress));
        }
        progress.update(&left(&waited));
    }
}

/// Takes note of how one is, and says it when that is the end.
fn verdict(name: &str, one: &mut Waited, goal: &Goal, looks: bool, progress: &mut Progress) {
    let Some(seen) = &one.seen else { return };
    if looks && look::is_asked(seen) {
        one.said = "the agent looks at Git".into();
        return;
    }
    match judge(seen, goal, &mut one.state, Timestamp::now()) {
        Judgement::Verdict(Verdict::Done(text)) => {
            progress.done(&text);
            one.ended = Some(true);
        }
        Judgement::Verdict(Verdict::Failed(text, _)) => {
            progress.failed(&text);
            one.ended = Some(false);
        }
        Judgement::Verdict(Verdict::Wait(text)) => {
            let own = text
                .strip_prefix(name)
                .and_then(|text| text.strip_prefix(": "));
            own.unwrap_or(&text).clone_into(&mut one.said);
        }
        // Only a commit is asked about, and several Applications have none in common.
        Judgement::Verdict(Verdict::Pause) | Judgement::Ask(_) => {}
    }
}

/// `2 of 5 Applications: waiting for web, db and 1 more`
fn left(waited: &BTreeMap<String, Waited>) -> String {
    let pending: Vec<&str> = waited
        .iter()
        .filter(|(_, one)| one.ended.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    format!(
        "{} of {} Applications: waiting for {}",
        waited.len() - pending.len(),
        waited.len(),
        text::first_few(&pending, SHOWN)
    )
}

fn summary(
    waited: &BTreeMap<String, Waited>,
    namespace: &str,
    progress: &mut Progress,
) -> ExitStatus {
    let not: Vec<&str> = waited
        .iter()
        .filter(|(_, one)| one.ended != Some(true))
        .map(|(name, _)| name.as_str())
        .collect();
    let all = waited.len();
    let Some(first) = not.first() else {
        progress.done(&format!("all {all} Applications"));
        return ExitStatus::Success;
    };
    progress.failed(&format!(
        "{} of {all} Applications are not as wanted",
        not.len()
    ));
    progress.info(&format!(
        "more: kubectl gitops explain {first} -n {namespace}, kubectl gitops status -n {namespace} --unhealthy"
    ));
    ExitStatus::No
}
