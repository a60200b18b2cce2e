//! The form of what a command prints (`-o`), and printing it: one set of flags for all commands.
//!
//! Never decides what a document says; each command makes its own, with a version in it.

use std::io::{ErrorKind, IsTerminal, Write};

use clap::Args;
use serde_json::Value;

use crate::exit::{CommandError, CommandErrorKind};
use crate::jsonpath::Template;
use crate::terminal::ColorChoice;
use crate::text;

/// Flags of commands that print something.
#[derive(Args, Clone, Debug, Default)]
pub struct OutputArgs {
    /// Output format: table, wide, json, yaml, name, jsonpath=TEMPLATE
    #[arg(
        short = 'o',
        long = "output",
        value_name = "FORMAT",
        default_value = "table",
        hide_default_value = true,
        value_parser = parse_form
    )]
    pub form: Form,

    /// No column headings, no summary
    #[arg(long)]
    pub no_headers: bool,

    /// When to use color
    #[arg(
        long,
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_default_value = true
    )]
    pub color: ColorChoice,
}

/// The flag of commands that only tell how they get on.
#[derive(Args, Clone, Debug, Default)]
pub struct ColorArgs {
    /// When to use color
    #[arg(
        long = "color",
        value_enum,
        default_value_t,
        value_name = "WHEN",
        hide_default_value = true
    )]
    pub color: ColorChoice,
}

/// Output format.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Form {
    /// For users.
    #[default]
    Table,
    /// For users, with more columns.
    Wide,
    /// A JSON document.
    Json,
    /// A YAML document.
    Yaml,
    /// `application.argoproj.io/NAME`, one a line.
    Name,
    /// What a template takes from the document.
    JsonPath(Template),
}

impl Form {
    /// Whether it is for users: lines and columns.
    pub fn is_table(&self) -> bool {
        matches!(self, Self::Table | Self::Wide)
    }

    /// The text of a versioned document; `None` when this form is no document but lines the
    /// command makes itself.
    pub fn text_of(&self, document: &Value) -> Result<Option<String>, CommandError> {
        let failed = |error: String| {
            CommandError::new(
                CommandErrorKind::Internal,
                format!("cannot write the document: {error}"),
            )
        };
        match self {
            Self::Table | Self::Wide | Self::Name => Ok(None),
            Self::Json => serde_json::to_string_pretty(document)
                .map(|text| Some(text + "\n"))
                .map_err(|error| failed(error.to_string())),
            Self::Yaml => serde_saphyr::to_string(document)
                .map(|text| Some(for_reader(text, std::io::stdout().is_terminal())))
                .map_err(|error| failed(error.to_string())),
            Self::JsonPath(template) => {
                let text = template.fill(document);
                Ok(Some(for_reader(text, std::io::stdout().is_terminal())))
            }
        }
    }
}

/// A program gets values as they are; a terminal would obey what is in them.
fn for_reader(text: String, is_terminal: bool) -> String {
    if is_terminal {
        text::visible(&text)
    } else {
        text
    }
}

/// Names as `-o name` prints Applications.
pub fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names
        .into_iter()
        .flat_map(|name| ["application.argoproj.io/", name, "\n"])
        .collect()
}

/// Reads the name of a form, as `-o` has it.
///
/// # Errors
/// When there is no such form.
pub fn parse_form(text: &str) -> Result<Form, String> {
    match text {
        "table" => Ok(Form::Table),
        "wide" => Ok(Form::Wide),
        "json" => Ok(Form::Json),
        "yaml" => Ok(Form::Yaml),
        "name" => Ok(Form::Name),
        _ => match text.strip_prefix("jsonpath") {
            Some(rest) if rest.is_empty() || rest.starts_with('=') => {
                Template::parse(rest.strip_prefix('=').unwrap_or_default()).map(Form::JsonPath)
            }
            _ => Err("possible values: table, wide, json, yaml, name, jsonpath=TEMPLATE".into()),
        },
    }
}

/// Writes to standard output. A reader that has seen enough (`| head`) is no failure.
pub fn print(text: &str) -> Result<(), CommandError> {
    let mut stdout = std::io::stdout().lock();
    match stdout
        .write_all(text.as_bytes())
        .and_then(|()| stdout.flush())
    {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(CommandError::new(
            CommandErrorKind::Io,
            format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn forms_are_read_and_bad_ones_told_the_good_ones() {
        assert_eq!(parse_form("wide"), Ok(Form::Wide));
        assert!(matches!(parse_form("jsonpath={.a}"), Ok(Form::JsonPath(_))));
        for wrong in ["", "xml", "jsonpaths=x", "Json"] {
            let error = parse_form(wrong).unwrap_err();
            assert!(error.contains("table, wide, json"), "{wrong}: {error}");
        }
        assert!(parse_form("jsonpath").unwrap_err().contains("template"));
    }

    #[test]
    fn values_are_as_they_are_except_on_a_terminal() {
        let value = "a\u{1b}[2Jb\n";
        assert_eq!(for_reader(value.into(), false), value);
        assert_eq!(for_reader(value.into(), true), "a[2Jb\n");
    }

    #[test]
    fn documents_become_text() {
        let document = json!({"version": "v1", "ok": true});
        let text = |form: Form| form.text_of(&document).unwrap();
        assert_eq!(text(Form::Table), None);
        assert_eq!(
            text(Form::Json).as_deref(),
            Some("{\n  \"ok\": true,\n  \"version\": \"v1\"\n}\n")
        );
        assert_eq!(text(Form::Yaml).as_deref(), Some("ok: true\nversion: v1\n"));
        let template = parse_form("jsonpath={.ok}").unwrap();
        assert_eq!(text(template).as_deref(), Some("true"));
        assert_eq!(
            names(["a", "b"]),
            "application.argoproj.io/a\napplication.argoproj.io/b\n"
        );
    }
}
