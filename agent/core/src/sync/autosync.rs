//! Whether to act without being asked: automated sync, retries and self-heal.
//!
//! Differs from Argo CD where its behavior is a known fault: a failed attempt does not end
//! self-heal, and only the drifted objects themselves, by full identity, are healed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

use jiff::Timestamp;

use crate::backoff;
use crate::compare::comparison::{Comparison, State};
use crate::manifest::object::ObjectKey;
use crate::reason::{FieldFight, Fight, Reason};
use crate::sync::retry::{RetryPolicy, remaining};

/// Heals of one object within this window count as a fight.
const FIGHT_WINDOW: Duration = Duration::from_mins(1);
/// So many heals in the window are still taken for ordinary drift.
const MAX_HEALS_PER_WINDOW: usize = 3;
/// First pause between two heals in a fight, and by how much each further one is longer.
const FIRST_PAUSE: Duration = Duration::from_secs(10);
const PAUSE_FACTOR: u32 = 3;
/// Longest pause between two heals, or between two attempts of a self-healing application.
const MAX_PAUSE: Duration = Duration::from_mins(5);

/// `spec.syncPolicy.automated`, resolved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Automated {
    /// Delete what is no longer in Git.
    pub prune: bool,
    /// Take back changes made in the cluster.
    pub self_heal: bool,
}

/// The last sync of this very state of Git, if there was one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// Whether it succeeded.
    pub succeeded: bool,
    /// Retries made so far.
    pub retries: u32,
    /// When it ended.
    pub finished: Timestamp,
    /// Somebody ended it: that is not taken back by trying again.
    pub terminated: bool,
    /// What it failed of.
    pub cause: Cause,
    /// Argo CD made it. By its rules one that failed and has no retries left is not tried again, and
    /// a move changes nothing about that.
    pub by_argo_cd: bool,
}

/// What an attempt failed of, as far as it decides whether and when there is another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// Something was refused or did not become healthy.
    #[default]
    Objects,
    /// A hook failed: what was applied may be as Git has it all the same.
    Hooks,
    /// The cluster does not serve the kind of some objects, and all else was applied.
    UnknownKinds,
    /// The project does not allow all of it: nothing was applied, and nothing is tried before it does.
    Denied,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Nothing; the reason, where a person might expect something.
    Nothing(Idle),
    /// Sync everything that differs.
    Sync {
        /// Retries made before this attempt.
        retry: u32,
    },
    /// Take back these drifted objects.
    Heal(BTreeSet<ObjectKey>),
    /// Act after this time: a retry is scheduled, or self-heal is backing off.
    Later(Duration, Reason),
}

impl Attempt {
    /// Whether all that was missing were kinds that the cluster does not serve.
    fn waits_for_kinds(self) -> bool {
        !self.succeeded && self.cause == Cause::UnknownKinds && !self.terminated
    }

    /// Whether it failed of its hooks alone and has retries left.
    fn may_rerun_hooks(self, retry: &RetryPolicy) -> bool {
        let failed = !self.succeeded && self.cause == Cause::Hooks;
        failed && !self.terminated && !self.by_argo_cd && retry.allows(self.retries)
    }
}

/// Why nothing is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Idle {
    /// Everything is as Git has it.
    Synced,
    /// The application is synced by hand.
    Manual,
    /// Only objects to delete remain, and pruning is off.
    OnlyPrune,
    /// This state of Git was synced; the cluster drifted and self-heal is off.
    SelfHealOff,
    /// All attempts for this state of Git failed.
    RetriesExhausted,
    /// What differs cannot be changed by a sync (owned by another application, kind unknown).
    NothingToApply,
}

