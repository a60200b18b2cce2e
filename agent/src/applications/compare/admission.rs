//! What admission makes of the values Git states: said, and asked about again from time to time.
//!
//! It is not healed: applying again would have the same end. Once the webhook or policy is gone or
//! corrected, a dry run says so, and what is then a difference is healed like any other.

use std::time::Duration;

use gitops_api::constants::condition;
use gitops_core::compare::comparison::{Comparison, State};
use gitops_core::live::admission::Admission;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::report::status::Condition;
use jiff::Timestamp;

use crate::applications::Memory;
use crate::applications::reconcile::{Findings, Pass};

/// Pause between two dry runs of what is overruled, since nothing announces that it no longer is.
const PAUSE: Duration = Duration::from_mins(5);

impl Pass<'_> {
    /// Whether it is time to ask again.
    pub(crate) fn admission_is_due(&self, memory: &Memory) -> bool {
        let asked = memory.admission_asked;
        self.refresh.is_some()
            || asked.is_some_and(|asked| {
                let age = Timestamp::now().duration_since(asked);
                Duration::try_from(age).is_ok_and(|age| age >= PAUSE)
            })
    }

    /// Makes the API server be asked about what it is time to ask again, and what an earlier agent
    /// found and this one does not know.
    pub(crate) fn doubt_admission(&self, desired: &DesiredSet, comparison: &mut Comparison) {
        let said: Vec<&str> = self
            .previous
            .conditions
            .iter()
            .filter(|said| said.condition_type == condition::OVERRULED_WARNING)
            .map(|said| said.message.as_str())
            .collect();
        let index = &self.controller.cluster.index;
        for (key, admission) in index.admission(desired.objects.keys(), !said.is_empty()) {
            let doubted = match admission {
                Admission::Unknown => {
                    let start = format!("{key}: ");
                    said.iter().any(|message| message.starts_with(&start))
                }
                Admission::Kept => false,
                Admission::Overruled(_) => self.asks_admission,
            };
            if doubted
                && let Some(state) = comparison.get_mut(key)
                && state.is_synced()
            {
                *state = State::Unconfirmed;
            }
        }
    }

    /// Says what is overruled; returns when to ask again.
    pub(crate) fn note_admission(
        &mut self,
        findings: &Findings,
        memory: &mut Memory,
    ) -> Option<Duration> {
        let index = &self.controller.cluster.index;
        let keys = findings
            .comparison
            .iter()
            .filter(|(_, state)| state.is_synced());
        let overruled = index.admission(keys.map(|(key, _)| key), false);
        if overruled.is_empty() {
            memory.admission_asked = None;
            return None;
        }
        if self.asks_admission || memory.admission_asked.is_none() {
            memory.admission_asked = Some(Timestamp::now());
        }
        for (key, admission) in overruled {
            if let Admission::Overruled(overruled) = admission {
                self.conditions.insert(Condition::new(
                    condition::OVERRULED_WARNING,
                    format!("{key}: {overruled}"),
                ));
            }
        }
        Some(PAUSE)
    }
}
