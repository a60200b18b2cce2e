//! A preview for users, and for a comment on a pull request.

use std::fmt::Write;

use gitops_kit::paint::Style;
use gitops_kit::terminal::View;
use gitops_kit::text;
use gitops_views::appset_preview::{Action, Field, Preview, Row};
use serde_json::Value;

/// Longest rendition of a value, in characters.
const MAX_VALUE: usize = 120;

/// For a terminal or a pipe.
pub(super) fn table(set: &str, preview: &Preview, view: &View) -> String {
    let mut output = String::new();
    for row in &preview.applications {
        let Some((sign, style)) = sign(row.action) else {
            continue;
        };
        let head = style.apply(&format!("{sign} {}", row.name), view.color);
        let line = format!("{head}  {}", said(row));
        let _ = writeln!(output, "{}", line.trim_end());
        for field in &row.fields {
            let line = change(field, if view.unicode { "→" } else { "->" });
            let _ = writeln!(output, "    {line}");
        }
    }
    for warning in &preview.warnings {
        let head = Style::Warn.apply("warning", view.color);
        let _ = writeln!(output, "{head}: {}", text::one_line(warning));
    }
    if !preview.held.is_empty() {
        let _ = writeln!(
            output,
            "{}, which waits for: kubectl gitops appset approve {set}",
            text::one_line(&preview.held)
        );
    }
    let _ = writeln!(output, "{set}: {}", summary(preview));
    output
}

/// For a comment on a pull request.
pub(super) fn markdown(set: &str, preview: &Preview) -> String {
    let mut output = format!("### ApplicationSet `{set}`: {}\n", summary(preview));
    if preview.is_different() {
        output += "\n| Application | | |\n|---|---|---|\n";
    }
    for row in &preview.applications {
        let Some((sign, _)) = sign(row.action) else {
            continue;
        };
        let said = Some(said(row)).filter(|text| !text.is_empty());
        let fields = row.fields.iter().map(|field| change(field, "→"));
        let cells: Vec<String> = said
            .into_iter()
            .chain(fields)
            .map(|one| cell(&one))
            .collect();
        let cells = cells.join("<br>");
        let _ = writeln!(
            output,
            "| `{sign} {}` | {} | {cells} |",
            row.name,
            word(row)
        );
    }
    if !preview.held.is_empty() {
        let _ = writeln!(
            output,
            "\n**{}**, which waits for `kubectl gitops appset approve {set}`.",
            cell(&preview.held)
        );
    }
    for warning in &preview.warnings {
        let _ = writeln!(output, "\n> {}", cell(warning));
    }
    output
}

fn cell(text: &str) -> String {
    let text = text::one_line(text);
    text.replace('|', "\\|").replace('<', "&lt;")
}

fn sign(action: Action) -> Option<(&'static str, Style)> {
    match action {
        Action::Invalid => Some(("!", Style::Bad)),
        Action::Held | Action::Delete => Some(("-", Style::Bad)),
        Action::Change => Some(("~", Style::Warn)),
        Action::Create => Some(("+", Style::Good)),
        Action::Keep => None,
    }
}

fn word(row: &Row) -> &'static str {
    match row.action {
        Action::Invalid => "left alone",
        Action::Held => "held",
        Action::Delete => "delete",
        Action::Change => "change",
        Action::Create => "create",
        Action::Keep => "keep",
    }
}

fn said(row: &Row) -> String {
    let why = text::one_line(&row.why);
    let is_gone = matches!(row.action, Action::Held | Action::Delete);
    match row.prunes {
        // The fields say it.
        _ if row.action == Action::Change && !row.fields.is_empty() => String::new(),
        _ if !is_gone => why,
        0 => format!("{why}; its objects stay in the cluster"),
        1 => format!("{why}; 1 object goes with it"),
        count => format!("{why}; {count} objects go with it"),
    }
}

fn change(field: &Field, arrow: &str) -> String {
    let path = &field.path;
    match (&field.before, &field.after) {
        (Some(before), Some(after)) => {
            format!("{path}: {} {arrow} {}", shown(before), shown(after))
        }
        (None, Some(after)) => format!("{path}: {}", shown(after)),
        (Some(before), None) => format!("{path}: {} {arrow} nothing", shown(before)),
        (None, None) => path.clone(),
    }
}

fn shown(value: &Value) -> String {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    text::cut(&text::one_line(&text), MAX_VALUE, true)
}

fn summary(preview: &Preview) -> String {
    let words = [
        (Action::Create, "created"),
        (Action::Change, "changed"),
        (Action::Delete, "deleted"),
        (Action::Held, "deleted after an approval"),
        (
            Action::Invalid,
            "left alone, because something is wrong with them",
        ),
    ];
    let counts: Vec<String> = words
        .into_iter()
        .filter_map(|(action, word)| match preview.count(action) {
            0 => None,
            count => Some(format!("{count} {word}")),
        })
        .collect();
    let kept = preview.count(Action::Keep);
    if counts.is_empty() {
        return format!("nothing changes ({kept} Applications as generated)");
    }
    format!("{}, {kept} as they are", counts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn preview() -> Preview {
        let row = |name: &str, action, why: &str, prunes| Row {
            name: name.into(),
            action,
            why: why.into(),
            fields: Vec::new(),
            prunes,
        };
        let field = |path: &str, before: Value, after: Value| Field {
            path: path.into(),
            before: Some(before).filter(|one| !one.is_null()),
            after: Some(after).filter(|one| !one.is_null()),
        };
        let mut changed = row("web-live", Action::Change, "spec differs", 0);
        changed.fields = vec![
            field("spec.source.targetRevision", json!("v1"), json!("v2|<b>")),
            field("metadata.labels.old", json!("1"), Value::Null),
        ];
        let mut new = row(
            "web-test",
            Action::Create,
            "element 2 of spec.generators[0].list gives it",
            0,
        );
        new.fields = vec![field(
            "spec.destination.namespace",
            Value::Null,
            json!("test"),
        )];
        Preview {
            applications: vec![
                row(
                    "Web",
                    Action::Invalid,
                    "Application \"Web\": no name; web is one",
                    0,
                ),
                row("web-a", Action::Held, "nothing gives it any more", 12),
                row("web-b", Action::Delete, "nothing gives it any more", 0),
                changed,
                new,
                row("web-same", Action::Keep, "it is as generated", 0),
            ],
            held: "3 of 4 Applications would be deleted".into(),
            warnings: vec!["spec.template: {{x}} stays as it is".into()],
        }
    }

    #[test]
    fn as_seen_and_as_a_comment() {
        let view = View {
            width: Some(80),
            color: false,
            unicode: true,
            interactive: true,
        };
        insta::assert_snapshot!("preview", table("web", &preview(), &view));
        insta::assert_snapshot!("preview_markdown", markdown("web", &preview()));
        let none = Preview::default();
        assert_eq!(
            table("web", &none, &view),
            "web: nothing changes (0 Applications as generated)\n"
        );
    }
}
