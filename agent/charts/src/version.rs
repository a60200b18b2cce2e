//! Versions and ranges, read as Helm reads them.
//!
//! Decides whether a version lies in a range and which of several versions is newest. Helm's rules
//! are those of the Masterminds semver library for Go, which differ from Cargo's and from npm's:
//! a bare `1.2` means any `1.2.x`, `>11` means `12` or newer, and pre-releases count only when the
//! range itself names one. Never asks a repository.

use std::cmp::Ordering;

use semver::{BuildMetadata, Prerelease, Version};

/// Longest range that is read, in bytes, and most alternatives joined by `||`: the limits of the
/// library Helm uses.
const MAX_RANGE_BYTES: usize = 512;
const MAX_ALTERNATIVES: usize = 32;

/// A version as charts spell it: a leading `v`, and a missing minor or patch number, are allowed.
pub fn parse_version(text: &str) -> Option<Version> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (text, build) = match text.split_once('+') {
        Some((rest, build)) => (
            rest,
            BuildMetadata::new(build).ok().filter(|b| !b.is_empty())?,
        ),
        None => (text, BuildMetadata::EMPTY),
    };
    let (numbers, pre) = match text.split_once('-') {
        Some((rest, pre)) => (rest, Prerelease::new(pre).ok().filter(|p| !p.is_empty())?),
        None => (text, Prerelease::EMPTY),
    };
    let mut parts = numbers.split('.').map(number);
    let major = parts.next()??;
    let minor = parts.next().unwrap_or(Some(0))?;
    let patch = parts.next().unwrap_or(Some(0))?;
    if parts.next().is_some() {
        return None;
    }
    Some(Version {
        major,
        minor,
        patch,
        pre,
        build,
    })
}

/// Whether `text` names exactly one version, so that no list of versions has to be asked for.
pub fn is_exact(text: &str) -> bool {
    let numbers = text.strip_prefix('v').unwrap_or(text);
    let numbers = numbers.split(['-', '+']).next().unwrap_or_default();
    numbers.split('.').count() == 3 && parse_version(text).is_some()
}

/// Order by precedence; build metadata does not count (semver.org, item 10).
pub fn compare(left: &Version, right: &Version) -> Ordering {
    left.cmp_precedence(right)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// A range such as `^1.2`, `1.x`, `>=1 <2 || 3.0.0`, `1.2 - 1.4`, or empty and `*` for the newest
/// release.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRange {
    alternatives: Vec<Alternative>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Alternative {
    bounds: Vec<Bound>,
    /// One bound names a pre-release, so pre-releases count for all of them.
    prereleases: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

/// How many numbers of the version were written out; the rest were `x`, `*` or missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Written {
    Nothing,
    Major,
    Minor,
    Patch,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bound {
    operator: Operator,
    version: Version,
    written: Written,
}

impl VersionRange {
    /// Reads a range; the error says what is wrong with it, without naming where it was written.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.len() > MAX_RANGE_BYTES {
            return Err(format!("it is longer than {MAX_RANGE_BYTES} bytes"));
        }
        let text = if text.trim().is_empty() { "*" } else { text };
        let alternatives: Vec<&str> = text.split("||").collect();
        if alternatives.len() > MAX_ALTERNATIVES {
            return Err(format!("it has more than {MAX_ALTERNATIVES} alternatives"));
        }
        let alternatives = alternatives
            .into_iter()
            .map(Alternative::parse)
            .collect::<Result<_, _>>()?;
        Ok(Self { alternatives })
    }

    /// Whether `version` lies in this range.
    pub fn contains(&self, version: &Version) -> bool {
        self.alternatives.iter().any(|alternative| {
            (version.pre.is_empty() || alternative.prereleases)
                && alternative.bounds.iter().all(|bound| bound.admits(version))
        })
    }

    /// The newest of `versions` in this range. Of several that differ only in build metadata the
    /// one listed first is taken; what is not a version is passed over.
    pub fn newest<'a>(&self, versions: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
        let mut newest: Option<(&str, Version)> = None;
        for text in versions {
            let Some(version) = parse_version(text).filter(|v| self.contains(v)) else {
                continue;
            };
            if newest
                .as_ref()
                .is_none_or(|(_, best)| compare(&version, best).is_gt())
            {
                newest = Some((text, version));
            }
        }
        newest.map(|(text, _)| text)
    }
}

