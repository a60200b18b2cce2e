//! What the agent has to know again after a restart, apart from the status: Argo CD's definition of an
//! Application drops the fields that this project adds to a status.
//!
//! It is kept in an annotation of the Application, bounded, and only as far as the status does not
//! keep it. Without it nothing is lost but judgement: operations are then known by the revisions
//! Argo CD records, too.

use gitops_api::status::{OperationState, RevisionHistory};
use gitops_api::{ApplicationStatus, Time};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::report::history::{DESIRED_DIGEST, HOOKS_DIGEST};

/// Entries of the history that are remembered, the newest.
const MAX_HISTORY: usize = 20;

/// What is remembered of one application.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Memory {
    /// What was found delivered although no operation of the agent did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delivered: Option<Delivered>,
    /// What the last operation was of.
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<OperationMemory>,
    /// How deployments fared.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    history: Vec<HistoryMemory>,
}

/// A desired set that was once found in the cluster as Git has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Delivered {
    /// Its digest.
    pub digest: String,
    /// When the last operation before began, RFC 3339; empty for none. After another one it says
    /// nothing any more.
    pub after: String,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct OperationMemory {
    started_at: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    desired: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    hooks: Option<String>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct HistoryMemory {
    id: i64,
    deployed_at: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    healthy_since: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost_at: Option<Time>,
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded_at: Option<Time>,
}

impl Memory {
    /// Reads the annotation; what cannot be read is not remembered.
    pub fn read(text: Option<&str>) -> Self {
        text.and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default()
    }

    /// The annotation; `None` when there is nothing to remember.
    pub fn text(&self) -> Option<String> {
        if *self == Self::default() {
            return None;
        }
        serde_json::to_string(self).ok()
    }

    /// What a status knows that Argo CD's definition drops.
    pub fn of(status: &ApplicationStatus) -> Self {
        let operation = status.operation_state.as_ref().and_then(|state| {
            let extra = &state.sync_result.as_ref()?.extra;
            let digest = |name: &str| extra.get(name).and_then(Value::as_str).map(str::to_owned);
            let (desired, hooks) = (digest(DESIRED_DIGEST), digest(HOOKS_DIGEST));
            (desired.is_some() || hooks.is_some()).then(|| OperationMemory {
                started_at: text_of(state.started_at.as_ref()),
                desired,
                hooks,
            })
        });
        let history = status.history.iter().rev().take(MAX_HISTORY).rev();
        let history = history.filter_map(|entry| {
            let known = !entry.desired_digest.is_empty()
                || entry.healthy_at.is_some()
                || entry.degraded_at.is_some();
            known.then(|| HistoryMemory {
                id: entry.id,
                deployed_at: text_of(entry.deployed_at.as_ref()),
                digest: entry.desired_digest.clone(),
                healthy_at: entry.healthy_at.clone(),
                healthy_since: entry.healthy_since.clone(),
                lost_at: entry.lost_at.clone(),
                degraded_at: entry.degraded_at.clone(),
            })
        });
        Self {
            delivered: None,
            operation,
            history: history.collect(),
        }
    }

    /// Whether there is something that a status would keep under the definitions of this project.
    pub fn is_of_status(&self) -> bool {
        self.operation.is_some() || !self.history.is_empty()
    }

    /// Puts what is remembered back into a status, where that is still about the same.
    pub fn restore(&self, status: &mut ApplicationStatus) {
        if let Some(known) = &self.operation
            && let Some(state) = &mut status.operation_state
            && text_of(state.started_at.as_ref()) == known.started_at
            && let Some(result) = &mut state.sync_result
        {
            let digests = [
                (DESIRED_DIGEST, &known.desired),
                (HOOKS_DIGEST, &known.hooks),
            ];
            for (name, digest) in digests {
                if let Some(digest) = digest
                    && !result.extra.contains_key(name)
                {
                    result.extra.insert(name.into(), digest.clone().into());
                }
            }
        }
        for known in &self.history {
            let same = |entry: &&mut RevisionHistory| {
                entry.id == known.id && text_of(entry.deployed_at.as_ref()) == known.deployed_at
            };
            let Some(entry) = status.history.iter_mut().find(same) else {
                continue;
            };
            if entry.desired_digest.is_empty() {
                entry.desired_digest.clone_from(&known.digest);
            }
            if entry.healthy_at.is_none() {
                entry.healthy_at.clone_from(&known.healthy_at);
            }
            if entry.healthy_since.is_none() {
                entry.healthy_since.clone_from(&known.healthy_since);
            }
            if entry.lost_at.is_none() {
                entry.lost_at.clone_from(&known.lost_at);
            }
            if entry.degraded_at.is_none() {
                entry.degraded_at.clone_from(&known.degraded_at);
            }
        }
    }
}

/// When the last operation began, as [`Delivered::after`] has it.
pub fn last_operation(state: Option<&OperationState>) -> String {
    text_of(state.and_then(|state| state.started_at.as_ref()))
}

fn text_of(time: Option<&Time>) -> String {
    time.map(|time| time.0.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn status() -> ApplicationStatus {
        serde_json::from_value(json!({
            "operationState": {
                "operation": {"sync": {}}, "phase": "Failed", "startedAt": "2026-01-01T00:00:00Z",
                "syncResult": {"revision": "r", "desiredDigest": "d", "hooksDigest": "h"},
            },
            "history": [
                {"id": 0, "deployedAt": "2026-01-01T00:00:00Z", "revision": "q"},
                {"id": 1, "deployedAt": "2026-01-02T00:00:00Z", "revision": "r",
                 "desiredDigest": "d", "healthyAt": "2026-01-02T00:00:01Z"},
            ],
        }))
        .unwrap()
    }

    /// As Argo CD's definition stores it.
    fn dropped() -> ApplicationStatus {
        let mut status = status();
        status
            .operation_state
            .as_mut()
            .unwrap()
            .sync_result
            .as_mut()
            .unwrap()
            .extra
            .clear();
        for entry in &mut status.history {
            entry.desired_digest.clear();
            entry.healthy_at = None;
        }
        status
    }

    #[test]
    fn what_a_definition_drops_comes_back() {
        let memory = Memory::of(&status());
        assert!(memory.is_of_status());
        assert_ne!(Memory::of(&dropped()), memory);
        let read = Memory::read(memory.text().as_deref());
        assert_eq!(read, memory);
        let mut restored = dropped();
        read.restore(&mut restored);
        assert_eq!(restored, status());
    }

    #[test]
    fn what_is_about_something_else_stays_away() {
        let memory = Memory::of(&status());
        let mut newer = dropped();
        let state = newer.operation_state.as_mut().unwrap();
        state.started_at = Some(Time("2026-01-03T00:00:00Z".parse().unwrap()));
        newer.history.iter_mut().for_each(|entry| entry.id += 5);
        let before = newer.clone();
        memory.restore(&mut newer);
        assert_eq!(newer, before);
        assert_eq!(Memory::read(Some("nonsense")), Memory::default());
        assert_eq!(Memory::default().text(), None);
    }

    #[test]
    fn it_is_bounded() {
        let mut long = status();
        let entry = long.history[1].clone();
        long.history = (0..500)
            .map(|id| RevisionHistory {
                id,
                ..entry.clone()
            })
            .collect();
        let memory = Memory::of(&long);
        assert_eq!(memory.history.len(), MAX_HISTORY);
        assert_eq!(memory.history.last().unwrap().id, 499);
        assert!(memory.text().unwrap().len() < 4096);
    }
}
