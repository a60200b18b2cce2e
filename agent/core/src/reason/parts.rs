//! What several reasons have as parameters.

use std::fmt;

use gitops_api::{HealthStatusCode, SyncPhase};
use serde::{Deserialize, Serialize};

use crate::manifest::object::ObjectKey;
use crate::source::revision::short;

/// How many of a list are named; the rest is counted.
const NAMED: usize = 5;

/// The first few of many, and how many there are besides.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Names {
    /// The first few.
    pub first: Vec<String>,
    /// How many more there are.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub more: usize,
}

impl Names {
    /// Of a list, the first five by name.
    pub fn of<T: ToString>(items: impl IntoIterator<Item = T>) -> Self {
        let mut items = items.into_iter();
        let first = items.by_ref().take(NAMED).map(|item| item.to_string());
        Self {
            first: first.collect(),
            more: items.count(),
        }
    }

    /// Several lists as one.
    pub fn joined<'a>(lists: impl IntoIterator<Item = &'a Self>) -> Self {
        let mut all = Self::default();
        for list in lists {
            all.more += list.more;
            for name in &list.first {
                if all.first.len() < NAMED {
                    all.first.push(name.clone());
                } else {
                    all.more += 1;
                }
            }
        }
        all
    }

    /// How many there are in all.
    pub fn len(&self) -> usize {
        self.first.len() + self.more
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.first.join(", "))?;
        match self.more {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

/// An object, and how it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct ObjectState {
    /// The object.
    pub object: ObjectKey,
    /// In words, often the controller's or the API server's own.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub state: String,
}

/// A step of a sync, as it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncStep {
    /// The phase.
    pub phase: SyncPhase,
    /// The wave.
    pub wave: i64,
    /// Whether it deletes what is no longer in Git.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub prune: bool,
}

impl SyncStep {
    fn order(self) -> (&'static str, i64, bool) {
        (self.phase.as_str(), self.wave, self.prune)
    }
}

impl PartialOrd for SyncStep {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for SyncStep {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.order().cmp(&other.order())
    }
}

impl fmt::Display for SyncStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.prune { "prune wave" } else { "wave" };
        write!(f, "{} {what} {}", self.phase, self.wave)
    }
}

/// Who wants a sync that a window blocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RequestedBy {
    /// Automated sync.
    Automation,
    /// A user.
    User,
    /// A sync that had begun before the window closed.
    RunningSync,
}

/// An Application that another one depends on, and what keeps it from being ready.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct WaitedFor {
    /// Its name.
    pub application: String,
    /// What is missing.
    #[serde(flatten)]
    pub state: Unready,
}

/// What keeps an Application from being depended on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "state")]
pub enum Unready {
    /// There is none of that name.
    Missing,
    /// It is being deleted.
    Deleting,
    /// Nobody knows how its spec of now compares.
    NotCompared,
    /// It syncs, or is asked to.
    Syncing,
    /// It has not compared a commit that both follow.
    Behind {
        /// The commit.
        revision: String,
    },
    /// The cluster is not as Git has it.
    OutOfSync,
    /// It is not healthy.
    NotHealthy {
        /// What it is.
        health: HealthStatusCode,
    },
}

impl fmt::Display for WaitedFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.application;
        match &self.state {
            Unready::Missing => write!(f, "{name} (there is none of that name)"),
            Unready::Deleting => write!(f, "{name} (being deleted)"),
            Unready::NotCompared => write!(f, "{name} (not compared)"),
            Unready::Syncing => write!(f, "{name} (syncing)"),
            Unready::Behind { revision } => {
                write!(f, "{name} (has not compared {})", short(revision))
            }
            Unready::OutOfSync => write!(f, "{name} (OutOfSync)"),
            Unready::NotHealthy { health } => write!(f, "{name} ({health})"),
        }
    }
}

/// An object that self-heal and somebody else change in turn.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fight {
    /// The object.
    pub object: ObjectKey,
    /// The fields, when it is not the whole object.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldFight>,
}

/// A field of a [`Fight`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldFight {
    /// The field.
    pub path: String,
    /// The field manager that changes it, when known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manager: Option<String>,
}

/// What is asked before a prune. Two that are equal are the same question.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PruneQuestion {
    /// What would be deleted.
    pub objects: Names,
    /// Set when it is more than the budget allows; otherwise an option of the objects asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub over: Option<OverBudget>,
    /// What lives in Namespaces among them and is not of the application.
    #[serde(default, skip_serializing_if = "Names::is_empty")]
    pub guests: Names,
}

/// A prune that is larger than its budget.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OverBudget {
    /// Objects of the application.
    pub total: usize,
    /// The budget, as it is written: `50%`, `20`.
    pub budget: String,
}

impl fmt::Display for PruneQuestion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let objects = &self.objects;
        match &self.over {
            None if !self.guests.is_empty() => write!(
                f,
                "no longer in Git, and deleted only after approval: {objects}"
            ),
            Some(OverBudget { total, budget }) => write!(
                f,
                "{} of {total} objects are no longer in Git and would be deleted, more than the \
                 prune budget of {budget}: {objects}",
                objects.len(),
            ),
            None => write!(
                f,
                "no longer in Git, and deleted only after approval (Prune=confirm): {objects}"
            ),
        }?;
        if self.guests.is_empty() {
            return Ok(());
        }
        write!(f, "; with them would go {}", self.guests)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}
