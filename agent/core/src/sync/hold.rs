//! Whether a hold is in force: a known good revision delivered instead of the tracked one.
//!
//! A hold names what it replaces, and ends by itself as soon as Git says something else, so that
//! the commit that repairs things is delivered without anybody lifting the hold.

use gitops_api::{ApplicationSource, Hold};
use jiff::Timestamp;

use crate::reason::Reason;

/// What becomes of a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The held revision is delivered.
    InForce,
    /// The tracked revision is delivered again, and the annotation goes; with the reason.
    Ended(String),
}

/// Reads the annotation's value.
///
/// # Errors
/// What is wrong with it, for people.
pub fn parse(annotation: &str) -> Result<Hold, String> {
    let hold: Hold =
        serde_json::from_str(annotation).map_err(|error| format!("not a hold: {error}"))?;
    if hold.revision.is_empty() && hold.revisions.is_empty() {
        return Err("it names no revision to deliver".into());
    }
    if hold.instead_of.is_empty() {
        return Err("it does not name the revision it replaces (insteadOf)".into());
    }
    Ok(hold)
}

/// Judges a hold. `tracked` are the commits the application follows, `digest` is what they render
/// to, `None` when they do not render: then nothing says that things are better, and it stays.
pub fn judge(hold: &Hold, tracked: &[String], digest: Option<&str>, now: Timestamp) -> Verdict {
    if hold.until.as_ref().is_some_and(|until| until.0 <= now) {
        return Verdict::Ended("its time is over".into());
    }
    let same_commit = tracked.contains(&hold.instead_of);
    let same_content =
        !hold.instead_of_digest.is_empty() && digest == Some(&hold.instead_of_digest);
    if same_commit || same_content || digest.is_none() {
        Verdict::InForce
    } else {
        Verdict::Ended("Git holds something else now".into())
    }
}

/// The sources with the held revisions in place of the tracked ones.
pub fn sources(hold: &Hold, sources: &[ApplicationSource]) -> Vec<ApplicationSource> {
    at_revisions(sources, &hold.revision, &hold.revisions)
}

/// The sources with other revisions: `revisions`, one a source, or `revision` for the first that
/// is in Git.
pub fn at_revisions(
    sources: &[ApplicationSource],
    revision: &str,
    revisions: &[String],
) -> Vec<ApplicationSource> {
    let mut sources = sources.to_vec();
    if revisions.is_empty() {
        let first_in_git = sources.iter().position(|source| source.chart.is_empty());
        if let Some(source) = sources.get_mut(first_in_git.unwrap_or(0))
            && !revision.is_empty()
        {
            revision.clone_into(&mut source.target_revision);
        }
    }
    for (source, revision) in sources.iter_mut().zip(revisions) {
        if !revision.is_empty() {
            source.target_revision.clone_from(revision);
        }
    }
    sources
}

/// What is said on the application while a hold is in force.
pub fn reason(hold: &Hold) -> Reason {
    Reason::HoldInForce {
        revision: hold.revisions.first().unwrap_or(&hold.revision).clone(),
        instead_of: hold.instead_of.clone(),
        until: hold.until.as_ref().map(|until| until.0),
        by: hold.by.clone(),
        why: hold.reason.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hold_ends_when_git_says_something_else() {
        let hold = parse(
            r#"{"revision":"good","insteadOf":"bad","insteadOfDigest":"d1","until":"2026-11-21T12:00:00Z"}"#,
        )
        .unwrap();
        let at = |text: &str| text.parse().unwrap();
        let (early, late) = (at("2026-11-21T11:00:00Z"), at("2026-11-21T12:00:00Z"));
        let table = [
            ("bad", Some("d1"), early, true),
            ("bad", Some("d2"), early, true),
            ("bad", None, early, true),
            // A commit for somebody else: the content is still the bad one.
            ("next", Some("d1"), early, true),
            ("next", None, early, true),
            ("next", Some("d2"), early, false),
            ("bad", Some("d1"), late, false),
        ];
        for (tracked, digest, now, in_force) in table {
            let verdict = judge(&hold, &[tracked.to_owned()], digest, now);
            assert_eq!(
                verdict == Verdict::InForce,
                in_force,
                "{tracked} {digest:?} {now}"
            );
        }
    }

    #[test]
    fn what_says_too_little_is_refused() {
        for text in [
            "",
            "{}",
            r#"{"revision":"a"}"#,
            r#"{"insteadOf":"a"}"#,
            "[]",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn one_revision_is_for_the_first_source_in_git() {
        let chart = ApplicationSource {
            chart: "redis".into(),
            target_revision: "1.x".into(),
            ..ApplicationSource::default()
        };
        let git = ApplicationSource {
            target_revision: "main".into(),
            ..ApplicationSource::default()
        };
        let revisions = |sources: Vec<ApplicationSource>| -> Vec<String> {
            sources
                .into_iter()
                .map(|source| source.target_revision)
                .collect()
        };
        let both = [chart, git];
        assert_eq!(revisions(at_revisions(&both, "abc", &[])), ["1.x", "abc"]);
        let each = ["1.2".to_owned(), String::new()];
        assert_eq!(
            revisions(at_revisions(&both, "abc", &each)),
            ["1.2", "main"]
        );
        assert_eq!(revisions(at_revisions(&both, "", &[])), ["1.x", "main"]);
    }
}
