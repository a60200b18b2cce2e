//! What each generator makes of its fields: sets of parameters, always in the same order.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::error::{Place, Problem, Step, Warning};
use super::need::{Answer, Asker, Need, Outcome, PathKind, Repository, Stop, Tree, all};
use super::param::{self, Param, ParamMap};
use super::patterns::{FileGlobbing, Pattern};
use super::spec::{Generator, Git, Kind, PathPattern, read_entry};
use super::template::{Filler, Language};
use super::{Cluster, Environment};
use crate::label_selector::selects;

/// How deep matrix and merge may be nested: one in the other, and no further.
const MAX_NESTING: usize = 1;

/// What all generators of a set share.
pub(super) struct Context<'a> {
    pub(super) asker: &'a Asker<'a>,
    pub(super) language: &'a Language,
    pub(super) environment: &'a Environment,
    /// Project of the template, when no parameter decides about it.
    pub(super) project: Option<String>,
}

impl Context<'_> {
    /// The sets of parameters of one generator that its selector lets pass. `outer` are parameters
    /// that are known before: those of the first generator of a matrix.
    pub(super) fn generate(
        &self,
        generator: &Generator,
        outer: &ParamMap,
        depth: usize,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        let path = &generator.path;
        let mut sets = match &generator.kind {
            Kind::List {
                elements,
                elements_yaml,
            } => self.list(path, elements, elements_yaml)?,
            Kind::Clusters {
                selector,
                values,
                flat_list,
            } => {
                let sets = self.clusters(path, selector)?;
                let sets = self.with_values(path, sets, values, outer, warnings)?;
                if *flat_list {
                    let clusters = sets.into_iter().map(Param::Map).collect();
                    vec![ParamMap::from([(
                        "clusters".to_owned(),
                        Param::List(clusters),
                    )])]
                } else {
                    sets
                }
            }
            Kind::Git(git) => {
                let sets = self.git(path, git, warnings)?;
                self.with_values(path, sets, &git.values, outer, warnings)?
            }
            Kind::Matrix(children) => self.matrix(path, children, outer, depth, warnings)?,
            Kind::Merge { generators, keys } => {
                self.merge(path, generators, keys, outer, depth, warnings)?
            }
            Kind::Unsupported(name) => {
                return Err(Stop::from(Problem::parameters(
                    path,
                    format!(
                        "the generator {name} is not supported yet, so nothing of this set is \
                         generated; use another generator, or leave the set to Argo CD's own \
                         applicationset controller"
                    ),
                )));
            }
        };
        if let Some(selector) = &generator.selector {
            sets.retain(|set| {
                if self.language.go {
                    selector.selects(&param::flatten(set))
                } else {
                    selector.selects(set)
                }
            });
        }
        Ok(sets)
    }

    fn list(&self, path: &str, elements: &[Value], yaml: &str) -> Outcome<Vec<ParamMap>> {
        let mut sets = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let place = format!("{path}.elements[{index}]");
            sets.push(self.element(&place, &Param::of(element), false));
        }
        if !yaml.is_empty() {
            let place = format!("{path}.elementsYaml");
            let need = Need::Yaml(yaml.to_owned());
            let answer = self
                .asker
                .ask(need, |why| Problem::parameters(&place, why))?;
            let Answer::Values(values) = answer else {
                return Err(Stop::Waits);
            };
            match values.first() {
                Some(Ok(Param::List(items))) => {
                    for (index, item) in items.iter().enumerate() {
                        sets.push(self.element(&format!("{place}[{index}]"), item, true));
                    }
                }
                Some(Ok(Param::Null)) | None => {}
                Some(Ok(other)) => {
                    let why = format!("it is {}, and should be a list of maps", other.kind());
                    return Err(Stop::from(Problem::parameters(&place, why)));
                }
                Some(Err(why)) => {
                    let why = format!("it cannot be read as YAML: {why}");
                    return Err(Stop::from(Problem::parameters(&place, why)));
                }
            }
        }
        all(sets)
    }

    /// The parameters of one element. Without goTemplate they are texts; `converts` makes texts of
    /// numbers and of what is nested.
    fn element(&self, place: &str, element: &Param, converts: bool) -> Outcome<ParamMap> {
        let Param::Map(map) = element else {
            return Err(Stop::from(Problem::parameters(
                place,
                format!(
                    "it is {}, and an element is a map of parameters",
                    element.kind()
                ),
            )));
        };
        if self.language.go {
            return Ok(map.clone());
        }
        if converts {
            return Ok(texts(&param::flatten(map)));
        }
        let mut flat = ParamMap::new();
        for (key, value) in map {
            match value {
                Param::Text(_) => {
                    flat.insert(key.clone(), value.clone());
                }
                Param::Map(values) if key == "values" => {
                    for (name, value) in values {
                        let Param::Text(_) = value else {
                            return Err(not_text(&format!("{place}.values.{name}"), value));
                        };
                        flat.insert(format!("values.{name}"), value.clone());
                    }
                }
                other => return Err(not_text(&format!("{place}.{key}"), other)),
            }
        }
        Ok(flat)
    }

    fn clusters(&self, path: &str, selector: &Value) -> Outcome<Vec<ParamMap>> {
        let place = format!("{path}.selector");
        let parsed = super::selector::Selector::read(selector);
        let is_empty = selector.is_null()
            || selector.as_object().is_some_and(|map| {
                map.values().all(|value| {
                    value.as_object().is_some_and(serde_json::Map::is_empty)
                        || value.as_array().is_some_and(Vec::is_empty)
                        || value.is_null()
                })
            });
        let parsed = if is_empty {
            Default::default()
        } else {
            parsed.map_err(|why| Problem::parameters(&place, why))?;
            serde_json::from_value(selector.clone())
                .map_err(|error| Problem::parameters(&place, error.to_string()))?
        };
        let mut found: BTreeMap<&str, &Cluster> = BTreeMap::new();
        for cluster in &self.environment.clusters {
            let selected = selects(&parsed, &cluster.labels)
                .map_err(|error| Problem::parameters(&place, error.to_string()))?;
            if !selected {
                continue;
            }
            if let Some(other) = found.insert(&cluster.name, cluster) {
                let (one, two) = (&other.secret, &cluster.secret);
                return Err(Stop::from(Problem::parameters(
                    path,
                    format!(
                        "the Secrets {one} and {two} both describe a cluster of the name {}; give one \
                         of them another name in its data",
                        cluster.name
                    ),
                )));
            }
        }
        let mut sets: Vec<ParamMap> = found.values().map(|one| self.cluster(one)).collect();
        let local = Cluster::local();
        let is_there = |cluster: &Cluster| cluster.server == local.server;
        if is_empty && !self.environment.clusters.iter().any(is_there) {
            sets.push(self.cluster(&local));
        }
        Ok(sets)
    }

    fn cluster(&self, cluster: &Cluster) -> ParamMap {
        let text = |text: &str| Param::Text(text.to_owned());
        let mut set = ParamMap::from([
            ("name".to_owned(), text(&cluster.name)),
            (
                "nameNormalized".to_owned(),
                text(&super::normalize(&cluster.name)),
            ),
            ("server".to_owned(), text(&cluster.server)),
            ("project".to_owned(), text(&cluster.project)),
        ]);
        let all = [
            ("labels", &cluster.labels),
            ("annotations", &cluster.annotations),
        ];
        if self.language.go {
            let metadata = all.into_iter().map(|(name, map)| {
                let map = map.iter().map(|(key, value)| (key.clone(), text(value)));
                (name.to_owned(), Param::Map(map.collect()))
            });
            set.insert("metadata".to_owned(), Param::Map(metadata.collect()));
        } else {
            for (name, map) in all {
                for (key, value) in map {
                    set.insert(format!("metadata.{name}.{key}"), text(value));
                }
            }
        }
        set
    }

    fn git(&self, path: &str, git: &Git, warnings: &mut Vec<Warning>) -> Outcome<Vec<ParamMap>> {
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
                (
                    "basenameNormalized".to_owned(),
                    text(&super::normalize(basename)),
                ),
                (
                    "segments".to_owned(),
                    Param::List(segments.iter().map(|one| text(one)).collect()),
                ),
            ]);
            if !file.is_empty() {
                of_path.insert("filename".to_owned(), text(file_name));
                of_path.insert(
                    "filenameNormalized".to_owned(),
                    text(&super::normalize(file_name)),
                );
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
            text(&super::normalize(basename)),
        );
        if !file.is_empty() {
            set.insert(format!("{name}.filename"), text(file_name));
            set.insert(
                format!("{name}.filenameNormalized"),
                text(&super::normalize(file_name)),
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

    fn with_values(
        &self,
        path: &str,
        sets: Vec<ParamMap>,
        values: &BTreeMap<String, String>,
        outer: &ParamMap,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        if values.is_empty() {
            return Ok(sets);
        }
        let sets = sets.into_iter().enumerate().map(|(index, mut set)| {
            let mut known = outer.clone();
            param::fill(&mut known, &set);
            let filler = Filler {
                asker: self.asker,
                language: self.language,
                parameters: &known,
                step: Step::Parameters,
                place: Place {
                    element: format!("element {index} {}", param::shown(&set)),
                    ..Place::generator(path)
                },
                broken: RefCell::default(),
            };
            let filled = filler.values(values, warnings)?;
            let filled = filled
                .into_iter()
                .map(|(key, text)| (key, Param::Text(text)));
            if self.language.go {
                let own: ParamMap = filled.collect();
                set.insert("values".to_owned(), Param::Map(own));
            } else {
                set.extend(filled.map(|(key, value)| (format!("values.{key}"), value)));
            }
            Ok(set)
        });
        all(sets)
    }

    /// The one generator of an entry of matrix or merge.
    fn child(&self, entry: &Value, path: &str, depth: usize) -> Result<Generator, Problem> {
        let mut found = read_entry(entry, path)?;
        let generator = found.pop();
        let Some(generator) = generator.filter(|_| found.is_empty()) else {
            let why = if found.is_empty() {
                "there is no generator in it; each entry of matrix and merge has exactly one"
            } else {
                "there are several generators in it; each entry of matrix and merge has exactly one"
            };
            return Err(Problem::parameters(path, why));
        };
        let nests = matches!(generator.kind, Kind::Matrix(_) | Kind::Merge { .. });
        if nests && depth >= MAX_NESTING {
            let why = "matrix and merge may be nested one in the other, and no deeper";
            return Err(Problem::parameters(&generator.path, why));
        }
        Ok(generator)
    }

    fn matrix(
        &self,
        path: &str,
        children: &[Value],
        outer: &ParamMap,
        depth: usize,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        let [first, second] = children else {
            let why = format!("it has {} generators, and a matrix has two", children.len());
            return Err(Stop::from(Problem::parameters(path, why)));
        };
        let first_path = format!("{path}.generators[0]");
        let second_path = format!("{path}.generators[1]");
        let first = self.child(first, &first_path, depth)?;
        // What is wrong with it without any parameters is told even when the first gives nothing.
        self.child(second, &second_path, depth)?;
        let firsts = self.generate(&first, outer, depth + 1, warnings)?;
        let mut rows = Vec::new();
        for (index, one) in firsts.iter().enumerate() {
            let mut known = outer.clone();
            param::fill(&mut known, one);
            rows.push(self.row(
                &first,
                index,
                one,
                second,
                &second_path,
                &known,
                depth,
                warnings,
            ));
        }
        Ok(all(rows)?.into_iter().flatten().collect())
    }

    /// The combinations of one set of the first generator with all sets of the second.
    #[allow(clippy::too_many_arguments)]
    fn row(
        &self,
        first: &Generator,
        index: usize,
        one: &ParamMap,
        second: &Value,
        second_path: &str,
        known: &ParamMap,
        depth: usize,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        let place = Place {
            element: format!("element {index} {}", param::shown(one)),
            ..Place::generator(&first.path)
        };
        let filled = if known.is_empty() {
            second.clone()
        } else {
            let filler = Filler {
                asker: self.asker,
                language: self.language,
                parameters: known,
                step: Step::Parameters,
                place: place.clone(),
                broken: RefCell::default(),
            };
            let (templates, kept) = split(second);
            let mut unresolved = Vec::new();
            let filled = filler.value(&templates, second_path, &mut unresolved)?;
            warnings.extend(unresolved);
            join(filled, kept)
        };
        let generator = self.child(&filled, second_path, depth)?;
        let seconds = self.generate(&generator, known, depth + 1, warnings)?;
        let rows = seconds.into_iter().map(|other| {
            let mut row = one.clone();
            if self.language.go {
                param::fill(&mut row, &other);
                return Ok(row);
            }
            for (key, value) in other {
                if let Some(there) = row.get(&key).filter(|there| **there != value) {
                    let why = format!(
                        "both generators of the matrix give {key}, {} and {}; rename one of them, or \
                         use pathParamPrefix for a git generator",
                        there.text().unwrap_or_default(),
                        value.text().unwrap_or_default()
                    );
                    return Err(Stop::from(Problem {
                        place: place.clone(),
                        ..Problem::parameters(second_path, why)
                    }));
                }
                row.insert(key, value);
            }
            Ok(row)
        });
        all(rows)
    }

    fn merge(
        &self,
        path: &str,
        children: &[Value],
        keys: &[String],
        outer: &ParamMap,
        depth: usize,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        if children.len() < 2 {
            let why = format!(
                "it has {} generators, and a merge has two or more",
                children.len()
            );
            return Err(Stop::from(Problem::parameters(path, why)));
        }
        let results = children.iter().enumerate().map(|(index, child)| {
            let child_path = format!("{path}.generators[{index}]");
            let child = self.child(child, &child_path, depth)?;
            let sets = self.generate(&child, outer, depth + 1, warnings)?;
            let mut known: BTreeMap<Vec<Param>, usize> = BTreeMap::new();
            for (place, set) in sets.iter().enumerate() {
                if let Some(other) = known.insert(param::key_values(set, keys), place) {
                    let why = format!(
                        "its elements {other} {} and {place} {} have the same {}, so it is not known \
                         which of them is meant; make mergeKeys tell them apart",
                        param::shown(&sets[other]),
                        param::shown(set),
                        keys.join(", ")
                    );
                    return Err(Stop::from(Problem::parameters(&child.path, why)));
                }
            }
            Ok((sets, known))
        });
        let mut results = all(results)?.into_iter();
        let Some((mut base, places)) = results.next() else {
            return Ok(Vec::new());
        };
        for (sets, _) in results {
            for set in sets {
                if let Some(place) = places.get(&param::key_values(&set, keys)) {
                    if self.language.go {
                        param::overlay(&mut base[*place], &set);
                    } else {
                        base[*place].extend(set);
                    }
                }
            }
        }
        Ok(base)
    }
}

/// Parts an entry of a matrix into what is filled with the parameters of the first generator, and what
/// is not: `selector` is used as it is written, `values` are filled by the generator itself, when it
/// knows both; a child's own template does not count at all.
fn split(entry: &Value) -> (Value, Value) {
    let mut templates = entry.clone();
    let mut kept = serde_json::Map::new();
    if let Some(map) = templates.as_object_mut() {
        if let Some(selector) = map.remove("selector") {
            kept.insert("selector".to_owned(), selector);
        }
        for (name, generator) in map.iter_mut() {
            let Some(generator) = generator.as_object_mut() else {
                continue;
            };
            generator.remove("template");
            let mut of_generator = serde_json::Map::new();
            if let Some(values) = generator.remove("values") {
                of_generator.insert("values".to_owned(), values);
            }
            if let Some(Value::Array(children)) = generator.remove("generators") {
                let (templates, kept) = children.iter().map(split).unzip::<_, _, Vec<_>, Vec<_>>();
                generator.insert("generators".to_owned(), Value::Array(templates));
                of_generator.insert("generators".to_owned(), Value::Array(kept));
            }
            if !of_generator.is_empty() {
                kept.insert(name.clone(), Value::Object(of_generator));
            }
        }
    }
    (templates, Value::Object(kept))
}

/// Puts together what [`split`] parted.
fn join(filled: Value, kept: Value) -> Value {
    match (filled, kept) {
        (Value::Object(mut filled), Value::Object(kept)) => {
            for (key, value) in kept {
                let there = filled.remove(&key).unwrap_or(Value::Null);
                filled.insert(key, join(there, value));
            }
            Value::Object(filled)
        }
        (Value::Array(filled), Value::Array(kept)) => filled
            .into_iter()
            .zip(kept)
            .map(|(one, other)| join(one, other))
            .collect(),
        (Value::Null, kept) => kept,
        (filled, _) => filled,
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

/// All values as texts, for templates without goTemplate. Null has none.
fn texts(flat: &ParamMap) -> ParamMap {
    flat.iter()
        .map(|(key, value)| {
            let text = value.text().map_or_else(|| value.clone(), Param::Text);
            (key.clone(), text)
        })
        .collect()
}

fn not_text(place: &str, value: &Param) -> Stop {
    Stop::from(Problem::parameters(
        place,
        format!(
            "it is {}, and without goTemplate: true every parameter is a text; put it in quotes",
            value.kind()
        ),
    ))
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
