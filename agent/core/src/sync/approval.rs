//! Confirmations: whether somebody agreed to a deletion, and how to agree.
//!
//! Follows Argo CD: the annotation `argocd.argoproj.io/deletion-approved` on the Application holds
//! the time of the consent, and counts for what was asked before that time.

use gitops_api::constants::annotation;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What the annotation says.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Approval {
    /// Somebody agreed.
    Given,
    /// Nobody said anything.
    #[default]
    Missing,
    /// Somebody agreed to something earlier.
    TooOld(Timestamp),
    /// The text is no time.
    Unreadable(String),
}

impl Approval {
    /// Reads the annotation; a question asked at `since` needs a later answer.
    pub fn read(annotation: Option<&str>, since: Timestamp) -> Self {
        let Some(text) = annotation.map(str::trim).filter(|text| !text.is_empty()) else {
            return Self::Missing;
        };
        match text.parse::<Timestamp>() {
            // People and tools write whole seconds.
            Ok(time) if time.as_second() >= since.as_second() => Self::Given,
            Ok(time) => Self::TooOld(time),
            Err(_) => Self::Unreadable(text.chars().take(60).collect()),
        }
    }

    /// Whether nobody said anything.
    pub fn is_missing(&self) -> bool {
        *self == Self::Missing
    }

    /// Whether somebody agreed.
    pub fn is_given(&self) -> bool {
        *self == Self::Given
    }
}

/// The Application that is asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject<'a> {
    /// Namespace of the Application.
    pub namespace: &'a str,
    /// Its name.
    pub name: &'a str,
}

/// How to agree, and why what is there does not count. Command lines of earlier versions find the
/// end of a question by how this begins.
pub fn how(subject: Subject<'_>, approval: &Approval) -> String {
    let Subject { namespace, name } = subject;
    let note = match approval {
        Approval::Given | Approval::Missing => String::new(),
        Approval::TooOld(time) => {
            format!(" (the approval of {time} was given before this was asked)")
        }
        Approval::Unreadable(text) => format!(
            " ({} is {text:?}, which is no time such as 2026-01-31T12:00:00Z)",
            annotation::DELETION_APPROVED
        ),
    };
    format!(
        "to agree: kubectl gitops approve {name}, or kubectl annotate applications.argoproj.io \
         {name} -n {namespace} --overwrite {}=$(date -u +%Y-%m-%dT%H:%M:%SZ){note}",
        annotation::DELETION_APPROVED
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn consent_counts_for_what_was_asked_before() {
        let since: Timestamp = "2026-01-31T12:00:00.7Z".parse().unwrap();
        let read = |text| Approval::read(text, since);
        assert_eq!(read(None), Approval::Missing);
        assert_eq!(read(Some(" ")), Approval::Missing);
        assert_eq!(read(Some("2026-01-31T12:00:00Z")), Approval::Given);
        assert_eq!(read(Some("2026-01-31T14:00:01+02:00")), Approval::Given);
        let early = read(Some("2026-01-31T11:59:59Z"));
        assert!(matches!(early, Approval::TooOld(_)));
        assert_eq!(read(Some("yes")), Approval::Unreadable("yes".into()));
        let subject = Subject {
            namespace: "argocd",
            name: "shop",
        };
        let text = how(subject, &read(Some("yes")));
        assert!(text.contains("kubectl gitops approve shop"), "{text}");
        assert!(text.contains("\"yes\", which is no time"), "{text}");
        assert!(
            text.starts_with("to agree: kubectl gitops approve "),
            "{text}"
        );
    }
}
