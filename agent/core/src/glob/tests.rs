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
        assert_eq!(
            matches_path(pattern, text).unwrap_or(false),
            expected,
            "{pattern} {text}"
        );
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
        assert_eq!(
            matches_name(pattern, text).unwrap_or(false),
            expected,
            "{pattern} {text}"
        );
    }
    assert_eq!(matches("https://*", "https://host/with/path"), Ok(true));
    assert_eq!(matches("team-*", "team-a"), Ok(true));
}

#[test]
fn what_is_not_admitted_is_an_error_in_every_dialect() {
    use GlobError::{Malformed, TooDeep, TooLong, TooManyAlternatives, TooManyBraces};
    let cases = [
        ("a".repeat(1024), None),
        ("a".repeat(1025), Some(TooLong)),
        ("{a}".repeat(16), None),
        ("{}".repeat(17), Some(TooManyBraces)),
        ("\\{".repeat(4), None),
        ("\\{}".repeat(17), Some(TooManyBraces)),
        (format!("*{}a{}", "{".repeat(4), "}".repeat(4)), None),
        (
            format!("*{}a{}", "{".repeat(5), "}".repeat(5)),
            Some(TooDeep),
        ),
        ("{}".repeat(100_000), Some(TooLong)),
        (
            format!("*{}a{}", "{".repeat(100_000), "}".repeat(100_000)),
            Some(TooLong),
        ),
        ("{a,b}".repeat(8), None),
        ("{a,b}".repeat(9), Some(TooManyAlternatives)),
        (
            format!("{}{}", "{a,b}".repeat(7), "c".repeat(200)),
            Some(TooManyAlternatives),
        ),
        (format!("{{{}}}", ",".repeat(255)), None),
        (
            format!("{{{}}}", ",".repeat(256)),
            Some(TooManyAlternatives),
        ),
        ("{a".into(), Some(Malformed)),
        ("a}".into(), Some(Malformed)),
        ("a}{b".into(), Some(Malformed)),
        ("{a,{b}".into(), Some(Malformed)),
        ("[a".into(), Some(Malformed)),
        ("a\\".into(), Some(Malformed)),
    ];
    for (pattern, expected) in cases {
        let shown: String = pattern.chars().take(40).collect();
        assert_eq!(matches(&pattern, "x").err(), expected, "{shown}");
        assert_eq!(matches_path(&pattern, "x").err(), expected, "{shown}");
        // Braces are plain characters there, but a pattern is as long and as deep.
        let of_names = match expected {
            Some(TooManyAlternatives) => None,
            Some(Malformed) if pattern.contains(['{', '}']) => None,
            other => other,
        };
        assert_eq!(matches_name(&pattern, "x").err(), of_names, "{shown}");
    }
    for result in [
        matches("*", &"x".repeat(MAX_TEXT_BYTES + 1)),
        matches_path("*", &"x".repeat(MAX_TEXT_BYTES + 1)),
        matches_name("*", &"x".repeat(MAX_TEXT_BYTES + 1)),
    ] {
        assert_eq!(result, Err(GlobError::TextTooLong));
    }
}

#[test]
fn braces_stand_for_all_their_combinations_in_order() {
    for (pattern, expected) in [
        ("plain", vec!["plain"]),
        ("{}", vec![""]),
        ("{a}", vec!["a"]),
        ("x{a,b}y{c,d}", vec!["xayc", "xayd", "xbyc", "xbyd"]),
        ("{a,{b,c}d}", vec!["a", "bd", "cd"]),
        ("{a\\,b,c}", vec!["a\\,b", "c"]),
        ("\\{a,b\\}", vec!["\\{a,b\\}"]),
    ] {
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(expand(pattern), Ok(expected), "{pattern}");
    }
}

proptest! {
    #[test]
    fn a_text_without_wildcards_matches_itself_only(text in "[a-z/:.-]{0,20}", other in "[a-z/:.-]{0,20}") {
        prop_assert_eq!(matches(&text, &text), Ok(true));
        prop_assert_eq!(matches_path(&text, &text), Ok(true));
        prop_assert_eq!(matches_name(&text, &text), Ok(true));
        prop_assert_eq!(matches(&text, &other), Ok(text == other));
    }

    #[test]
    fn stars_match_what_they_should(head in "[a-z/]{0,8}", middle in "[a-z/]{0,8}", tail in "[a-z/]{0,8}") {
        let text = format!("{head}{middle}{tail}");
        let (super_pattern, star_pattern) = (format!("{head}**{tail}"), format!("{head}*{tail}"));
        prop_assert_eq!(matches_path(&super_pattern, &text), Ok(true));
        prop_assert_eq!(matches(&star_pattern, &text), Ok(true));
        if !middle.contains('/') {
            prop_assert_eq!(matches_path(&star_pattern, &text), Ok(true));
        }
    }

    #[test]
    fn no_pattern_panics_or_hangs(pattern in "[a-c*?\\[\\]{},!^/\\\\-]{0,40}", text in "[a-c/]{0,40}") {
        let _ = (matches(&pattern, &text), matches_path(&pattern, &text), matches_name(&pattern, &text));
    }

    #[test]
    fn no_long_pattern_costs_more_than_its_bounds(pattern in "[a*?{},]{0,1100}|[{]{0,3000}[,a}]{0,3000}|([{]a,?b?[}]){0,600}", text in "[a-c/]{0,200}") {
        for glob in [Glob::text(&pattern), Glob::path(&pattern), Glob::name(&pattern)].into_iter().flatten() {
            prop_assert!(pattern.len() <= MAX_PATTERN_BYTES);
            prop_assert!(glob.alternatives.len() <= MAX_ALTERNATIVES);
            prop_assert!(glob.alternatives.iter().map(Vec::len).sum::<usize>() <= MAX_EXPANDED_BYTES);
            prop_assert!(glob.matches(&text).is_ok());
        }
    }
}
