//! Writes the files into a directory of this machine, for those who commit them themselves.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::Path;

use gitops_kit::exit::{CommandError, CommandErrorKind};

use crate::commands::bootstrap::layout::{Layout, PlannedFile};

/// Plans and writes; returns what was planned. Files that users changed are kept.
pub fn export(
    directory: &Path,
    layout: &Layout,
    install: &str,
) -> Result<Vec<PlannedFile>, CommandError> {
    let mut existing = BTreeMap::new();
    for path in [
        layout.root_file(),
        layout.agent_file(),
        layout.kustomization_file(),
        layout.install_file(),
    ] {
        match std::fs::read_to_string(directory.join(&path)) {
            Ok(text) => {
                existing.insert(path, text);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(failed("read", directory, &path, &error)),
        }
    }
    let files = layout.plan(&existing, install)?;
    for file in files.iter().filter(|file| file.is_written()) {
        let target = directory.join(&file.path);
        let directory = target.parent().unwrap_or(directory);
        std::fs::create_dir_all(directory)
            .and_then(|()| std::fs::write(&target, &file.text))
            .map_err(|error| failed("write", directory, &file.path, &error))?;
    }
    Ok(files)
}

fn failed(what: &str, directory: &Path, path: &str, error: &std::io::Error) -> CommandError {
    let file = directory.join(path);
    CommandError::new(
        CommandErrorKind::Io,
        format!("cannot {what} {}: {error}", file.display()),
    )
}

#[cfg(test)]
mod tests {
    use gitops_kit::exit::ExitStatus;

    use super::*;
    use crate::commands::bootstrap::layout::Change;

    #[test]
    fn files_are_written_once_and_never_over_those_of_people() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new("clusters/prod", "https://h/a/b", "main", "argocd").unwrap();
        let install = "# gitops-agent, written by x\n";
        let first = export(directory.path(), &layout, install).unwrap();
        assert!(first.iter().all(|file| file.change == Change::Create));
        let again = export(directory.path(), &layout, install).unwrap();
        assert!(again.iter().all(|file| file.change == Change::Same));
        let root = directory.path().join("clusters/prod/root.yaml");
        std::fs::write(&root, "mine\n").unwrap();
        let error = export(directory.path(), &layout, install).unwrap_err();
        assert_eq!(error.status(), ExitStatus::Refused);
        assert_eq!(std::fs::read_to_string(root).unwrap(), "mine\n");
    }
}
