//! A branch as a part of a name: ASCII, lower case, words with `-` between them.

/// Longest slug, so that 13 more characters make no name too long.
/// Source: applicationset/generators/pull_request.go.
const LONGEST: usize = 50;

/// The slug of a text, cut at the end of a word.
/// Source: `Make` of github.com/gosimple/slug, as the pullRequest generator sets it.
pub(super) fn slug(text: &str) -> String {
    let spoken: String = text
        .trim()
        .chars()
        .map(|c| match c {
            '&' => "and".to_owned(),
            '@' => "at".to_owned(),
            '"' | '\'' | '’' => String::new(),
            '_' | '‒' | '–' | '—' | '―' => "-".to_owned(),
            other => other.to_string(),
        })
        .collect();
    let plain = deunicode::deunicode(&spoken).to_ascii_lowercase();
    let words = plain.split(|c: char| !c.is_ascii_alphanumeric());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let slug = words.join("-");
    if slug.len() <= LONGEST {
        return slug;
    }
    // A word that ends exactly at the limit is whole.
    let end = slug[..=LONGEST].rfind('-').unwrap_or(LONGEST);
    slug[..end].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_become_parts_of_names() {
        let table = [
            ("feature/Cart_View", "feature-cart-view"),
            (
                "fix/totals-with-a-very-long-branch-name-that-goes-on-and-on-and-on",
                "fix-totals-with-a-very-long-branch-name-that-goes",
            ),
            ("größe", "grosse"),
            ("release/1.2", "release-1-2"),
            ("  Q&A @home  ", "qanda-athome"),
            ("it's", "its"),
            ("--a__b--", "a-b"),
            ("日本", "ri-ben"),
            ("///", ""),
        ];
        for (branch, expected) in table {
            assert_eq!(slug(branch), expected, "{branch}");
        }
        let one_word = "x".repeat(60);
        assert_eq!(slug(&one_word).len(), LONGEST);
        let exact = format!("{}-{}", "a".repeat(LONGEST), "b");
        assert_eq!(slug(&exact), "a".repeat(LONGEST));
    }
}