impl Alternative {
    fn parse(text: &str) -> Result<Self, String> {
        let mut bounds = Vec::new();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err("there is nothing on one side of `||`".to_owned());
        }
        loop {
            let (operator, after) = take_operator(rest);
            let (version, after) = take_version(after.trim_start())?;
            let after_space = after.trim_start();
            // `1.2 - 1.4`: a dash between spaces; without spaces it would begin a pre-release.
            let upper = after_space
                .strip_prefix('-')
                .filter(|after_dash| {
                    after_space.len() < after.len() && after_dash.starts_with(char::is_whitespace)
                })
                .map(str::trim_start);
            rest = if let Some(upper) = upper {
                if operator.is_some() {
                    return Err(format!("`{text}` mixes an operator with a dash"));
                }
                bounds.push(bound(Operator::GreaterOrEqual, version)?);
                let (version, after) = take_version(upper)?;
                bounds.push(bound(Operator::LessOrEqual, version)?);
                after
            } else {
                bounds.push(bound(operator.unwrap_or(Operator::Equal), version)?);
                after
            };
            let separated = rest.starts_with(char::is_whitespace) || rest.starts_with(',');
            rest = rest.trim_start();
            if rest.is_empty() {
                let prereleases = bounds.iter().any(|bound| !bound.version.pre.is_empty());
                return Ok(Self {
                    bounds,
                    prereleases,
                });
            }
            if !separated {
                return Err(format!(
                    "`{rest}` follows a version without a space or comma"
                ));
            }
            rest = rest.strip_prefix(',').unwrap_or(rest).trim_start();
        }
    }
}

fn take_operator(text: &str) -> (Option<Operator>, &str) {
    const OPERATORS: [(&str, Operator); 11] = [
        ("!=", Operator::NotEqual),
        (">=", Operator::GreaterOrEqual),
        ("=>", Operator::GreaterOrEqual),
        ("<=", Operator::LessOrEqual),
        ("=<", Operator::LessOrEqual),
        ("~>", Operator::Tilde),
        ("=", Operator::Equal),
        (">", Operator::Greater),
        ("<", Operator::Less),
        ("~", Operator::Tilde),
        ("^", Operator::Caret),
    ];
    for (spelling, operator) in OPERATORS {
        if let Some(rest) = text.strip_prefix(spelling) {
            return (Some(operator), rest);
        }
    }
    (None, text)
}

fn take_version(text: &str) -> Result<(&str, &str), String> {
    let end = text
        .find(|c: char| c.is_whitespace() || c == ',')
        .unwrap_or(text.len());
    if end == 0 {
        return Err("an operator has no version after it".to_owned());
    }
    Ok(text.split_at(end))
}

fn bound(operator: Operator, text: &str) -> Result<Bound, String> {
    let malformed = || format!("`{text}` is neither a version nor a range");
    let bare = text.strip_prefix('v').unwrap_or(text);
    let suffix_at = bare.find(['-', '+']).unwrap_or(bare.len());
    let (numbers, suffix) = bare.split_at(suffix_at);
    let parts: Vec<&str> = numbers.split('.').collect();
    let wild = |part: &&str| matches!(*part, "x" | "X" | "*");
    if parts.len() > 3
        || !parts
            .iter()
            .all(|part| wild(part) || number(part).is_some())
    {
        return Err(malformed());
    }
    let wanted = parts.iter().position(wild).unwrap_or(parts.len());
    let written = match wanted {
        0 => Written::Nothing,
        1 => Written::Major,
        2 => Written::Minor,
        _ => Written::Patch,
    };
    let mut filled: Vec<&str> = parts.into_iter().take(wanted).collect();
    filled.resize(3, "0");
    let version = parse_version(&format!("{}{suffix}", filled.join("."))).ok_or_else(malformed)?;
    Ok(Bound {
        operator,
        version,
        written,
    })
}

