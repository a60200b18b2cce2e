//! The changes that bring live objects to the desired state: a set, each with its reason.
//!
//! A plan is data: it can be printed, compared and carried out by anyone. It says nothing of order,
//! which is the sync's alone. It never deletes what the application does not own, and never deletes
//! everything because a render came out empty.

use std::collections::{BTreeMap, BTreeSet};

use crate::compare::comparison::{Comparison, State, is_changed_in_git};
use crate::live::object::LiveObject;
use crate::manifest::desired::DesiredSet;
use crate::manifest::object::ObjectKey;
use crate::manifest::options::{AppOptions, Removal};
use crate::manifest::phase::Phase;
use crate::reason::{Names, OverBudget, PruneQuestion, Reason};
use crate::sync::action::{Action, Verb};
use crate::sync::autosync::{Attempt, Cause};
use crate::sync::budget::Budget;
use crate::sync::guests::Guests;

/// What the user or the policy behind a sync allows.
#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Delete objects that are no longer in Git.
    pub prune: bool,
    /// Allow deleting every object when Git holds none.
    pub allow_empty: bool,
    /// Options of the sync.
    pub options: AppOptions,
    /// How much is pruned without approval.
    pub budget: Budget,
    /// Namespaces with what is in them that is not the application's.
    pub guests: Guests,
    /// Nobody asked for it: the agent decided by itself.
    pub automated: bool,
}

/// Why an object is created.
pub const MISSING: &str = "in Git, not in the cluster";

/// What to do, and what is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// What to do with each object that is to be changed.
    pub actions: BTreeMap<ObjectKey, Action>,
    /// Objects that differ from Git but are left as they are, with the reason.
    pub skipped: BTreeMap<ObjectKey, Skip>,
    /// Prunes that wait for approval.
    pub pending: Option<PendingApproval>,
}

/// Prunes that wait for approval; [`Plan::approved`] takes them up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingApproval {
    /// What is asked.
    pub question: PruneQuestion,
    /// What is done once it is approved; among the skipped objects until then.
    pub prunes: BTreeMap<ObjectKey, Action>,
}

/// Why an object is left as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Skip {
    /// Pruning was not asked for.
    PruneNotRequested,
    /// The object says it must not be pruned.
    PruneForbidden,
    /// Git holds no manifest at all: more likely a mistake than a wish to delete everything.
    WouldDeleteAll,
    /// Another application owns it.
    OwnedBy(String),
    /// The cluster does not serve its kind.
    UnknownKind,
    /// It is already being deleted.
    Deleting,
    /// It waits until the API server confirms that it differs.
    Unconfirmed,
    /// Its prune waits for approval.
    AwaitsApproval,
    /// It is the Deployment of an agent, and somebody scaled it to zero.
    AgentStopped,
}

impl Skip {
    /// The reason, with what to do.
    pub fn reason(&self) -> Reason {
        match self {
            Self::PruneNotRequested => Reason::PruneNotRequested {},
            Self::PruneForbidden => Reason::PruneForbidden {},
            Self::WouldDeleteAll => Reason::PruneWouldDeleteAll {},
            Self::OwnedBy(owner) => Reason::OwnedByOther {
                owner: owner.clone(),
            },
            Self::UnknownKind => Reason::ObjectKindUnknown {
                detail: "the cluster does not serve this kind; install its \
                         CustomResourceDefinition first or correct apiVersion and kind"
                    .into(),
            },
            Self::Deleting => Reason::AlreadyDeleting {},
            Self::Unconfirmed => Reason::Unconfirmed {},
            Self::AwaitsApproval => Reason::PruneAwaitsApproval {},
            Self::AgentStopped => Reason::AgentStopped {},
        }
    }
}

impl Plan {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// How many actions there are.
    pub fn len(&self) -> usize {
        self.actions.len()
    }

    /// Whether anything is deleted that is no longer in Git.
    pub fn prunes(&self) -> bool {
        let mut verbs = self.actions.values().map(|action| &action.verb);
        verbs.any(|verb| matches!(verb, Verb::Delete { .. }))
    }

    /// What is asked about the prunes that wait for approval.
    pub fn question(&self) -> Option<&PruneQuestion> {
        self.pending.as_ref().map(|pending| &pending.question)
    }

    /// The part of it that is about these objects. What is asked stays the same: a budget is not
    /// to be had in small change.
    #[must_use]
    pub fn only(mut self, keys: &BTreeSet<ObjectKey>) -> Self {
        self.actions.retain(|key, _| keys.contains(key));
        self.skipped.retain(|key, _| keys.contains(key));
        if let Some(pending) = &mut self.pending {
            pending.prunes.retain(|key, _| keys.contains(key));
        }
        self
    }

    /// The same after what it asks was approved.
    #[must_use]
    pub fn approved(mut self) -> Self {
        if let Some(mut pending) = self.pending.take() {
            self.skipped
                .retain(|key, _| !pending.prunes.contains_key(key));
            self.actions.append(&mut pending.prunes);
        }
        self
    }
}

/// Whether a sync that changes no object is one all the same: hooks that failed run again; and where all
/// that differs stays because it says so, the commit that wants it gone is delivered by that.
pub fn is_worth_it(plan: &Plan, attempt: Option<Attempt>) -> bool {
    let mut skipped = plan.skipped.values();
    match attempt {
        Some(attempt) => !attempt.succeeded && attempt.cause == Cause::Hooks,
        None => !plan.skipped.is_empty() && skipped.all(|skip| *skip == Skip::PruneForbidden),
    }
}

