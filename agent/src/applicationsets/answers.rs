//! What generating asks for: paths and files of commits from the mirrors, templates and YAML from a
//! render worker.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use gitops_core::applicationset::{
    Answer, Answers, Need, Param, PathKind, Repository, Tree, Unmet,
};
use gitops_core::project::SourcePermit;
use gitops_core::source::FailureKind;
use gitops_git::{Entry, GitError, ItemKind, ObjectId, Snapshot};

use super::outside::Outside;
use crate::applications::controller::Controller;
use crate::configuration::NoRules;
use crate::repositories::error::RepositoryError;
use crate::repositories::identity::ScopedAccess;
use crate::repositories::manager::Followed;
use crate::repositories::{Target, blocking};

/// How long a look waits for a server: most answer sooner.
const PATIENCE: Duration = Duration::from_secs(2);
/// Longest file that is read for parameters, in bytes.
const MAX_FILE_BYTES: u64 = 1 << 20;
/// Most paths of one commit.
const MAX_PATHS: usize = 1_000_000;

/// What is remembered of the files of the commits a set looked at: found again at any time.
#[derive(Default)]
pub(super) struct Files {
    commits: HashMap<Repository, Commit>,
    values: HashMap<ObjectId, Result<Param, String>>,
}

struct Commit {
    snapshot: Snapshot,
    tree: Arc<Tree>,
}

/// Answers needs of one set.
pub(super) struct Source<'a> {
    /// Name of the set.
    pub(super) set: &'a str,
    /// Those who decide for generators.
    pub(super) outside: Outside<'a>,
    pub(super) controller: &'a Controller,
    pub(super) files: &'a mut Files,
    /// Servers are asked again.
    pub(super) refresh: bool,
    /// What was looked at, to be followed.
    pub(super) followed: BTreeMap<Repository, Followed>,
    /// Notes about servers that could not be asked.
    pub(super) notes: Vec<String>,
}

