//! The screen of many applications: one line each, what is worst first.

use gitops_kit::paint::Style;
use gitops_kit::table::{Cell, Column, draw};
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::status::agent::Agent;
use gitops_views::status::application::Summary;
use gitops_views::status::reason::Code;
use gitops_views::style;
use jiff::Timestamp;

/// Columns of a terminal from which there is room for what is live.
const LIVE_COLUMNS_FROM: usize = 130;

/// What is shown.
#[derive(Clone, Debug)]
pub struct List {
    /// The applications.
    pub applications: Vec<Summary>,
    /// Whether the agent lives.
    pub agent: Agent,
    /// Where: a context or a namespace, for the summary.
    pub place: String,
    /// Applications of all namespaces.
    pub all_namespaces: bool,
    /// More columns.
    pub wide: bool,
    /// Column headings.
    pub headings: bool,
    /// Rows of the terminal, when what is healthy is only counted in a longer list.
    pub height: Option<usize>,
    /// What does not fit is counted, whatever it is: the screen does not scroll.
    pub must_fit: bool,
    /// Time the ages are counted from.
    pub now: Timestamp,
}

/// Lines of the screen that are no rows of the table.
const AROUND: usize = 7;

/// Draws the list.
pub fn screen(list: &List, view: &View) -> String {
    let mut order: Vec<&Summary> = list.applications.iter().collect();
    order.sort_by(|a, b| {
        (a.urgency(), &a.namespace, &a.name).cmp(&(b.urgency(), &b.namespace, &b.name))
    });
    let mut output = String::new();
    let explains = view.interactive && list.headings;
    if explains {
        output.push_str(&summary(list, view));
        output.push_str("\n\n");
    }
    let columns = columns(list, view);
    let (shown, rest) = shortened(&order, list);
    let rows: Vec<Vec<Cell>> = shown
        .iter()
        .map(|application| row(application, list, view))
        .collect();
    output.push_str(&draw(&columns, &rows, list.headings, view));
    if !rest.is_empty() {
        output.push_str(&Style::Dim.apply(&cut(&rest, view), view.color));
        output.push('\n');
    }
    if explains && let Some(worst) = order.first().filter(|worst| !worst.is_fine()) {
        let namespace = if list.all_namespaces {
            format!(" -n {}", worst.namespace)
        } else {
            String::new()
        };
        let next = format!("Next: kubectl gitops explain {}{namespace}", worst.name);
        output.push('\n');
        output.push_str(&Style::Dim.apply(&cut(&next, view), view.color));
        output.push('\n');
    }
    output
}

