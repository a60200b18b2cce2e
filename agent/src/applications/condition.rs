//! Conditions that several steps give as the reason why they cannot go on.

use gitops_api::constants::condition;
use gitops_core::listing;
use gitops_core::report::status::Condition;

/// What Git holds cannot be found out or compared.
pub(crate) fn comparison_error(message: impl Into<String>) -> Condition {
    Condition::new(condition::COMPARISON_ERROR, message)
}

/// The same for many reasons: the first few, and how many there are besides.
pub(crate) fn comparison_errors(reasons: &[impl std::fmt::Display]) -> Condition {
    comparison_error(listing::shortened(reasons.iter(), 5, "; "))
}

/// The Application says something that is not possible or not allowed.
pub(crate) fn invalid_spec(message: impl Into<String>) -> Condition {
    Condition::new(condition::INVALID_SPEC_ERROR, message)
}

/// A setting that is not followed.
pub(crate) fn invalid_setting(message: impl Into<String>) -> Condition {
    Condition::new(condition::INVALID_SETTING_WARNING, message)
}
