//! The commands, and the command line they make together. Each is one file or one directory: `mod.rs`
//! has its flags and runs it, `screen` and `document` say how its answer looks; what it reads and
//! decides has files named by step. The doc comment of its arguments is its help.

use std::ffi::OsString;

use clap::{ArgMatches, Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand};
use gitops_kit::exit::{CommandError, ExitStatus};

use crate::cluster::connection::ConnectionArgs;
use crate::extension;

pub mod approve;
pub mod appset;
pub mod bootstrap;
pub mod completion;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod health;
pub mod history;
pub mod logs;
pub mod pause;
pub mod refresh;
pub mod resume;
pub mod rollback;
pub mod status;
pub mod sync;
pub mod terminate;
pub mod uninstall;
pub mod version;
pub mod wait;

/// GitOps from the terminal: what Git says, what the cluster does, and who changed it.
///
/// Needs nothing but a kubeconfig: no login, no server. Works with Applications of Argo CD's API.
/// An unknown command X is run as kubectl-gitops-X from PATH.
///
/// Exit codes: 0 success; 1 differences, not live, or degraded; 2 wrong usage;
/// 3 the cluster cannot be reached or refuses; 4 refused for safety; 130 interrupted.
#[derive(Parser)]
#[command(name = "kubectl-gitops", version, max_term_width = 100)]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Suite {
    #[command(subcommand)]
    command: SuiteCommand,
    #[command(flatten)]
    connection: ConnectionArgs,
}

/// The commands: `Name module Args;`, each with what clap is to know besides.
macro_rules! commands {
    ($($(#[$meta:meta])* $variant:ident $module:ident $args:ident;)*) => {
        #[derive(Subcommand)]
        enum SuiteCommand {
            $($(#[$meta])* $variant($module::$args),)*
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
                    $(Self::$variant(args) => Box::pin($module::run(args, connection)).await,)*
                    Self::Extension(words) => extension::run(&words, given, &names()),
                }
            }

            /// One command as a program.
            fn alone(name: &str) -> Option<Command> {
                match name {
                    $(stringify!($module) => {
                        let program = concat!("kubectl-gitops-", stringify!($module));
                        Some($module::$args::augment_args(Command::new(program)))
                    })*
                    _ => None,
                }
            }

            /// One command, from what was typed to its own program.
            fn of_alone(name: &str, typed: &ArgMatches) -> Result<Self, clap::Error> {
                match name {
                    $(stringify!($module) => {
                        $module::$args::from_arg_matches(typed).map(Self::$variant)
                    })*
                    _ => Err(clap::Error::new(clap::error::ErrorKind::InvalidSubcommand)),
                }
            }
        }
    };
}

commands! {
    #[command(visible_alias = "ls")]
    Status status StatusArgs;
    Explain explain ExplainArgs;
    History history HistoryArgs;
    Logs logs LogsArgs;
    Diff diff DiffArgs;
    Rollback rollback RollbackArgs;
    Sync sync SyncArgs;
    Refresh refresh RefreshArgs;
    Wait wait WaitArgs;
    Pause pause PauseArgs;
    Resume resume ResumeArgs;
    Terminate terminate TerminateArgs;
    Approve approve ApproveArgs;
    Appset appset AppsetArgs;
    Bootstrap bootstrap BootstrapArgs;
    Completion completion CompletionArgs;
    Version version VersionArgs;
    Doctor doctor DoctorArgs;
    Health health HealthArgs;
    Uninstall uninstall UninstallArgs;
}

/// A program's command line: the whole suite, or one command under a name of its own.
pub enum Program {
    /// `kubectl-gitops`.
    Suite,
    /// `kubectl-gitops-status` and so on: the command's name.
    Alone(String),
}

impl Program {
    /// By the name it was started as.
    pub fn named(name: &str) -> Self {
        let command = name.strip_prefix(extension::PREFIX);
        let command = command.filter(|command| alone(command).is_some());
        command.map_or(Self::Suite, |command| Self::Alone(command.to_owned()))
    }

    /// As clap knows it.
    pub fn definition(&self) -> Command {
        match self {
            Self::Suite => Suite::command(),
            Self::Alone(command) => alone(command).unwrap_or_else(Suite::command),
        }
    }

    /// What was typed.
    pub fn parse(&self, typed: &ArgMatches) -> Result<Suite, clap::Error> {
        match self {
            Self::Suite => Suite::from_arg_matches(typed),
            Self::Alone(command) => Ok(Suite {
                command: SuiteCommand::of_alone(command, typed)?,
                connection: ConnectionArgs::from_arg_matches(typed)?,
            }),
        }
    }
}

impl Suite {
    /// Runs the command. `given`: all arguments as they were typed.
    pub async fn run(self, given: &[OsString]) -> Result<ExitStatus, CommandError> {
        self.command.run(self.connection, given).await
    }
}

/// A program with one command.
fn alone(command: &str) -> Option<Command> {
    let program = SuiteCommand::alone(command)?
        .version(env!("CARGO_PKG_VERSION"))
        .max_term_width(100);
    // After its own, so that those are not among the flags of the cluster.
    Some(ConnectionArgs::augment_args(program))
}

/// Names of all commands.
pub fn names() -> Vec<String> {
    let definition = Suite::command();
    let names = definition
        .get_subcommands()
        .flat_map(|command| std::iter::once(command.get_name()).chain(command.get_all_aliases()));
    names.chain(["help"]).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn definitions_are_consistent() {
        Suite::command().debug_assert();
        for command in Suite::command().get_subcommands() {
            let own = Program::named(&format!("kubectl-gitops-{}", command.get_name()));
            assert!(matches!(own, Program::Alone(_)), "{}", command.get_name());
            own.definition().debug_assert();
        }
    }

    #[test]
    fn a_program_is_the_command_of_its_name() {
        for suite in ["kubectl-gitops", "gitops", "kubectl-gitops-weather", ""] {
            assert!(matches!(Program::named(suite), Program::Suite), "{suite}");
        }
    }
}
