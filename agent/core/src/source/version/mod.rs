//! Versions and version ranges as Argo CD and Helm read them (the rules of the Go library
//! Masterminds/semver, version 3; the crate `semver` reads ranges as Cargo does).
//!
//! Decides which version a range chooses; where the versions come from is known elsewhere.

mod comparison;
mod operand;

use semver::Version;

use self::comparison::{Comparison, Operator};
use self::operand::{Number, Operand};

/// Longest version that is read, in bytes.
const LONGEST_VERSION: usize = 256;
/// Longest range that is read, in bytes.
const LONGEST_CONSTRAINT: usize = 512;
/// Most alternatives (`||`) of one range.
const MOST_ALTERNATIVES: usize = 32;

/// Reads a version as people write tags: a leading `v`, missing minor and patch numbers and
/// leading zeros are accepted.
pub fn parse_version(text: &str) -> Option<Version> {
    if text.len() > LONGEST_VERSION {
        return None;
    }
    let (operand, rest) = Operand::take(text)?;
    if !rest.is_empty() || operand.numbers.contains(&Number::Any) {
        return None;
    }
    Some(operand.version())
}

/// A version range, such as `1.2.*`, `^1.2`, `~1.2.3`, `>=1.0, <2.0`, `1.2 - 1.4` or `1.x || 2.1`.
///
/// Releases only, unless an alternative itself names a pre-release (`>=1.0.0-0`). Reads what
/// Masterminds/semver reads, except that `|` is never taken for part of a number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Constraint {
    alternatives: Vec<Alternative>,
}

/// Comparisons that must all hold.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Alternative {
    comparisons: Vec<Comparison>,
    /// One of the comparisons names a pre-release.
    prereleases: bool,
}

/// Why a text is no version range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConstraintError {
    /// More text or alternatives than any range needs.
    #[error(
        "the version range is too long (at most {LONGEST_CONSTRAINT} bytes and {MOST_ALTERNATIVES} alternatives)"
    )]
    TooLong,
    /// Text that is not understood.
    #[error(
        "\"{0}\" is not a version range; write for example \"1.2.*\", \"^1.2\" or \">=1.0, <2.0\""
    )]
    Malformed(String),
}

impl Constraint {
    /// Reads a range.
    pub fn parse(text: &str) -> Result<Self, ConstraintError> {
        if text.len() > LONGEST_CONSTRAINT || text.split("||").count() > MOST_ALTERNATIVES {
            return Err(ConstraintError::TooLong);
        }
        let alternatives = text
            .split("||")
            .map(|part| {
                Alternative::parse(part).ok_or_else(|| ConstraintError::Malformed(part.into()))
            })
            .collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// Whether a version lies in the range.
    pub fn matches(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|alternative| {
            (version.pre.is_empty() || alternative.prereleases)
                && alternative
                    .comparisons
                    .iter()
                    .all(|comparison| comparison.holds(version))
        })
    }

    /// The newest of `versions` in the range, with its spelling; texts that are no versions are
    /// passed over. Of several spellings of one version the first is taken.
    pub fn newest<'a>(&self, versions: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let mut best: Option<(&str, Version)> = None;
        for text in versions {
            let Some(version) = parse_version(text).filter(|version| self.matches(version)) else {
                continue;
            };
            if best
                .as_ref()
                .is_none_or(|(_, best)| version.cmp_precedence(best).is_gt())
            {
                best = Some((text, version));
            }
        }
        best.map(|(text, _)| text)
    }
}

impl Alternative {
    fn parse(text: &str) -> Option<Self> {
        let mut comparisons = Vec::new();
        let mut rest = skip_space(text);
        let mut separated = true;
        loop {
            let (operator, after_operator) = Operator::take(rest);
            let (operand, after) = Operand::take(skip_space(after_operator))?;
            if let Some(upper) = range_end(after) {
                // `3 1 - 2` and `>1 - 2` are refused by the library as well.
                if operator != Operator::Equal || after_operator.len() < rest.len() || !separated {
                    return None;
                }
                let (upper, after) = Operand::take(upper)?;
                comparisons.push(Comparison::new(Operator::GreaterOrEqual, &operand));
                comparisons.push(Comparison::new(Operator::LessOrEqual, &upper));
                rest = skip_space(after);
                if rest.is_empty() {
                    break;
                }
                // The library puts a space behind a range it has rewritten.
                separated = true;
            } else {
                comparisons.push(Comparison::new(operator, &operand));
                rest = skip_space(after);
                if rest.is_empty() {
                    break;
                }
                separated = rest.starts_with(',');
                if !separated && rest.len() == after.len() {
                    return None;
                }
            }
            if let Some(next) = rest.strip_prefix(',') {
                rest = skip_space(next);
            }
        }
        let prereleases = comparisons
            .iter()
            .any(|comparison| !comparison.version.pre.is_empty());
        Some(Self {
            comparisons,
            prereleases,
        })
    }
}

