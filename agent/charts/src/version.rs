//! What Helm adds to the rules of versions and ranges, which are
//! [`gitops_core::source::version`]'s: nothing written means any release, and an exact version
//! needs no list to choose from.

use gitops_core::source::version::{Constraint, ConstraintError, parse_version};

/// Reads the range of a chart's version; an empty one is `*`, the newest release.
pub(crate) fn range(text: &str) -> Result<Constraint, ConstraintError> {
    Constraint::parse(if text.trim().is_empty() { "*" } else { text })
}

/// Whether `text` names exactly one version, so that no list of versions has to be asked for.
pub(crate) fn is_exact(text: &str) -> bool {
    let numbers = text.split(['-', '+']).next().unwrap_or_default();
    numbers.split('.').count() == 3 && parse_version(text).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exact_versions() {
        for (text, exact) in [
            ("1.2.3", true),
            ("v1.2.3-rc.1+build", true),
            ("1.2", false),
            ("1.2-rc.1.2", false),
            ("1.2.x", false),
            ("^1.2.3", false),
            ("1.2.3 ", false),
            ("", false),
        ] {
            assert_eq!(is_exact(text), exact, "{text}");
        }
    }

    #[test]
    fn nothing_is_the_newest_release() {
        let published = ["1.0.0", "2.0.0", "3.0.0-rc.1"];
        for text in ["", " ", "*"] {
            assert_eq!(
                range(text).unwrap().newest(published),
                Some("2.0.0"),
                "{text:?}"
            );
        }
        assert!(range("main").is_err());
    }
}
