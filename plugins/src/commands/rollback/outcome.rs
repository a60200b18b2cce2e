//! Whether a rollback is live yet, from what the agent writes on the Application.

use std::collections::HashSet;

use gitops_api::constants::condition;
use gitops_api::{Application, HealthStatusCode, OperationPhase, SyncStatusCode};
use gitops_kit::text::{one_line, short_revision};

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub enum Goal<'a> {
    /// A commit of the branch, or a later one.
    Commit {
        /// The commit.
        id: &'a str,
        /// Commits that were on the branch before; what is none of them came later.
        earlier: &'a HashSet<String>,
    },
    /// What a pull request brings once it is merged.
    Merged {
        /// Digest of what it renders to.
        digest: &'a str,
        /// Commits that were on the branch before.
        earlier: &'a HashSet<String>,
    },
    /// The held revision.
    Held,
}

/// How far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stage {
    /// The agent has not seen it.
    Unseen(String),
    /// The agent is at it; how far.
    Seen(String),
    /// Synced and healthy.
    Live(String),
}

/// Looks at an Application. `source` is the place of the source that changes.
pub fn stage(application: &Application, source: usize, goal: Goal<'_>) -> Stage {
    let Some(status) = &application.status else {
        return Stage::Unseen("the agent has written no status yet".to_owned());
    };
    let sync = status.sync.clone().unwrap_or_default();
    let revision = sync
        .revisions
        .get(source)
        .unwrap_or(&sync.revision)
        .as_str();
    let held = status
        .conditions
        .iter()
        .any(|found| found.condition_type == condition::HELD_WARNING);
    match goal {
        Goal::Commit { id, earlier } => {
            if held {
                return Stage::Unseen("the hold is still in force".to_owned());
            }
            if revision != id && (revision.is_empty() || earlier.contains(revision)) {
                return Stage::Unseen(format!(
                    "waiting for the agent to fetch {}",
                    short_revision(id)
                ));
            }
        }
        Goal::Merged { digest, earlier } => {
            let newest = status.history.last();
            // Without a digest, which the agent keeps back where it would tell too much, the commit
            // alone says it.
            let delivered =
                digest.is_empty() || newest.is_some_and(|entry| entry.desired_digest == digest);
            if held || !delivered || earlier.contains(revision) {
                return Stage::Unseen("waiting for the merge".to_owned());
            }
        }
        Goal::Held => {
            if !held {
                return Stage::Unseen("waiting for the agent to hold".to_owned());
            }
        }
    }
    let health = status.health.clone().unwrap_or_default();
    let operation = status.operation_state.as_ref();
    if let Some(state) = operation.filter(|state| !state.phase.is_completed()) {
        return Stage::Seen(described("syncing", &state.message));
    }
    if sync.status != SyncStatusCode::Synced {
        let failed = operation
            .filter(|state| matches!(state.phase, OperationPhase::Failed | OperationPhase::Error));
        return Stage::Seen(match failed {
            Some(state) => described("the sync failed", &state.message),
            None => format!("{}, waiting for the sync", sync.status.as_str()),
        });
    }
    if health.status != HealthStatusCode::Healthy {
        return Stage::Seen(described(
            &format!("Synced, {}", health.status.as_str()),
            &health.message,
        ));
    }
    Stage::Live("Synced, Healthy".to_owned())
}

fn described(what: &str, message: &str) -> String {
    if message.is_empty() {
        what.to_owned()
    } else {
        format!("{what}: {}", one_line(message))
    }
}

#[cfg(test)]
mod tests {
    use gitops_api::operation::Operation;
    use gitops_api::status::{ApplicationCondition, OperationState, RevisionHistory, SyncStatus};
    use gitops_api::{ApplicationStatus, HealthStatus};

    use super::*;

    fn application(revision: &str, sync: SyncStatusCode, health: HealthStatusCode) -> Application {
        Application {
            status: Some(ApplicationStatus {
                sync: Some(SyncStatus {
                    status: sync,
                    revision: revision.into(),
                    ..SyncStatus::default()
                }),
                health: Some(HealthStatus {
                    status: health,
                    message: "3 of 5".into(),
                    ..HealthStatus::default()
                }),
                ..ApplicationStatus::default()
            }),
            ..Application::default()
        }
    }

    const SYNCED: SyncStatusCode = SyncStatusCode::Synced;
    const HEALTHY: HealthStatusCode = HealthStatusCode::Healthy;

    #[test]
    fn a_commit_or_a_later_one() {
        let earlier = HashSet::from(["old".to_owned()]);
        let goal = Goal::Commit {
            id: "new",
            earlier: &earlier,
        };
        let at =
            |revision: &str, sync, health| stage(&application(revision, sync, health), 0, goal);
        assert!(matches!(at("old", SYNCED, HEALTHY), Stage::Unseen(_)));
        assert!(matches!(at("", SYNCED, HEALTHY), Stage::Unseen(_)));
        assert_eq!(
            at("new", SYNCED, HEALTHY),
            Stage::Live("Synced, Healthy".into())
        );
        assert!(matches!(at("newer", SYNCED, HEALTHY), Stage::Live(_)));
        assert_eq!(
            at("new", SYNCED, HealthStatusCode::Progressing),
            Stage::Seen("Synced, Progressing: 3 of 5".into())
        );
        assert_eq!(
            at("new", SyncStatusCode::OutOfSync, HEALTHY),
            Stage::Seen("OutOfSync, waiting for the sync".into())
        );
        assert!(matches!(
            stage(&Application::default(), 0, goal),
            Stage::Unseen(_)
        ));
        let mut failed = application("new", SyncStatusCode::OutOfSync, HEALTHY);
        failed.status.as_mut().unwrap().operation_state = Some(OperationState {
            operation: Operation::default(),
            phase: OperationPhase::Failed,
            message: "denied\u{1b}".into(),
            ..OperationState::default()
        });
        assert_eq!(
            stage(&failed, 0, goal),
            Stage::Seen("the sync failed: denied".into())
        );
    }

    #[test]
    fn holds_and_merges() {
        let mut held = application("old", SYNCED, HEALTHY);
        let earlier = HashSet::from(["old".to_owned()]);
        assert!(matches!(stage(&held, 0, Goal::Held), Stage::Unseen(_)));
        held.status.as_mut().unwrap().conditions = vec![ApplicationCondition {
            condition_type: condition::HELD_WARNING.into(),
            ..ApplicationCondition::default()
        }];
        assert!(matches!(stage(&held, 0, Goal::Held), Stage::Live(_)));
        let goal = Goal::Commit {
            id: "new",
            earlier: &earlier,
        };
        assert!(matches!(stage(&held, 0, goal), Stage::Unseen(_)));

        let goal = Goal::Merged {
            digest: "d",
            earlier: &earlier,
        };
        let mut merged = application("merge", SYNCED, HEALTHY);
        assert!(matches!(stage(&merged, 0, goal), Stage::Unseen(_)));
        merged.status.as_mut().unwrap().history = vec![RevisionHistory {
            desired_digest: "d".into(),
            ..RevisionHistory::default()
        }];
        assert!(matches!(stage(&merged, 0, goal), Stage::Live(_)));
    }
}
