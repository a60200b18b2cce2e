//! ApplicationSets as a table, and one of them with its Applications.

use std::cmp::Reverse;
use std::fmt::Write;

use gitops_api::HealthStatusCode;
use gitops_kit::paint::Style;
use gitops_kit::table::{Cell, Column, draw};
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::appsets::{Generated, Set};
use gitops_views::style::{of_health, of_sync};
use jiff::Timestamp;

fn column(heading: &'static str, leave_out: u8, shrinks: bool) -> Column {
    Column {
        heading,
        leave_out,
        shrinks,
    }
}

fn health(set: &Set) -> Cell {
    set.health.map_or_else(
        || Cell::new("Unknown", Style::Warn),
        |health| Cell::new(health.to_string(), of_health(health)),
    )
}

/// All of them, those that are not as they should be first.
pub(super) fn list(sets: &[Set], with_namespaces: bool, headings: bool, view: &View) -> String {
    let mut columns = vec![
        column("NAME", 0, false),
        column("HEALTH", 0, false),
        column("APPLICATIONS", 1, false),
        column("SAYS", 0, true),
    ];
    if with_namespaces {
        columns.insert(0, column("NAMESPACE", 2, false));
    }
    let mut sets: Vec<&Set> = sets.iter().collect();
    let severity = |set: &Set| set.health.unwrap_or(HealthStatusCode::Unknown).severity();
    sets.sort_by_key(|set| (set.says().is_empty(), Reverse(severity(set))));
    let rows: Vec<Vec<Cell>> = sets
        .iter()
        .map(|set| {
            let mut row = vec![
                Cell::plain(&set.name),
                health(set),
                Cell::plain(set.count.to_string()),
                Cell::plain(set.says()),
            ];
            if with_namespaces {
                row.insert(0, Cell::plain(&set.namespace));
            }
            row
        })
        .collect();
    draw(&columns, &rows, headings, view)
}

/// One of them: what it says, then its Applications.
pub(super) fn one(set: &Set, now: Timestamp, view: &View) -> String {
    let title = format!("{}/{}", set.namespace, set.name);
    let health = health(set);
    let mut output = format!(
        "{}  {}\n",
        Style::Bold.apply(&title, view.color),
        health.style.apply(&health.text, view.color)
    );
    let mut line = |label: &str, words: &str, style: Style| {
        const LABEL: usize = 15;
        let room = view
            .width
            .map_or(usize::MAX, |width| width.saturating_sub(LABEL).max(20));
        let lines = if room == usize::MAX {
            vec![words.to_owned()]
        } else {
            text::wrap(words, room)
        };
        for (index, words) in lines.iter().enumerate() {
            let label = if index == 0 { label } else { "" };
            let words = style.apply(words, view.color);
            // Writing to a text does not fail.
            let _ = writeln!(output, "  {label:<13}{words}");
        }
    };
    if !set.problem.is_empty() {
        line("problem", &set.problem, Style::Bad);
    }
    if let Some((question, since)) = &set.question {
        let since = since.map_or_else(String::new, |since| {
            format!(" ({} ago)", text::age(since, now))
        });
        line("asks", &format!("{question}{since}"), Style::Warn);
    }
    if let Some(rollout) = &set.rollout {
        let held = if set.is_paused { "paused: " } else { "" };
        let style = if set.is_rolled_out {
            Style::Plain
        } else {
            Style::Warn
        };
        line("rollout", &format!("{held}{rollout}"), style);
    }
    for note in &set.notes {
        line("note", note, Style::Warn);
    }
    line("applications", &counted(set), Style::Plain);
    if !set.applications.is_empty() {
        output.push('\n');
        output.push_str(&applications(set, now, view));
    }
    output
}

fn counted(set: &Set) -> String {
    let shown = set.applications.len();
    if shown < set.count {
        format!("{} (the status lists {shown})", set.count)
    } else {
        set.count.to_string()
    }
}

