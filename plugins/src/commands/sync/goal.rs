//! What `wait` waits for, and the verdict on an Application: reached, on its way, or not to be
//! reached, with the reason.
//!
//! Whether one commit contains another is not decided here: a judgement may ask for it.

use std::collections::BTreeMap;

use gitops_api::constants::{annotation, condition};
use gitops_api::{Application, HealthStatusCode, Hold, SyncStatusCode};
use gitops_core::reason::Code;
use gitops_core::report::good;
use gitops_kit::exit::ExitStatus;
use gitops_kit::text;
use gitops_views::status::{pause, reason};
use jiff::{SignedDuration, Timestamp};

use crate::cluster::follow::Verdict;
use crate::commands::sync::{state, verdict};

/// Seconds a state that is probably older than the commit may last until it counts.
const STALE_SECONDS: i64 = 60;
/// Seconds after which something not known is asked again.
const ASK_AGAIN_SECONDS: i64 = 10;

/// What is waited for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Goal {
    /// This commit or one that contains it is live.
    pub commit: Option<String>,
    /// Live is what Git says.
    pub synced: bool,
    /// Everything works.
    pub healthy: bool,
    /// For so long it has to work without a break.
    pub healthy_for: SignedDuration,
}

/// What is known of a revision that is not the commit itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Containment {
    /// It contains the commit.
    Yes,
    /// It does not.
    No,
    /// It could not be found out, for this reason.
    Unknown(String),
}

/// What has to be remembered between judgements.
#[derive(Clone, Debug)]
pub struct WaitState {
    /// Begin of the wait.
    pub started: Timestamp,
    degraded_since: Option<Timestamp>,
    blocked_since: Option<Timestamp>,
    /// Revisions, what is known of them, and when that was found.
    known: BTreeMap<String, (Containment, Timestamp)>,
    unknown_since: Option<Timestamp>,
}

impl WaitState {
    /// Nothing is known yet.
    pub fn new(started: Timestamp) -> Self {
        Self {
            started,
            degraded_since: None,
            blocked_since: None,
            known: BTreeMap::new(),
            unknown_since: None,
        }
    }

    /// Takes note of an answer.
    pub fn note(&mut self, revision: String, found: Containment, now: Timestamp) {
        match found {
            Containment::Unknown(_) => {
                self.unknown_since.get_or_insert(now);
            }
            _ => self.unknown_since = None,
        }
        self.known.insert(revision, (found, now));
    }
}

/// A verdict, or what has to be found out first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// The verdict.
    Verdict(Verdict),
    /// Whether this revision contains the commit.
    Ask(String),
}

/// Judges an Application.
pub fn judge(
    application: &Application,
    goal: &Goal,
    wait_state: &mut WaitState,
    now: Timestamp,
) -> Judgement {
    let (_, name) = state::name(application);
    let verdict = match &goal.commit {
        None => settled(application, goal, wait_state, now),
        Some(commit) => {
            let live = match contain(&state::live(application), commit, wait_state, now) {
                Ok(found) => found,
                Err(ask) => return Judgement::Ask(ask),
            };
            if live {
                settled(application, goal, wait_state, now)
            } else {
                let compared = match contain(&state::compared(application), commit, wait_state, now)
                {
                    Ok(found) => found,
                    Err(ask) => return Judgement::Ask(ask),
                };
                let tip: Vec<&str> = tip(application).into_iter().collect();
                let is_tip = match contain(&tip, commit, wait_state, now) {
                    Ok(found) => found,
                    Err(ask) => return Judgement::Ask(ask),
                };
                if compared {
                    on_its_way(application, commit, wait_state, now)
                } else if let Some(broken) = state::blocked(application).filter(|_| is_tip) {
                    failed(text::one_line(&broken.message))
                } else {
                    not_seen(application, commit, wait_state, now)
                }
            }
        }
    };
    Judgement::Verdict(match verdict {
        Verdict::Wait(text) => Verdict::Wait(format!("{name}: {text}")),
        Verdict::Done(text) => Verdict::Done(format!("{name}: {text}")),
        Verdict::Failed(text, status) => Verdict::Failed(format!("{name}: {text}"), status),
        Verdict::Pause => Verdict::Pause,
    })
}

/// The tip of what is followed, when it cannot be compared.
fn tip(application: &Application) -> Option<&str> {
    let tracked = application.status.as_ref()?.tracked.as_ref()?;
    Some(tracked.revision.as_str())
}

