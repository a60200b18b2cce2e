//! The history as a table, newest first.

use gitops_api::status::{CommitSummary, HealRecord};
use gitops_kit::paint::Style;
use gitops_kit::table::{Cell, Column, draw};
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::history::{Attempt, By, Entry, History, Outcome};
use gitops_views::status::drift;
use gitops_views::style::{of_health, of_phase};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// Longest author in the table.
const AUTHOR_COLUMNS: usize = 20;
/// Longest subject in the table, where the terminal sets no limit.
const SUBJECT_COLUMNS: usize = 72;

/// How the table is drawn.
#[derive(Clone, Debug)]
pub struct Form {
    /// Full revisions, and when each sync began.
    pub wide: bool,
    /// Column headings, and what to do next.
    pub headings: bool,
    /// Time the ages are counted from, in the zone times are shown in.
    pub now: Zoned,
    /// Flags a command needs to reach the same application.
    pub flags: String,
}

/// Draws the history.
pub fn screen(history: &History, form: &Form, view: &View) -> String {
    let columns = columns(form);
    let mut rows: Vec<Vec<Cell>> = Vec::new();
    let mut output = String::new();
    match &history.attempt {
        // Its message needs the room of whole lines.
        Some(attempt) if view.interactive => output.push_str(&headline(attempt, form, view)),
        Some(attempt) => rows.push(attempt_row(attempt, form, view)),
        None => {}
    }
    if !output.is_empty() && !history.entries.is_empty() {
        output.push('\n');
    }
    rows.extend(history.tip.as_ref().map(|tip| tip_row(tip, form, view)));
    rows.extend(
        history
            .entries
            .iter()
            .map(|entry| entry_row(entry, form, view)),
    );
    if !rows.is_empty() {
        output.push_str(&draw(&columns, &rows, form.headings, view));
    }
    // Without headings nobody could tell the one table from the other.
    if view.interactive || form.headings {
        output.push_str(&heals(&history.heals, form, view));
    }
    if view.interactive
        && form.headings
        && let Some(next) = next(history, form)
    {
        let next = view.width.map_or_else(
            || next.clone(),
            |width| text::cut(&next, width, view.unicode),
        );
        output.push('\n');
        output.push_str(&Style::Dim.apply(&next, view.color));
        output.push('\n');
    }
    output
}

fn columns(form: &Form) -> Vec<Column> {
    let column = |heading, leave_out, shrinks| Column {
        heading,
        leave_out,
        shrinks,
    };
    let mut columns = vec![column("ID", 0, false), column("LIVE SINCE", 0, false)];
    if form.wide {
        columns.push(column("BEGAN", 2, false));
    }
    columns.push(column("COMMIT", 0, false));
    columns.push(column("AUTHOR", 2, false));
    columns.push(column("SUBJECT", 0, true));
    columns.push(column("BY", 1, false));
    columns.push(column("RESULT", 0, true));
    columns
}

/// `Failed 3m ago at d02b6f4, by eve: …`
fn headline(attempt: &Attempt, form: &Form, view: &View) -> String {
    let when = attempt.time.map_or_else(String::new, |time| {
        format!(" {} ago", text::age(time, form.now.timestamp()))
    });
    let by = match &attempt.by {
        By::Agent => ", by the agent".to_owned(),
        By::User(name) => format!(", by {name}"),
        By::Unknown => String::new(),
    };
    let message = if attempt.message.is_empty() {
        String::new()
    } else {
        format!(": {}", attempt.message)
    };
    let words = format!(
        "last sync {}{when} at {}{by}{message}",
        attempt.phase,
        revision(&attempt.revisions, form)
    );
    let style = of_phase(attempt.phase);
    let lines = text::wrap(&words, view.width.unwrap_or(usize::MAX));
    let lines: Vec<String> = lines
        .iter()
        .map(|line| style.apply(line, view.color))
        .collect();
    lines.join("\n") + "\n"
}