fn applications(set: &Set, now: Timestamp, view: &View) -> String {
    let rolls = set.rollout.is_some();
    let mut columns = vec![
        column("APPLICATION", 0, true),
        column("SYNC", 0, false),
        column("HEALTH", 0, false),
    ];
    if rolls {
        columns.insert(0, column("STEP", 0, false));
        columns.push(column("ROLLOUT", 0, false));
        columns.push(column("SINCE", 1, false));
    }
    let row = |one: &Generated| {
        let mut row = vec![
            Cell::plain(&one.name),
            one.sync.map_or_else(
                || Cell::plain(""),
                |sync| Cell::new(sync.to_string(), of_sync(sync)),
            ),
            one.health.map_or_else(
                || Cell::plain(""),
                |health| Cell::new(health.to_string(), of_health(health)),
            ),
        ];
        if rolls {
            let step = if one.step == "-1" { "none" } else { &one.step };
            row.insert(0, Cell::plain(step));
            row.push(Cell::plain(&one.progress));
            let since = one.since.map(|since| text::age(since, now));
            row.push(Cell::plain(since.unwrap_or_default()));
        }
        row
    };
    let rows: Vec<Vec<Cell>> = set.applications.iter().map(row).collect();
    draw(&columns, &rows, true, view)
}

#[cfg(test)]
mod tests {
    use gitops_api::application_set::ApplicationSet;
    use serde_json::{Value, json};

    use super::*;

    fn set(name: &str, status: &Value, held: Option<&str>) -> Set {
        let set: ApplicationSet = serde_json::from_value(json!({
            "apiVersion": "argoproj.io/v1alpha1", "kind": "ApplicationSet",
            "metadata": {"name": name, "namespace": "argocd"},
            "spec": {"generators": [], "template": {"metadata": {}, "spec": {}}}, "status": status,
        }))
        .unwrap();
        Set::of(&set, held)
    }

    fn condition(kind: &str, status: &str, message: &str) -> Value {
        json!({"type": kind, "status": status, "reason": "R", "message": message,
            "lastTransitionTime": "2026-11-01T10:00:00Z"})
    }

    fn sets() -> Vec<Set> {
        let rolling = json!({
            "health": {"status": "Progressing"}, "resourcesCount": 3,
            "conditions": [
                condition("ErrorOccurred", "False", "All applications have been generated successfully"),
                condition("RolloutProgressing", "True",
                    "ApplicationSet is performing rollout of step 1; it goes no further: Application dev: its sync failed"),
                condition("InvalidRolloutConfig", "True", "no step selects Application lab, so it is never synced"),
            ],
            "resources": [
                {"kind": "Application", "name": "lab", "status": "OutOfSync", "health": {"status": "Missing"}},
                {"kind": "Application", "name": "prod", "status": "OutOfSync", "health": {"status": "Healthy"}},
                {"kind": "Application", "name": "dev", "status": "OutOfSync", "health": {"status": "Degraded"}},
            ],
            "applicationStatus": [
                {"application": "dev", "status": "Progressing", "step": "1", "message": "", "targetRevisions": ["r"],
                    "lastTransitionTime": "2026-11-01T10:58:00Z"},
                {"application": "lab", "status": "Waiting", "step": "-1", "message": "", "targetRevisions": ["r"]},
                {"application": "prod", "status": "Waiting", "step": "2", "message": "", "targetRevisions": ["r"]},
            ],
        });
        let asks = "3 of 4 Applications would be deleted, which waits for an approval: a, b, c";
        let asking = json!({
            "health": {"status": "Degraded"}, "resourcesCount": 4,
            "conditions": [condition("DeletionsHeld", "True", asks), condition("ErrorOccurred", "True", asks)],
        });
        let broken = json!({"health": {"status": "Degraded"}, "conditions": [
            condition("ErrorOccurred", "True", "spec.generators[0].git: it does not answer")]});
        let good = json!({"health": {"status": "Healthy"}, "resourcesCount": 12,
            "conditions": [condition("RolloutProgressing", "False", "ApplicationSet Rollout has completed")]});
        vec![
            set("fine", &good, None),
            set("fleet", &rolling, Some("paused")),
            set("shrinking", &asking, None),
            set("broken", &broken, None),
            set("new", &json!({}), None),
        ]
    }

    #[test]
    fn what_is_wrong_comes_first() {
        let view = |width| View {
            width,
            color: false,
            unicode: true,
            interactive: true,
        };
        let now: Timestamp = "2026-11-01T11:00:00Z".parse().unwrap();
        let sets = sets();
        let mut screens = vec![
            list(&sets, false, true, &view(None)),
            list(&sets, true, true, &view(Some(80))),
        ];
        for set in &sets[1..4] {
            screens.push(one(set, now, &view(Some(80))));
        }
        insta::assert_snapshot!(screens.join("\n"));
    }
}
