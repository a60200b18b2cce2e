//! What was deployed when, by whom, and what came of it: the history of one application as its
//! status records it. Decides which deployment was the last good one; changes nothing.

use gitops_api::status::{CommitSummary, HealRecord, OperationState, RevisionHistory};
use gitops_api::{Application, HealthStatusCode, OperationPhase, SyncStatusCode};
use gitops_core::report::good;
use gitops_core::report::good::Verdict;
use gitops_core::report::sentence;
use gitops_kit::text;
use jiff::Timestamp;

/// The deployments of one application.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// Namespace of the Application.
    pub namespace: String,
    /// Name of the Application.
    pub name: String,
    /// The tip of what is followed, when it cannot be compared or is held back.
    pub tip: Option<CommitSummary>,
    /// A sync that has not become a deployment: failed, or under way.
    pub attempt: Option<Attempt>,
    /// Deployments, newest first.
    pub entries: Vec<Entry>,
    /// What self-heal took back lately, newest first.
    pub heals: Vec<HealRecord>,
}

/// A sync that is not in the history because it failed, or has not ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Attempt {
    /// Where it stands.
    pub phase: OperationPhase,
    /// When it ended, or began when it has not.
    pub time: Option<Timestamp>,
    /// Revisions, one a source.
    pub revisions: Vec<String>,
    /// Who asked for it.
    pub by: By,
    /// What the agent says of it, one line.
    pub message: String,
}

/// One deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Number, as `rollback --to` takes it.
    pub id: i64,
    /// When the sync began.
    pub started: Option<Timestamp>,
    /// When it was live.
    pub live_since: Option<Timestamp>,
    /// Revisions, one a source.
    pub revisions: Vec<String>,
    /// The commit of the first Git source, when the agent recorded it.
    pub commit: Option<CommitSummary>,
    /// Who asked for it.
    pub by: By,
    /// What came of it.
    pub result: Outcome,
    /// It stayed healthy for long enough.
    pub is_good: bool,
    /// It is what is deployed now.
    pub current: bool,
    /// It is the newest that worked.
    pub last_good: bool,
}

/// Who asked for a sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// The agent itself.
    Agent,
    /// A user or a client.
    User(String),
    /// Not recorded.
    Unknown,
}

/// What came of a deployment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was synced and healthy and nothing else was noticed.
    Healthy {
        /// Since when.
        since: Option<Timestamp>,
    },
    /// It is healthy, and not for long enough to be good.
    Proving {
        /// Since when.
        since: Timestamp,
        /// When it is good.
        good_at: Timestamp,
    },
    /// It was healthy and lost that without a commit.
    Lost {
        /// When it was healthy first.
        healthy: Timestamp,
        /// When it lost it last.
        at: Timestamp,
        /// What was not healthy any more, one line.
        because: String,
    },
    /// It broke, or never worked.
    Degraded {
        /// When it was healthy first, if ever.
        healthy: Option<Timestamp>,
        /// When it was found degraded last.
        since: Option<Timestamp>,
        /// What was degraded, one line.
        because: String,
    },
    /// It was degraded once and works now.
    Recovered {
        /// When it was found degraded last.
        degraded: Option<Timestamp>,
    },
    /// It is the current one and on its way.
    Now(HealthStatusCode),
    /// It was never found healthy before it was replaced.
    NeverHealthy,
    /// Nobody recorded it.
    Unknown,
}

impl Outcome {
    /// Name in JSON output.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Healthy { .. } | Self::Proving { .. } | Self::Recovered { .. } => "Healthy",
            Self::Lost { .. } => "Lost",
            Self::Degraded { .. } => "Degraded",
            Self::Now(health) => health.as_str(),
            Self::NeverHealthy => "NeverHealthy",
            Self::Unknown => "Unknown",
        }
    }
}

impl History {
    /// Reads the history of an application.
    pub fn of(application: &Application, now: Timestamp) -> Self {
        let status = application.status.as_ref();
        let recorded = status.map_or(&[][..], |status| &status.history);
        let mut entries: Vec<Entry> = recorded
            .iter()
            .enumerate()
            .map(|(index, entry)| {
                let current = index + 1 == recorded.len();
                let verdict = good::judge(recorded, index, now);
                of_entry(entry, current.then_some(application), verdict)
            })
            .rev()
            .collect();
        if let Some(good) = entries.iter_mut().find(|entry| entry.is_good) {
            good.last_good = true;
        }
        let newest = recorded.last();
        Self {
            namespace: application.metadata.namespace.clone().unwrap_or_default(),
            name: application.metadata.name.clone().unwrap_or_default(),
            tip: status.and_then(|status| status.tracked.clone()),
            attempt: status
                .and_then(|status| status.operation_state.as_ref())
                .and_then(|state| attempt(state, newest)),
            entries,
            heals: status
                .map(|status| status.heals.iter().rev().cloned().collect())
                .unwrap_or_default(),
        }
    }