/// The commit that is followed and not deployed.
fn tip_row(tip: &CommitSummary, form: &Form, view: &View) -> Vec<Cell> {
    let mut cells = vec![Cell::plain("-"), Cell::plain("-")];
    if form.wide {
        cells.push(Cell::plain("-"));
    }
    cells.push(Cell::plain(revision(
        std::slice::from_ref(&tip.revision),
        form,
    )));
    cells.extend(author_and_subject(Some(tip), view));
    cells.push(Cell::plain("-"));
    cells.push(Cell::new("not deployed", Style::Bad));
    cells
}

fn author_and_subject(commit: Option<&CommitSummary>, view: &View) -> [Cell; 2] {
    let (author, subject) = commit.map_or_else(Default::default, |commit| {
        (
            text::one_line(&commit.author),
            text::one_line(&commit.subject),
        )
    });
    let author = or_dash(&text::cut(&author, AUTHOR_COLUMNS, view.unicode));
    let subject = if view.width.is_some() {
        text::cut(&subject, SUBJECT_COLUMNS, view.unicode)
    } else {
        subject
    };
    [Cell::plain(author), Cell::plain(or_dash(&subject))]
}

fn attempt_row(attempt: &Attempt, form: &Form, view: &View) -> Vec<Cell> {
    let style = of_phase(attempt.phase);
    let mut cells = vec![Cell::plain("-"), Cell::plain("-")];
    if form.wide {
        cells.push(Cell::plain(time(attempt.time, form, view)));
    }
    cells.push(Cell::plain(revision(&attempt.revisions, form)));
    cells.push(Cell::plain("-"));
    cells.push(Cell::plain("-"));
    cells.push(Cell::plain(by(&attempt.by)));
    let when = attempt.time.map_or_else(String::new, |time| {
        format!(" {} ago", text::age(time, form.now.timestamp()))
    });
    let message = if attempt.message.is_empty() {
        String::new()
    } else {
        format!(": {}", attempt.message)
    };
    cells.push(Cell::new(
        format!("{}{when}{message}", attempt.phase),
        style,
    ));
    cells
}

fn entry_row(entry: &Entry, form: &Form, view: &View) -> Vec<Cell> {
    let mut cells = vec![
        Cell::plain(entry.id.to_string()),
        Cell::plain(time(entry.live_since, form, view)),
    ];
    if form.wide {
        cells.push(Cell::plain(time(entry.started, form, view)));
    }
    cells.push(Cell::plain(revision(&entry.revisions, form)));
    cells.extend(author_and_subject(entry.commit.as_ref(), view));
    cells.push(Cell::plain(by(&entry.by)));
    let (words, style) = result(entry, form.now.timestamp());
    // First, so that it is seen on a narrow terminal too.
    let mark = match (entry.last_good, view.unicode) {
        (false, _) => "",
        (true, true) => "last good · ",
        (true, false) => "last good | ",
    };
    cells.push(Cell::new(format!("{mark}{words}"), style));
    cells
}

