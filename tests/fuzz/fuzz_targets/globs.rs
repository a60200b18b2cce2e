//! Patterns of all dialects against a text: the first line is the pattern, the rest the text.

use gitops_core::glob::{Glob, MAX_PATTERN_BYTES, MAX_TEXT_BYTES, admit};

pub(crate) const WORDS: &[&str] = &[
    "*", "**", "?", "[", "]", "[a-z]", "[!a]", "{", "}", ",", "{a,b}", "\\", "/", "\n", "apps", "ü",
];

pub(crate) fn run(data: &[u8]) {
    let (pattern, text) = crate::halves(data);
    let admitted = admit(&pattern);
    assert!(admitted.is_err() || pattern.len() <= MAX_PATTERN_BYTES);
    for glob in [
        Glob::text(&pattern),
        Glob::path(&pattern),
        Glob::name(&pattern),
    ] {
        let Ok(glob) = glob else { continue };
        assert!(admitted.is_ok(), "what is not admitted was compiled");
        assert_eq!(glob.matches(&text).is_err(), text.len() > MAX_TEXT_BYTES);
    }
    // Value files are looked for with patterns.
    gitops_render::fuzz::value_files(&pattern, &text);
}
