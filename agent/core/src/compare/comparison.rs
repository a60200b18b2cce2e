//! Desired against live, object by object: what differs, and why.
//!
//! Decides from records alone. Where a record cannot tell (somebody took fields away, or the agent
//! has just started), it says so, and the caller asks the API server to confirm.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::compare::drift;
use crate::compare::field::DriftedField;
use crate::live::admission::Admission;
use crate::live::given_up::Kept;
use crate::live::object::LiveObject;
use crate::live::takeover;
use crate::manifest::desired::{DesiredObject, DesiredSet};
use crate::manifest::digest::{Agreement, RESPECTED};
use crate::manifest::object::ObjectKey;
use crate::manifest::order::Order;
use crate::manifest::tracking;
use crate::manifest::undeclared::LeftOut;
use jiff::{SignedDuration, Timestamp};

/// What the agent knows since it last applied or confirmed an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confirmation {
    /// Digest of the manifest and of the rules about what to ignore.
    pub desired_digest: String,
    /// Digest of the fields the agent held afterwards.
    pub owned: String,
    /// Set when values were equal although somebody else holds some of the fields: ownership can
    /// then not show the next change, so the object is confirmed again at its next generation
    /// (or resource version, for kinds without generations).
    pub only_at: Option<String>,
    /// Fields that differ and are ignored.
    pub ignored: Vec<String>,
    /// What admission made of it.
    pub admission: Admission,
    /// The order of its lists then: ownership does not show it.
    pub order: Order,
    /// Fields that Git gave up and another manager keeps.
    pub kept: Vec<Kept>,
    /// What the API server did not take of the manifest.
    pub left_out: Vec<LeftOut>,
}

impl Confirmation {
    /// After an apply, or a check that found all values equal and all fields held.
    pub fn of(live: &LiveObject, desired: &DesiredObject) -> Self {
        Self {
            desired_digest: desired.expectation().into_owned(),
            owned: live.owned.clone(),
            only_at: None,
            ignored: Vec::new(),
            admission: Admission::Unknown,
            order: live.order.clone(),
            kept: Vec::new(),
            left_out: Vec::new(),
        }
    }

    /// After a check that found equal values, some held by others.
    pub fn only_now(live: &LiveObject, desired: &DesiredObject) -> Self {
        Self {
            only_at: Some(version_of(live)),
            ..Self::of(live, desired)
        }
    }

    /// The same, for an object seen at this moment. As long as a client could still apply other
    /// values under the agent's name within the second of the agent's own apply, ownership does not
    /// show it: the object is confirmed again at its next generation.
    #[must_use]
    pub fn seen_at(self, live: &LiveObject, now: Timestamp) -> Self {
        let settled = live
            .applied_at
            .is_none_or(|applied| now.duration_since(applied) > SETTLED_AFTER);
        if settled || self.only_at.is_some() {
            return self;
        }
        Self {
            only_at: Some(version_of(live)),
            ..self
        }
    }

    /// The same, with the fields that differ and are ignored.
    #[must_use]
    pub fn ignoring(self, ignored: Vec<String>) -> Self {
        Self { ignored, ..self }
    }

    /// The same, with the fields that Git gave up and another manager keeps.
    #[must_use]
    pub fn keeping(self, kept: Vec<Kept>) -> Self {
        Self { kept, ..self }
    }

    /// The same, with what the API server did not take of the manifest.
    #[must_use]
    pub fn leaving_out(self, left_out: Vec<LeftOut>) -> Self {
        Self { left_out, ..self }
    }

    /// The same, with what admission made of it.
    #[must_use]
    pub fn admitted(self, admission: Admission) -> Self {
        Self { admission, ..self }
    }

    fn holds_for(&self, live: &LiveObject, desired: &DesiredObject) -> bool {
        self.desired_digest == desired.expectation()
            && self.owned == live.owned
            && self.order == live.order
            && self
                .only_at
                .as_ref()
                .is_none_or(|version| *version == version_of(live))
    }
}

/// After this time no apply can have the time of an earlier one: managedFields counts in seconds,
/// and clocks differ a little.
const SETTLED_AFTER: SignedDuration = SignedDuration::from_secs(5);

fn version_of(live: &LiveObject) -> String {
    live.generation
        .map_or_else(|| live.resource_version.clone(), |g| format!("g{g}"))
}