/// What follows a dash with space on both sides.
fn range_end(text: &str) -> Option<&str> {
    let dash = skip_space(text);
    let after = dash.strip_prefix('-')?;
    let upper = skip_space(after);
    (dash.len() < text.len() && upper.len() < after.len()).then_some(upper)
}

fn skip_space(text: &str) -> &str {
    text.trim_start_matches(['\t', '\n', '\u{c}', '\r', ' '])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Verdicts of Masterminds/semver 3.5.0: the range, then versions inside and outside.
    #[test]
    fn ranges() {
        let cases: [(&str, &[&str], &[&str]); 43] = [
            ("*", &["0.0.0", "1.2.3", "v9.0"], &["1.0.0-rc.1"]),
            ("x", &["1.2.3"], &["1.0.0-0"]),
            ("1.x.x", &["1.0.0", "1.9.9"], &["2.0.0", "0.9.0"]),
            ("1.2.*", &["1.2.0", "1.2.9"], &["1.3.0", "1.2.0-rc.1"]),
            ("1.2", &["1.2.0", "1.2.7"], &["1.3.0"]),
            ("1", &["1.0.0", "1.9.0"], &["2.0.0"]),
            ("v1.2.3", &["1.2.3", "v1.2.3", "1.2.3+build"], &["1.2.4"]),
            ("=1.2.3", &["1.2.3"], &["1.2.30"]),
            ("= 1.2", &["1.2.5"], &["1.3.0"]),
            ("!=1.2.3", &["1.2.4"], &["1.2.3"]),
            ("!=1.2", &["1.3.0"], &["1.2.9"]),
            ("!=1", &["2.0.0"], &["1.9.0"]),
            (">1.2.3", &["1.2.4"], &["1.2.3"]),
            (">11", &["12.0.0"], &["11.9.0"]),
            (">11.1", &["11.2.0"], &["11.1.9"]),
            (">=1.2", &["1.2.0", "2.0.0"], &["1.1.9"]),
            ("=>1.2", &["1.2.0"], &["1.1.9"]),
            ("<1.2", &["1.1.9"], &["1.2.0"]),
            ("<=1.2", &["1.2.9", "1.0.0"], &["1.3.0"]),
            ("<=1", &["1.9.0"], &["2.0.0"]),
            ("=<1.2.3", &["1.2.3"], &["1.2.4"]),
            ("~1.2.3", &["1.2.3", "1.2.9"], &["1.2.2", "1.3.0"]),
            ("~> 1.2", &["1.2.0"], &["1.3.0"]),
            ("~1", &["1.9.0"], &["2.0.0"]),
            ("~0.0.0", &["0.0.0", "5.0.0"], &[]),
            ("^1.2.3", &["1.9.0"], &["1.2.2", "2.0.0"]),
            ("^0.2.3", &["0.2.9"], &["0.3.0", "1.0.0"]),
            ("^0.0.3", &["0.0.3"], &["0.0.4", "0.1.0"]),
            ("^0.0", &["0.0.9"], &["0.1.0"]),
            ("^0", &["0.9.0"], &["1.0.0"]),
            (">=1.0, <2.0", &["1.5.0"], &["2.0.0", "0.9.0"]),
            (">=1.0 <2.0", &["1.5.0"], &["2.0.0"]),
            (">= 1.0 , < 2.0", &["1.5.0"], &["2.0.0"]),
            ("1.2 - 1.4.5", &["1.2.0", "1.4.5"], &["1.4.6", "1.1.9"]),
            ("1.2 - 1.4", &["1.4.9"], &["1.5.0"]),
            ("1.x || 3.0.1", &["1.4.0", "3.0.1"], &["2.0.0", "3.0.0"]),
            (">=1.0.0-0", &["1.0.0-rc.1", "2.0.0-beta"], &["0.9.0"]),
            (">=1.0.0-0 <2", &["1.5.0-rc.1", "2.0.0-rc.1"], &["2.0.0"]),
            (
                "~1.2.3-beta.2",
                &["1.2.3-beta.4", "1.2.3"],
                &["1.2.3-beta.1"],
            ),
            ("^1.0.0-0", &["1.0.0-rc.1", "1.9.0-x"], &["2.0.0"]),
            ("1.2.x-0", &["1.2.3-rc.1"], &["1.3.0"]),
            (
                "2.0.0-rc.1 || 1.x",
                &["2.0.0-rc.1", "1.0.0"],
                &["1.0.0-rc.1"],
            ),
            ("01.2.3", &["1.2.3"], &["1.2.4"]),
        ];
        for (text, inside, outside) in cases {
            let range = Constraint::parse(text).unwrap();
            let matches = |version: &&&str| range.matches(&parse_version(version).unwrap());
            assert_eq!(
                inside.iter().find(|version| !matches(version)),
                None,
                "{text}"
            );
            assert_eq!(outside.iter().find(matches), None, "{text}");
        }
    }

    #[test]
    fn texts_that_are_no_ranges() {
        for text in [
            "",
            " ",
            "main",
            "HEAD",
            "latest",
            "v",
            "1.2.3.4",
            "1,,2",
            ",1",
            "1,",
            "1.2.",
            ">=1<2",
            "== 1",
            ">1 - 2",
            "3 1 - 2",
            "1 || ",
            "||",
            "1.2.3-01",
            "1 2 main",
            "release-1.2",
            "1.2.3-",
            "^",
            "1.xx",
            ">=",
            "^1.0 - 2.0",
        ] {
            assert!(Constraint::parse(text).is_err(), "{text}");
        }
        assert_eq!(
            Constraint::parse(&"1".repeat(600)),
            Err(ConstraintError::TooLong)
        );
        assert_eq!(
            Constraint::parse(&"1||".repeat(40)),
            Err(ConstraintError::TooLong)
        );
    }

    #[test]
    fn versions() {
        let cases = [
            ("1.2.3", Some("1.2.3")),
            ("v1.2", Some("1.2.0")),
            ("v7", Some("7.0.0")),
            ("1.02.3", Some("1.2.3")),
            ("1.2.3-rc.1+build.5", Some("1.2.3-rc.1+build.5")),
            ("1.2-rc", Some("1.2.0-rc")),
            ("1.2.3-rc.", None),
            ("1.2.3-01", None),
            ("1.2.3.4", None),
            ("1.x", None),
            ("V1.2.3", None),
            ("release-1.2", None),
            ("", None),
            ("v", None),
            ("1..2", None),
            ("-1", None),
            ("1.2.3+", None),
            ("99999999999999999999.0.0", None),
        ];
        for (text, expected) in cases {
            let shown = parse_version(text).map(|version| version.to_string());
            assert_eq!(shown.as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn newest_of_a_list() {
        let tags = [
            "v1.2.0",
            "1.10.0",
            "v1.9.9",
            "2.0.0-rc.1",
            "nightly",
            "1.10.0+b",
        ];
        let newest = |text: &str| Constraint::parse(text).unwrap().newest(tags);
        assert_eq!(newest("1.x"), Some("1.10.0"));
        assert_eq!(newest("~1.9"), Some("v1.9.9"));
        assert_eq!(newest("*"), Some("1.10.0"));
        assert_eq!(newest(">=2.0.0-0"), Some("2.0.0-rc.1"));
        assert_eq!(newest("3.x"), None);
    }

    proptest! {
        #[test]
        fn a_version_lies_in_the_ranges_around_it(major in 0..50_u64, minor in 0..50_u64, patch in 0..50_u64) {
            let version = Version::new(major, minor, patch);
            for text in [
                format!("{version}"), format!("^{version}"), format!("~{version}"),
                format!("{major}.{minor}.x"), format!("{major}"), format!(">={version} <={version}"),
                format!("<{version} || {version}"), format!("{version} - {version}"),
            ] {
                prop_assert!(Constraint::parse(&text).unwrap().matches(&version), "{text}");
            }
            for text in [format!("!={version}"), format!(">{version}"), format!("<{version}")] {
                prop_assert!(!Constraint::parse(&text).unwrap().matches(&version), "{text}");
            }
        }

        #[test]
        fn parsing_never_panics(text in "[0-9xXv*.,<>=~^|! a-c+-]{0,24}") {
            let _ = Constraint::parse(&text);
            let _ = parse_version(&text);
        }
    }
}
