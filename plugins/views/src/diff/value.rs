//! A field's value as users read it: strings without needless quotes, texts of several lines as
//! lines, maps and lists as YAML. Never lets a control character through to a terminal.

use gitops_kit::text;
use serde_json::Value;

/// Longest map or list that is shown on one line.
const SHORT: usize = 60;
/// Ends a value that the agent cut.
const CUT: char = '…';

/// What a value looks like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Shown {
    /// On one line.
    Line(String),
    /// A text, map or list of several lines.
    Lines(Vec<String>),
}

impl Shown {
    /// Reads a value as JSON text.
    pub fn of(json: &str) -> Self {
        let (value, cut) = read(json);
        let mut shown = match value {
            Some(Value::String(text)) if text.trim_end_matches('\n').contains('\n') => {
                Self::Lines(lines(&text))
            }
            Some(Value::String(text)) => Self::Line(scalar(&text)),
            Some(value @ (Value::Object(_) | Value::Array(_))) => structure(&value),
            Some(value) => Self::Line(value.to_string()),
            None => Self::Line(text::one_line(json)),
        };
        if cut {
            const NOTE: &str = "… (too long to be shown in full)";
            match &mut shown {
                Self::Line(line) => line.push_str(NOTE),
                Self::Lines(lines) => lines.push(NOTE.to_owned()),
            }
        }
        shown
    }

    /// The same as lines.
    pub fn into_lines(self) -> Vec<String> {
        match self {
            Self::Line(line) => vec![line],
            Self::Lines(lines) => lines,
        }
    }
}

/// An object as YAML, line by line.
pub fn yaml(value: &Value) -> Vec<String> {
    match serde_saphyr::to_string(value) {
        Ok(yaml) => yaml.lines().map(printable).collect(),
        // Everything JSON can say YAML can say; a form that can be read all the same.
        Err(_) => vec![text::one_line(&value.to_string())],
    }
}

/// The value, and whether it was cut on its way.
fn read(json: &str) -> (Option<Value>, bool) {
    if let Ok(value) = serde_json::from_str(json) {
        return (Some(value), false);
    }
    let Some(head) = json.strip_suffix(CUT) else {
        return (None, false);
    };
    if !head.starts_with('"') {
        return (None, false);
    }
    // An escape may have been cut in two, up to five characters before the end.
    let mut ends = head.char_indices().rev().map(|(at, _)| at).take(6);
    let whole = [head.len()]
        .into_iter()
        .chain(&mut ends)
        .find_map(|end| serde_json::from_str(&format!("{}\"", &head[..end])).ok());
    let cut = whole.is_some();
    (whole, cut)
}

/// A text of several lines. A missing newline at its end is a line of its own, as it is a
/// difference.
fn lines(text: &str) -> Vec<String> {
    let (body, complete) = match text.strip_suffix('\n') {
        Some(body) => (body, true),
        None => (text, false),
    };
    let mut lines: Vec<String> = body.split('\n').map(printable).collect();
    if !complete {
        lines.push("\\ no newline at the end".to_owned());
    }
    lines
}

/// A string on one line; in quotes where it could be taken for something else.
fn scalar(text: &str) -> String {
    let looks_otherwise = text.is_empty()
        || text.trim() != text
        || text.chars().any(text::is_command)
        || text.starts_with(['"', '{', '['])
        || matches!(text, "true" | "false" | "null" | "***")
        || text.parse::<f64>().is_ok();
    if looks_otherwise && text != "***" {
        Value::from(text).to_string().chars().map(visible).collect()
    } else {
        text.to_owned()
    }
}

fn structure(value: &Value) -> Shown {
    let compact = value.to_string();
    let is_flat = |value: &Value| !value.is_object() && !value.is_array();
    let flat = match value {
        Value::Array(items) => items.iter().all(is_flat),
        Value::Object(map) => map.values().all(is_flat),
        _ => true,
    };
    if flat && compact.len() <= SHORT {
        Shown::Line(text::one_line(&compact))
    } else {
        Shown::Lines(yaml(value))
    }
}

/// A line without anything a terminal would obey; tabs stay.
fn printable(line: &str) -> String {
    line.chars().map(visible).collect()
}

fn visible(character: char) -> String {
    if text::is_command(character) && character != '\t' {
        character.escape_default().to_string()
    } else {
        character.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str) -> Shown {
        Shown::Line(text.to_owned())
    }

    #[test]
    fn scalars_read_as_people_write_them() {
        let table = [
            ("3", "3"),
            ("\"3\"", "\"3\""),
            ("true", "true"),
            ("\"true\"", "\"true\""),
            ("\"\"", "\"\""),
            ("\" a\"", "\" a\""),
            ("\"web:1.9\"", "web:1.9"),
            ("\"a b\"", "a b"),
            ("\"one line\\n\"", "\"one line\\n\""),
            ("\"***\"", "***"),
            ("***", "***"),
            ("null", "null"),
            ("[1,2]", "[1,2]"),
            ("\"\\u001b[2J\"", "\"\\u001b[2J\""),
            ("\"a\u{202e}b\"", "\"a\\u{202e}b\""),
            ("not json \u{1b}[2J", "not json [2J"),
        ];
        for (json, expected) in table {
            assert_eq!(Shown::of(json), line(expected), "{json}");
        }
    }

    #[test]
    fn several_lines_are_lines() {
        let of = |json: &str| Shown::of(json).into_lines();
        assert_eq!(of(r#""a\n\tb\r\n""#), ["a", "\tb\\r"]);
        assert_eq!(of(r#""a\nb""#), ["a", "b", "\\ no newline at the end"]);
        assert_eq!(
            of(r#"{"name":"web","ports":[{"port":80}]}"#),
            ["name: web", "ports:", "- port: 80"]
        );
    }

    #[test]
    fn cut_values_say_so() {
        assert_eq!(
            Shown::of("\"abc…"),
            line("abc… (too long to be shown in full)")
        );
        assert_eq!(
            Shown::of("\"abc\\u00…"),
            line("abc… (too long to be shown in full)")
        );
        assert_eq!(Shown::of("{\"a\": …"), line("{\"a\": …"));
    }
}
