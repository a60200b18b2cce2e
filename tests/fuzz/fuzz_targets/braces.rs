//! What braces stand for: a pattern without other wildcards matches what it was made of.

use gitops_core::glob::{GlobError, matches, matches_path};

pub(crate) const WORDS: &[&str] = &[
    "{",
    "}",
    ",",
    "{}",
    "{,}",
    "{a,b}",
    "{{a,b},c}",
    "\\{",
    "\\}",
    "\\,",
    "x",
];

pub(crate) fn run(data: &[u8]) {
    let pattern = String::from_utf8_lossy(data);
    let first = matches(&pattern, "a");
    assert_eq!(first.is_err(), matches_path(&pattern, "a").is_err());
    // A comma separates alternatives also between brackets.
    if pattern.contains('[') {
        return;
    }
    // A pattern beside itself matches what one of it does.
    let both = format!("{{{pattern},{pattern}}}");
    match (first, matches(&both, "a")) {
        (Ok(once), Ok(twice)) => assert!(!once || twice, "{both:?}"),
        (Ok(_), Err(error)) => assert_ne!(error, GlobError::Malformed, "{both:?}"),
        (Err(_), _) => {}
    }
}
