//! The program: arguments in, exit code out. What a command says goes to standard output, how it
//! fails to standard error.

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::{interrupt, notice, output};

use crate::commands::Program;
use crate::completion;

/// Runs the program by the name it was started as: `kubectl-gitops` with every command, and
/// `kubectl-gitops-status` and so on, links to it, with one each.
pub fn run(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let name = arguments.first().map_or("", |name| {
        Path::new(name)
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    });
    let program = Program::named(name);
    let mut definition = program.definition();
    if let Some(answer) = completion::answer(&definition, &arguments) {
        // A shell that does not listen has its reasons.
        let _ = output::print(&answer);
        return ExitCode::SUCCESS;
    }
    if let Some(typed) = typed_name(name) {
        definition = definition.bin_name(typed);
    }
    let parsed = definition
        .try_get_matches_from(&arguments)
        .and_then(|typed| program.parse(&typed));
    let suite = match parsed {
        Ok(suite) => suite,
        Err(error) => {
            // Where help cannot be written there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(suite.run(arguments.get(1..).unwrap_or_default())) {
        Ok(status) => status.into(),
        Err(error) => {
            notice::report(&error);
            error.status().into()
        }
    }
}

fn execute(
    command: impl Future<Output = Result<ExitStatus, CommandError>>,
) -> Result<ExitStatus, CommandError> {
    // Fails only when a provider is there already, which is as good.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| {
            CommandError::new(CommandErrorKind::Io, format!("cannot start: {error}"))
        })?;
    let result = runtime.block_on(interrupt::run(command));
    // Whoever pressed Ctrl-C does not wait for a thread that is reading something.
    runtime.shutdown_background();
    result
}

/// What the user typed: kubectl runs `kubectl-a-b_c` for `kubectl a b-c`.
fn typed_name(program: &str) -> Option<String> {
    let plugin = program.strip_prefix("kubectl-")?;
    Some(format!(
        "kubectl {}",
        plugin.replace('-', " ").replace('_', "-")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_speaks_of_what_was_typed() {
        assert_eq!(
            typed_name("kubectl-gitops").as_deref(),
            Some("kubectl gitops")
        );
        assert_eq!(
            typed_name("kubectl-gitops-status").as_deref(),
            Some("kubectl gitops status")
        );
        assert_eq!(
            typed_name("kubectl-acme_gitops").as_deref(),
            Some("kubectl acme-gitops")
        );
        assert_eq!(typed_name("gitops"), None);
    }
}