impl Idle {
    /// Why nothing is done, where a user might expect something. That a user ended the last sync is
    /// said of the operation.
    pub fn reason(self, attempt: Option<Attempt>) -> Option<Reason> {
        match self {
            Self::Synced | Self::NothingToApply => None,
            Self::Manual => Some(Reason::AutoSyncOff {}),
            Self::OnlyPrune => Some(Reason::PruneOff {}),
            Self::SelfHealOff => Some(Reason::SelfHealOff {}),
            Self::RetriesExhausted => {
                let attempt = attempt.filter(|attempt| !attempt.terminated)?;
                let retries = attempt.retries;
                Some(Reason::RetriesExhausted { retries })
            }
        }
    }
}

/// Decides for one application.
///
/// `attempt` is the last sync of the manifests compared now; `None` when they were never tried.
pub fn decide(
    automated: Option<Automated>,
    comparison: &Comparison,
    attempt: Option<Attempt>,
    retry: &RetryPolicy,
    heals: &HealHistory,
    now: Timestamp,
) -> Decision {
    if comparison.values().all(State::is_in_order) {
        // Everything is applied, and what has to run after it did not do its work.
        return match attempt.filter(|attempt| attempt.may_rerun_hooks(retry)) {
            Some(attempt) if automated.is_some() => retry_decision(false, attempt, retry, now),
            _ => Decision::Nothing(Idle::Synced),
        };
    }
    let Some(automated) = automated else {
        return Decision::Nothing(Idle::Manual);
    };
    let drifted: BTreeSet<&ObjectKey> =
        keys(comparison, |state| matches!(state, State::Drifted(_)));
    let open: BTreeSet<&ObjectKey> = keys(comparison, |state| {
        matches!(state, State::Missing | State::Changed)
    });
    let extra = comparison
        .values()
        .any(|state| matches!(state, State::Extra));
    // What another application gave up is new to this one, whatever was synced before.
    let inherits = comparison.iter().any(|(key, state)| {
        matches!(state, State::HandedOver(_)) && heals.pause(key, now).is_zero()
    });
    match attempt {
        Some(attempt) if attempt.succeeded && inherits => return Decision::Sync { retry: 0 },
        // The definition came, or somebody changed what was applied beside it.
        Some(attempt) if attempt.waits_for_kinds() && !open.is_empty() => {
            return retry_decision(true, attempt, retry, now);
        }
        None if inherits || !open.is_empty() || (extra && automated.prune) => {
            return Decision::Sync { retry: 0 };
        }
        Some(attempt) if attempt.terminated || (attempt.by_argo_cd && !attempt.succeeded) => {
            return Decision::Nothing(Idle::RetriesExhausted);
        }
        Some(attempt) if !attempt.succeeded && !attempt.waits_for_kinds() => {
            return retry_decision(automated.self_heal, attempt, retry, now);
        }
        // A drifted object carries the mark of this very manifest: Git was applied to it.
        _ => {}
    }
    // Git was applied; what differs now was changed in the cluster since.
    let mut heal: BTreeSet<&ObjectKey> = &drifted | &open;
    if automated.prune {
        heal.extend(keys(comparison, |state| matches!(state, State::Extra)));
    }
    if heal.is_empty() {
        return Decision::Nothing(if extra {
            Idle::OnlyPrune
        } else {
            Idle::NothingToApply
        });
    }
    if !automated.self_heal {
        return Decision::Nothing(Idle::SelfHealOff);
    }
    let (ready, waiting): (BTreeSet<_>, BTreeSet<_>) = heal
        .into_iter()
        .partition(|key| heals.pause(key, now).is_zero());
    if !ready.is_empty() {
        return Decision::Heal(ready.into_iter().cloned().collect());
    }
    let pause = waiting
        .iter()
        .map(|key| heals.pause(key, now))
        .min()
        .unwrap_or_default();
    let fights: Vec<_> = waiting
        .iter()
        .take(3)
        .map(|key| fight(key, comparison.get(*key)))
        .collect();
    let reason = Reason::SelfHealBackoff {
        times: MAX_HEALS_PER_WINDOW,
        objects: fights,
    };
    Decision::Later(pause, reason)
}