impl Bound {
    fn admits(&self, version: &Version) -> bool {
        let order = compare(version, &self.version);
        let whole = self.written == Written::Patch;
        match self.operator {
            Operator::Equal if whole => order.is_eq(),
            Operator::Equal | Operator::Tilde => self.admits_tilde(version, order),
            Operator::NotEqual if whole => order.is_ne(),
            Operator::NotEqual => self.admits_other_than(version),
            Operator::Greater if whole => order.is_gt(),
            Operator::Greater => self.admits_beyond(version, order),
            Operator::Less => order.is_lt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::LessOrEqual if whole => order.is_le(),
            Operator::LessOrEqual => {
                let (mine, theirs) = (&self.version, version);
                theirs.major < mine.major
                    || theirs.major == mine.major
                        && (theirs.minor <= mine.minor || self.written == Written::Major)
            }
            Operator::Caret => self.admits_caret(version, order),
        }
    }

    /// `~1.2.3` is `>=1.2.3 <1.3.0`; `~1` any `1.x`; `*` and `~0.0.0` anything.
    fn admits_tilde(&self, version: &Version, order: Ordering) -> bool {
        let bound = &self.version;
        let zero = bound.major == 0 && bound.minor == 0 && bound.patch == 0;
        let spelled_by_patch_or_not_at_all =
            matches!(self.written, Written::Nothing | Written::Patch);
        order.is_ge()
            && (zero && spelled_by_patch_or_not_at_all
                || version.major == bound.major
                    && (version.minor == bound.minor || self.written == Written::Major))
    }

    /// `!=1.x`, `!=1.2.x`. A wholly open `!=*` excludes only what starts with 0.0.0, as in Helm.
    fn admits_other_than(&self, version: &Version) -> bool {
        let bound = &self.version;
        match self.written {
            Written::Major => version.major != bound.major,
            Written::Minor if version.pre.is_empty() && bound.pre.is_empty() => {
                (version.major, version.minor) != (bound.major, bound.minor)
            }
            Written::Minor => {
                (version.major, version.minor) != (bound.major, bound.minor)
                    || version.pre != bound.pre
            }
            Written::Nothing | Written::Patch => compare(version, bound).is_ne(),
        }
    }

    /// `>11` needs `12`, `>11.1` needs `11.2`.
    fn admits_beyond(&self, version: &Version, order: Ordering) -> bool {
        let bound = &self.version;
        match self.written {
            Written::Major => version.major > bound.major,
            Written::Minor => (version.major, version.minor) > (bound.major, bound.minor),
            Written::Nothing | Written::Patch => order.is_gt(),
        }
    }