    /// The newest deployment that worked.
    pub fn last_good(&self) -> Option<&Entry> {
        self.entries.iter().find(|entry| entry.last_good)
    }
}

/// `now`: the application, when the entry is what is deployed.
fn of_entry(entry: &RevisionHistory, now: Option<&Application>, verdict: Verdict) -> Entry {
    let revisions = if entry.revisions.is_empty() {
        vec![entry.revision.clone()]
    } else {
        entry.revisions.clone()
    };
    let initiator = entry.initiated_by.as_ref();
    Entry {
        id: entry.id,
        started: entry.deploy_started_at.as_ref().map(|time| time.0),
        live_since: entry.deployed_at.as_ref().map(|time| time.0),
        revisions,
        commit: entry.commit.clone(),
        by: initiator.map_or(By::Unknown, |initiator| {
            by(initiator.automated, &initiator.username)
        }),
        result: outcome(entry, now, verdict),
        is_good: matches!(verdict, Verdict::Good { .. }),
        current: now.is_some(),
        last_good: false,
    }
}

fn by(automated: bool, username: &str) -> By {
    if automated {
        By::Agent
    } else if username.is_empty() {
        By::Unknown
    } else {
        By::User(text::one_line(username))
    }
}

fn outcome(entry: &RevisionHistory, now: Option<&Application>, verdict: Verdict) -> Outcome {
    let healthy = entry.healthy_at.as_ref().map(|time| time.0);
    let degraded = entry.degraded_at.as_ref().map(|time| time.0);
    let status = now.and_then(|application| application.status.as_ref());
    let health = status
        .and_then(|status| status.health.as_ref())
        .map(|health| health.status);
    let synced = status
        .and_then(|status| status.sync.as_ref())
        .is_some_and(|sync| sync.status == SyncStatusCode::Synced);
    let works_now = health == Some(HealthStatusCode::Healthy);
    if let Verdict::Lost { healthy_at, at } = verdict
        && entry.lost_at.as_ref().is_some_and(|lost| lost.0 == at)
        && degraded.is_none_or(|degraded| degraded < at)
    {
        return Outcome::Lost {
            healthy: healthy_at,
            at,
            because: text::one_line(&entry.lost_because),
        };
    }
    if let Verdict::Proving { since, good_at } = verdict
        && works_now
    {
        return Outcome::Proving { since, good_at };
    }
    match (healthy, degraded) {
        (Some(_), Some(_)) if works_now => Outcome::Recovered { degraded },
        (healthy, Some(degraded)) if healthy.is_none_or(|healthy| degraded >= healthy) => {
            Outcome::Degraded {
                healthy,
                since: Some(degraded),
                because: text::one_line(&entry.degraded_because),
            }
        }
        (Some(since), _) => Outcome::Healthy { since: Some(since) },
        (None, _) => match health {
            Some(HealthStatusCode::Healthy) if synced => Outcome::Healthy { since: None },
            Some(HealthStatusCode::Degraded) => Outcome::Degraded {
                healthy: None,
                since: None,
                because: String::new(),
            },
            Some(other) => Outcome::Now(other),
            // Only this project's agent records commits and digests, and it would have noticed.
            None if entry.commit.is_some() || !entry.desired_digest.is_empty() => {
                Outcome::NeverHealthy
            }
            None => Outcome::Unknown,
        },
    }
}

/// The last operation, unless it is the newest entry already.
fn attempt(state: &OperationState, newest: Option<&RevisionHistory>) -> Option<Attempt> {
    let is_dry_run = state.operation.is_dry_run();
    if state.phase.is_successful() || state.phase == OperationPhase::Unknown || is_dry_run {
        return None;
    }
    let time = state.finished_at.as_ref().or(state.started_at.as_ref());
    let time = time.map(|time| time.0);
    let deployed = newest
        .and_then(|entry| entry.deployed_at.as_ref())
        .map(|time| time.0);
    if let (Some(time), Some(deployed)) = (time, deployed)
        && time < deployed
    {
        return None;
    }
    let result = state.sync_result.as_ref();
    let revisions = result.map_or_else(Vec::new, |result| {
        if result.revisions.is_empty() {
            vec![result.revision.clone()]
        } else {
            result.revisions.clone()
        }
    });
    let initiator = state.operation.initiated_by.as_ref();
    Some(Attempt {
        phase: state.phase,
        time,
        revisions,
        by: initiator.map_or(By::Unknown, |initiator| {
            by(initiator.automated, &initiator.username)
        }),
        message: text::one_line(sentence::done(&state.message)),
    })
}
