//! Commands this program does not have: `kubectl gitops x` runs `kubectl-gitops-x` from PATH, as
//! git and cargo do. When there is none, the nearest command is suggested and nothing is run.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use gitops_core::nearest::alike;
use gitops_kit::exit::{CommandError, CommandErrorKind, ExitStatus};

/// Begin of the names of programs that belong to the suite.
pub const PREFIX: &str = "kubectl-gitops-";

/// Runs an extension. `words`: its name and what follows; `given`: everything after the program's
/// own name, of which flags before the name are passed on too; `commands`: what there is otherwise.
pub fn run(
    words: &[OsString],
    given: &[OsString],
    commands: &[String],
) -> Result<ExitStatus, CommandError> {
    let Some((name, after)) = words.split_first() else {
        return Err(CommandError::new(
            CommandErrorKind::Usage,
            "a command is missing",
        ));
    };
    let before = &given[..given.len().saturating_sub(words.len())];
    let path = std::env::var_os("PATH").unwrap_or_default();
    let Some(program) = find(name, &path) else {
        let words: Vec<String> = words
            .iter()
            .map(|word| word.to_string_lossy().into_owned())
            .collect();
        return Err(unknown(&words, commands, &path));
    };
    start(Command::new(&program).args(before).args(after), &program)
}

/// Becomes the extension.
#[cfg(unix)]
fn start(command: &mut Command, program: &Path) -> Result<ExitStatus, CommandError> {
    use std::os::unix::process::CommandExt;
    Err(not_started(program, &command.exec()))
}

/// Runs the extension and ends as it does.
#[cfg(not(unix))]
#[allow(
    clippy::exit,
    reason = "the extension's own code is passed on, whatever it is"
)]
fn start(command: &mut Command, program: &Path) -> Result<ExitStatus, CommandError> {
    let status = command
        .status()
        .map_err(|error| not_started(program, &error))?;
    std::process::exit(status.code().unwrap_or(3))
}

fn not_started(program: &Path, error: &std::io::Error) -> CommandError {
    CommandError::new(
        CommandErrorKind::Io,
        format!("{} cannot be started: {error}", program.display()),
    )
}

fn find(name: &OsStr, path: &OsStr) -> Option<PathBuf> {
    let name = name.to_str().filter(|name| {
        !name.is_empty() && !name.starts_with('-') && !name.contains(['/', '\\', ':'])
    })?;
    // As kubectl does: a dash within a word is an underscore in the program's name.
    let file = format!(
        "{PREFIX}{}{}",
        name.replace('-', "_"),
        std::env::consts::EXE_SUFFIX
    );
    std::env::split_paths(path)
        .map(|directory| directory.join(&file))
        .find(|program| is_executable(program))
}

/// Names of the extensions on a PATH, and where they are, in the order of PATH.
pub fn all(path: &OsStr) -> Vec<(String, PathBuf)> {
    let mut found: Vec<(String, PathBuf)> = Vec::new();
    for directory in std::env::split_paths(path) {
        let Ok(entries) = std::fs::read_dir(directory) else {
            continue;
        };
        let mut here: Vec<(String, PathBuf)> = entries
            .flatten()
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let name = name.strip_suffix(std::env::consts::EXE_SUFFIX)?;
                let name = name.strip_prefix(PREFIX)?.replace('_', "-");
                is_executable(&entry.path()).then(|| (name, entry.path()))
            })
            .collect();
        here.sort();
        found.extend(here);
    }
    found
}

#[cfg(unix)]
fn is_executable(program: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(program)
        .is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
}

#[cfg(not(unix))]
fn is_executable(program: &Path) -> bool {
    program.is_file()
}

