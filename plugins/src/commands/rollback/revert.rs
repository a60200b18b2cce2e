//! Takes back what some commits did to the Application's files, one after the other, newest first,
//! and keeps what others did.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use gitops_api::preview::{PreviewFile, PreviewRestore, PreviewSpec, PreviewStatus};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_kit::text::{one_line, short_revision};
use gitops_views::rollback::plan::FileChange;

use crate::commands::rollback::three_way;
use crate::commands::rollback::three_way::Step;
use crate::git::{Edit, Entry, Repository};

/// Largest sum of contents that is asked about: an object of the API server must hold it.
const MAX_QUESTION_BYTES: usize = 700 << 10;

/// What taking back means.
pub(super) enum Reverted {
    /// Nothing of it is left in the files.
    Nothing,
    /// These files change.
    Edits(Vec<Edit>),
}

/// The full ids of the commits, newest first; all have to be in the branch's history.
pub(super) async fn resolve(
    repository: &Repository,
    tip: &str,
    given: &[String],
) -> Result<Vec<String>, CommandError> {
    let mut ids = Vec::new();
    for revision in given {
        let found = repository.resolve(revision).await?;
        let usage = |what: &str| {
            CommandError::new(
                CommandErrorKind::Usage,
                format!("{:?} {what}", one_line(revision)),
            )
        };
        let id = found.ok_or_else(|| usage("is no commit of the repository"))?;
        if !repository.is_ancestor(&id, tip).await? {
            return Err(usage(
                "is not in the branch's history, so there is nothing to undo",
            ));
        }
        ids.push(id);
    }
    Ok(repository.newest_first(&ids).await?)
}

/// The commit before the oldest of them.
pub(super) async fn before(
    repository: &Repository,
    newest_first: &[String],
) -> Result<String, CommandError> {
    let oldest = newest_first.last().map_or("", String::as_str);
    let commit = repository.commit_info(oldest).await?;
    commit.parents.first().cloned().ok_or_else(|| {
        CommandError::new(
            CommandErrorKind::Refused,
            format!(
                "{} is the first commit: there is nothing before it",
                short_revision(oldest)
            ),
        )
    })
}

/// Edits upon the tip. `files` are those the agent names: the Application's that differ from
/// before, of which some are left because others read them.
pub(super) async fn edits(
    repository: &Repository,
    tip: &str,
    newest_first: &[String],
    files: &[FileChange],
) -> Result<Reverted, CommandError> {
    let mine: Vec<&str> = files
        .iter()
        .filter(|file| !file.left)
        .map(|file| file.path.as_str())
        .collect();
    let at_tip = repository.entries(tip, &mine).await?;
    let mut now: BTreeMap<&str, Option<Entry>> = mine
        .iter()
        .map(|path| (*path, at_tip.get(*path).cloned()))
        .collect();
    for id in newest_first {
        let commit = repository.commit_info(id).await?;
        // Of a merge: what it brought into the branch it was made on.
        let Some(parent) = commit.parents.first() else {
            continue;
        };
        for change in repository.changes(parent, id).await? {
            let Some(current) = now.get_mut(change.path.as_str()) else {
                continue;
            };
            let conflict = |why: &str| conflict(&change.path, id, why);
            match three_way::step(
                change.before.as_ref(),
                change.after.as_ref(),
                current.as_ref(),
            ) {
                Step::Nothing => {}
                Step::Take(entry) => *current = entry,
                Step::Merge { base, ours, theirs } => {
                    let merged = repository
                        .merge_texts(
                            &repository.content(&base.id).await?,
                            &repository.content(&ours.id).await?,
                            &repository.content(&theirs.id).await?,
                        )
                        .await?
                        .ok_or_else(|| conflict("later commits changed the same lines"))?;
                    *current = Some(Entry {
                        mode: three_way::merged_mode(&theirs, &base, &ours),
                        id: repository.store(&merged).await?,
                    });
                }
                Step::Conflict(why) => return Err(conflict(why)),
            }
        }
    }
    let edits: Vec<Edit> = now
        .into_iter()
        .filter(|(path, entry)| at_tip.get(*path) != entry.as_ref())
        .map(|(path, entry)| Edit {
            path: path.to_owned(),
            entry,
        })
        .collect();
    if edits.is_empty() {
        return match left(files, repository, newest_first).await? {
            None => Ok(Reverted::Nothing),
            Some(error) => Err(error),
        };
    }
    Ok(Reverted::Edits(edits))
}

/// The commits changed only files that others read, too.
async fn left(
    files: &[FileChange],
    repository: &Repository,
    commits: &[String],
) -> Result<Option<CommandError>, CommandError> {
    for id in commits {
        let commit = repository.commit_info(id).await?;
        let Some(parent) = commit.parents.first() else {
            continue;
        };
        for change in repository.changes(parent, id).await? {
            if let Some(file) = files
                .iter()
                .find(|file| file.left && file.path == change.path)
            {
                let message = one_line(&format!(
                    "commit {} changed {}, which other Applications read, too: {}",
                    short_revision(id),
                    file.path,
                    file.shared_with.join(", ")
                ));
                return Ok(Some(
                    CommandError::new(CommandErrorKind::Refused, message)
                        .hint("take it back for all with --include-shared"),
                ));
            }
        }
    }
    Ok(None)
}

fn conflict(path: &str, commit: &str, why: &str) -> CommandError {
    let short = short_revision(commit);
    CommandError::new(
        CommandErrorKind::Refused,
        one_line(&format!(
            "what {short} did to {path} cannot be taken back by itself: {why}"
        )),
    )
    .hint(format!(
        "go back to before it, without what came later: --to {short}~"
    ))
    .hint("or edit the file and commit it yourself")
}

/// What the agent is asked: the files as they would be.
pub(super) async fn question(
    application: &str,
    restore: &PreviewRestore,
    repository: &Repository,
    edits: &[Edit],
) -> Result<PreviewSpec, CommandError> {
    let mut files = Vec::new();
    let mut size = 0;
    for edit in edits {
        let content = match &edit.entry {
            Some(entry) => Some(STANDARD.encode(repository.content(&entry.id).await?)),
            None => None,
        };
        size += content.as_ref().map_or(0, String::len);
        files.push(PreviewFile {
            path: edit.path.clone(),
            content,
            symlink: edit
                .entry
                .as_ref()
                .is_some_and(|entry| entry.mode == "120000"),
        });
    }
    if size > MAX_QUESTION_BYTES {
        return Err(CommandError::new(
            CommandErrorKind::Refused,
            "the files are too large to ask the agent about",
        )
        .hint("revert the commit with git revert and open a pull request"));
    }
    Ok(PreviewSpec {
        application: application.to_owned(),
        files,
        files_repo_url: restore.repo_url.clone(),
        ..PreviewSpec::default()
    })
}

/// The answer about the files, with what of the earlier one concerns it.
pub(super) fn answer(earlier: PreviewStatus, files: PreviewStatus) -> PreviewStatus {
    let concerned = |object: &str| {
        object.is_empty()
            || files
                .objects
                .iter()
                .any(|found| object == format!("{}/{}", found.kind, found.name))
    };
    let cautions = earlier
        .cautions
        .into_iter()
        .filter(|caution| concerned(&caution.object))
        .collect();
    PreviewStatus {
        cautions,
        restores: earlier.restores,
        ..files
    }
}
