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
use crate::extension;
use crate::interrupt;
use crate::output;
use crate::paint::Style;

/// GitOps from the terminal: what Git says, what the cluster does, and who changed it.
///
/// Needs nothing but a kubeconfig: no login, no server. Works with Applications of Argo CD's API.
/// An unknown command X is run as kubectl-gitops-X from PATH.
///
/// Exit codes: 0 yes or done; 1 the answer is no (differences, not live, degraded); 2 wrong usage;
/// 3 the cluster cannot be reached or refuses; 4 refused for safety; 130 interrupted.
#[derive(Parser)]
#[command(name = "kubectl-gitops", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
struct Suite {
    #[command(subcommand)]
    command: SuiteCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The commands: `Name module Args "binary";`, each with what clap is to know besides. Makes of
/// them the subcommands of the suite and one program each.
macro_rules! commands {
    ($($(#[$meta:meta])* $variant:ident $module:ident $args:ident $binary:literal;)*) => {
        #[derive(Subcommand)]
        enum SuiteCommand {
            $($(#[$meta])* $variant(command::$module::$args),)*
            #[command(external_subcommand)]
            Extension(Vec<OsString>),
        }

        impl SuiteCommand {
            async fn run(
                self,
                connection: ConnectionArgs,
                given: &[OsString],
            ) -> Result<ExitStatus, CommandError> {
                match self {
                    $(Self::$variant(args) => {
                        Box::pin(command::$module::run(args, connection)).await
                    })*
                    Self::Extension(words) => extension::run(&words, given, &names()),
                }
            }
        }

        $(
            #[doc = concat!("Runs `", $binary, "`.")]
            pub fn $module(arguments: impl Iterator<Item = OsString>) -> ExitCode {
                #[derive(Parser)]
                #[command(name = $binary, version, max_term_width = 100)]
                struct Alone {
                    // First, so that its flags are not among those of the cluster.
                    #[command(flatten)]
                    command: command::$module::$args,
                    #[command(flatten)]
                    connection: ConnectionArgs,
                }
                run::<Alone>(arguments, async |alone, _| {
                    Box::pin(command::$module::run(alone.command, alone.connection)).await
                })
            }
        )*
    };
}

commands! {
    #[command(visible_alias = "ls")]
    Status status StatusArgs "kubectl-gitops-status";
    Explain explain ExplainArgs "kubectl-gitops-explain";
    History history HistoryArgs "kubectl-gitops-history";
    Diff diff DiffArgs "kubectl-gitops-diff";
    Rollback rollback RollbackArgs "kubectl-gitops-rollback";
    Sync sync SyncArgs "kubectl-gitops-sync";
    Refresh refresh RefreshArgs "kubectl-gitops-refresh";
    Wait wait WaitArgs "kubectl-gitops-wait";
    Terminate terminate TerminateArgs "kubectl-gitops-terminate";
    Approve approve ApproveArgs "kubectl-gitops-approve";
    Bootstrap bootstrap BootstrapArgs "kubectl-gitops-bootstrap";
    Completion completion CompletionArgs "kubectl-gitops-completion";
    Version version VersionArgs "kubectl-gitops-version";
    Doctor doctor DoctorArgs "kubectl-gitops-doctor";
    Health health HealthArgs "kubectl-gitops-health";
    Uninstall uninstall UninstallArgs "kubectl-gitops-uninstall";
}

/// Runs `kubectl-gitops`.
pub fn suite(arguments: impl Iterator<Item = OsString>) -> ExitCode {
    run::<Suite>(arguments, async |suite, given| {
        suite.command.run(suite.connection, given).await
    })
}

/// The suite as clap knows it.
pub fn definition() -> clap::Command {
    Suite::command()
}

/// Names of all commands.
pub fn names() -> Vec<String> {
    let definition = definition();
    let names = definition
        .get_subcommands()
        .flat_map(|command| std::iter::once(command.get_name()).chain(command.get_all_aliases()));
    names.chain(["help"]).map(str::to_owned).collect()
}

fn run<P: CommandFactory + FromArgMatches>(
    arguments: impl Iterator<Item = OsString>,
    command: impl AsyncFnOnce(P, &[OsString]) -> Result<ExitStatus, CommandError>,
) -> ExitCode {
    let arguments: Vec<OsString> = arguments.collect();
    let program = arguments.first().map_or("", |name| {
        Path::new(name)
            .file_stem()
            .and_then(|name| name.to_str())
            .unwrap_or_default()
    });
    let mut definition = P::command();
    if let Some(answer) = crate::completion::answer(&definition, &arguments) {
        // A shell that does not listen has its reasons.
        let _ = output::print(&answer);
        return ExitCode::SUCCESS;
    }
    if let Some(typed) = typed_name(program) {
        definition = definition.bin_name(typed);
    }
    let parsed = definition
        .try_get_matches_from(&arguments)
        .and_then(|matches| P::from_arg_matches(&matches));
    let parsed = match parsed {
        Ok(parsed) => parsed,
        Err(error) => {
            // Where help cannot be written there is nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    match execute(command(parsed, arguments.get(1..).unwrap_or_default())) {
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
        definition().debug_assert();
    }
}
