//! Answers what generating asks, on this machine: files of a working tree, templates by the render worker. What needs credentials or
//! other servers is not asked from here.

use std::path::Path;
use std::sync::Arc;

use gitops_core::applicationset::{
    Answer, Answers, Environment, Generation, Need, Param, PathKind, Repository, SetSpec, Tree,
    Unmet, generate,
};
use gitops_kit::exit::{CommandError, CommandErrorKind};
use gitops_render::Renderer;

use crate::git::{WorkingTree, redact};

/// How often generating may ask for more.
const MAX_ROUNDS: usize = 40;
/// Longest file that is read for parameters, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;

/// What there is to answer with.
pub(super) struct Local {
    /// Fills templates and reads YAML.
    pub(super) renderer: Renderer,
    /// Stands for the repositories that it is a clone of.
    pub(super) tree: Option<WorkingTree>,
}

impl Local {
    /// What a set generates, as far as it can be said here.
    pub(super) async fn generate(
        &self,
        spec: &SetSpec,
        environment: &Environment,
    ) -> Result<Generation, CommandError> {
        let mut answers = Answers::new();
        for _ in 0..MAX_ROUNDS {
            let generation = generate(spec, environment, &answers);
            let Generation::Needs(needs) = &generation else {
                return Ok(generation);
            };
            answers.extend(self.renderer.meet(needs).await);
            for need in needs {
                let answer = match need {
                    Need::Tree(repository) => self.paths(repository).await.map(Answer::Tree),
                    Need::Files {
                        repository, paths, ..
                    } => self.values(repository, paths).await.map(Answer::Values),
                    Need::Decisions(_) => Err(elsewhere("objects that decide about clusters")),
                    Need::Plugin { config_map, .. } => {
                        Err(elsewhere(&format!("the plugin of ConfigMap {config_map}")))
                    }
                    Need::Forge { .. } => Err(elsewhere("a forge")),
                    Need::Yaml(_) | Need::Templates { .. } => continue,
                };
                answers.insert(need.clone(), answer);
            }
        }
        Err(CommandError::new(
            CommandErrorKind::Internal,
            "generating does not come to an end",
        ))
    }

    fn tree_of(&self, repository: &Repository) -> Result<&WorkingTree, Unmet> {
        let shown = redact(&repository.url);
        let Some(tree) = &self.tree else {
            return Err(Unmet::permanent(format!(
                "{shown} is a repository: name a directory of a clone with --local DIR"
            )));
        };
        if tree.is_of(&repository.url) {
            Ok(tree)
        } else {
            let remotes: Vec<_> = tree.remotes.iter().map(|one| redact(one)).collect();
            Err(Unmet::permanent(format!(
                "{} is no clone of {shown} but of {}; name one with --local DIR",
                tree.top.display(),
                if remotes.is_empty() {
                    "nothing".to_owned()
                } else {
                    remotes.join(", ")
                }
            )))
        }
    }

    async fn paths(&self, repository: &Repository) -> Result<Arc<Tree>, Unmet> {
        let tree = self.tree_of(repository)?;
        let files = tree.files().await;
        let files = files.map_err(|error| Unmet::permanent(error.to_string()))?;
        Ok(Arc::new(Tree {
            commit: tree.commit.clone().unwrap_or_default(),
            paths: with_directories(&files, |path| kind(&tree.top, path)),
        }))
    }

    async fn values(
        &self,
        repository: &Repository,
        paths: &[String],
    ) -> Result<Arc<[Result<Param, String>]>, Unmet> {
        let top = &self.tree_of(repository)?.top;
        let read: Vec<Result<String, String>> =
            paths.iter().map(|path| content(&top.join(path))).collect();
        let texts: Vec<String> = read.iter().filter_map(|one| one.clone().ok()).collect();
        let parsed = self.renderer.read_yaml(&texts).await;
        let parsed = parsed.map_err(|error| Unmet::permanent(error.to_string()))?;
        let mut parsed = parsed.into_iter();
        let missing = || Err("it was not read".to_owned());
        let values = read.into_iter().map(|one| match one {
            Ok(_) => parsed.next().unwrap_or_else(missing),
            Err(why) => Err(why),
        });
        Ok(values.collect())
    }
}

fn elsewhere(what: &str) -> Unmet {
    Unmet::permanent(format!(
        "only the agent asks {what}: it cannot be previewed from here"
    ))
}

fn content(path: &Path) -> Result<String, String> {
    let size = path.metadata().map_err(|error| error.to_string())?.len();
    if size > MAX_FILE_BYTES {
        return Err(format!("it is larger than {} KiB", MAX_FILE_BYTES >> 10));
    }
    let bytes = std::fs::read(path).map_err(|error| error.to_string())?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// What a file of a working tree is, and where a link leads: links that leave the tree lead nowhere.
fn kind(top: &Path, path: &str) -> PathKind {
    let place = top.join(path);
    let is_link = place
        .symlink_metadata()
        .is_ok_and(|found| found.is_symlink());
    if !is_link {
        return PathKind::File;
    }
    let inside = || {
        let top = top.canonicalize().ok()?;
        let target = place.canonicalize().ok()?;
        let target = target.is_file().then_some(target)?;
        let inside = target.strip_prefix(top).ok()?;
        Some(inside.to_str()?.to_owned())
    };
    PathKind::Link(inside())
}

/// The paths of files and of the directories around them, in order.
fn with_directories(files: &[String], kind: impl Fn(&str) -> PathKind) -> Vec<(String, PathKind)> {
    let mut paths: Vec<(String, PathKind)> = Vec::with_capacity(files.len());
    for file in files {
        let slashes = file.match_indices('/').map(|(at, _)| at);
        paths.extend(slashes.map(|at| (file[..at].to_owned(), PathKind::Directory)));
        paths.push((file.clone(), kind(file)));
    }
    paths.sort();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_are_there_once_and_links_stay_inside() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path();
        std::fs::create_dir_all(top.join("a/b")).unwrap();
        std::fs::write(top.join("a/b/c.yaml"), "").unwrap();
        std::os::unix::fs::symlink("b/c.yaml", top.join("a/in.yaml")).unwrap();
        std::os::unix::fs::symlink("/etc/passwd", top.join("a/out.yaml")).unwrap();
        let files = ["a/b/c.yaml", "a/in.yaml", "a/out.yaml", "d.yaml"].map(str::to_owned);
        let paths = with_directories(&files, |path| kind(top, path));
        let expected = [
            ("a", PathKind::Directory),
            ("a/b", PathKind::Directory),
            ("a/b/c.yaml", PathKind::File),
            ("a/in.yaml", PathKind::Link(Some("a/b/c.yaml".into()))),
            ("a/out.yaml", PathKind::Link(None)),
            ("d.yaml", PathKind::File),
        ];
        assert_eq!(paths, expected.map(|(path, kind)| (path.to_owned(), kind)));
    }
}
