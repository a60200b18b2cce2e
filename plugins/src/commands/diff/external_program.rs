//! Another program that compares: two directories are filled for it, and emptied afterwards on
//! whatever way this ends. Decides nothing about differences: the program does.

use std::fs;
use std::path::Path;

use gitops_api::preview::{PreviewAction, PreviewObject, PreviewStatus};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::notice::warn;
use gitops_views::diff;
use gitops_views::diff::sides;
use serde_json::{Map, Value};
use tempfile::TempDir;
use tokio::process::Command;

use crate::commands::diff::external;

/// Runs it; whether it found differences. It is not run when the agent found none.
pub(super) async fn run(
    (program, arguments): &(String, Vec<String>),
    answer: &PreviewStatus,
) -> Result<bool, CommandError> {
    if !diff::is_different(answer) {
        return Ok(false);
    }
    for object in &answer.objects {
        let name = sides::object(object);
        if matches!(
            object.action,
            PreviewAction::Refuse | PreviewAction::Withheld
        ) {
            warn(&format!(
                "{name}: {}",
                gitops_kit::text::one_line(&object.message)
            ));
        } else if object.live.is_none() && object.merged.is_none() {
            warn(&format!(
                "{name} differs and is left out: the answer would be too large for the API server"
            ));
        }
    }
    if answer.truncated > 0 {
        warn(&format!(
            "{} objects that differ are left out: the answer would be too large for the API server",
            answer.truncated
        ));
    }
    let live = directory("LIVE-", answer, |object| object.live.as_ref())?;
    let merged = directory("MERGED-", answer, |object| object.merged.as_ref())?;
    let ended = Command::new(program)
        .arg(live.path())
        .arg(merged.path())
        .args(arguments)
        .kill_on_drop(true)
        .status()
        .await;
    let failed = |why: String| {
        CommandError::new(
            CommandErrorKind::Io,
            format!("{} ({program}) {why}", external::VARIABLE),
        )
        .hint(format!(
            "unset {} to compare without it",
            external::VARIABLE
        ))
    };
    match ended {
        Err(error) => Err(failed(format!("cannot be started: {error}"))),
        Ok(status) => match status.code() {
            Some(0) => Ok(false),
            Some(1) => Ok(true),
            _ => Err(failed(format!("failed with {status}"))),
        },
    }
}

/// A directory only this user can read, removed when it is dropped.
fn directory(
    prefix: &str,
    answer: &PreviewStatus,
    side: impl Fn(&PreviewObject) -> Option<&Map<String, Value>>,
) -> Result<TempDir, CommandError> {
    let failed = |what: &str, why: String| {
        CommandError::new(CommandErrorKind::Io, format!("cannot write {what}: {why}"))
    };
    let directory = tempfile::Builder::new()
        .prefix(prefix)
        .tempdir()
        .map_err(|error| failed("a temporary directory", error.to_string()))?;
    for object in &answer.objects {
        if let Some(object_side) = side(object) {
            let name = external::file_name(object);
            write(directory.path(), &name, object_side).map_err(|why| failed(&name, why))?;
        }
    }
    Ok(directory)
}

fn write(directory: &Path, name: &str, object: &Map<String, Value>) -> Result<(), String> {
    let content = external::content(object)?;
    fs::write(directory.join(name), content).map_err(|error| error.to_string())
}