/// What came of it, in words.
fn result(entry: &Entry, now: Timestamp) -> (String, Style) {
    let ago = |time: &Option<Timestamp>| {
        time.map_or_else(String::new, |time| format!(" {} ago", text::age(time, now)))
    };
    match &entry.result {
        Outcome::Healthy { since } => {
            let after = match (since, entry.live_since) {
                (Some(since), Some(live)) => format!(" after {}", text::age(live, *since)),
                _ => String::new(),
            };
            (format!("Healthy{after}"), Style::Good)
        }
        Outcome::Proving { since, good_at } => (
            format!(
                "Healthy for {}, good after {}",
                text::age(*since, now),
                text::age(*since, *good_at)
            ),
            Style::Good,
        ),
        Outcome::Lost {
            healthy,
            at,
            because,
        } => {
            let after = entry.live_since.map_or_else(String::new, |live| {
                format!(" after {}", text::age(live, *healthy))
            });
            let because = if because.is_empty() {
                String::new()
            } else {
                format!(": {because}")
            };
            let lost = text::age(*healthy, *at);
            (
                format!("Healthy{after}, lost after {lost}{because}"),
                Style::Bad,
            )
        }
        Outcome::Degraded {
            healthy,
            since,
            because,
        } => {
            let before = if healthy.is_some() {
                "Healthy, then "
            } else {
                ""
            };
            let because = if because.is_empty() {
                String::new()
            } else {
                format!(": {because}")
            };
            (
                format!("{before}Degraded{}{because}", ago(since)),
                Style::Bad,
            )
        }
        Outcome::Recovered { degraded } => (
            format!("Healthy, was Degraded{}", ago(degraded)),
            Style::Good,
        ),
        Outcome::Now(health) => (format!("{health} now"), of_health(*health)),
        Outcome::NeverHealthy => ("never Healthy".into(), Style::Warn),
        Outcome::Unknown => ("-".into(), Style::Dim),
    }
}

/// What to do next: only when there is something to go back from, and something to go back to.
fn next(history: &History, form: &Form) -> Option<String> {
    let good = history.last_good()?;
    let current = history.entries.first()?;
    (good.id != current.id).then(|| {
        format!(
            "Back to the last good one: kubectl gitops rollback {}{} --to {}",
            history.name, form.flags, good.id
        )
    })
}

/// What self-heal took back: `2m ago  Deployment/web  .spec.replicas 5≠3 by kubectl-scale 2m ago`.
fn heals(heals: &[HealRecord], form: &Form, view: &View) -> String {
    if heals.is_empty() {
        return String::new();
    }
    let rows: Vec<Vec<Cell>> = heals
        .iter()
        .map(|heal| heal_row(heal, form, view))
        .collect();
    let headings = ["REVERTED", "OBJECT", "CHANGE"].map(|heading| Column {
        heading,
        leave_out: 0,
        shrinks: heading == "CHANGE",
    });
    format!("\n{}", draw(&headings, &rows, form.headings, view))
}

fn heal_row(heal: &HealRecord, form: &Form, view: &View) -> Vec<Cell> {
    let now = form.now.timestamp();
    let healed = heal.healed_at.as_ref().map(|time| time.0);
    let age = match healed {
        Some(healed) if view.interactive => format!("{} ago", text::age(healed, now)),
        healed => time(healed, form, view),
    };
    vec![
        Cell::plain(age),
        Cell::plain(text::one_line(&format!("{}/{}", heal.kind, heal.name))),
        Cell::plain(drift::what_healed(heal, now, view.unicode)),
    ]
}

/// Near and short for users, whole and in UTC for programs.
fn time(time: Option<Timestamp>, form: &Form, view: &View) -> String {
    let Some(time) = time else {
        return "-".into();
    };
    if !view.interactive {
        return time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    }
    let zone: TimeZone = form.now.time_zone().clone();
    let local = time.to_zoned(zone);
    let pattern = if local.year() == form.now.year() {
        "%m-%d %H:%M"
    } else {
        "%Y-%m-%d %H:%M"
    };
    local.strftime(pattern).to_string()
}

fn revision(revisions: &[String], form: &Form) -> String {
    let show = |revision: &str| {
        if form.wide {
            text::one_line(revision)
        } else {
            text::one_line(text::short_revision(revision))
        }
    };
    match revisions {
        [] => "-".into(),
        all if form.wide => or_dash(
            &all.iter()
                .map(|revision| show(revision))
                .collect::<Vec<_>>()
                .join(","),
        ),
        [only] => or_dash(&show(only)),
        [first, rest @ ..] => format!("{} (+{})", show(first), rest.len()),
    }
}

fn by(by: &By) -> String {
    match by {
        By::Agent => "auto".into(),
        By::User(name) => name.clone(),
        By::Unknown => "-".into(),
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".into()
    } else {
        text.to_owned()
    }
}