/// The rows there is room for, and what is said of the others.
fn shortened<'a>(order: &'a [&'a Summary], list: &List) -> (&'a [&'a Summary], String) {
    let Some(room) = list.height.map(|rows| rows.saturating_sub(AROUND).max(1)) else {
        return (order, String::new());
    };
    let wrong = order.iter().filter(|found| !found.is_fine()).count();
    if order.len() <= room || (wrong == 0 && !list.must_fit) {
        return (order, String::new());
    }
    let shown = if list.must_fit {
        wrong.min(room)
    } else {
        wrong
    };
    // Where nothing is wrong, what is healthy fills the screen.
    let shown = if wrong == 0 { room } else { shown };
    let fine = order.len() - wrong.max(shown);
    let mut said = Vec::new();
    if wrong > shown {
        said.push(format!("{} more to look at", wrong - shown));
    }
    if fine > 0 {
        said.push(format!("{fine} more synced and healthy"));
    }
    if said.is_empty() {
        return (order, String::new());
    }
    let hint = if list.must_fit { "" } else { " (all: --all)" };
    (&order[..shown], format!("{}{hint}", said.join(", ")))
}

fn columns(list: &List, view: &View) -> Vec<Column> {
    let fixed = |heading| Column {
        heading,
        leave_out: 0,
        shrinks: false,
    };
    let mut columns = Vec::new();
    if list.all_namespaces {
        columns.push(Column {
            heading: "NAMESPACE",
            leave_out: 0,
            shrinks: true,
        });
    }
    columns.push(Column {
        heading: "NAME",
        leave_out: 0,
        shrinks: true,
    });
    columns.push(fixed("SYNC"));
    columns.push(fixed("HEALTH"));
    columns.push(Column {
        heading: "REVISION",
        leave_out: if list.wide { 7 } else { 2 },
        shrinks: false,
    });
    if shows_live(list, view) {
        for heading in ["LIVE", "BEHIND"] {
            columns.push(Column {
                heading,
                leave_out: if list.wide { 7 } else { 2 },
                shrinks: false,
            });
        }
    }
    columns.push(Column {
        heading: "LAST SYNC",
        leave_out: if list.wide { 6 } else { 1 },
        shrinks: false,
    });
    if list.wide {
        for (heading, leave_out) in [
            ("PROJECT", 5),
            ("DESTINATION", 4),
            ("TARGET", 3),
            ("PATH", 2),
            ("REPOSITORY", 1),
        ] {
            columns.push(Column {
                heading,
                leave_out,
                shrinks: false,
            });
        }
    }
    columns.push(Column {
        heading: "WHY",
        leave_out: 0,
        shrinks: true,
    });
    columns
}

/// Always where programs read, so that columns stay in their place; on a terminal when it says more
/// than the revision does, and there is room.
fn shows_live(list: &List, view: &View) -> bool {
    let known = || {
        let mut applications = list.applications.iter();
        applications.any(|found| {
            !found.live.is_empty()
                && (found.live != found.revision || found.behind.is_some_and(|behind| behind > 0))
        })
    };
    match view.width {
        None => true,
        Some(width) => known() && (list.wide || width >= LIVE_COLUMNS_FROM),
    }
}

fn row(application: &Summary, list: &List, view: &View) -> Vec<Cell> {
    let or_dash = |text: &str| {
        if text.is_empty() {
            "-".to_owned()
        } else {
            text.to_owned()
        }
    };
    let mut cells = Vec::new();
    if list.all_namespaces {
        cells.push(Cell::plain(&application.namespace));
    }
    cells.push(Cell::plain(&application.name));
    cells.push(Cell::new(
        application.sync.as_str(),
        style::of_sync(application.sync),
    ));
    cells.push(Cell::new(
        application.health.as_str(),
        style::of_health(application.health),
    ));
    cells.push(Cell::plain(text::cut(
        &or_dash(&application.revision),
        20,
        view.unicode,
    )));
    if shows_live(list, view) {
        cells.push(Cell::plain(or_dash(&application.live)));
        let behind = application.behind.map(|behind| behind.to_string());
        cells.push(Cell::new(
            or_dash(behind.as_deref().unwrap_or_default()),
            if application.behind.is_some_and(|behind| behind > 0) {
                Style::Warn
            } else {
                Style::Plain
            },
        ));
    }
    let last_sync = application.last_sync.map(|then| text::age(then, list.now));
    cells.push(Cell::plain(or_dash(
        last_sync.as_deref().unwrap_or_default(),
    )));
    if list.wide {
        for value in [
            &application.project,
            &application.destination,
            &application.target,
            &application.path,
            &application.repository,
        ] {
            cells.push(Cell::plain(or_dash(value)));
        }
    }
    let reason = application.reason.as_ref();
    cells.push(Cell::new(
        reason.map_or("", |reason| reason.text.as_str()),
        reason.map_or(Style::Plain, |reason| reason.code.style()),
    ));
    cells
}

/// `prod · 12 applications: 9 ok, 1 degraded, 2 drifted · agent ok, seen 3s ago`
fn summary(list: &List, view: &View) -> String {
    let separator = if view.unicode { " · " } else { " | " };
    let mut parts = vec![
        (list.place.clone(), Style::Bold),
        (counts(&list.applications), Style::Plain),
    ];
    // An agent that is silent makes everything else old: it is said where nothing cuts it.
    let silent = matches!(list.agent, Agent::Stale { .. } | Agent::Absent);
    if let Some(agent) = list.agent.summary(list.now) {
        let style = match list.agent {
            Agent::Running { .. } | Agent::Unknown => Style::Dim,
            Agent::Stale { .. } | Agent::Absent => Style::Warn,
        };
        parts.insert(if silent { 0 } else { parts.len() }, (agent, style));
    }
    let plain: String = parts
        .iter()
        .map(|(text, _)| text.as_str())
        .collect::<Vec<_>>()
        .join(separator);
    if view
        .width
        .is_some_and(|columns| text::width(&plain) > columns)
    {
        return cut(&plain, view);
    }
    parts
        .iter()
        .map(|(text, style)| style.apply(text, view.color))
        .collect::<Vec<_>>()
        .join(separator)
}

fn counts(applications: &[Summary]) -> String {
    let fine = applications
        .iter()
        .filter(|application| application.is_fine())
        .count();
    let total = applications.len();
    let noun = if total == 1 {
        "application"
    } else {
        "applications"
    };
    if fine == total {
        return format!("{total} {noun}, all ok");
    }
    let mut parts = vec![format!("{fine} ok")];
    let groups: [(&str, &[Code]); 7] = [
        ("failed", &[Code::Error, Code::SyncFailed]),
        ("degraded", &[Code::Degraded]),
        ("drifted", &[Code::Drift]),
        ("out of sync", &[Code::OutOfSync]),
        (
            "progressing",
            &[Code::Deleting, Code::Syncing, Code::Progressing],
        ),
        ("because of others", &[Code::Child]),
        ("unknown", &[Code::NotCompared]),
    ];
    for (name, codes) in groups {
        let count = applications
            .iter()
            .filter(|application| !application.is_fine())
            .filter(|application| {
                application
                    .reason
                    .as_ref()
                    .is_some_and(|reason| codes.contains(&reason.code))
            })
            .count();
        if count > 0 {
            parts.push(format!("{count} {name}"));
        }
    }
    format!("{total} {noun}: {}", parts.join(", "))
}

fn cut(line: &str, view: &View) -> String {
    view.width.map_or_else(
        || line.to_owned(),
        |columns| text::cut(line, columns, view.unicode),
    )
}
