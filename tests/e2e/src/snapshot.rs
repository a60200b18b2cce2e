//! Screens kept as snapshots: what differs from run to run gets a name of constant text.

use insta::Settings;

/// Settings under which a screen of one run equals that of another. `known` are values of this run
/// (namespaces, addresses, folders) and what to call them; longer ones first where one is part of
/// another.
pub fn redacted(known: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::clone_current();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let literal = |text: &str| {
        let special = |letter: char| !letter.is_ascii_alphanumeric() && letter != '_';
        let escape = |letter: char| special(letter).then_some('\\').into_iter().chain([letter]);
        text.chars().flat_map(escape).collect::<String>()
    };
    for (value, name) in known {
        settings.add_filter(&literal(value), *name);
        settings.add_filter(&format!("{} {{2,}}", literal(name)), format!("{name}  "));
    }
    for (pattern, name) in [
        (r"\b[0-9a-f]{40}\b", "COMMIT"),
        (r"\b[0-9a-f]{7,12}\b", "SHA"),
        (r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d)?(\.\d+)?Z?", "TIME"),
        (r"\b\d\d:\d\d(:\d\d)?\b", "TIME"),
        (r"\b(\d+(\.\d+)?(ms|s|m|h|d)\b ?)+( |$)", "AGE$4"),
        (r"\b(\d+(\.\d+)?(ms|s|m|h|d))+\b", "AGE"),
        // Columns are as wide as what was replaced, and so is their heading.
        (r"(COMMIT|SHA|TIME|AGE|[A-Z]{4,}) {2,}", "$1  "),
    ] {
        settings.add_filter(pattern, name);
    }
    settings
}
