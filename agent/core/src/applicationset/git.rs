//! The git generator: sets of parameters from the paths and files of a commit.

use super::environment::normalize;
use super::error::{Problem, Warning};
use super::generators::Context;
use super::need::{Answer, Need, Outcome, PathKind, Repository, Stop, Tree, all};
use super::param::{self, Param, ParamMap, texts};
use super::patterns::{FileGlobbing, Pattern};
use super::spec::{Git, PathPattern};

impl Context<'_> {
    pub(super) fn git(
        &self,
        path: &str,
        git: &Git,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        let of_files = git.directories.is_empty();
        if of_files && git.files.is_empty() {
            let why = "neither directories nor files are given; say which paths are meant";
            return Err(Stop::from(Problem::parameters(path, why)));
        }
        if self.project.as_deref() == Some("") {
            let why = "the template's spec.project is empty, and it says which credentials may be \
                       used; write default, or the project of the Applications";
            return Err(Stop::from(Problem::parameters(path, why)));
        }
        let repository = Repository {
            url: git.url.clone(),
            revision: git.revision.clone(),
            project: self.project.clone(),
        };
        let need = Need::Tree(repository.clone());
        let answer = self.asker.ask(need, |why| Problem::parameters(path, why))?;
        let Answer::Tree(tree) = answer else {
            return Err(Stop::Waits);
        };
        if of_files {
            self.files(path, git, repository, tree)
        } else {
            self.directories(path, git, tree, warnings)
        }
    }

    fn directories(
        &self,
        path: &str,
        git: &Git,
        tree: &Tree,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        let place = format!("{path}.directories");
        let patterns = read_patterns(&place, &git.directories, Pattern::directories)?;
        for (index, pattern) in git.directories.iter().enumerate() {
            let written = &pattern.path;
            if written.starts_with('/') || written.starts_with("./") || written.ends_with('/') {
                warnings.push(Warning {
                    place: format!("{place}[{index}].path"),
                    message: format!(
                        "{written:?} matches nothing: paths are written from the root of the \
                         repository, without ./ or / at either end"
                    ),
                });
            }
        }
        let hidden = self.environment.hidden_directories;
        let found = tree.paths.iter().filter(|(path, kind)| {
            *kind == PathKind::Directory
                && (hidden || !path.split('/').any(|part| part.starts_with('.')))
                && selected(&patterns, path)
        });
        Ok(found
            .map(|(path, _)| self.path_set(ParamMap::new(), path, "", &git.prefix))
            .collect())
    }

    fn files(
        &self,
        path: &str,
        git: &Git,
        repository: Repository,
        tree: &Tree,
    ) -> Outcome<Vec<ParamMap>> {
        let place = format!("{path}.files");
        let globbing = self.environment.file_globbing;
        let read = |pattern: &str| Pattern::files(pattern, globbing);
        let patterns = read_patterns(&place, &git.files, read)?;
        let mut paths = Vec::new();
        let mut problems = Vec::new();
        for (file, kind) in &tree.paths {
            if *kind == PathKind::Directory {
                let met = patterns.iter().find(|(_, pattern)| pattern.matches(file));
                if globbing == FileGlobbing::DoubleStar
                    && let Some((_, _)) = met
                {
                    let why = format!(
                        "the directory {file} is met by a pattern of files; use a pattern that only \
                         files match, such as {file}/*.yaml"
                    );
                    problems.push(Problem::parameters(&place, why));
                }
                continue;
            }
            if !selected(&patterns, file) {
                continue;
            }
            match kind {
                PathKind::Link(None) => {
                    if globbing == FileGlobbing::DoubleStar {
                        continue;
                    }
                    let why = format!(
                        "{file} is a symbolic link that leads to no file of the repository; replace \
                         it by a file, or leave it out with an entry with exclude: true"
                    );
                    problems.push(Problem::parameters(&place, why));
                }
                PathKind::Link(Some(target)) => paths.push((file.clone(), target.clone())),
                _ => paths.push((file.clone(), file.clone())),
            }
        }
        if !problems.is_empty() {
            return Err(Stop::Failed(problems));
        }
        if paths.is_empty() {
            return Ok(Vec::new());
        }
        let need = Need::Files {
            repository,
            commit: tree.commit.clone(),
            paths: paths.iter().map(|(_, content)| content.clone()).collect(),
        };
        let answer = self
            .asker
            .ask(need, |why| Problem::parameters(&place, why))?;
        let Answer::Values(values) = answer else {
            return Err(Stop::Waits);
        };
        let sets = paths.iter().zip(values.iter()).map(|((file, _), value)| {
            let objects = value.as_ref().map_err(Clone::clone).and_then(objects);
            let objects =
                objects.map_err(|why| Problem::parameters(&place, format!("{file}: {why}")))?;
            let sets = objects.into_iter().map(|object| {
                let object = if self.language.go {
                    object
                } else {
                    texts(&param::flatten(&object))
                };
                self.path_set(
                    object,
                    file.rsplit_once('/').map_or(".", |(path, _)| path),
                    file,
                    &git.prefix,
                )
            });
            Ok(sets.collect::<Vec<_>>())
        });
        Ok(all(sets)?.into_iter().flatten().collect())
    }

    /// Adds the parameters of a path. `file` is empty for a directory.
    fn path_set(&self, mut set: ParamMap, path: &str, file: &str, prefix: &str) -> ParamMap {
        let text = |text: &str| Param::Text(text.to_owned());
        let basename = path.rsplit('/').next().unwrap_or(path);
        let file_name = file.rsplit('/').next().unwrap_or(file);
        let segments: Vec<&str> = path.split('/').collect();
        if self.language.go {
            let mut of_path = ParamMap::from([
                ("path".to_owned(), text(path)),
                ("basename".to_owned(), text(basename)),
                ("basenameNormalized".to_owned(), text(&normalize(basename))),
                (
                    "segments".to_owned(),
                    Param::List(segments.iter().map(|one| text(one)).collect()),
                ),
            ]);
            if !file.is_empty() {
                of_path.insert("filename".to_owned(), text(file_name));
                of_path.insert("filenameNormalized".to_owned(), text(&normalize(file_name)));
            }
            if prefix.is_empty() {
                set.insert("path".to_owned(), Param::Map(of_path));
            } else {
                let of_path = ParamMap::from([("path".to_owned(), Param::Map(of_path))]);
                set.insert(prefix.to_owned(), Param::Map(of_path));
            }
            return set;
        }
        let name = if prefix.is_empty() {
            "path".to_owned()
        } else {
            format!("{prefix}.path")
        };
        set.insert(format!("{name}.basename"), text(basename));
        set.insert(
            format!("{name}.basenameNormalized"),
            text(&normalize(basename)),
        );
        if !file.is_empty() {
            set.insert(format!("{name}.filename"), text(file_name));
            set.insert(
                format!("{name}.filenameNormalized"),
                text(&normalize(file_name)),
            );
        }
        for (index, segment) in segments.iter().enumerate() {
            if !segment.is_empty() {
                set.insert(format!("{name}[{index}]"), text(segment));
            }
        }
        set.insert(name, text(path));
        set
    }
}

