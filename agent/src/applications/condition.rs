//! Conditions that several steps give.

use gitops_api::constants::condition;
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;

/// What Git holds cannot be found out or compared.
pub(crate) fn comparison_failed(reason: Reason) -> Condition {
    Condition::new(condition::COMPARISON_ERROR, reason)
}

/// A setting that is not followed.
pub(crate) fn invalid_setting(detail: impl Into<String>) -> Condition {
    let detail = detail.into();
    Condition::new(
        condition::INVALID_SETTING_WARNING,
        Reason::InvalidSetting { detail },
    )
}