/// An object that is changed again and again: which field, and by whom.
fn fight(object: &ObjectKey, state: Option<&State>) -> Fight {
    const SHOWN: usize = 3;
    let fields = match state {
        Some(State::Drifted(fields)) => fields.as_slice(),
        _ => &[],
    };
    let fields = fields.iter().take(SHOWN).map(|field| FieldFight {
        path: field.path.to_string(),
        manager: field.manager.clone(),
    });
    Fight {
        object: object.clone(),
        fields: fields.collect(),
    }
}

fn keys(comparison: &Comparison, wanted: impl Fn(&State) -> bool) -> BTreeSet<&ObjectKey> {
    comparison
        .iter()
        .filter(|(_, state)| wanted(state))
        .map(|(key, _)| key)
        .collect()
}

/// When the next attempt follows; one that `never_ends` goes on after the last retry, at long intervals.
fn retry_decision(
    never_ends: bool,
    attempt: Attempt,
    retry: &RetryPolicy,
    now: Timestamp,
) -> Decision {
    let pause = if retry.allows(attempt.retries) {
        retry.backoff(attempt.retries)
    } else if never_ends {
        MAX_PAUSE
    } else {
        return Decision::Nothing(Idle::RetriesExhausted);
    };
    let retry = attempt.retries.saturating_add(1);
    match remaining(attempt.finished, pause, now) {
        None => Decision::Sync { retry },
        Some(left) => Decision::Later(
            left,
            Reason::RetryScheduled {
                attempt: retry,
                at: attempt.finished + pause,
            },
        ),
    }
}

/// When each object was healed lately: tells ordinary drift from a fight with another controller.
#[derive(Clone, Debug, Default)]
pub struct HealHistory {
    heals: BTreeMap<ObjectKey, Heals>,
}

#[derive(Clone, Debug, Default)]
struct Heals {
    recent: VecDeque<Timestamp>,
    /// Heals beyond patience since the object was last left in peace.
    slowed: u32,
}

impl HealHistory {
    /// Notes that objects are healed now, and forgets those that were left in peace: it holds no
    /// more than was healed within the last minutes.
    pub fn record<'a>(&mut self, keys: impl IntoIterator<Item = &'a ObjectKey>, now: Timestamp) {
        self.heals.retain(|_, heals| heals.count_at(now));
        for key in keys {
            let heals = self.heals.entry(key.clone()).or_default();
            if heals.fighting(now) {
                heals.slowed = heals.slowed.saturating_add(1);
            }
            heals.recent.push_back(now);
            while heals.recent.len() > MAX_HEALS_PER_WINDOW {
                heals.recent.pop_front();
            }
        }
    }

    /// How long to wait before healing the object again; zero when it may be healed at once.
    pub fn pause(&self, key: &ObjectKey, now: Timestamp) -> Duration {
        let Some(heals) = self.heals.get(key) else {
            return Duration::ZERO;
        };
        if !heals.fighting(now) && heals.slowed == 0 {
            return Duration::ZERO;
        }
        let pause = backoff::delay(heals.slowed, FIRST_PAUSE, PAUSE_FACTOR, MAX_PAUSE);
        heals
            .recent
            .back()
            .map_or(Duration::ZERO, |last| pause.saturating_sub(age(*last, now)))
    }
}

impl Heals {
    fn fighting(&self, now: Timestamp) -> bool {
        self.recent.len() >= MAX_HEALS_PER_WINDOW
            && self
                .recent
                .front()
                .is_some_and(|first| age(*first, now) < FIGHT_WINDOW)
    }

    /// Whether they still say anything about the next heal: no pause is longer, no fight slower.
    fn count_at(&self, now: Timestamp) -> bool {
        self.recent
            .back()
            .is_some_and(|last| age(*last, now) <= MAX_PAUSE + FIGHT_WINDOW)
    }
}

fn age(then: Timestamp, now: Timestamp) -> Duration {
    Duration::try_from(now.duration_since(then)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
