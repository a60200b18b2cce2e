//! The prune budget: how many objects a sync deletes before somebody is asked.
//!
//! A wrong path, a broken template or a bad merge looks like a wish to delete; the more of an
//! application would go, the less likely it is one.

use std::fmt;
use std::str::FromStr;

/// Fewer objects are never too many for a share.
const FLOOR: usize = 10;

/// How much a sync deletes unasked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// This part of the application's objects in percent; fewer than ten always.
    Share(u8),
    /// So many objects.
    Count(usize),
    /// As many as there are.
    Unlimited,
}

impl Default for Budget {
    fn default() -> Self {
        Self::Share(50)
    }
}

impl Budget {
    /// Whether deleting `prunes` of `total` objects is more than it allows.
    pub fn is_exceeded(self, prunes: usize, total: usize) -> bool {
        match self {
            Self::Share(percent) => {
                prunes >= FLOOR
                    && prunes.saturating_mul(100) > total.saturating_mul(usize::from(percent))
            }
            Self::Count(most) => prunes > most,
            Self::Unlimited => false,
        }
    }
}

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let parsed = match text.strip_suffix('%') {
            _ if text == "none" => Some(Self::Unlimited),
            Some(share) => share
                .trim()
                .parse()
                .ok()
                .filter(|share| *share <= 100)
                .map(Self::Share),
            None => text.parse().ok().map(Self::Count),
        };
        parsed.ok_or_else(|| {
            format!(
                "{:?} is no prune budget; give a number of objects such as 20, a share such as 80%, \
                 or none",
                text.chars().take(40).collect::<String>()
            )
        })
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Share(percent) => write!(f, "{percent}%"),
            Self::Count(most) => write!(f, "{most}"),
            Self::Unlimited => f.write_str("none"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn budgets_are_read_and_judged() {
        let cases = [
            ("50%", 9, 9, Some(false)),
            ("50%", 10, 20, Some(false)),
            ("50%", 11, 20, Some(true)),
            ("50%", 10, 19, Some(true)),
            (" 80 % ", 17, 20, Some(true)),
            ("0%", 10, 1000, Some(true)),
            ("20", 20, 20, Some(false)),
            ("20", 21, 1000, Some(true)),
            ("0", 1, 1000, Some(true)),
            ("none", 1000, 1000, Some(false)),
            ("101%", 0, 0, None),
            ("-1", 0, 0, None),
            ("", 0, 0, None),
            ("half", 0, 0, None),
        ];
        for (text, prunes, total, expected) in cases {
            let budget = text.parse::<Budget>();
            let exceeded = budget.as_ref().ok().map(|b| b.is_exceeded(prunes, total));
            assert_eq!(exceeded, expected, "{text} {prunes} of {total}");
            if let Ok(budget) = budget {
                assert_eq!(budget.to_string().parse(), Ok(budget));
            }
        }
        assert_eq!(Budget::default(), Budget::Share(50));
    }
}