/// Plans a sync of all that differs.
pub fn plan<'a>(
    desired: &DesiredSet,
    comparison: &Comparison,
    live: impl Fn(&ObjectKey) -> Option<&'a LiveObject>,
    policy: &Policy,
) -> Plan {
    let mut plan = Plan::default();
    let mut prunes: Vec<&LiveObject> = Vec::new();
    let would_delete_all = !policy.allow_empty && desired.objects.is_empty();
    for (key, state) in comparison {
        let reason = match state {
            State::Synced => continue,
            State::Extra | State::Extraneous => {
                let Some(live) = live(key) else { continue };
                match prune_skip(live, policy, would_delete_all) {
                    None => prunes.push(live),
                    Some(skip) => drop(plan.skipped.insert(key.clone(), skip)),
                }
                continue;
            }
            State::OwnedBy(other) => {
                plan.skipped
                    .insert(key.clone(), Skip::OwnedBy(other.clone()));
                continue;
            }
            State::UnknownKind => {
                plan.skipped.insert(key.clone(), Skip::UnknownKind);
                continue;
            }
            State::Unconfirmed => {
                plan.skipped.insert(key.clone(), Skip::Unconfirmed);
                continue;
            }
            State::Missing => MISSING.to_owned(),
            State::Changed => "changed in Git".to_owned(),
            State::HandedOver(other) => {
                format!("taken over from application {other}, which does not want it any more")
            }
            // Where nothing is automated, what Git changed is told apart from the cluster only here.
            State::Drifted(fields)
                if live(key)
                    .zip(desired.objects.get(key))
                    .is_some_and(|(live, object)| is_changed_in_git(object, live, fields)) =>
            {
                "changed in Git".to_owned()
            }
            State::Drifted(fields) => {
                let names: Vec<_> = fields.iter().take(3).map(|f| f.path.to_string()).collect();
                format!("changed in the cluster: {}", names.join(", "))
            }
        };
        if policy.automated && live(key).is_some_and(|live| live.stopped_agent) {
            plan.skipped.insert(key.clone(), Skip::AgentStopped);
            continue;
        }
        let action = action(key, Verb::Apply, reason);
        plan.actions.insert(key.clone(), action);
    }
    let foreign = |state: &State| matches!(state, State::OwnedBy(_) | State::HandedOver(_));
    let total = comparison
        .iter()
        .filter(|(key, state)| !foreign(state) && live(key).is_some())
        .count();
    let (question, waiting) = ask(&prunes, total, policy).unzip();
    let waiting = waiting.unwrap_or_default();
    let mut pending = BTreeMap::new();
    for live in prunes {
        let verb = Verb::Delete {
            uid: live.uid.clone(),
            propagation: policy.options.propagation,
        };
        let action = action(&live.key, verb, "no longer in Git".into());
        if waiting.contains(&live.key) {
            plan.skipped.insert(live.key.clone(), Skip::AwaitsApproval);
            pending.insert(live.key.clone(), action);
        } else {
            plan.actions.insert(live.key.clone(), action);
        }
    }
    plan.pending = question.map(|question| PendingApproval {
        question,
        prunes: pending,
    });
    plan
}

fn action(key: &ObjectKey, verb: Verb, reason: String) -> Action {
    Action {
        phase: Phase::Sync,
        key: key.clone(),
        verb,
        reason,
    }
}

/// What is asked, and which prunes wait for the answer; `None` when none does.
fn ask<'a>(
    prunes: &[&'a LiveObject],
    total: usize,
    policy: &Policy,
) -> Option<(PruneQuestion, BTreeSet<&'a ObjectKey>)> {
    if policy.budget.is_exceeded(prunes.len(), total) {
        let all: BTreeSet<_> = prunes.iter().map(|live| &live.key).collect();
        let question = PruneQuestion {
            objects: Names::of(&all),
            over: Some(OverBudget {
                total,
                budget: policy.budget.to_string(),
            }),
            guests: guests(prunes, policy),
        };
        return Some((question, all));
    }
    let asks = |live: &&&LiveObject| {
        policy.options.prune_of(live.options) == Removal::Confirmed
            || policy.guests.contains_key(&live.key)
    };
    let asking: BTreeSet<_> = prunes.iter().filter(asks).map(|live| &live.key).collect();
    if asking.is_empty() {
        return None;
    }
    let question = PruneQuestion {
        objects: Names::of(&asking),
        over: None,
        guests: guests(prunes, policy),
    };
    Some((question, asking))
}

/// What would go with the objects that are pruned, and is not the application's.
fn guests(prunes: &[&LiveObject], policy: &Policy) -> Names {
    let guests = prunes
        .iter()
        .filter_map(|live| policy.guests.get(&live.key));
    Names::joined(guests)
}

fn prune_skip(live: &LiveObject, policy: &Policy, would_delete_all: bool) -> Option<Skip> {
    if !policy.prune {
        Some(Skip::PruneNotRequested)
    } else if live.keep || policy.options.prune_of(live.options) == Removal::Never {
        Some(Skip::PruneForbidden)
    } else if would_delete_all {
        Some(Skip::WouldDeleteAll)
    } else if live.deleting {
        Some(Skip::Deleting)
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
