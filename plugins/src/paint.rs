//! What colours mean. Four only, so that they stay readable on any background.

use gitops_api::{HealthStatusCode, OperationPhase, SyncStatusCode};
use owo_colors::OwoColorize;

/// Meaning of a piece of text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Style {
    /// Ordinary.
    #[default]
    Plain,
    /// As it should be: green.
    Good,
    /// Not as it should be, or on its way: yellow.
    Warn,
    /// Failed: red.
    Bad,
    /// Less important.
    Dim,
    /// More important.
    Bold,
}

impl Style {
    /// The text in this style; unchanged without colour.
    pub fn apply(self, text: &str, colour: bool) -> String {
        if !colour || text.is_empty() {
            return text.to_owned();
        }
        match self {
            Self::Plain => text.to_owned(),
            Self::Good => text.green().to_string(),
            Self::Warn => text.yellow().to_string(),
            Self::Bad => text.red().to_string(),
            Self::Dim => text.dimmed().to_string(),
            Self::Bold => text.bold().to_string(),
        }
    }

    /// The part of a styled text that matters; unchanged without colour.
    pub fn emphasise(self, text: &str, colour: bool) -> String {
        if !colour || text.is_empty() {
            return text.to_owned();
        }
        self.apply(&text.reversed().to_string(), colour)
    }
}

impl From<SyncStatusCode> for Style {
    fn from(code: SyncStatusCode) -> Self {
        match code {
            SyncStatusCode::Synced => Self::Good,
            SyncStatusCode::OutOfSync => Self::Warn,
            SyncStatusCode::Unknown => Self::Bad,
        }
    }
}

impl From<HealthStatusCode> for Style {
    fn from(code: HealthStatusCode) -> Self {
        match code {
            HealthStatusCode::Healthy => Self::Good,
            HealthStatusCode::Suspended => Self::Dim,
            HealthStatusCode::Progressing => Self::Warn,
            HealthStatusCode::Missing | HealthStatusCode::Degraded | HealthStatusCode::Unknown => {
                Self::Bad
            }
        }
    }
}

impl From<OperationPhase> for Style {
    fn from(phase: OperationPhase) -> Self {
        match phase {
            OperationPhase::Succeeded => Self::Good,
            OperationPhase::Running | OperationPhase::Terminating => Self::Warn,
            OperationPhase::Failed | OperationPhase::Error | OperationPhase::Unknown => Self::Bad,
        }
    }
}
