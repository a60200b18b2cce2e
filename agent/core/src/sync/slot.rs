//! The order of a sync: phase, applies before prunes, wave.
//!
//! The one place that says what comes before what; which actions there are is the plan's. Follows
//! Argo CD, "Sync Phases and Waves".

use std::cmp::Ordering;

use crate::live::object::LiveObject;
use crate::manifest::desired::DesiredObject;
use crate::manifest::options::AppOptions;
use crate::manifest::phase::Phase;
use crate::reason::SyncStep;

/// Where a task of a sync belongs. Inside a slot kinds go by their rank
/// ([`kinds::rank`](crate::manifest::kinds::rank)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SyncSlot {
    pub(super) phase: Phase,
    prunes: bool,
    /// A prune that waits until what was applied is healthy (`PruneLast`).
    last: bool,
    wave: i64,
}

impl SyncSlot {
    /// The slot of an object to apply, or of a hook in this phase.
    pub(super) fn of_apply(phase: Phase, object: &DesiredObject) -> Self {
        Self {
            phase,
            prunes: false,
            last: false,
            wave: object.wave,
        }
    }

    /// The slot of a live object to prune.
    pub(super) fn of_prune(live: &LiveObject, options: &AppOptions) -> Self {
        Self {
            phase: Phase::Sync,
            prunes: true,
            last: options.prunes_last(live.options),
            wave: live.wave,
        }
    }

    /// Whether it comes after another one.
    pub(super) fn is_after(self, other: Self) -> bool {
        self > other
    }

    /// Whether objects go here.
    pub(super) fn prunes(self) -> bool {
        self.prunes
    }

    /// Whether what is done here waits until all of an earlier slot is healthy. What goes out does
    /// not wait for what comes in, unless the option says so.
    pub(super) fn waits_for(self, earlier: Self) -> bool {
        let replaces = self.phase == earlier.phase && self.prunes && !earlier.prunes;
        self > earlier && (self.last || !replaces)
    }

    /// As it is reported.
    pub(super) fn step(self) -> SyncStep {
        SyncStep {
            phase: self.phase.sync_phase().unwrap_or_default(),
            wave: self.wave,
            prune: self.prunes,
        }
    }

    fn order(self) -> (Phase, bool, bool, i64) {
        // Prunes go through the waves backwards.
        let wave = if self.prunes {
            self.wave.saturating_neg()
        } else {
            self.wave
        };
        (self.phase, self.prunes, self.last, wave)
    }
}

impl Ord for SyncSlot {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order().cmp(&other.order())
    }
}

impl PartialOrd for SyncSlot {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}
