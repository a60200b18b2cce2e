//! `completion`: prints what a shell, or kubectl, needs to complete command lines. Writes a file
//! only where it is told to.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use clap_complete::env::Shells;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};
use gitops_kit::notice;
use gitops_kit::output::print;

use crate::cluster::connection::ConnectionArgs;
use crate::completion::VARIABLE;
use crate::{commands, completion, extension};

/// Name of the program that answers.
const PROGRAM: &str = "kubectl-gitops";

/// Complete command lines on Tab
///
/// For `kubectl gitops …`: kubectl asks a small program, kubectl_complete-gitops, which has to be
/// on PATH; --install puts it there. For `kubectl-gitops …`: a script for the shell.
///
/// Examples:
///   kubectl gitops completion kubectl --install                 in ~/.local/bin
///   kubectl gitops completion kubectl --install /usr/local/bin
///   kubectl gitops completion bash >> ~/.bashrc
///   kubectl gitops completion zsh > ~/.zfunc/_kubectl-gitops
///   kubectl gitops completion fish > ~/.config/fish/completions/kubectl-gitops.fish
#[derive(Args, Clone, Debug)]
#[command(verbatim_doc_comment)]
pub struct CompletionArgs {
    /// What completes
    #[arg(value_name = "SHELL", value_enum)]
    pub shell: Shell,

    /// With kubectl: write the program to this directory [default: ~/.local/bin]
    #[arg(long, value_name = "DIR", num_args = 0..=1)]
    pub install: Option<Option<PathBuf>>,
}

/// What completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Shell {
    /// `kubectl gitops …` in any shell that completes kubectl
    Kubectl,
    /// `kubectl-gitops …` in bash
    Bash,
    /// `kubectl-gitops …` in zsh
    Zsh,
    /// `kubectl-gitops …` in fish
    Fish,
    /// `kubectl-gitops …` in PowerShell
    Powershell,
}

/// Runs the command.
#[allow(clippy::unused_async, reason = "all commands are run in the same way")]
pub async fn run(args: CompletionArgs, _: ConnectionArgs) -> Result<ExitStatus, CommandError> {
    let shell = match args.shell {
        Shell::Kubectl => {
            match args.install {
                None => print(&completion::shim(PROGRAM))?,
                Some(directory) => install(directory)?,
            }
            return Ok(ExitStatus::Success);
        }
        Shell::Bash => "bash",
        Shell::Zsh => "zsh",
        Shell::Fish => "fish",
        Shell::Powershell => "powershell",
    };
    if args.install.is_some() {
        return Err(
            CommandError::new(CommandErrorKind::Usage, "--install is for kubectl only")
                .hint("scripts of shells are kept where the shell looks for them; see --help"),
        );
    }
    let failed = |why: String| {
        CommandError::new(
            CommandErrorKind::Usage,
            format!("no script for {shell}: {why}"),
        )
    };
    let shells = Shells::builtins();
    let completer = shells
        .completer(shell)
        .ok_or_else(|| failed("it is not known".into()))?;
    let mut script = Vec::new();
    completer
        .write_registration(VARIABLE, "kubectl_gitops", PROGRAM, PROGRAM, &mut script)
        .map_err(|error| failed(error.to_string()))?;
    print(&String::from_utf8_lossy(&script))?;
    Ok(ExitStatus::Success)
}

/// Writes the program kubectl asks, and one for each program of the suite that is installed by
/// itself: kubectl asks about those separately.
fn install(directory: Option<PathBuf>) -> Result<(), CommandError> {
    let directory = match directory {
        Some(directory) => directory,
        None => std::env::home_dir()
            .map(|home| home.join(".local").join("bin"))
            .ok_or_else(|| {
                CommandError::new(CommandErrorKind::Io, "there is no home directory")
                    .hint("name a directory: --install DIR")
            })?,
    };
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::fs::create_dir_all(&directory).map_err(|error| unwritable(&directory, &error))?;
    let own = commands::names();
    let mut programs = vec![PROGRAM.to_owned()];
    for (name, _) in extension::all(&path) {
        let program = format!("{}{name}", extension::PREFIX);
        if own.contains(&name) && !programs.contains(&program) {
            programs.push(program);
        }
    }
    for program in &programs {
        let file = directory.join(completion::shim_name(program));
        write(&file, &completion::shim(program))?;
        print(&format!("{}\n", file.display()))?;
    }
    if !completion::is_on_path(&directory, &path) {
        notice::warn(&format!(
            "{} is not on PATH: kubectl will not find what is in it",
            directory.display()
        ));
    }
    Ok(())
}

fn write(file: &Path, text: &str) -> Result<(), CommandError> {
    match std::fs::read(file) {
        Ok(there) if !completion::is_shim(&there) => {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                format!("{} is something else; it was left as it is", file.display()),
            )
            .hint("remove it, or name another directory"));
        }
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(unwritable(file, &error));
        }
        _ => {}
    }
    // Written beside and moved, so that nobody ever runs half of it.
    let mut name = OsString::from(file);
    name.push(".new");
    let new = PathBuf::from(name);
    std::fs::write(&new, text)
        .and_then(|()| make_executable(&new))
        .and_then(|()| std::fs::rename(&new, file))
        .map_err(|error| unwritable(file, &error))
}

#[cfg(unix)]
fn make_executable(file: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
#[allow(clippy::unnecessary_wraps, reason = "files need no mode there")]
fn make_executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}

fn unwritable(file: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(
        CommandErrorKind::Io,
        format!("{}: cannot be written: {error}", file.display()),
    )
}
