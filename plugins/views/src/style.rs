//! Which states are good, and which are not.

use gitops_api::{HealthStatusCode, OperationPhase, SyncStatusCode};
use gitops_kit::paint::Style;

/// Live is what Git says, or not.
pub const fn of_sync(code: SyncStatusCode) -> Style {
    match code {
        SyncStatusCode::Synced => Style::Good,
        SyncStatusCode::OutOfSync => Style::Warn,
        SyncStatusCode::Unknown => Style::Bad,
    }
}

/// It works, or not.
pub const fn of_health(code: HealthStatusCode) -> Style {
    match code {
        HealthStatusCode::Healthy => Style::Good,
        HealthStatusCode::Suspended => Style::Dim,
        HealthStatusCode::Progressing => Style::Warn,
        HealthStatusCode::Missing | HealthStatusCode::Degraded | HealthStatusCode::Unknown => {
            Style::Bad
        }
    }
}

/// How far an operation is.
pub const fn of_phase(phase: OperationPhase) -> Style {
    match phase {
        OperationPhase::Succeeded => Style::Good,
        OperationPhase::Running | OperationPhase::Terminating => Style::Warn,
        OperationPhase::Failed | OperationPhase::Error | OperationPhase::Unknown => Style::Bad,
    }
}
