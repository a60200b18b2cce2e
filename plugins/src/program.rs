//! The programs: arguments in, exit code out. What a command says goes to standard output, how it
//! fails to standard error.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::command;
use crate::connection::ConnectionArgs;
use crate::exit::{CommandError, ExitStatus};
use crate::interrupt;
use crate::paint::Style;

/// GitOps from the terminal: what Git says, what the cluster does, and who changed it.
///
/// Needs nothing but a kubeconfig: no login, no server. Works with Applications of Argo CD's API.
///
/// Exit codes: 0 yes or done; 1 the answer is no (with --exit-code); 2 wrong usage; 3 the cluster
/// cannot be reached or refuses; 4 refused for safety.
#[derive(Parser)]
#[command(name = "kubectl-gitops", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Suite {
    #[command(subcommand)]
    command: SuiteCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
}

#[derive(Subcommand)]
enum SuiteCommand {
    #[command(alias = "ls")]
    Status(command::status::StatusArgs),
}

// The command as a program of its own; its help is the command's.
#[derive(Parser)]
#[command(name = "kubectl-gitops-status", version, max_term_width = 100)]
struct Status {
    #[command(flatten)]
    connection: ConnectionArgs,
    // Last, so that its help is the program's.
    #[command(flatten)]
    status: command::status::StatusArgs,
}

/// Runs `kubectl-gitops`.
pub fn suite(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    run::<Suite>(arguments, async |suite| match suite.command {
        SuiteCommand::Status(status) => {
            Box::pin(command::status::run(status, suite.connection)).await
        }
    })
}

/// Runs `kubectl-gitops-status`.
pub fn status(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    run::<Status>(arguments, async |status| {
        Box::pin(command::status::run(status.status, status.connection)).await
    })
}

fn run<P: CommandFactory + FromArgMatches>(
    arguments: impl Iterator<Item = OsString>,
    command: impl AsyncFnOnce(P) -> Result<ExitStatus, CommandError>,
) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let program = arguments.first().map_or("", |name| {
        Path::new(name)
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    });
    let mut definition = P::command();
    if let Some(typed) = typed_name(program) {
        definition = definition.bin_name(typed);
    }
    let parsed = definition
        .try_get_matches_from(arguments)
        .and_then(|matches| P::from_arg_matches(&matches));
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Where help cannot be written there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(command(parsed)) {
        Ok(status) => status.into(),
        Err(error) => {
            report(&error);
            error.status.into()
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
            CommandError::new(ExitStatus::Unreachable, format!("cannot start: {error}"))
        })?;
    let result = runtime.block_on(interrupt::run(command));
    // Whoever pressed Ctrl-C does not wait for a thread that is reading something.
    runtime.shutdown_background();
    result
}

/// What the person typed: kubectl runs `kubectl-a-b_c` for `kubectl a b-c`.
fn typed_name(program: &str) -> Option<String> {
    let plugin = program.strip_prefix("kubectl-")?;
    Some(format!(
        "kubectl {}",
        plugin.replace('-', " ").replace('_', "-")
    ))
}

/// A warning on standard error.
pub fn warn(message: &str) {
    say("warning", Style::Warn, message);
}

fn report(error: &CommandError) {
    say("error", Style::Bad, &error.message);
    for hint in &error.hints {
        say("hint", Style::Dim, hint);
    }
}

fn say(kind: &str, style: Style, message: &str) {
    let mut stderr = anstream::stderr();
    // Where errors cannot be written there is nobody to tell.
    let _ = writeln!(
        stderr,
        "{} {message}",
        style.apply(&format!("{kind}:"), true)
    );
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

    #[test]
    fn definitions_are_consistent() {
        Suite::command().debug_assert();
        Status::command().debug_assert();
    }
}
