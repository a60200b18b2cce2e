//! The names of all sync options, and what is said about one nobody knows.

use super::{Propagation, Removal, split};
use crate::nearest::nearest;

/// What an option is set to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value {
    Flag(bool),
    Removal(Removal),
    Propagation(Propagation),
}

/// Names of options, the values they take, and whether an object may have them.
const OPTIONS: [(&str, &[&str], bool); 14] = [
    ("Validate", FLAG, true),
    ("SkipDryRunOnMissingResource", FLAG, true),
    ("CreateNamespace", FLAG, false),
    ("PruneLast", FLAG, true),
    ("Prune", REMOVAL, true),
    ("Delete", REMOVAL, true),
    ("PrunePropagationPolicy", PROPAGATION, false),
    ("ApplyOutOfSyncOnly", FLAG, false),
    ("RespectIgnoreDifferences", FLAG, false),
    ("Replace", FLAG, true),
    ("Force", FLAG, true),
    ("ServerSideApply", FLAG, true),
    ("FailOnSharedResource", FLAG, false),
    ("ClientSideApplyMigration", FLAG, false),
];
const FLAG: &[&str] = &["true", "false"];
const REMOVAL: &[&str] = &["true", "false", "confirm"];
const PROPAGATION: &[&str] = &["foreground", "background", "orphan"];

/// What a value of an option means; `None` when nobody knows it.
pub(super) fn value(name: &str, text: &str) -> Option<Value> {
    let (_, values, _) = OPTIONS.iter().find(|(known, ..)| *known == name)?;
    if *values == PROPAGATION {
        let policy = match text {
            "foreground" => Propagation::Foreground,
            "background" => Propagation::Background,
            "orphan" => Propagation::Orphan,
            _ => return None,
        };
        return Some(Value::Propagation(policy));
    }
    let removes = *values == REMOVAL;
    match text {
        "true" if removes => Some(Value::Removal(Removal::Allowed)),
        "false" if removes => Some(Value::Removal(Removal::Never)),
        "confirm" if removes => Some(Value::Removal(Removal::Confirmed)),
        "true" => Some(Value::Flag(true)),
        "false" => Some(Value::Flag(false)),
        _ => None,
    }
}

/// What is wrong with an option of an Application or an operation.
pub fn of_application(option: &str) -> Option<String> {
    let found = unknown(option)?;
    if option.contains(',') {
        return Some(format!(
            "{option:?} are several options in one; write each as an entry of its own"
        ));
    }
    Some(found)
}

/// What is wrong with an option of an object.
pub fn of_object(option: &str) -> Option<String> {
    if let Some(found) = unknown(option) {
        return Some(found);
    }
    let (name, _) = split(option)?;
    OPTIONS
        .iter()
        .any(|(known, _, of_objects)| *known == name && !of_objects)
        .then(|| {
            format!(
                "{} is an option of the Application, not of an object; write it in \
                 spec.syncPolicy.syncOptions",
                option.trim()
            )
        })
}

fn unknown(option: &str) -> Option<String> {
    let option = option.trim();
    if option.is_empty() {
        return None;
    }
    let (name, text) = split(option).unwrap_or((option, ""));
    if value(name, text).is_some() {
        return None;
    }
    if let Some((_, values, _)) = OPTIONS.iter().find(|(known, ..)| *known == name) {
        let (last, others) = values.split_last()?;
        return Some(format!(
            "{option:?} is unknown: {name} takes {} or {last}",
            others.join(", ")
        ));
    }
    let Some(meant) = nearest(name, OPTIONS.iter().map(|(known, ..)| *known)) else {
        let known: Vec<&str> = OPTIONS.iter().map(|(known, ..)| *known).collect();
        return Some(format!(
            "{option:?} is unknown; known are {}",
            known.join(", ")
        ));
    };
    let values = OPTIONS
        .iter()
        .find(|(known, ..)| *known == meant)
        .map_or(FLAG, |(_, values, _)| values);
    let lower = text.to_lowercase();
    let text = values
        .iter()
        .find(|value| **value == lower)
        .unwrap_or(&values[0]);
    Some(format!(
        "{option:?} is unknown; did you mean {meant}={text}?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_unknown_is_named_with_what_was_meant() {
        let table = [
            ("CreateNamespace=true", None),
            ("PrunePropagationPolicy=orphan", None),
            ("", None),
            (
                "CreateNamespaces=true",
                Some("\"CreateNamespaces=true\" is unknown; did you mean CreateNamespace=true?"),
            ),
            (
                "prunelast=True",
                Some("\"prunelast=True\" is unknown; did you mean PruneLast=true?"),
            ),
            (
                "Prune=flase",
                Some("\"Prune=flase\" is unknown: Prune takes true, false or confirm"),
            ),
            (
                "Replace",
                Some("\"Replace\" is unknown: Replace takes true or false"),
            ),
            (
                "Replace=true,Force=true",
                Some(
                    "\"Replace=true,Force=true\" are several options in one; write each as an \
                     entry of its own",
                ),
            ),
        ];
        for (option, expected) in table {
            assert_eq!(of_application(option).as_deref(), expected, "{option}");
        }
        assert!(
            of_application("Teleport=true")
                .unwrap()
                .contains("known are Validate, Skip")
        );
    }

    #[test]
    fn options_of_the_application_alone_are_no_options_of_an_object() {
        assert_eq!(of_object(" Replace=true"), None);
        assert_eq!(
            of_object("FailOnSharedResource=true").unwrap(),
            "FailOnSharedResource=true is an option of the Application, not of an object; write \
             it in spec.syncPolicy.syncOptions"
        );
        assert!(
            of_object("Purne=false")
                .unwrap()
                .ends_with("did you mean Prune=false?")
        );
    }
}
