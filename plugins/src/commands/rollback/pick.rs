//! Lets the user choose the deployment to go back to. Decides nothing about whether it can be gone
//! back to: the plan says so.

use gitops_api::Application;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::terminal::View;
use gitops_kit::{prompt, text};
use gitops_views::history::{Entry, History};
use gitops_views::rollback::target::Wanted;
use jiff::Timestamp;

/// The deployment that was chosen.
pub(super) async fn pick(application: &Application, view: &View) -> Result<Wanted, CommandError> {
    let history = History::of(application, Timestamp::now());
    let (items, first) = items(&history, Timestamp::now());
    if items.is_empty() {
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            format!(
                "{} has no earlier deployment to go back to",
                text::one_line(&history.name)
            ),
        ));
    }
    let lines: Vec<String> = items.iter().map(|(_, line)| line.clone()).collect();
    let place = prompt::pick("Go back to which deployment?", &lines, first, view).await?;
    Ok(Wanted::Number(items[place].0))
}

/// Earlier deployments, newest first, each with its number; and the place of the newest that worked.
fn items(history: &History, now: Timestamp) -> (Vec<(i64, String)>, usize) {
    let earlier: Vec<&Entry> = history
        .entries
        .iter()
        .filter(|entry| !entry.current)
        .collect();
    let first = earlier.iter().position(|entry| entry.is_good);
    let items = earlier.iter().map(|entry| (entry.id, line(entry, now)));
    (items.collect(), first.unwrap_or(0))
}

/// `12  4c1d88e  2d ago  Healthy  Fix the port`.
fn line(entry: &Entry, now: Timestamp) -> String {
    let revision = entry.revisions.first().map_or("", String::as_str);
    let age = entry.live_since.or(entry.started);
    let age = age.map_or_else(String::new, |time| format!("{} ago", text::age(time, now)));
    let subject = entry.commit.as_ref().map_or("", |commit| &commit.subject);
    let parts = [
        entry.id.to_string(),
        text::short_revision(revision).to_owned(),
        age,
        entry.result.as_str().to_owned(),
        text::one_line(subject),
    ];
    let parts: Vec<String> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("  ")
}
