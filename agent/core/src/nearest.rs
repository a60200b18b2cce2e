//! The known name that a mistyped one was probably meant to be.

/// The known name most like `given`; none when nothing is alike enough to be a slip of the hand.
pub fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let given = given.to_lowercase();
    let tolerated = 1 + given.chars().count() / 4;
    known
        .into_iter()
        .map(|name| {
            let distance = strsim::damerau_levenshtein(&given, &name.to_lowercase());
            (distance, name)
        })
        .filter(|(distance, _)| *distance <= tolerated)
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
    let given = given.to_lowercase();
    let tolerated = (given.chars().count() / 3).max(2);
    let mut ranked: Vec<(usize, &str)> = known
        .into_iter()
        .filter_map(|name| {
            let lower = name.to_lowercase();
            let contained = given.len() >= 3
                && (lower.contains(&given) || (lower.len() >= 3 && given.contains(&lower)));
            let distance = strsim::levenshtein(&given, &lower);
            if distance <= tolerated {
                Some((distance, name))
            } else {
                contained.then_some((tolerated + 1, name))
            }
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
}
