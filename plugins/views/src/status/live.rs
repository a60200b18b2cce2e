//! Which commit is live, how far it is behind, and whether another one is held on purpose: in words.

use std::fmt::Write as _;

use gitops_api::constants::annotation;
use gitops_api::status::{CommitSummary, LiveRevision};
use gitops_api::{Application, Hold};
use gitops_kit::text;
use jiff::Timestamp;

/// Longest subject of a commit.
const SUBJECT_COLUMNS: usize = 60;

/// The agent's note of what is live; other controllers make none.
pub fn of(application: &Application) -> Option<&LiveRevision> {
    application.status.as_ref()?.live.as_ref()
}

/// The tip of what is followed, when it is not what was compared: `a875130 "Tidy shop" by sam, 3m ago`.
pub fn tip(application: &Application, now: Timestamp, unicode: bool) -> Option<String> {
    let tracked = application.status.as_ref()?.tracked.as_ref()?;
    Some(commit(tracked, now, unicode))
}

/// `91be07a "Bump web to 1.9.2" by ana, 2d ago; 2 commits behind main`
pub fn in_words(live: &LiveRevision, target: &str, now: Timestamp, unicode: bool) -> String {
    let newest = &live.commit;
    let mut words = match &live.changed {
        Some(changed) if changed.revision != newest.revision => format!(
            "{}, last changed by {}",
            short(newest),
            commit(changed, now, unicode)
        ),
        _ => commit(newest, now, unicode),
    };
    match live.behind {
        count if count <= 0 => {}
        1 => _ = write!(words, "; 1 commit behind {target}"),
        count => _ = write!(words, "; {count} commits behind {target}"),
    }
    words
}

/// `91be07a "Bump web to 1.9.2" by ana, 2d ago`
pub fn commit(commit: &CommitSummary, now: Timestamp, unicode: bool) -> String {
    let mut words = short(commit);
    let subject = text::one_line(&commit.subject);
    if !subject.is_empty() {
        let subject = text::cut(&subject, SUBJECT_COLUMNS, unicode);
        _ = write!(words, " \"{subject}\"");
    }
    let author = text::one_line(&commit.author);
    if !author.is_empty() {
        _ = write!(words, " by {author}");
    }
    if let Some(time) = &commit.time {
        _ = write!(words, ", {} ago", text::age(time.0, now));
    }
    words
}

/// The first characters of a commit's id.
pub fn short(commit: &CommitSummary) -> String {
    text::one_line(text::short_revision(&commit.revision))
}

/// The hold on an application. `Err` when there is one that cannot be read.
pub fn hold(application: &Application) -> Option<Result<Hold, String>> {
    let annotations = application.metadata.annotations.as_ref()?;
    let value = annotations.get(annotation::HOLD)?;
    Some(serde_json::from_str(value).map_err(|error| text::one_line(&error.to_string())))
}

/// `4c1d88e instead of 91be07a until 18:00 UTC by ana: the new version loses orders`
pub fn hold_in_words(hold: &Hold, now: Timestamp) -> String {
    let delivered = if hold.revisions.is_empty() {
        text::short_revision(&hold.revision).to_owned()
    } else {
        let all: Vec<&str> = hold
            .revisions
            .iter()
            .map(|revision| text::short_revision(revision))
            .collect();
        all.join(", ")
    };
    let mut words = format!(
        "{delivered} instead of {}",
        text::short_revision(&hold.instead_of)
    );
    if let Some(until) = &hold.until {
        if until.0 < now {
            _ = write!(words, ", ended {} ago", text::age(until.0, now));
        } else {
            _ = write!(words, " until {}", moment(until.0, now));
        }
    }
    if !hold.by.is_empty() {
        _ = write!(words, " by {}", hold.by);
    }
    if !hold.reason.is_empty() {
        _ = write!(words, ": {}", hold.reason);
    }
    text::one_line(&words)
}

/// A time users can plan with: `18:00 UTC`, with its day when that is another one.
pub(crate) fn moment(time: Timestamp, now: Timestamp) -> String {
    let today = now.strftime("%F").to_string() == time.strftime("%F").to_string();
    let form = if today { "%H:%M UTC" } else { "%F %H:%M UTC" };
    time.strftime(form).to_string()
}
