//! Conditions that several steps give.

use gitops_api::constants::condition;
use gitops_core::report::status::Condition;

/// What Git holds cannot be found out or compared.
pub(crate) fn comparison_error(message: impl Into<String>) -> Condition {
    Condition::new(condition::COMPARISON_ERROR, message)
}

/// A setting that is not followed.
pub(crate) fn invalid_setting(message: impl Into<String>) -> Condition {
    Condition::new(condition::INVALID_SETTING_WARNING, message)
}