/// What `argocd app`, `flux` and kubectl call what is done here, and how: APP stands for the
/// Application.
const ELSEWHERE: &[(&str, &str)] = &[
    ("get", "status APP"),
    ("list", "status"),
    ("describe", "explain APP"),
    ("events", "explain APP"),
    ("tree", "status APP"),
    ("resources", "status APP"),
    ("reconcile", "sync APP"),
    ("apply", "sync APP"),
    ("suspend", "pause APP"),
    ("undo", "rollback APP"),
    ("revert", "rollback APP"),
    ("rollout", "rollback APP"),
    ("compare", "diff APP"),
    ("check", "doctor"),
    ("install", "bootstrap"),
    ("terminate-op", "terminate APP"),
    ("cancel", "terminate APP"),
    ("confirm", "approve APP"),
    ("watch", "status -w"),
    ("top", "status -w"),
];

/// How it is done here: `app list` is argocd's `list`, `flux get kustomizations` its `get`.
fn elsewhere(words: &[String]) -> Option<&'static str> {
    let groups = ["app", "apps", "application", "applications"];
    let mut words = words.iter().map(String::as_str);
    let first = words.next()?;
    let verb = if groups.contains(&first) {
        words.next().unwrap_or("list")
    } else {
        first
    };
    let found = ELSEWHERE.iter().find(|(theirs, _)| *theirs == verb);
    found.map(|(_, ours)| *ours)
}

fn unknown(words: &[String], commands: &[String], path: &OsStr) -> CommandError {
    let name = words.first().map_or("", String::as_str);
    let error = CommandError::new(
        CommandErrorKind::NotFound,
        format!("there is no command {name:?}"),
    );
    if let Some(ours) = elsewhere(words) {
        return error.hint(format!("that is here: kubectl gitops {ours}"));
    }
    if let ("app" | "apps" | "application" | "applications", Some(verb)) = (name, words.get(1))
        && commands.contains(verb)
    {
        return error.hint(format!("leave out {name}: kubectl gitops {verb}"));
    }
    let extensions = all(path);
    let names = commands
        .iter()
        .map(String::as_str)
        .chain(extensions.iter().map(|(name, _)| name.as_str()));
    let near = alike(name, names, 3);
    if near.is_empty() {
        error.hint("list the commands with: kubectl gitops --help")
    } else {
        error.hint(format!("did you mean {}?", near.join(" or ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_are_looked_for() {
        for name in ["", "-x", "../x", "a/b", "c:x"] {
            assert_eq!(find(OsStr::new(name), OsStr::new("/bin:/usr/bin")), None);
        }
    }

    #[test]
    fn the_nearest_command_is_suggested() {
        let commands = ["status", "sync", "ls"].map(str::to_owned);
        let unknown = |typed: &str| {
            let words: Vec<String> = typed.split(' ').map(str::to_owned).collect();
            unknown(&words, &commands, OsStr::new(""))
        };
        let error = unknown("statsu");
        assert_eq!(error.status(), ExitStatus::Usage);
        assert_eq!(error.hints, ["did you mean status?"]);
        assert!(unknown("qqq").hints[0].contains("--help"));
        for (typed, hint) in [
            ("app list", "that is here: kubectl gitops status"),
            ("app get web", "that is here: kubectl gitops status APP"),
            ("app sync web", "leave out app: kubectl gitops sync"),
            ("get", "that is here: kubectl gitops status APP"),
            (
                "reconcile kustomization web",
                "that is here: kubectl gitops sync APP",
            ),
            ("check", "that is here: kubectl gitops doctor"),
        ] {
            assert_eq!(unknown(typed).hints, [hint], "{typed}");
        }
    }

    #[test]
    fn what_is_called_otherwise_elsewhere_leads_to_a_command() {
        let ours = crate::commands::names();
        for (theirs, command) in ELSEWHERE {
            let name = command.split(' ').next().unwrap().to_owned();
            assert!(ours.contains(&name), "{theirs}: {command}");
            assert!(
                !ours.contains(&(*theirs).to_owned()),
                "{theirs} is a command"
            );
        }
    }
}