/// Whether one of the revisions is the commit or contains it; an error names the one to ask about.
fn contain(
    revisions: &[&str],
    commit: &str,
    wait_state: &WaitState,
    now: Timestamp,
) -> Result<bool, String> {
    if revisions.iter().any(|revision| is_same(revision, commit)) {
        return Ok(true);
    }
    // A chart's version contains no commit.
    let commits = revisions
        .iter()
        .filter(|revision| crate::git::is_object_id(revision));
    for revision in commits {
        match wait_state.known.get(*revision) {
            Some((Containment::Yes, _)) => return Ok(true),
            Some((Containment::No, _)) => {}
            Some((Containment::Unknown(_), asked))
                if now.as_second() - asked.as_second() < ASK_AGAIN_SECONDS => {}
            _ => return Err((*revision).to_owned()),
        }
    }
    Ok(false)
}

/// Whether a revision is the commit, which may be shortened.
pub fn is_same(revision: &str, commit: &str) -> bool {
    commit.len() >= 7
        && revision
            .get(..commit.len())
            .is_some_and(|begin| begin.eq_ignore_ascii_case(commit))
}

fn failed(text: impl Into<String>) -> Verdict {
    Verdict::Failed(text.into(), ExitStatus::No)
}

/// The commit, or no particular one, is live: whether everything else is as wanted.
fn settled(
    application: &Application,
    goal: &Goal,
    wait_state: &mut WaitState,
    now: Timestamp,
) -> Verdict {
    if let Some(condition) = state::blocked(application) {
        return failed(text::one_line(&condition.message));
    }
    let sync = state::sync(application);
    let health = state::health(application);
    let busy = state::under_way(application);
    if goal.synced && sync != SyncStatusCode::Synced {
        return out_of_sync(application, busy, now);
    }
    if health != HealthStatusCode::Degraded || busy.is_some() {
        wait_state.degraded_since = None;
    }
    let why = || {
        state::unhealthy(application, health)
            .map_or_else(|| health.to_string(), |why| format!("{health}: {why}"))
    };
    if goal.healthy {
        match health {
            HealthStatusCode::Healthy | HealthStatusCode::Suspended => {}
            HealthStatusCode::Degraded if busy.is_none() => {
                let since = *wait_state.degraded_since.get_or_insert(now);
                if now.as_second() - since.as_second() >= verdict::DEGRADED_SECONDS {
                    return failed(why());
                }
                return Verdict::Wait(why());
            }
            _ => return Verdict::Wait(why()),
        }
    }
    if goal.synced && busy.is_some() {
        return Verdict::Wait(doing(application));
    }
    if goal.healthy
        && let Some(left) = proving(application, goal, now)
    {
        return Verdict::Wait(left);
    }
    let at = state::spell(&state::live(application));
    let at = if at.is_empty() {
        String::new()
    } else {
        format!(" at {at}")
    };
    let contains = match &goal.commit {
        Some(commit)
            if !state::live(application)
                .iter()
                .any(|live| is_same(live, commit)) =>
        {
            format!(", which contains {}", text::short_revision(commit))
        }
        _ => String::new(),
    };
    Verdict::Done(format!("{sync}, {health}{at}{contains}"))
}

/// Why nothing is going to be synced.
fn paused(application: &Application, now: Timestamp) -> Option<String> {
    let words = pause::summary(application, now)?;
    Some(format!("{words}; go on with: kubectl gitops resume"))
}

/// What is said of a deployment that is healthy and not for long enough; `None` when it is, or nobody
/// knows, or nothing of it could lose its health.
fn proving(application: &Application, goal: &Goal, now: Timestamp) -> Option<String> {
    let status = application.status.as_ref()?;
    let newest = status.history.len().checked_sub(1)?;
    let digest = &status.history[newest].desired_digest;
    let is_live = status.sync.as_ref()?.desired_digest == *digest;
    let may_break = status.resources.iter().any(|one| one.health.is_some());
    if !is_live || !may_break {
        return None;
    }
    match good::judge_after(&status.history, newest, now, goal.healthy_for) {
        good::Verdict::Proving { since, good_at } => Some(format!(
            "Healthy for {}, good after {}",
            text::age(since, now),
            text::age(since, good_at)
        )),
        _ => None,
    }
}

fn out_of_sync(application: &Application, busy: Option<&str>, now: Timestamp) -> Verdict {
    if let Some(paused) = paused(application, now) {
        return failed(paused);
    }
    if busy.is_some() {
        return Verdict::Wait(doing(application));
    }
    if let Some(last) = state::last_operation(application)
        && last.phase.is_completed()
        && !last.phase.is_successful()
    {
        return failed(format!("sync failed: {}", text::one_line(&last.message)));
    }
    let why = reason::of(application, now, false).map_or(String::new(), |reason| reason.text);
    if state::sync(application) == SyncStatusCode::OutOfSync && !state::is_automated(application) {
        return failed(format!(
            "OutOfSync, and nobody syncs it: automated sync is off ({why})"
        ));
    }
    Verdict::Wait(format!("{}: {why}", state::sync(application)))
}

