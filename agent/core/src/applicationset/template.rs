//! Filling templates: every text of a value, keys of maps included, and nothing else.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::error::{Place, Problem, Step, Warning};
use super::fast;
use super::need::{Answer, Asker, Filled, Need, Outcome, Stop};
use super::param::{self, ParamMap};
use crate::nearest::nearest;

/// Which language templates are in.
#[derive(Clone, Debug)]
pub(super) struct Language {
    /// Go's, else fasttemplate.
    pub(super) go: bool,
    /// Options of Go's.
    pub(super) options: Vec<String>,
}

/// One text and where it stands.
struct Leaf<'a> {
    path: String,
    text: &'a str,
}

/// Fills templates with one set of parameters.
pub(super) struct Filler<'a> {
    pub(super) asker: &'a Asker<'a>,
    pub(super) language: &'a Language,
    pub(super) parameters: &'a ParamMap,
    pub(super) step: Step,
    /// Where the parameters come from.
    pub(super) place: Place,
    /// Names that cannot be one, because a parameter is missing.
    pub(super) broken: RefCell<Vec<String>>,
}

impl Filler<'_> {
    /// Fills every text of a value. `root` is the value's path in the set.
    pub(super) fn value(
        &self,
        value: &Value,
        root: &str,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Value> {
        let mut leaves = Vec::new();
        collect(value, root, &mut leaves);
        let texts = self.texts(&leaves, warnings)?;
        let mut filled = texts.into_iter();
        self.rebuild(value, root, &mut filled)
    }

    /// Fills one text.
    pub(super) fn text(
        &self,
        text: &str,
        path: &str,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<String> {
        let leaf = Leaf {
            path: path.to_owned(),
            text,
        };
        let texts = self.texts(&[leaf], warnings)?;
        Ok(texts.into_iter().next().unwrap_or_default())
    }

    /// Fills the `values` of a generator, each against the parameters and no other value.
    pub(super) fn values(
        &self,
        values: &BTreeMap<String, String>,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<BTreeMap<String, String>> {
        let leaves: Vec<Leaf<'_>> = values
            .iter()
            .map(|(key, text)| Leaf {
                path: format!("{}.values.{key}", self.place.generator),
                text,
            })
            .collect();
        let texts = self.texts(&leaves, warnings)?;
        Ok(values.keys().cloned().zip(texts).collect())
    }

    fn texts(&self, leaves: &[Leaf<'_>], warnings: &mut Vec<Warning>) -> Outcome<Vec<String>> {
        if self.language.go {
            self.go(leaves, warnings)
        } else {
            self.fast(leaves, warnings)
        }
    }

    fn go(&self, leaves: &[Leaf<'_>], warnings: &mut Vec<Warning>) -> Outcome<Vec<String>> {
        // Text without an action is what it is: the worker is asked for the others.
        let templates: Vec<&Leaf<'_>> = leaves
            .iter()
            .filter(|leaf| leaf.text.contains("{{"))
            .collect();
        if templates.is_empty() {
            return Ok(leaves.iter().map(|leaf| leaf.text.to_owned()).collect());
        }
        let need = Need::Templates {
            options: self.language.options.clone(),
            parameters: Arc::new(self.parameters.clone()),
            texts: templates.iter().map(|leaf| leaf.text.to_owned()).collect(),
        };
        let problem = |why: String| Problem {
            step: self.step,
            ..Problem::template(self.place.clone(), why)
        };
        let Answer::Filled(filled) = self.asker.ask(need, problem)? else {
            return Err(Stop::Waits);
        };
        let mut problems = Vec::new();
        let mut answers = filled.iter();
        let mut texts = Vec::new();
        for leaf in leaves {
            if !leaf.text.contains("{{") {
                texts.push(leaf.text.to_owned());
                continue;
            }
            let Some(filled) = answers.next() else {
                return Err(Stop::from(problem(
                    "the render worker gave too few answers".into(),
                )));
            };
            if !filled.error.is_empty() {
                problems.push(problem_at(self, leaf, self.why(leaf, filled)));
                continue;
            }
            if filled.text.contains("<no value>") && !filled.key.is_empty() {
                let why = self.why(leaf, filled);
                // A name can never hold that: it is a mistake and no wish.
                if leaf.path == "spec.template.metadata.name" {
                    self.broken
                        .borrow_mut()
                        .push(format!("{}: {why}", self.at(leaf)));
                }
                warnings.push(Warning {
                    place: self.at(leaf).to_string(),
                    message: format!("{why}; it became {:?}", shorten(&filled.text)),
                });
            }
            texts.push(filled.text.clone());
        }
        if problems.is_empty() {
            Ok(texts)
        } else {
            Err(Stop::Failed(problems))
        }
    }

    /// Why a template has no text, with the nearest parameter there is when one is missing.
    fn why(&self, leaf: &Leaf<'_>, filled: &Filled) -> String {
        if filled.key.is_empty() {
            return format!("{}: {}", shorten(leaf.text), shorten(&filled.error));
        }
        let asked = if filled.expression.is_empty() {
            format!(".{}", filled.key)
        } else {
            filled.expression.clone()
        };
        let advice = nearest_parameter(&asked, &filled.key, self.parameters);
        format!("{} has no parameter {asked}{advice}", shorten(leaf.text))
    }

    fn fast(&self, leaves: &[Leaf<'_>], warnings: &mut Vec<Warning>) -> Outcome<Vec<String>> {
        let mut problems = Vec::new();
        let mut texts = Vec::new();
        for leaf in leaves {
            match fast::fill(leaf.text, self.parameters) {
                Ok(filled) => {
                    for tag in &filled.unresolved {
                        let advice = nearest(tag, self.parameters.keys().map(String::as_str));
                        let advice = advice
                            .map_or_else(String::new, |name| format!("; did you mean {name}?"));
                        let what = match self.parameters.get(tag) {
                            Some(value) => format!("{tag} is {} and no text", value.kind()),
                            None => format!("no parameter {tag} is there{advice}"),
                        };
                        warnings.push(Warning {
                            place: self.at(leaf).to_string(),
                            message: format!("{{{{{tag}}}}} stays as it is: {what}"),
                        });
                    }
                    texts.push(filled.text);
                }
                Err(unclosed) => problems.push(problem_at(
                    self,
                    leaf,
                    format!("{{{{{} is not closed by }}}}", unclosed.rest),
                )),
            }
        }
        if problems.is_empty() {
            Ok(texts)
        } else {
            Err(Stop::Failed(problems))
        }
    }

    fn at(&self, leaf: &Leaf<'_>) -> Place {
        Place {
            field: leaf.path.clone(),
            ..self.place.clone()
        }
    }

    fn rebuild(
        &self,
        value: &Value,
        path: &str,
        filled: &mut impl Iterator<Item = String>,
    ) -> Outcome<Value> {
        Ok(match value {
            Value::String(_) => Value::String(filled.next().unwrap_or_default()),
            Value::Array(items) => {
                let mut all = Vec::new();
                for (index, item) in items.iter().enumerate() {
                    all.push(self.rebuild(item, &format!("{path}[{index}]"), filled)?);
                }
                Value::Array(all)
            }
            Value::Object(map) => {
                let mut all = Map::new();
                let mut from: BTreeMap<String, &str> = BTreeMap::new();
                for (key, item) in map {
                    let name = filled.next().unwrap_or_default();
                    let item = self.rebuild(item, &join(path, key), filled)?;
                    if let Some(other) = from.insert(name.clone(), key) {
                        return Err(Stop::from(Problem {
                            step: self.step,
                            ..Problem::template(
                                Place {
                                    field: path.to_owned(),
                                    ..self.place.clone()
                                },
                                format!("the keys {other:?} and {key:?} both become {name:?}"),
                            )
                        }));
                    }
                    all.insert(name, item);
                }
                Value::Object(all)
            }
            other => other.clone(),
        })
    }
}

fn problem_at(filler: &Filler<'_>, leaf: &Leaf<'_>, message: String) -> Problem {
    Problem {
        step: filler.step,
        ..Problem::template(filler.at(leaf), message)
    }
}

fn collect<'a>(value: &'a Value, path: &str, leaves: &mut Vec<Leaf<'a>>) {
    match value {
        Value::String(text) => leaves.push(Leaf {
            path: path.to_owned(),
            text,
        }),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                collect(item, &format!("{path}[{index}]"), leaves);
            }
        }
        Value::Object(map) => {
            for (key, item) in map {
                let path = join(path, key);
                leaves.push(Leaf {
                    path: format!("{path} (its key)"),
                    text: key,
                });
                collect(item, &path, leaves);
            }
        }
        _ => {}
    }
}

fn join(path: &str, key: &str) -> String {
    if key.contains(['.', '/']) {
        format!("{path}[{key:?}]")
    } else {
        format!("{path}.{key}")
    }
}

fn shorten(text: &str) -> String {
    let line = text.lines().next().unwrap_or_default();
    let mut short: String = line.chars().take(160).collect();
    if short.len() < text.trim_end().len() {
        short.push('…');
    }
    short
}

/// `; did you mean …` with the parameter that was probably meant: one whose last part is the same, or
/// the one most alike; else all there are.
fn nearest_parameter(asked: &str, key: &str, parameters: &ParamMap) -> String {
    let mut flat: Vec<String> = param::flatten(parameters)
        .into_keys()
        .map(|name| format!(".{name}"))
        .collect();
    flat.extend(parameters.keys().map(|name| format!(".{name}")));
    flat.sort();
    flat.dedup();
    let last = asked.rsplit('.').next().unwrap_or(asked);
    let same_end = |name: &&String| name.rsplit('.').next() == Some(last);
    let found = flat
        .iter()
        .filter(same_end)
        .min_by_key(|name| name.len())
        .map(String::as_str)
        .or_else(|| nearest(asked, flat.iter().map(String::as_str)))
        .or_else(|| nearest(&format!(".{key}"), flat.iter().map(String::as_str)));
    match found {
        Some(name) => format!("; did you mean {name}?"),
        None if flat.is_empty() => "; the element has no parameters".into(),
        None => {
            let most = 12;
            let more = if flat.len() > most { ", …" } else { "" };
            let known: Vec<&str> = flat.iter().take(most).map(String::as_str).collect();
            format!("; there are {}{more}", known.join(", "))
        }
    }
}
