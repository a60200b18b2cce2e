//! Verdicts as lines for users and as one JSON document a line.

use gitops_api::HealthStatusCode;
use gitops_core::live::health::Health;
use gitops_kit::paint::Style;
use gitops_kit::table;
use gitops_kit::table::{Cell, Column};
use gitops_kit::terminal::View;
use gitops_kit::text::one_line;
use gitops_views::style;
use serde::Serialize;
use serde_json::Value;

/// An object and the verdict on it, as `-o json` writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Namespace; left out when the manifest says none.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub namespace: String,
    /// Name; empty when the manifest says none.
    pub name: String,
    /// Health; `null` when the object does not count.
    pub status: Option<HealthStatusCode>,
    /// Why.
    pub message: String,
}

impl Verdict {
    /// The verdict on an object.
    pub fn of(object: &Value, health: Option<Health>) -> Self {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let metadata = &object["metadata"];
        Self {
            api_version: text(&object["apiVersion"]),
            kind: text(&object["kind"]),
            namespace: text(&metadata["namespace"]),
            name: match text(&metadata["name"]) {
                name if name.is_empty() => text(&metadata["generateName"]),
                name => name,
            },
            status: health.as_ref().map(|health| health.status),
            message: health.map(|health| health.message).unwrap_or_default(),
        }
    }

    /// Whether nobody has to look: Healthy, Suspended, or without health.
    pub fn is_fine(&self) -> bool {
        matches!(
            self.status,
            None | Some(HealthStatusCode::Healthy | HealthStatusCode::Suspended)
        )
    }
}

/// One document a line.
pub fn lines(verdicts: &[Verdict]) -> Result<String, serde_json::Error> {
    let mut output = String::new();
    for verdict in verdicts {
        output.push_str(&serde_json::to_string(verdict)?);
        output.push('\n');
    }
    Ok(output)
}

/// A table; whoever looks at it gets a sum beneath.
pub fn screen(verdicts: &[Verdict], headings: bool, view: &View) -> String {
    let column = |heading, leave_out, shrinks| Column {
        heading,
        leave_out,
        shrinks,
    };
    let columns = [
        column("HEALTH", 0, false),
        column("KIND", 0, true),
        column("NAMESPACE", 1, true),
        column("NAME", 0, true),
        column("MESSAGE", 0, true),
    ];
    let rows: Vec<Vec<Cell>> = verdicts
        .iter()
        .map(|verdict| {
            let health = match verdict.status {
                Some(status) => Cell::new(status.to_string(), style::of_health(status)),
                None => Cell::new("-", Style::Dim),
            };
            vec![
                health,
                Cell::plain(one_line(&verdict.kind)),
                Cell::plain(one_line(&verdict.namespace)),
                Cell::plain(one_line(&verdict.name)),
                Cell::plain(one_line(&verdict.message)),
            ]
        })
        .collect();
    let mut output = table::draw(&columns, &rows, headings, view);
    if view.interactive && headings {
        output.push('\n');
        output.push_str(&sum(verdicts));
        output.push('\n');
    }
    output
}

/// `4 objects: 1 Degraded, 2 Healthy, 1 without health`, worst first.
fn sum(verdicts: &[Verdict]) -> String {
    let mut states: Vec<HealthStatusCode> = verdicts
        .iter()
        .filter_map(|verdict| verdict.status)
        .collect();
    states.sort_by_key(|status| std::cmp::Reverse(status.severity()));
    let mut parts: Vec<String> = states
        .chunk_by(|left, right| left == right)
        .filter_map(|same| Some(format!("{} {}", same.len(), same.first()?)))
        .collect();
    let without = verdicts.len() - states.len();
    if without > 0 {
        parts.push(format!("{without} without health"));
    }
    let objects = if verdicts.len() == 1 {
        "object"
    } else {
        "objects"
    };
    format!("{} {objects}: {}", verdicts.len(), parts.join(", "))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn verdicts() -> Vec<Verdict> {
        let object = |kind: &str, name: &str, namespace: Option<&str>| json!({"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "namespace": namespace}});
        let health = |status, message: &str| Some(Health::new(status, message));
        vec![
            Verdict::of(
                &object("Pod", "web", Some("shop")),
                health(HealthStatusCode::Degraded, "no\u{1b}[2J image"),
            ),
            Verdict::of(
                &object("Service", "web", None),
                health(HealthStatusCode::Healthy, ""),
            ),
            Verdict::of(&object("ConfigMap", "a", None), None),
        ]
    }

    #[test]
    fn json_is_one_document_a_line() {
        assert_eq!(
            lines(&verdicts()).unwrap(),
            concat!(
                r#"{"apiVersion":"v1","kind":"Pod","namespace":"shop","name":"web","status":"Degraded","message":"no\u001b[2J image"}"#,
                "\n",
                r#"{"apiVersion":"v1","kind":"Service","name":"web","status":"Healthy","message":""}"#,
                "\n",
                r#"{"apiVersion":"v1","kind":"ConfigMap","name":"a","status":null,"message":""}"#,
                "\n",
            )
        );
    }

    #[test]
    fn people_get_a_table_and_a_sum() {
        let mut view = View {
            width: None,
            color: false,
            unicode: false,
            interactive: false,
        };
        assert_eq!(
            screen(&verdicts(), false, &view).lines().next(),
            Some("Degraded  Pod        shop  web  no [2J image")
        );
        view.interactive = true;
        let shown = screen(&verdicts(), true, &view);
        assert!(
            shown.starts_with("HEALTH    KIND       NAMESPACE  NAME  MESSAGE\n"),
            "{shown}"
        );
        assert!(
            shown.ends_with("\n3 objects: 1 Degraded, 1 Healthy, 1 without health\n"),
            "{shown}"
        );
    }
}
