//! The repository as bootstrap reads and writes it: the files that are there, the one commit.

use std::collections::BTreeMap;

use gitops_kit::exit::{CommandError, CommandErrorKind};

use crate::commands::bootstrap::layout::{Layout, PlannedFile};
use crate::git::{Edit, Entry, GitError, NewCommit, Pushed, Repository, Target};

/// Largest file read: what is larger is no manifest of the root's.
const REGULAR: [&str; 2] = ["100644", "100755"];

/// A branch as it is on the server.
#[derive(Clone, Debug, Default)]
pub struct Tip {
    /// Commit; `None`: the repository is empty.
    pub commit: Option<String>,
    /// Texts of the files that matter.
    pub files: BTreeMap<String, String>,
}

/// The branch to use: the one given, or the one the server shows first.
pub async fn branch(repository: &Repository, given: Option<&str>) -> Result<String, CommandError> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    Ok(repository
        .default_branch()
        .await?
        .unwrap_or_else(|| "main".to_owned()))
}

/// Reads a branch. `given`: the user named it, so it has to be there unless all is empty.
pub async fn read(repository: &Repository, layout: &Layout) -> Result<Tip, CommandError> {
    if repository.tip(&layout.branch).await?.is_none() {
        let shown = repository.default_branch().await?;
        return match shown {
            None => Ok(Tip::default()),
            Some(other) => Err(CommandError::new(
                CommandErrorKind::NotFound,
                format!("{} has no branch {:?}", repository.url(), layout.branch),
            )
            .hint(format!("make it first, or use --branch {other}"))),
        };
    }
    let commit = repository.fetch_branch(&layout.branch).await?;
    let mut above = String::new();
    for part in layout.agent_directory().split('/') {
        if !above.is_empty() {
            above.push('/');
        }
        above.push_str(part);
        if repository.file(&commit, &above).await?.is_some() {
            return Err(CommandError::new(
                CommandErrorKind::Refused,
                format!("{above} is a file in {}, not a directory", repository.url()),
            )
            .hint("choose another directory with --path"));
        }
    }
    let directories = match layout.directory() {
        "." => vec![],
        directory => vec![directory],
    };
    let own = [layout.install_file(), layout.kustomization_file()];
    let mut files = BTreeMap::new();
    for (path, Entry { mode, id }) in repository.files(&commit, &directories).await? {
        let is_own = own.contains(&path);
        if !is_own && !layout.is_delivered(&path) {
            continue;
        }
        if !REGULAR.contains(&mode.as_str()) {
            if is_own || [layout.root_file(), layout.agent_file()].contains(&path) {
                return Err(CommandError::new(
                    CommandErrorKind::Refused,
                    format!("{path} is a link or a submodule in {}", repository.url()),
                )
                .hint("choose another directory with --path"));
            }
            continue;
        }
        let content = repository.content(&id).await?;
        files.insert(path, String::from_utf8_lossy(&content).into_owned());
    }
    Ok(Tip {
        commit: Some(commit),
        files,
    })
}

/// Makes the commit, without pushing it.
pub async fn commit(
    repository: &Repository,
    parent: Option<&str>,
    files: &[PlannedFile],
    message: &str,
) -> Result<String, CommandError> {
    let mut edits = Vec::new();
    for file in files.iter().filter(|file| file.is_written()) {
        let id = repository.store(file.text.as_bytes()).await?;
        edits.push(Edit {
            path: file.path.clone(),
            entry: Some(Entry {
                mode: REGULAR[0].to_owned(),
                id,
            }),
        });
    }
    let parents: Vec<String> = parent.map(str::to_owned).into_iter().collect();
    let new = NewCommit {
        parents: &parents,
        base: None,
        edits: &edits,
        message,
    };
    Ok(repository.commit(&new).await?)
}

/// Finds out whether a push would be accepted; the error says what to do if not.
pub async fn try_push(
    repository: &Repository,
    commit: &str,
    target: Target<'_>,
) -> Result<(), CommandError> {
    match repository.try_push(commit, target).await {
        Ok(Pushed::Done | Pushed::Raced(_)) => Ok(()),
        Ok(Pushed::Protected(why)) => Err(protected(target.branch, &why)),
        Err(error @ GitError::Denied { .. }) => {
            let mut error = CommandError::from(error);
            error.message = format!(
                "you may read the repository, but not push: {}",
                error.message
            );
            Err(error)
        }
        Err(error) => Err(error.into()),
    }
}

/// The branch accepts no push.
pub fn protected(branch: &str, why: &str) -> CommandError {
    CommandError::new(
        CommandErrorKind::Refused,
        format!("{branch} accepts no push: {why}; nothing was changed"),
    )
    .hint("open a pull request instead: --pr")
}
