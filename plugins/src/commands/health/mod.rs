//! `health`: judges manifests with the rules of the agent, without a cluster, so that users can
//! test their own rules and CI can look at what a cluster said.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use clap::{Args, ValueEnum};
use gitops_core::live::health::assess_with;
use gitops_customizations::Customizations;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::notice::warn;
use gitops_kit::output::print;
use gitops_kit::terminal::{ColorChoice, View};
use gitops_kit::text::one_line;
use serde_json::Value;
use tokio::task::spawn_blocking;

use crate::cluster::connection::ConnectionArgs;
use crate::commands::health::manifests::Manifest;
use crate::commands::health::report::Verdict;

pub mod manifests;
pub mod report;

/// Most that is read of a file or of standard input.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// Evaluate the health of objects in files, with the agent's rules and your own
///
/// Asks no cluster. Reads YAML of one or more documents, JSON, and lists, as kubectl get -o yaml
/// writes them: the verdict rests on the status in them.
///
/// With -o json there is one document a line, with apiVersion, kind, namespace when there is one,
/// name, status and message. The status is null for objects that have no health, such as
/// ConfigMaps: they do not count for the health of an application.
///
/// Ends with 0 when everything was judged, whatever the verdicts; with --exit-code, 1 when an
/// object is neither Healthy, Suspended nor without health. 2 when a file cannot be read.
///
/// Examples:
///   kubectl gitops health -f deployment.yaml
///   kubectl get certificates -A -o yaml | kubectl gitops health -f - --exit-code
///   kubectl gitops health -f thing.yaml --settings argocd-cm.yaml -o json
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct HealthArgs {
    /// File of manifests, a directory of them, or - for standard input; may be repeated
    #[arg(short, long, value_name = "FILE", required = true)]
    pub filename: Vec<String>,

    /// ConfigMap argocd-cm: its health rules in Lua and CEL come first
    #[arg(long, value_name = "FILE")]
    pub settings: Option<String>,

    /// End with 1 when an object is Degraded, Progressing, Missing or Unknown
    #[arg(long)]
    pub exit_code: bool,

    /// Output format
    #[arg(short, long, value_enum, value_name = "FORMAT", default_value_t)]
    pub output: Form,

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

/// Output format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// For users.
    #[default]
    Table,
    /// One JSON document a line.
    Json,
}

/// Runs the command.
pub async fn run(args: HealthArgs, _: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let view = View::of_stdout(args.color);
    let (form, headings, exit_code) = (args.output, !args.no_headers, args.exit_code);
    // Files may be pipes that nobody writes to: Ctrl-C must work all the same.
    let judged = spawn_blocking(move || judge(&args))
        .await
        .map_err(|error| {
            CommandError::new(CommandErrorKind::Usage, format!("cannot judge: {error}"))
        })?;
    let (verdicts, warnings) = judged?;
    for warning in warnings {
        warn(&one_line(&warning));
    }
    print(&match form {
        Form::Table => report::screen(&verdicts, headings, &view),
        Form::Json => report::lines(&verdicts).map_err(|error| {
            CommandError::new(
                CommandErrorKind::Internal,
                format!("cannot write JSON: {error}"),
            )
        })?,
    })?;
    Ok(if exit_code && !verdicts.iter().all(Verdict::is_fine) {
        ExitStatus::No
    } else {
        ExitStatus::Success
    })
}

/// The verdicts, and what is wrong with the rules.
fn judge(args: &HealthArgs) -> Result<(Vec<Verdict>, Vec<String>), CommandError> {
    let sources = args.filename.iter().chain(&args.settings);
    if sources.filter(|source| *source == "-").count() > 1 {
        return Err(CommandError::new(
            CommandErrorKind::Usage,
            "- is given more than once: standard input can be read only once",
        ));
    }
    let (customizations, warnings) = match &args.settings {
        Some(file) => {
            let (customizations, warnings) = Customizations::new(&settings(file)?);
            let warnings = warnings.iter().map(|warning| format!("{file}: {warning}"));
            (customizations, warnings.collect())
        }
        None => Default::default(),
    };
    let mut verdicts = Vec::new();
    for file in &args.filename {
        for manifest in read(file)? {
            let object = &manifest.object;
            let health = assess_with(object, |object| customizations.judge(object));
            verdicts.push(Verdict::of(object, health));
        }
    }
    if verdicts.is_empty() {
        return Err(CommandError::new(
            CommandErrorKind::NotFound,
            format!("there is no object in {}", args.filename.join(", ")),
        ));
    }
    Ok((verdicts, warnings))
}

/// The keys of argocd-cm: of the ConfigMap of that name, or of the only one in the file.
fn settings(file: &str) -> Result<BTreeMap<String, String>, CommandError> {
    let mut maps = read(file)?;
    maps.retain(|manifest| manifest.object["kind"] == "ConfigMap");
    if maps.len() > 1 {
        maps.retain(|manifest| manifest.object["metadata"]["name"] == "argocd-cm");
    }
    let [Manifest { object, place }] = maps.as_slice() else {
        return Err(CommandError::new(
            CommandErrorKind::NotFound,
            format!("{file}: there is no ConfigMap argocd-cm in it"),
        ));
    };
    let data = object["data"].as_object().into_iter().flatten();
    let data = data.map(|(key, value)| match value {
        Value::String(text) => Ok((key.clone(), text.clone())),
        _ => Err(CommandError::new(
            CommandErrorKind::Usage,
            format!("{place}: key {key} of the ConfigMap is not text"),
        )
        .hint("write it as text: | and a new line, or in quotes")),
    });
    data.collect()
}

/// Objects of a file, of a directory's files, or of standard input.
fn read(source: &str) -> Result<Vec<Manifest>, CommandError> {
    let failed = |what: &str, error: &dyn std::fmt::Display| {
        CommandError::new(CommandErrorKind::Io, format!("cannot read {what}: {error}"))
    };
    if source == "-" {
        let text =
            limited(std::io::stdin().lock()).map_err(|error| failed("standard input", &error))?;
        return manifests::parse("-", &text);
    }
    let path = Path::new(source);
    if !path.is_dir() {
        let file = std::fs::File::open(path).map_err(|error| failed(source, &error))?;
        let text = limited(file).map_err(|error| failed(source, &error))?;
        return manifests::parse(source, &text);
    }
    let entries = std::fs::read_dir(path).map_err(|error| failed(source, &error))?;
    let mut files = Vec::new();
    for entry in entries {
        let file = entry.map_err(|error| failed(source, &error))?.path();
        let ending = file.extension().and_then(|ending| ending.to_str());
        if matches!(ending, Some("yaml" | "yml" | "json")) && file.is_file() {
            files.push(file.to_string_lossy().into_owned());
        }
    }
    files.sort();
    let objects: Result<Vec<Vec<Manifest>>, CommandError> =
        files.iter().map(|file| read(file)).collect();
    Ok(objects?.into_iter().flatten().collect())
}

fn limited(reader: impl Read) -> std::io::Result<String> {
    let mut text = String::new();
    reader.take(MAX_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MAX_BYTES {
        return Err(std::io::Error::other("more than 256 MiB"));
    }
    Ok(text)
}
