//! matrix and merge: sets of parameters from those of other generators.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::error::{Place, Problem, Step, Warning};
use super::generators::Context;
use super::need::{Outcome, Stop, all};
use super::param::{self, Param, ParamMap};
use super::spec::{Generator, Kind, read_entry};
use super::template::Filler;

/// How deep matrix and merge may be nested: one in the other, and no further.
const MAX_NESTING: usize = 1;

impl Context<'_> {
    /// The one generator of an entry of matrix or merge.
    fn child(entry: &Value, path: &str, depth: usize) -> Result<Generator, Problem> {
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

    pub(super) fn matrix(
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
        let first = Self::child(first, &first_path, depth)?;
        // What is wrong with it without any parameters is told even when the first gives nothing.
        Self::child(second, &second_path, depth)?;
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
            let value = filler.value(&templates, second_path, &mut unresolved)?;
            warnings.extend(unresolved);
            join(value, kept)
        };
        let generator = Self::child(&filled, second_path, depth)?;
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

    pub(super) fn merge(
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
            let child = Self::child(child, &child_path, depth)?;
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