/// How an object stands against Git.
#[derive(Clone, Debug, PartialEq)]
pub enum State {
    /// Applied as Git has it, and nobody changed it since.
    Synced,
    /// In Git, not in the cluster.
    Missing,
    /// Git has changed since it was applied, or it was never applied by the agent.
    Changed,
    /// Somebody took fields the agent holds, or the agent does not remember: to be confirmed.
    Unconfirmed,
    /// Confirmed: these fields were changed in the cluster.
    Drifted(Vec<DriftedField>),
    /// Another application owns it; it is left alone.
    OwnedBy(String),
    /// It belongs to another application, which does not want it any more, or is gone.
    HandedOver(String),
    /// In the cluster, tracked to this application, no longer in Git.
    Extra,
    /// The same, and annotated `compare-options: IgnoreExtraneous`: the application counts as
    /// synced all the same.
    Extraneous,
    /// The cluster does not serve its kind.
    UnknownKind,
}

impl State {
    /// Whether the object is as Git has it.
    pub fn is_synced(&self) -> bool {
        matches!(self, Self::Synced)
    }

    /// Whether it leaves the application synced.
    pub fn is_in_order(&self) -> bool {
        matches!(self, Self::Synced | Self::Extraneous)
    }

    /// Whether the object is no longer in Git.
    pub fn is_extra(&self) -> bool {
        matches!(self, Self::Extra | Self::Extraneous)
    }
}

/// The state of every object of an application, desired or live.
pub type Comparison = BTreeMap<ObjectKey, State>;

/// Compares all desired objects and all live objects tracked to `instance`.
///
/// `live` finds the record of an object; `tracked` are the identities of the objects tracked to
/// this application; `confirmed` is what was confirmed before; `other_holds` tells whether another
/// application exists and may still want an object, because what it gave up may be taken over.
pub fn compare<'a>(
    desired: &DesiredSet,
    instance: &str,
    live: impl Fn(&ObjectKey) -> Option<&'a LiveObject>,
    tracked: &BTreeSet<ObjectKey>,
    confirmed: impl Fn(&ObjectKey) -> Option<&'a Confirmation>,
    other_holds: impl Fn(&str, &ObjectKey) -> bool,
) -> Comparison {
    let mut comparison: Comparison = desired
        .objects
        .iter()
        .map(|(key, object)| {
            (
                key.clone(),
                judge(object, instance, live(key), confirmed(key), &other_holds),
            )
        })
        .collect();
    for key in tracked {
        if !desired.objects.contains_key(key)
            && let Some(state) = live(key).and_then(|live| judge_extra(live, instance))
        {
            comparison.insert(key.clone(), state);
        }
    }
    comparison
}

/// Objects that are gone after they did their work for the manifest they have in Git are as Git wants
/// them; `ended` gives the digest of the manifest an object ended for.
pub fn settle_ended<'a>(
    comparison: &mut Comparison,
    desired: &DesiredSet,
    ended: impl Fn(&ObjectKey) -> Option<&'a str>,
) {
    for (key, state) in comparison {
        if *state == State::Missing
            && let (Some(object), Some(digest)) = (desired.objects.get(key), ended(key))
            && object.agreement(digest) == Agreement::Same
        {
            *state = State::Synced;
        }
    }
}

/// The state of a live object that is not desired; `None` when it is not this application's.
pub fn judge_extra(live: &LiveObject, instance: &str) -> Option<State> {
    if owner(live) != Some(instance) || live.hook {
        None
    } else if live.ignore_extraneous {
        Some(State::Extraneous)
    } else {
        Some(State::Extra)
    }
}

fn owner(live: &LiveObject) -> Option<&str> {
    live.tracking
        .as_ref()
        .map(|tracking| tracking.instance.as_str())
}