fn doing(application: &Application) -> String {
    match state::last_operation(application).filter(|last| !last.phase.is_completed()) {
        Some(last) => verdict::running(last),
        None => "waiting for the agent to begin the sync".to_owned(),
    }
}

/// The agent has seen the commit; it is not live yet.
fn on_its_way(
    application: &Application,
    commit: &str,
    wait_state: &WaitState,
    now: Timestamp,
) -> Verdict {
    let short = text::short_revision(commit);
    if let Some(condition) = state::blocked(application) {
        return failed(text::one_line(&condition.message));
    }
    if let Some(paused) = paused(application, now) {
        return failed(format!("{short} is compared, and {paused}"));
    }
    if state::under_way(application).is_some() {
        return Verdict::Wait(doing(application));
    }
    if let Some(last) = state::last_operation(application)
        && last.phase.is_completed()
        && !last.phase.is_successful()
        && let Some(result) = &last.sync_result
    {
        let mut revisions: Vec<&str> = result.revisions.iter().map(String::as_str).collect();
        revisions.push(&result.revision);
        if contain(&revisions, commit, wait_state, now) == Ok(true) {
            return failed(format!(
                "sync of {} failed: {}",
                state::spell(&revisions).trim(),
                text::one_line(&last.message)
            ));
        }
    }
    if state::sync(application) == SyncStatusCode::OutOfSync && !state::is_automated(application) {
        let (namespace, name) = state::name(application);
        return failed(format!(
            "{short} is compared but not synced, and automated sync is off; sync it: kubectl \
             gitops sync {name} -n {namespace}"
        ));
    }
    let mut reasons = application.status.iter().flat_map(|status| &status.reasons);
    let waits = reasons.find(|said| said.code == Code::HandoverWaiting.as_str());
    Verdict::Wait(match waits {
        Some(waits) => format!("{short} is compared, {}", text::one_line(&waits.message)),
        None => format!("{short} is compared, waiting for it to be synced"),
    })
}

/// The agent has not seen the commit, or sees something else.
fn not_seen(
    application: &Application,
    commit: &str,
    wait_state: &mut WaitState,
    now: Timestamp,
) -> Verdict {
    let short = text::short_revision(commit);
    if state::is_skipped(application) {
        return failed(
            "is left alone: its annotation argocd.argoproj.io/skip-reconcile is \"true\"",
        );
    }
    if let Some(reason) = held_back(application, commit) {
        return failed(reason);
    }
    if let Some(condition) = state::blocked(application) {
        let since = *wait_state.blocked_since.get_or_insert(now);
        let is_new = condition
            .last_transition_time
            .as_ref()
            .is_some_and(|began| began.0 > wait_state.started);
        let message = text::one_line(&condition.message);
        if is_new || now.as_second() - since.as_second() >= STALE_SECONDS {
            return failed(message);
        }
        return Verdict::Wait(format!("cannot be compared: {message}"));
    }
    wait_state.blocked_since = None;
    let live = state::spell(&state::live(application));
    let live = if live.is_empty() {
        "nothing is live".to_owned()
    } else {
        format!("live is {live}")
    };
    let unknown = wait_state
        .known
        .values()
        .find_map(|(found, _)| match found {
            Containment::Unknown(why) => Some(why.as_str()),
            _ => None,
        });
    match (unknown, wait_state.unknown_since) {
        (Some(why), Some(since)) if now.as_second() - since.as_second() >= STALE_SECONDS => failed(
            format!("{live}, and whether it contains {short} is not known: {why}"),
        ),
        (Some(why), _) => Verdict::Wait(format!("{live}; is {short} part of it? {why}")),
        (None, _) => Verdict::Wait(format!("{live}, waiting for {short}")),
    }
}

/// Why the agent delivers something else than the commit on purpose.
fn held_back(application: &Application, commit: &str) -> Option<String> {
    let warning = application
        .status
        .as_ref()?
        .conditions
        .iter()
        .find(|found| found.condition_type == condition::HELD_WARNING)?;
    let written = application
        .metadata
        .annotations
        .as_ref()?
        .get(annotation::HOLD)?;
    let hold: Hold = serde_json::from_str(written).ok()?;
    is_same(&hold.instead_of, commit)
        .then(|| format!("held back: {}", text::one_line(&warning.message)))
}

#[cfg(test)]
#[path = "goal_tests.rs"]
mod tests;
