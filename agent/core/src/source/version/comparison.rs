//! One comparison of a range with a version.

use std::cmp::Ordering;

use semver::Version;

use super::operand::Operand;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operator {
    Equal,
    NotEqual,
    Greater,
    Less,
    GreaterOrEqual,
    LessOrEqual,
    Tilde,
    Caret,
}

impl Operator {
    /// The operator at the start of `text`, and the rest. No operator means equality.
    pub(super) fn take(text: &str) -> (Self, &str) {
        const SPELLINGS: [(&str, Operator); 11] = [
            ("!=", Operator::NotEqual),
            (">=", Operator::GreaterOrEqual),
            ("=>", Operator::GreaterOrEqual),
            ("<=", Operator::LessOrEqual),
            ("=<", Operator::LessOrEqual),
            ("~>", Operator::Tilde),
            (">", Operator::Greater),
            ("<", Operator::Less),
            ("~", Operator::Tilde),
            ("^", Operator::Caret),
            ("=", Operator::Equal),
        ];
        SPELLINGS
            .into_iter()
            .find_map(|(spelling, operator)| Some((operator, text.strip_prefix(spelling)?)))
            .unwrap_or((Self::Equal, text))
    }
}

/// How much of a version was written out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Given {
    Nothing,
    Major,
    Minor,
    Whole,
}

/// One comparison with a version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Comparison {
    operator: Operator,
    pub(super) version: Version,
    given: Given,
}

impl Comparison {
    pub(super) fn new(operator: Operator, operand: &Operand) -> Self {
        let given = match operand.given().len() {
            0 => Given::Nothing,
            1 => Given::Major,
            2 => Given::Minor,
            _ => Given::Whole,
        };
        Self {
            operator,
            version: operand.version(),
            given,
        }
    }

    /// Whether a version passes; pre-releases were sorted out before.
    pub(super) fn holds(&self, version: &Version) -> bool {
        let order = version.cmp_precedence(&self.version);
        let whole = self.given == Given::Whole;
        match self.operator {
            Operator::Equal if whole => order.is_eq(),
            Operator::Equal | Operator::Tilde => self.tilde(version, order),
            Operator::NotEqual => self.differs(version, order),
            Operator::Greater => self.greater(version, order),
            Operator::Less => order.is_lt(),
            Operator::GreaterOrEqual => order.is_ge(),
            Operator::LessOrEqual if whole => order.is_le(),
            Operator::LessOrEqual => {
                version.major < self.version.major
                    || (version.major == self.version.major
                        && (version.minor <= self.version.minor || self.given == Given::Major))
            }
            Operator::Caret => self.caret(version, order),
        }
    }

    /// `~1.2.3`: same minor version; `~1`: same major version; `~*` and `~0.0.0`: any.
    fn tilde(&self, version: &Version, order: Ordering) -> bool {
        let zero = (self.version.major, self.version.minor, self.version.patch) == (0, 0, 0);
        if order.is_lt() {
            return false;
        }
        (zero && matches!(self.given, Given::Nothing | Given::Whole))
            || (version.major == self.version.major
                && (version.minor == self.version.minor || self.given == Given::Major))
    }

    fn differs(&self, version: &Version, order: Ordering) -> bool {
        let same_major = version.major == self.version.major;
        let same_minor = same_major && version.minor == self.version.minor;
        match self.given {
            Given::Nothing | Given::Whole => order.is_ne(),
            Given::Major => !same_major,
            Given::Minor => !same_minor || (version.pre != self.version.pre),
        }
    }

    /// `>11` begins at 12, `>11.1` at 11.2.
    fn greater(&self, version: &Version, order: Ordering) -> bool {
        match self.given {
            Given::Nothing | Given::Whole => order.is_gt(),
            Given::Major => version.major > self.version.major,
            Given::Minor => {
                (version.major, version.minor) > (self.version.major, self.version.minor)
            }
        }
    }

    /// `^1.2.3`: same major version; below 1.0 the first number that is not zero stays.
    fn caret(&self, version: &Version, order: Ordering) -> bool {
        if order.is_lt() {
            return false;
        }
        let same_major = version.major == self.version.major;
        let same_minor = same_major && version.minor == self.version.minor;
        if self.version.major > 0 || self.given == Given::Major {
            same_major
        } else if self.version.minor > 0 || self.given == Given::Minor {
            same_minor
        } else {
            same_minor && version.patch == self.version.patch
        }
    }
}
