//! Patterns of names as AppProjects and settings write them.
//!
//! Two dialects, because Argo CD uses two: the one of its globs (`*`, `**`, `?`, `[a-z]`, `{a,b}`)
//! and the one of Go's `filepath.Match` for kinds (no `**`, no braces). A malformed pattern
//! matches nothing. Never looks at files.

/// Most patterns that the braces of one pattern are expanded to.
const MOST_ALTERNATIVES: usize = 256;

/// Whether `text` matches a glob in which `*` also crosses `/` (destinations, namespaces, names).
pub fn matches(pattern: &str, text: &str) -> bool {
    run(pattern, text, None)
}

/// Whether `text` matches a glob in which `*` stops at `/` and `**` does not (repositories).
pub fn matches_path(pattern: &str, text: &str) -> bool {
    run(pattern, text, Some('/'))
}

/// Whether `text` matches by the rules of Go's `filepath.Match` (API groups, kinds, names).
pub fn matches_name(pattern: &str, text: &str) -> bool {
    parse(pattern, Dialect::Go).is_some_and(|tokens| accepts(&tokens, text, Some('/')))
}

/// Whether a glob can be read at all. What cannot matches nothing, which a rule that denies must
/// not be left to.
pub fn is_well_formed(pattern: &str) -> bool {
    expand(pattern).is_some_and(|patterns| {
        let mut patterns = patterns.iter();
        patterns.all(|pattern| parse(pattern, Dialect::Glob).is_some())
    })
}

