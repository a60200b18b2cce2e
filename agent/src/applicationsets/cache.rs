//! What is remembered of a set between two looks. All of it can be found again.

use std::time::Instant;

use gitops_core::applicationset::Answers;

use super::answers::Files;

/// What is remembered of a set.
#[derive(Default)]
pub(super) struct SetCache {
    /// Paths and values of the commits it looked at.
    pub(super) files: Files,
    /// Filled templates and read YAML of the last look.
    pub(super) answers: Answers,
    /// When the generators' interval is over.
    pub(super) due: Option<Instant>,
}
