//! The render worker's program on this machine.

use std::path::PathBuf;

use gitops_kit::exit::{CommandError, CommandErrorKind};

/// Names the worker's program where it is not beside this one.
const VARIABLE: &str = "GITOPS_RENDERER";
/// Its program.
const PROGRAM: &str = "gitops-renderer";

/// The program: what the environment names, else the one beside this program.
///
/// # Errors
/// When there is none.
pub fn program() -> Result<PathBuf, CommandError> {
    if let Some(named) = std::env::var_os(VARIABLE).filter(|value| !value.is_empty()) {
        let named = PathBuf::from(named);
        // The worker is started in another directory.
        return std::path::absolute(&named)
            .ok()
            .filter(|path| path.is_file())
            .ok_or_else(|| missing(&format!("${VARIABLE} is {}", named.display())));
    }
    let here = std::env::current_exe()
        .and_then(|program| program.canonicalize())
        .map_err(|error| {
            let message = format!("cannot find this program: {error}");
            CommandError::new(CommandErrorKind::Usage, message)
        })?;
    let beside = here.with_file_name(format!("{PROGRAM}{}", std::env::consts::EXE_SUFFIX));
    if beside.is_file() {
        Ok(beside)
    } else {
        Err(missing(&format!("looked for {}", beside.display())))
    }
}

fn missing(place: &str) -> CommandError {
    CommandError::new(
        CommandErrorKind::Io,
        format!("there is no render worker ({PROGRAM}): {place}"),
    )
    .hint(format!(
        "it comes with kubectl gitops in one archive: keep both in one directory, or set {VARIABLE}"
    ))
}