fn run(pattern: &str, text: &str, separator: Option<char>) -> bool {
    expand(pattern).is_some_and(|patterns| {
        patterns.iter().any(|pattern| {
            parse(pattern, Dialect::Glob).is_some_and(|tokens| accepts(&tokens, text, separator))
        })
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dialect {
    Glob,
    Go,
}

#[derive(Debug, PartialEq, Eq)]
enum Token {
    Literal(char),
    /// `?`
    One,
    /// `*`
    Many,
    /// `**`
    Anything,
    /// `[a-z]`, `[!a-z]`
    Class {
        ranges: Vec<(char, char)>,
        negated: bool,
    },
}

/// Replaces `{a,b}` by all combinations; `None` when braces do not match or there are too many.
fn expand(pattern: &str) -> Option<Vec<String>> {
    let mut open = None;
    let mut depth = 0_usize;
    let mut cuts = Vec::new();
    let mut escaped = false;
    for (position, character) in pattern.char_indices() {
        match character {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '{' => {
                if depth == 0 {
                    open = Some(position);
                }
                depth += 1;
            }
            ',' if depth == 1 => cuts.push(position),
            '}' if depth == 1 => {
                let start = open?;
                let mut alternatives = Vec::new();
                let mut from = start + 1;
                for cut in cuts.into_iter().chain([position]) {
                    alternatives.push(&pattern[from..cut]);
                    from = cut + 1;
                }
                let tails = expand(&pattern[position + 1..])?;
                let mut expanded = Vec::new();
                for alternative in alternatives {
                    for inner in expand(alternative)? {
                        for tail in &tails {
                            expanded.push(format!("{}{inner}{tail}", &pattern[..start]));
                            if expanded.len() > MOST_ALTERNATIVES {
                                return None;
                            }
                        }
                    }
                }
                return Some(expanded);
            }
            '}' => depth = depth.checked_sub(1)?,
            _ => {}
        }
    }
    (depth == 0).then(|| vec![pattern.to_owned()])
}

fn parse(pattern: &str, dialect: Dialect) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = pattern.chars().peekable();
    while let Some(character) = rest.next() {
        tokens.push(match character {
            '\\' => Token::Literal(rest.next()?),
            '?' => Token::One,
            '*' => {
                let mut stars = 1;
                while rest.next_if_eq(&'*').is_some() {
                    stars += 1;
                }
                if stars > 1 && dialect == Dialect::Glob {
                    Token::Anything
                } else {
                    Token::Many
                }
            }
            '[' => parse_class(&mut rest)?,
            other => Token::Literal(other),
        });
    }
    Some(tokens)
}

fn parse_class(rest: &mut std::iter::Peekable<std::str::Chars<'_>>) -> Option<Token> {
    let negated = rest.next_if(|c| matches!(c, '!' | '^')).is_some();
    let mut ranges = Vec::new();
    loop {
        let low = match rest.next()? {
            ']' if ranges.is_empty() => return None,
            ']' => return Some(Token::Class { ranges, negated }),
            '\\' => rest.next()?,
            other => other,
        };
        let high = if rest.next_if_eq(&'-').is_some() {
            match rest.next()? {
                ']' => return None,
                '\\' => rest.next()?,
                other => other,
            }
        } else {
            low
        };
        ranges.push((low, high));
    }
}

/// Walks the text once, keeping every position of the pattern that is still possible, so that no
/// pattern takes more than length x length steps.
fn accepts(tokens: &[Token], text: &str, separator: Option<char>) -> bool {
    let mut possible = vec![false; tokens.len() + 1];
    possible[0] = true;
    skip_stars(tokens, &mut possible);
    for character in text.chars() {
        let mut next = vec![false; tokens.len() + 1];
        for (position, token) in tokens.iter().enumerate().filter(|(p, _)| possible[*p]) {
            let separates = Some(character) == separator;
            match token {
                Token::Literal(wanted) => next[position + 1] |= *wanted == character,
                Token::One => next[position + 1] |= !separates,
                Token::Many => next[position] |= !separates,
                Token::Anything => next[position] = true,
                Token::Class { ranges, negated } => {
                    let inside = ranges
                        .iter()
                        .any(|(low, high)| (*low..=*high).contains(&character));
                    next[position + 1] |= inside != *negated && !separates;
                }
            }
        }
        skip_stars(tokens, &mut next);
        possible = next;
    }
    possible[tokens.len()]
}

/// Stars also stand for nothing.
fn skip_stars(tokens: &[Token], possible: &mut [bool]) {
    for (position, token) in tokens.iter().enumerate() {
        if possible[position] && matches!(token, Token::Many | Token::Anything) {
            possible[position + 1] = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths() {
        let cases = [
            ("https://host/org/*", "https://host/org/repo", true),
            ("https://host/org/*", "https://host/org/a/b", false),
            ("https://host/org/**", "https://host/org/a/b", true),
            ("https://host/org-**", "https://host/org-x/a/b", true),
            ("https://host/*/repo", "https://host/org/repo", true),
            ("https://*/org/repo", "https://host/org/repo", true),
            ("https://*/org/repo", "https://evil/x/org/repo", false),
            ("https://host/{a,b}/*", "https://host/b/repo", true),
            ("https://host/{a,b}/*", "https://host/c/repo", false),
            ("https://host/{a,{b,c}}", "https://host/c", true),
            ("https://host/?/x", "https://host/a/x", true),
            ("a?b", "a/b", false),
            ("a[!x]b", "a/b", false),
            ("**", "anything/at/all", true),
            ("*", "a/b", false),
            ("", "", true),
            ("{a", "{a", false),
            ("a}", "a}", false),
            ("[", "[", false),
            ("\\*", "*", true),
            ("\\*", "x", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches_path(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn names() {
        let cases = [
            ("*", "apps", true),
            ("*", "", true),
            ("*.example.org", "a.b.example.org", true),
            ("Secret*", "SecretStore", true),
            ("[A-D]*", "Deployment", true),
            ("[^A-D]*", "Deployment", false),
            ("{a,b}", "a", false),
            ("a-]", "a-]", true),
            ("[a-", "a", false),
            ("[]", "a", false),
            ("[z-a]", "b", false),
        ];
        for (pattern, text, expected) in cases {
            assert_eq!(matches_name(pattern, text), expected, "{pattern} {text}");
        }
        assert!(matches("https://*", "https://host/with/path"));
        assert!(matches("team-*", "team-a"));
    }

    proptest! {
        #[test]
        fn a_text_without_wildcards_matches_itself_only(text in "[a-z/:.-]{0,20}", other in "[a-z/:.-]{0,20}") {
            prop_assert!(matches(&text, &text) && matches_path(&text, &text) && matches_name(&text, &text));
            prop_assert_eq!(matches(&text, &other), text == other);
        }

        #[test]
        fn stars_match_what_they_should(head in "[a-z/]{0,8}", middle in "[a-z/]{0,8}", tail in "[a-z/]{0,8}") {
            let text = format!("{head}{middle}{tail}");
            let (super_pattern, star_pattern) = (format!("{head}**{tail}"), format!("{head}*{tail}"));
            prop_assert!(matches_path(&super_pattern, &text));
            prop_assert!(matches(&star_pattern, &text));
            if !middle.contains('/') {
                prop_assert!(matches_path(&star_pattern, &text));
            }
        }

        #[test]
        fn no_pattern_panics_or_hangs(pattern in "[a-c*?\\[\\]{},!^/\\\\-]{0,40}", text in "[a-c/]{0,40}") {
            let _ = (matches(&pattern, &text), matches_path(&pattern, &text), matches_name(&pattern, &text));
        }
    }
}