/// The state of one desired object.
pub fn judge(
    desired: &DesiredObject,
    instance: &str,
    live: Option<&LiveObject>,
    confirmed: Option<&Confirmation>,
    other_holds: impl Fn(&str, &ObjectKey) -> bool,
) -> State {
    if !desired.kind_known {
        return State::UnknownKind;
    }
    let Some(live) = live else {
        return State::Missing;
    };
    if let Some(other) = owner(live)
        && other != instance
    {
        if other_holds(other, &live.key) {
            return State::OwnedBy(other.into());
        }
        // What is not tracked cannot be given away.
        if tracking::is_tracked_kind(&live.key.group, &live.key.kind) && !desired.implicit {
            return State::HandedOver(other.into());
        }
    }
    if confirmed.is_some_and(|confirmation| confirmation.holds_for(live, desired)) {
        return State::Synced;
    }
    // Ownership proves nothing about an object that was applied from another manifest.
    let marked = !tracking::is_tracked_kind(&live.key.group, &live.key.kind)
        || desired.implicit
        || owner(live) == Some(instance);
    // Live values stand in for ignored ones: under other rules it is not what Git wants.
    let recorded = live.desired_digest.as_deref();
    let agreement = recorded.map(|recorded| match desired.agreement(recorded) {
        Agreement::Same if recorded.ends_with(RESPECTED) => Agreement::Other,
        agreement => agreement,
    });
    // Another key: whether it is what Git wants is asked, once, and not assumed either way.
    if marked && agreement == Some(Agreement::Unknown) {
        return State::Unconfirmed;
    }
    if !marked || agreement != Some(Agreement::Same) {
        // What changed may be ignored.
        let ignorable = marked && desired.ignore.is_some() && live.desired_digest.is_some();
        return if ignorable {
            State::Unconfirmed
        } else {
            State::Changed
        };
    }
    // Never confirmed since the agent started: full ownership is proof enough, but of the order.
    let ordered = desired.order.is_kept_by(&live.order);
    if confirmed.is_none() && ordered && live.covers(&desired.manifest()) {
        State::Synced
    } else {
        State::Unconfirmed
    }
}

/// What the API server tells of an object that records cannot judge.
#[derive(Clone, Debug, PartialEq)]
pub struct Confirmed {
    /// Synced, or drifted in these fields.
    pub state: State,
    /// Rules about what to ignore that could not be followed on this object.
    pub problems: Vec<String>,
    /// What to remember, so that records can judge from now on; `None` when it drifted.
    pub confirmation: Option<Confirmation>,
}

/// Judges a live object, as it is now, by the answer to a dry-run apply of what is desired.
pub fn confirm(
    live: &Value,
    applied: &Value,
    desired: &DesiredObject,
    now: Timestamp,
) -> Confirmed {
    let drift = drift::compare(live, applied, desired);
    if !drift.fields.is_empty() {
        return Confirmed {
            state: State::Drifted(drift.fields),
            problems: drift.problems,
            confirmation: None,
        };
    }
    let confirmation = LiveObject::observe(live, true).map(|record| {
        // What is ignored need not be held: another one's changes to it then cost no request.
        let mut expected = desired.manifest();
        for field in &drift.ignored {
            field.path.put(&mut expected, None);
        }
        if let Some(rules) = &desired.ignore {
            expected = rules.stripped(&expected);
        }
        let confirmation = if record.covers(&expected) {
            Confirmation::of(&record, desired)
        } else {
            Confirmation::only_now(&record, desired)
        };
        let ignored = drift.ignored.iter().map(|field| field.path.to_string());
        confirmation
            .ignoring(ignored.collect())
            .seen_at(&record, now)
    });
    Confirmed {
        state: State::Synced,
        problems: drift.problems,
        confirmation,
    }
}

/// Whether Git has changed since the object was applied, as against the object, of which these fields
/// differ. Where the digest on it is by another key, the fields tell: what somebody changed is
/// held by somebody else.
pub fn is_changed_in_git(
    desired: &DesiredObject,
    live: &LiveObject,
    differing: &[DriftedField],
) -> bool {
    let recorded = live.desired_digest.as_deref();
    match recorded.map(|recorded| desired.agreement(recorded)) {
        Some(Agreement::Same) => false,
        Some(Agreement::Unknown) => differing.iter().any(|field| field.manager.is_none()),
        // As Argo CD left it: what it delivered itself is not as Git has it now.
        None if live.tracking.is_some() => differing.iter().any(|field| {
            let manager = field.manager.as_deref();
            manager.is_none_or(takeover::is_predecessor)
        }),
        Some(Agreement::Other) | None => true,
    }
}

#[cfg(test)]
mod tests;
