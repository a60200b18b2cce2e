//! The names of all sync options, and what is said about one nobody knows.

use super::{Propagation, Removal, Validation, split};
use crate::nearest::nearest;

/// One option with what it is set to. An option that is not here cannot be in the table, and one
/// that is must be followed where options are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Setting {
    Validate(Validation),
    SkipDryRunOnMissingResource(bool),
    CreateNamespace(bool),
    PruneLast(bool),
    Prune(Removal),
    Delete(Removal),
    PrunePropagationPolicy(Propagation),
    ApplyOutOfSyncOnly(bool),
    RespectIgnoreDifferences(bool),
    Replace(bool),
    Force(bool),
    ServerSideApply(bool),
    FailOnSharedResource(bool),
    ClientSideApplyMigration(bool),
}

/// What an option takes.
#[derive(Clone, Copy)]
enum Takes {
    Flag(fn(bool) -> Setting),
    Removal(fn(Removal) -> Setting),
    Propagation(fn(Propagation) -> Setting),
    Validation(fn(Validation) -> Setting),
}

impl Takes {
    /// The values it takes.
    fn values(self) -> &'static [&'static str] {
        match self {
            Self::Flag(_) => &["true", "false"],
            Self::Removal(_) => &["true", "false", "confirm"],
            Self::Propagation(_) => &["foreground", "background", "orphan"],
            Self::Validation(_) => &["true", "false", "strict"],
        }
    }

    fn read(self, text: &str) -> Option<Setting> {
        Some(match (self, text) {
            (Self::Flag(set), "true") => set(true),
            (Self::Flag(set), "false") => set(false),
            (Self::Removal(set), "true") => set(Removal::Allowed),
            (Self::Removal(set), "false") => set(Removal::Never),
            (Self::Removal(set), "confirm") => set(Removal::Confirmed),
            (Self::Validation(set), "true") => set(Validation::On),
            (Self::Validation(set), "false") => set(Validation::Off),
            (Self::Validation(set), "strict") => set(Validation::Strict),
            (Self::Propagation(set), "foreground") => set(Propagation::Foreground),
            (Self::Propagation(set), "background") => set(Propagation::Background),
            (Self::Propagation(set), "orphan") => set(Propagation::Orphan),
            _ => return None,
        })
    }
}

/// Names of options, what they take, and whether an object may have them.
const OPTIONS: [(&str, Takes, bool); 14] = [
    ("Validate", Takes::Validation(Setting::Validate), true),
    (
        "SkipDryRunOnMissingResource",
        Takes::Flag(Setting::SkipDryRunOnMissingResource),
        true,
    ),
    (
        "CreateNamespace",
        Takes::Flag(Setting::CreateNamespace),
        false,
    ),
    ("PruneLast", Takes::Flag(Setting::PruneLast), true),
    ("Prune", Takes::Removal(Setting::Prune), true),
    ("Delete", Takes::Removal(Setting::Delete), true),
    (
        "PrunePropagationPolicy",
        Takes::Propagation(Setting::PrunePropagationPolicy),
        false,
    ),
    (
        "ApplyOutOfSyncOnly",
        Takes::Flag(Setting::ApplyOutOfSyncOnly),
        false,
    ),
    (
        "RespectIgnoreDifferences",
        Takes::Flag(Setting::RespectIgnoreDifferences),
        false,
    ),
    ("Replace", Takes::Flag(Setting::Replace), true),
    ("Force", Takes::Flag(Setting::Force), true),
    (
        "ServerSideApply",
        Takes::Flag(Setting::ServerSideApply),
        true,
    ),
    (
        "FailOnSharedResource",
        Takes::Flag(Setting::FailOnSharedResource),
        false,
    ),
    (
        "ClientSideApplyMigration",
        Takes::Flag(Setting::ClientSideApplyMigration),
        false,
    ),
];

/// What an option says; `None` when nobody can read it.
pub(super) fn read(option: &str) -> Option<Setting> {
    let (name, text) = split(option)?;
    let (_, takes, _) = OPTIONS.iter().find(|(known, ..)| *known == name)?;
    takes.read(text)
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
    if read(option).is_some() {
        return None;
    }
    if let Some((_, takes, _)) = OPTIONS.iter().find(|(known, ..)| *known == name) {
        let (last, others) = takes.values().split_last()?;
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
    let mut found = OPTIONS.iter();
    let (_, takes, _) = found.find(|(known, ..)| *known == meant)?;
    let values = takes.values();
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