/// The parameter sets of a file: one for a map or nothing, one for each item of a list.
fn objects(value: &Param) -> Result<Vec<ParamMap>, String> {
    let object = |value: &Param| match value {
        Param::Map(map) => Some(map.clone()),
        Param::Null => Some(ParamMap::new()),
        _ => None,
    };
    if let Some(map) = object(value) {
        return Ok(vec![map]);
    }
    let Param::List(items) = value else {
        return Err(format!(
            "it holds {}, and should hold a map or a list of maps",
            value.kind()
        ));
    };
    let items = items.iter().enumerate().map(|(index, item)| {
        object(item).ok_or_else(|| format!("item {index} is {}, and should be a map", item.kind()))
    });
    items.collect()
}

type ReadPattern = (bool, Pattern);

fn read_patterns(
    place: &str,
    written: &[PathPattern],
    read: impl Fn(&str) -> Result<Pattern, String>,
) -> Outcome<Vec<ReadPattern>> {
    all(written.iter().enumerate().map(|(index, pattern)| {
        let read = read(&pattern.path).map_err(|why| {
            let place = format!("{place}[{index}].path");
            Problem::parameters(
                &place,
                format!("{:?} is no usable pattern: {why}", pattern.path),
            )
        })?;
        Ok((pattern.exclude, read))
    }))
}

/// What is left out is left out, in whichever order the entries are.
fn selected(patterns: &[ReadPattern], path: &str) -> bool {
    let mut included = false;
    for (exclude, pattern) in patterns {
        if pattern.matches(path) {
            if *exclude {
                return false;
            }
            included = true;
        }
    }
    included
}