    /// `^1.2.3` is `>=1.2.3 <2.0.0`; below 1 the first number that is not zero must stay.
    fn admits_caret(&self, version: &Version, order: Ordering) -> bool {
        let bound = &self.version;
        if order.is_lt() {
            return false;
        }
        if bound.major > 0 || self.written == Written::Major {
            return version.major == bound.major;
        }
        if version.major > 0 {
            return false;
        }
        if bound.minor > 0 || self.written == Written::Minor {
            return version.minor == bound.minor;
        }
        version.minor == 0 && version.patch == bound.patch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PUBLISHED: [&str; 13] = [
        "0.0.3",
        "0.2.4",
        "0.3.0",
        "1.0.0",
        "1.2.3",
        "1.2.4",
        "1.3.0",
        "2.0.0-rc.1",
        "v2.0.0",
        "2.1.0",
        "11.1.5",
        "12.0.0+build.7",
        "13.0.0-alpha",
    ];

    #[test]
    fn newest_version_of_a_range() {
        let cases = [
            ("", Some("12.0.0+build.7")),
            ("*", Some("12.0.0+build.7")),
            ("x", Some("12.0.0+build.7")),
            ("~*", Some("12.0.0+build.7")),
            (">=0.0.0", Some("12.0.0+build.7")),
            (">0-0", Some("13.0.0-alpha")),
            (">=0.0.0-0", Some("13.0.0-alpha")),
            ("1", Some("1.3.0")),
            ("1.x", Some("1.3.0")),
            ("v1.x", Some("1.3.0")),
            ("1.2", Some("1.2.4")),
            ("1.2.x", Some("1.2.4")),
            ("1.2.3", Some("1.2.3")),
            ("=1.2.3", Some("1.2.3")),
            ("v1.2.3", Some("1.2.3")),
            ("2.0.0", Some("v2.0.0")),
            ("~1.2.3", Some("1.2.4")),
            ("~> 1.2", Some("1.2.4")),
            ("~1", Some("1.3.0")),
            ("^1.2", Some("1.3.0")),
            ("^0.2.3", Some("0.2.4")),
            ("^0.2", Some("0.2.4")),
            ("^0.0.3", Some("0.0.3")),
            ("^0", Some("0.3.0")),
            (">=1 <2", Some("1.3.0")),
            (">= 1.0.0, < 1.3.0", Some("1.2.4")),
            ("=>1,=<1.2.3", Some("1.2.3")),
            ("<=1.2", Some("1.2.4")),
            ("<=1", Some("1.3.0")),
            ("<1.2", Some("1.0.0")),
            (">11 <13", Some("12.0.0+build.7")),
            (">11.0 <12", Some("11.1.5")),
            (">11.1 <12", None),
            ("1.2 - 1.2.3", Some("1.2.3")),
            ("1.0.0 - 2.0.0 || 11.x", Some("11.1.5")),
            ("1.x !=1.3.0", Some("1.2.4")),
            ("1.x !=1.3.x", Some("1.2.4")),
            (">=1 !=12.x", Some("11.1.5")),
            ("~2.0.0-0", Some("v2.0.0")),
            (">=2.0.0-0 <2.0.0", Some("2.0.0-rc.1")),
            (">2 <3 || 1.0.x", Some("1.0.0")),
            ("9.9.9", None),
        ];
        for (range, expected) in cases {
            let range_read = VersionRange::parse(range).unwrap_or_else(|e| panic!("{range}: {e}"));
            assert_eq!(range_read.newest(PUBLISHED), expected, "{range}");
        }
    }

    #[test]
    fn malformed_ranges_are_refused() {
        let long = "1".repeat(513);
        let many = "1||".repeat(33) + "1";
        for range in [
            "main",
            ">=",
            "1.2.3.4",
            "^1.0 - 2.0",
            ">=1<2",
            "1 || ",
            "1,,2",
            "1.2.3-",
            &long,
            &many,
        ] {
            assert!(VersionRange::parse(range).is_err(), "{range}");
        }
    }

    #[test]
    fn exact_versions() {
        for (text, exact) in [
            ("1.2.3", true),
            ("v1.2.3-rc.1+build", true),
            ("1.2", false),
            ("1.2.x", false),
            ("^1.2.3", false),
            ("", false),
        ] {
            assert_eq!(is_exact(text), exact, "{text}");
        }
        assert_eq!(
            parse_version("1.2").map(|v| v.to_string()).as_deref(),
            Some("1.2.0")
        );
        for text in ["", "v", "1.2.3.4", "1..2", "-1", "1.2.3+", "one"] {
            assert_eq!(parse_version(text), None, "{text}");
        }
    }
}
