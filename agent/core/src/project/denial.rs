//! Why a project refuses something, and the change that would allow it.

/// Longest rule that is shown whole, in characters.
const MAX_SHOWN_RULE: usize = 200;

/// Why a project refuses something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Denial {
    /// The rule that would allow it, or the one that denies it, as the project spells it.
    pub rule: String,
    /// Project, what was denied, and the change that would allow it.
    pub message: String,
}

impl Denial {
    pub(super) fn not_allowed(project: &str, what: &str, field: &str, rule: &str) -> Self {
        Self {
            rule: rule.into(),
            message: format!(
                "project {project} does not allow {what}; to allow it, add {rule} to \
                 spec.{field} of the AppProject"
            ),
        }
    }

    pub(super) fn denied(project: &str, what: &str, field: &str, rule: &str) -> Self {
        Self {
            rule: rule.into(),
            message: format!(
                "project {project} denies {what} by {rule} in spec.{field} of the AppProject"
            ),
        }
    }
}

/// A rule as it is shown: nobody reads one of a hundred thousand braces.
pub(super) fn shortened(rule: &str) -> String {
    match rule.char_indices().nth(MAX_SHOWN_RULE) {
        Some((end, _)) => format!("{}…", &rule[..end]),
        None => rule.to_owned(),
    }
}

/// A rule as YAML spells a text.
pub(super) fn quoted(text: &str) -> String {
    format!("\"{text}\"")
}
