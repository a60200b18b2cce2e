//! What a sync has done so far, kept in `status.operationState.syncResult.resources`.

use std::collections::BTreeMap;

use gitops_api::status::ResourceResult;
use gitops_api::{OperationPhase, ResultCode};

use crate::manifest::object::ObjectKey;
use crate::manifest::phase::Phase;
use crate::reason::{Code, Reason};

/// What became of one object in one phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Applied.
    Applied,
    /// Its deletion was asked for.
    Pruned,
    /// Left as it is, on purpose.
    Skipped,
    /// The hook is running; its health.
    Running(String),
    /// The hook has done its work.
    Succeeded(String),
    /// It was refused, or the hook failed; why.
    Failed(String),
    /// The hook was stopped in the middle of its work.
    Stopped,
}

impl Outcome {
    /// Whether nothing more becomes of it in this sync.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Succeeded(_) | Self::Failed(_) | Self::Skipped)
    }
}

/// Outcomes by phase and object, with what users read of them.
#[derive(Clone, Debug, Default)]
pub struct Record {
    phases: BTreeMap<Phase, BTreeMap<ObjectKey, (Outcome, ResourceResult)>>,
}

impl Record {
    /// Reads what an earlier reconciliation kept.
    pub fn of(results: &[ResourceResult]) -> Self {
        let mut record = Self::default();
        for result in results {
            let message = || result.message.clone();
            let outcome = match (result.hook_phase, result.status) {
                (Some(OperationPhase::Running), _) if result.hook_type.is_some() => {
                    Outcome::Running(message())
                }
                (Some(OperationPhase::Succeeded), _) if result.hook_type.is_some() => {
                    Outcome::Succeeded(message())
                }
                (Some(_), _)
                    if result.hook_type.is_some() && result.reason == Code::Terminated.as_str() =>
                {
                    Outcome::Stopped
                }
                (Some(_), _) if result.hook_type.is_some() => Outcome::Failed(message()),
                (_, Some(ResultCode::Synced)) => Outcome::Applied,
                (_, Some(ResultCode::Pruned)) => Outcome::Pruned,
                (_, Some(ResultCode::SyncFailed)) => Outcome::Failed(message()),
                _ => Outcome::Skipped,
            };
            record.put(outcome, result.clone());
        }
        record
    }

    /// Adds an outcome.
    pub fn put(&mut self, outcome: Outcome, mut result: ResourceResult) {
        let key = ObjectKey {
            group: result.group.clone(),
            kind: result.kind.clone(),
            namespace: result.namespace.clone(),
            name: result.name.clone(),
        };
        let phase = result.sync_phase.map_or(Phase::Sync, Phase::from);
        let hook_phase = match &outcome {
            Outcome::Running(_) => Some(OperationPhase::Running),
            Outcome::Succeeded(_) => Some(OperationPhase::Succeeded),
            Outcome::Stopped => Some(OperationPhase::Failed),
            Outcome::Failed(_) if result.hook_type.is_some() => Some(OperationPhase::Failed),
            _ => None,
        };
        if hook_phase.is_some() {
            result.hook_phase = hook_phase;
        }
        let of_phase = self.phases.entry(phase).or_default();
        of_phase.insert(key, (outcome, result));
    }

    /// What became of an object in a phase.
    pub fn get(&self, phase: Phase, key: &ObjectKey) -> Option<&Outcome> {
        let (outcome, _) = self.phases.get(&phase)?.get(key)?;
        Some(outcome)
    }

    /// Says something else of an object than what was done with it.
    pub fn explain(&mut self, phase: Phase, key: &ObjectKey, reason: &Reason) {
        let of_phase = self.phases.get_mut(&phase);
        if let Some((_, result)) = of_phase.and_then(|of_phase| of_phase.get_mut(key)) {
            result.message = reason.to_string();
            result.reason = reason.code().map(Code::as_str).unwrap_or_default().into();
        }
    }

    /// The results as they are kept, in the order of phases.
    pub fn results(&self) -> Vec<ResourceResult> {
        self.entries().map(|(_, result)| result.clone()).collect()
    }

    /// How many objects had this outcome.
    pub fn count(&self, wanted: impl Fn(&Outcome) -> bool) -> usize {
        self.entries()
            .filter(|(outcome, _)| wanted(outcome))
            .count()
    }

    /// Whether hooks ran beside or after the objects, so that the sync was over only when they were.
    pub fn ends_with_hooks(&self) -> bool {
        let last = [Phase::Sync, Phase::PostSync].into_iter();
        let mut last = last
            .filter_map(|phase| self.phases.get(&phase))
            .flat_map(BTreeMap::values);
        last.any(|(_, result)| result.hook_type.is_some())
    }

    fn entries(&self) -> impl Iterator<Item = &(Outcome, ResourceResult)> {
        self.phases.values().flat_map(BTreeMap::values)
    }
}
