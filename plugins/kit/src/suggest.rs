//! Names that may have been meant.

/// The names most like `wanted`, best first, at most three.
pub fn nearest<'a>(wanted: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let wanted = wanted.to_lowercase();
    let mut candidates: Vec<(f64, &str)> = names
        .into_iter()
        .map(|name| {
            let found = name.to_lowercase();
            let contains =
                !wanted.is_empty() && (found.contains(&wanted) || wanted.contains(found.as_str()));
            let similarity = strsim::jaro_winkler(&wanted, &found);
            (
                if contains {
                    similarity.max(0.9)
                } else {
                    similarity
                },
                name,
            )
        })
        .filter(|(similarity, _)| *similarity > 0.8)
        .collect();
    candidates.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(b.1)));
    candidates.dedup_by_key(|(_, name)| *name);
    candidates
        .into_iter()
        .take(3)
        .map(|(_, name)| name)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typos_and_parts_are_found() {
        let names = ["payments-prod", "payments-staging", "checkout", "web"];
        assert_eq!(nearest("payment-prod", names)[0], "payments-prod");
        assert_eq!(nearest("prod", names), ["payments-prod"]);
        assert_eq!(nearest("chekout", names), ["checkout"]);
        assert_eq!(nearest("Web", names), ["web"]);
        assert!(nearest("zzz", names).is_empty());
    }
}
