//! The phases of an operation on an Application, in the order they run.
//!
//! Only names and order; what runs in which phase, and when, is decided elsewhere. The names are
//! Argo CD's ("Sync Phases and Waves"; hooks of a deletion are its `PreDelete` and `PostDelete`).

use std::fmt;

use gitops_api::{HookType, SyncPhase};
use serde::{Deserialize, Serialize};

/// A phase of a sync or of the deletion of an Application.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Phase {
    /// Before anything of the sync is applied.
    PreSync,
    /// The objects themselves, and hooks beside them.
    Sync,
    /// After everything that was applied is healthy.
    PostSync,
    /// Only after a sync failed.
    SyncFail,
    /// Before the Application's objects are deleted.
    PreDelete,
    /// The Application's objects are deleted.
    Delete,
    /// After the Application's objects are gone.
    PostDelete,
}

impl Phase {
    /// The phases hooks run in, in order; a sync that failed skips to `SyncFail`.
    pub const WITH_HOOKS: [Self; 6] = [
        Self::PreSync,
        Self::Sync,
        Self::PostSync,
        Self::SyncFail,
        Self::PreDelete,
        Self::PostDelete,
    ];

    /// Whether it is a phase of a sync.
    pub fn is_of_sync(self) -> bool {
        self.sync_phase().is_some()
    }

    /// The phase as the results of a sync name it; `None` for those of a deletion.
    pub fn sync_phase(self) -> Option<SyncPhase> {
        match self {
            Self::PreSync => Some(SyncPhase::PreSync),
            Self::Sync => Some(SyncPhase::Sync),
            Self::PostSync => Some(SyncPhase::PostSync),
            Self::SyncFail => Some(SyncPhase::SyncFail),
            Self::PreDelete | Self::Delete | Self::PostDelete => None,
        }
    }

    /// The type of a hook that runs in it; `None` where no hook runs.
    pub fn hook_type(self) -> Option<HookType> {
        match self {
            Self::PreSync => Some(HookType::PreSync),
            Self::Sync => Some(HookType::Sync),
            Self::PostSync => Some(HookType::PostSync),
            Self::SyncFail => Some(HookType::SyncFail),
            Self::PreDelete => Some(HookType::PreDelete),
            Self::Delete => None,
            Self::PostDelete => Some(HookType::PostDelete),
        }
    }
}

impl From<SyncPhase> for Phase {
    /// A phase that only a later version knows counts as the sync itself.
    fn from(phase: SyncPhase) -> Self {
        match phase {
            SyncPhase::PreSync => Self::PreSync,
            SyncPhase::Sync | SyncPhase::Unknown => Self::Sync,
            SyncPhase::PostSync => Self::PostSync,
            SyncPhase::SyncFail => Self::SyncFail,
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PreSync => "PreSync",
            Self::Sync => "Sync",
            Self::PostSync => "PostSync",
            Self::SyncFail => "SyncFail",
            Self::PreDelete => "PreDelete",
            Self::Delete => "Delete",
            Self::PostDelete => "PostDelete",
        })
    }
}