impl Source<'_> {
    /// The answers to these needs.
    pub(super) async fn answer(&mut self, needs: &[Need]) -> Answers {
        let mut answers = self.controller.sources.renderer.meet(needs).await;
        answers.extend(self.outside.forges(needs).await);
        for need in needs {
            let answer = match need {
                Need::Tree(repository) => self.tree(repository).await.map(Answer::Tree),
                Need::Files {
                    repository, paths, ..
                } => self.values(repository, paths).await.map(Answer::Values),
                Need::Decisions(source) => self.outside.decisions(source).await,
                Need::Plugin { config_map, input } => {
                    let input = input.as_ref();
                    self.outside.plugin(config_map, self.set, input).await
                }
                Need::Forge { .. } | Need::Yaml(_) | Need::Templates { .. } => continue,
            };
            answers.insert(need.clone(), answer);
        }
        answers
    }

    async fn tree(&mut self, repository: &Repository) -> Result<Arc<Tree>, Unmet> {
        let access = self.access(repository)?;
        let target = Target {
            revision: repository.revision.clone(),
            tag_prefix: String::new(),
        };
        self.followed.insert(
            repository.clone(),
            Followed {
                access: access.clone(),
                target: target.clone(),
            },
        );
        let repositories = &self.controller.sources.repositories;
        let checkout = repositories
            .checkout(&access, &target, self.refresh, PATIENCE)
            .await
            .map_err(|error| unmet(&error))?;
        if let Some(reason) = &checkout.stale {
            self.notes.push(format!(
                "{reason}; the commit {} that was seen last counts meanwhile",
                checkout.revision
            ));
        }
        let known = self.files.commits.get(repository);
        if let Some(known) = known.filter(|known| known.tree.commit == checkout.revision) {
            return Ok(Arc::clone(&known.tree));
        }
        let snapshot = checkout.snapshot.clone();
        let walked = blocking({
            let snapshot = snapshot.clone();
            move || walk(&snapshot)
        });
        let paths = walked
            .await
            .map_err(|error| unmet(&error))?
            .ok_or_else(|| {
                Unmet::permanent(format!("the commit has more than {MAX_PATHS} paths"))
            })?;
        let tree = Arc::new(Tree {
            commit: checkout.revision,
            paths,
        });
        let commit = Commit {
            snapshot,
            tree: Arc::clone(&tree),
        };
        self.files.commits.insert(repository.clone(), commit);
        Ok(tree)
    }

    fn access(&self, repository: &Repository) -> Result<ScopedAccess, Unmet> {
        let configuration = &self.controller.configuration;
        let permit = match &repository.project {
            None => SourcePermit::without_project(&repository.url)
                .map_err(|denial| Unmet::permanent(denial.to_string()))?,
            Some(project) => {
                let rules = configuration.rules(project).map_err(|none| {
                    Unmet::permanent(match none {
                        NoRules::Missing => format!(
                            "the project {project} does not exist, and it says which credentials may \
                             be used"
                        ),
                        NoRules::Unusable(problems) => {
                            let problems = problems.iter().map(ToString::to_string);
                            let problems: Vec<String> = problems.collect();
                            format!("the project {project} cannot be used: {}", problems.join("; "))
                        }
                    })
                })?;
                rules
                    .permits_source(&repository.url)
                    .map_err(|denial| Unmet::permanent(denial.to_string()))?
            }
        };
        let credentials = configuration.credentials.get();
        Ok(credentials.git(&permit, repository.project.as_deref().unwrap_or_default()))
    }

    /// The values of files; those whose content was read before are known.
    async fn values(
        &mut self,
        repository: &Repository,
        paths: &[String],
    ) -> Result<Arc<[Result<Param, String>]>, Unmet> {
        let Some(commit) = self.files.commits.get(repository) else {
            return Err(Unmet::permanent("its commit is not known"));
        };
        let snapshot = commit.snapshot.clone();
        let wanted = paths.to_vec();
        let mut known: HashSet<ObjectId> = self.files.values.keys().copied().collect();
        let read = blocking(move || {
            let mut found: Vec<(ObjectId, Option<String>)> = Vec::with_capacity(wanted.len());
            for path in &wanted {
                let Entry::Blob { id, .. } = snapshot.entry(path)? else {
                    continue;
                };
                let content = if !known.insert(id) {
                    None
                } else if snapshot
                    .size(path)?
                    .is_some_and(|size| size > MAX_FILE_BYTES)
                {
                    Some(String::from("\0"))
                } else {
                    Some(String::from_utf8_lossy(&snapshot.read_blob(id)?).into_owned())
                };
                found.push((id, content));
            }
            Ok::<_, GitError>(found)
        });
        let found = read.await.map_err(|error| unmet(&error))?;
        if found.len() != paths.len() {
            return Err(Unmet::permanent("a file went away while it was read"));
        }
        let new: Vec<(ObjectId, String)> = found
            .iter()
            .filter_map(|(id, content)| Some((*id, content.clone()?)))
            .collect();
        let texts: Vec<String> = new.iter().map(|(_, content)| content.clone()).collect();
        let values = self.controller.sources.renderer.read_yaml(&texts).await;
        let values = values.map_err(|error| Unmet {
            message: error.to_string(),
            is_temporary: error.is_temporary(),
            is_pending: false,
        })?;
        for ((id, content), value) in new.into_iter().zip(values) {
            let value = if content == "\0" {
                Err(format!("it is larger than {} KiB", MAX_FILE_BYTES >> 10))
            } else {
                value
            };
            self.files.values.insert(id, value);
        }
        let missing = || Err("it was not read".to_owned());
        let values = found
            .iter()
            .map(|(id, _)| self.files.values.get(id).cloned().unwrap_or_else(missing));
        let values: Arc<[Result<Param, String>]> = values.collect();
        // What no file of these commits holds any more is forgotten.
        if self.files.values.len() > 2 * paths.len() + 1000 {
            let used: HashSet<ObjectId> = found.iter().map(|(id, _)| *id).collect();
            self.files.values.retain(|id, _| used.contains(id));
        }
        Ok(values)
    }
}

/// Every path of a commit, in order; `None` when there are too many.
fn walk(snapshot: &Snapshot) -> Result<Option<Vec<(String, PathKind)>>, GitError> {
    let mut paths = Vec::new();
    let mut left = vec![String::new()];
    while let Some(directory) = left.pop() {
        for item in snapshot.list(&directory)? {
            let path = if directory.is_empty() {
                item.name
            } else {
                format!("{directory}/{}", item.name)
            };
            let kind = match item.kind {
                ItemKind::Blob | ItemKind::Executable => PathKind::File,
                ItemKind::Symlink => PathKind::Link(target(snapshot, &path)),
                ItemKind::Tree => {
                    left.push(path.clone());
                    PathKind::Directory
                }
                ItemKind::Submodule => PathKind::Directory,
            };
            paths.push((path, kind));
        }
        if paths.len() > MAX_PATHS {
            return Ok(None);
        }
    }
    paths.sort();
    Ok(Some(paths))
}

/// The file a link leads to, if it is one of the commit.
fn target(snapshot: &Snapshot, path: &str) -> Option<String> {
    let resolved = snapshot.resolve(path).ok()?;
    matches!(resolved.entry, Entry::Blob { .. }).then_some(resolved.path)
}

fn unmet(error: &RepositoryError) -> Unmet {
    Unmet {
        message: error.to_string(),
        is_temporary: error.kind() == FailureKind::Transient,
        is_pending: matches!(error, RepositoryError::Fetching(_)),
    }
}
