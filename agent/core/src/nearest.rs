//! The known name that a mistyped one was probably meant to be.
//!
//! Both the given name and the known ones may come from outside (a revision of an Application, the
//! refs of a server), and a comparison takes the product of two lengths: names that are no slip of
//! the hand any more are not compared, and one search compares only so much.

/// Longest name that is compared or suggested, in characters; file systems and Kubernetes allow no
/// longer ones.
const MAX_NAME_CHARS: usize = 256;
/// Steps of one search, each one pair of characters: some 70,000 names of usual length, five
/// hundred of the longest. Known names beyond are not suggested.
const MAX_STEPS: usize = 32 << 20;
/// What a known name costs besides the comparison.
const NAME_STEPS: usize = 64;

/// The known name most like `given`; none when nothing is alike enough to be a slip of the hand.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = Given::of(given)?;
    let tolerated = 1 + given.chars / 4;
    given
        .comparable(known)
        .filter_map(|name| {
            let distance = given.within(tolerated, &name, strsim::damerau_levenshtein)?;
            Some((distance, name.written))
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// The names most like `given`, best first, at most `most`: those within a few edits of it, then
/// those that contain it or are contained in it.
pub fn alike<'a>(
    given: &str,
    known: impl IntoIterator<Item = &'a str>,
    most: usize,
) -> Vec<&'a str> {
    let Some(given) = Given::of(given) else {
        return Vec::new();
    };
    let tolerated = (given.chars / 3).max(2);
    let mut ranked: Vec<(usize, &str)> = given
        .comparable(known)
        .filter_map(|name| {
            if let Some(distance) = given.within(tolerated, &name, strsim::levenshtein) {
                return Some((distance, name.written));
            }
            let contained = given.lower.len() >= 3
                && (name.lower.contains(&given.lower)
                    || (name.lower.len() >= 3 && given.lower.contains(&name.lower)));
            contained.then_some((tolerated + 1, name.written))
        })
        .collect();
    ranked.sort_unstable();
    ranked.dedup();
    ranked
        .into_iter()
        .take(most)
        .map(|(_, name)| name)
        .collect()
}

/// Advice after the words "is unknown": the nearest name, else all there are.
pub fn advice(given: &str, known: &[&str]) -> String {
    match nearest(given, known.iter().copied()) {
        Some(name) => format!("did you mean {name}?"),
        None => format!("known are {}", known.join(", ")),
    }
}

/// What was written, in lower case.
struct Given {
    lower: String,
    chars: usize,
}

/// A known name that is short enough to be compared.
struct Known<'a> {
    written: &'a str,
    lower: String,
    chars: usize,
}

impl Given {
    /// None when it is too long to be a slip of the hand.
    fn of(given: &str) -> Option<Self> {
        let chars = length(given)?;
        Some(Self {
            lower: given.to_lowercase(),
            chars,
        })
    }

    /// The known names that one search may compare.
    fn comparable<'a>(
        &self,
        known: impl IntoIterator<Item = &'a str>,
    ) -> impl Iterator<Item = Known<'a>> {
        let given = self.chars;
        let mut left = MAX_STEPS;
        known
            .into_iter()
            .map_while(move |known| {
                let chars = length(known);
                left = left.checked_sub(NAME_STEPS + given * chars.unwrap_or(0))?;
                Some((known, chars))
            })
            .filter_map(|(known, chars)| {
                Some(Known {
                    written: known,
                    lower: known.to_lowercase(),
                    chars: chars?,
                })
            })
    }

    /// The distance of a name, if it is at most `tolerated`. It is at least what the lengths differ
    /// by.
    fn within(
        &self,
        tolerated: usize,
        name: &Known<'_>,
        distance: impl Fn(&str, &str) -> usize,
    ) -> Option<usize> {
        if self.chars.abs_diff(name.chars) > tolerated {
            return None;
        }
        Some(distance(&self.lower, &name.lower)).filter(|distance| *distance <= tolerated)
    }
}

/// How many characters a name has, if it is short enough; a long one is not counted to its end.
fn length(name: &str) -> Option<usize> {
    let chars = name.chars().take(MAX_NAME_CHARS + 1).count();
    (chars <= MAX_NAME_CHARS).then_some(chars)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognized_and_other_words_are_not() {
        let known = ["PreSync", "PostSync", "SyncFail", "Skip"];
        assert_eq!(nearest("presync", known), Some("PreSync"));
        assert_eq!(nearest("PresSync", known), Some("PreSync"));
        assert_eq!(nearest("SynkFail", known), Some("SyncFail"));
        assert_eq!(nearest("Teardown", known), None);
        assert_eq!(nearest("", known), None);
        assert_eq!(advice("Psotsync", &known), "did you mean PostSync?");
        assert_eq!(
            advice("Teardown", &known),
            "known are PreSync, PostSync, SyncFail, Skip"
        );
    }

    #[test]
    fn names_with_slips_come_before_those_with_a_part_in_common() {
        let names = ["payments-prod", "payments-staging", "checkout", "web"];
        assert_eq!(alike("payment-prod", names, 3), ["payments-prod"]);
        assert_eq!(alike("prod", names, 3), ["payments-prod"]);
        assert_eq!(alike("chekout", names, 3), ["checkout"]);
        assert_eq!(alike("Web", names, 3), ["web"]);
        assert_eq!(alike("payments", names, 1), ["payments-prod"]);
        assert!(alike("zzz", names, 3).is_empty());
    }

    #[test]
    fn long_names_are_neither_compared_nor_suggested() {
        let longest = "a".repeat(MAX_NAME_CHARS);
        let longer = "a".repeat(MAX_NAME_CHARS + 1);
        let known = [longest.as_str(), longer.as_str()];
        assert_eq!(alike(&longest, known, 3), [longest.as_str()]);
        assert_eq!(nearest(&longest, known), Some(longest.as_str()));
        assert!(alike(&longer, known, 3).is_empty());
        assert_eq!(nearest(&longer, known), None);
        assert!(alike("aaa", [longer.as_str()], 3).is_empty());
    }

    #[test]
    fn one_search_takes_a_bounded_number_of_steps() {
        let given = Given::of(&"a".repeat(MAX_NAME_CHARS)).unwrap();
        let name = "b".repeat(MAX_NAME_CHARS);
        let compared = given.comparable(std::iter::repeat(name.as_str())).count();
        assert_eq!(
            compared,
            MAX_STEPS / (MAX_NAME_CHARS * MAX_NAME_CHARS + NAME_STEPS)
        );
        // Neither names that are too long nor an empty one are looked at for ever.
        let long = "b".repeat(MAX_NAME_CHARS + 1);
        assert_eq!(
            given.comparable(std::iter::repeat(long.as_str())).count(),
            0
        );
        let nothing = Given::of("").unwrap();
        assert!(nothing.comparable(std::iter::repeat("")).count() <= MAX_STEPS);
        // The refs of a large repository are all looked at.
        let refs: Vec<String> = (0..40_000).map(|n| format!("feature/ticket-{n}")).collect();
        let given = Given::of("feature/tikcet-39999").unwrap();
        let all = given.comparable(refs.iter().map(String::as_str)).count();
        assert_eq!(all, refs.len());
    }
}
