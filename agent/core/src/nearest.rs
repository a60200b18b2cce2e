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
    fn slips_are_recognised_and_other_words_are_not() {
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
}
