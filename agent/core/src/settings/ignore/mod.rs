//! `ignoreDifferences`: which fields of which objects do not count when Git and cluster are compared.
//!
//! Compiles the rules of an application and of the installation once, says which of them apply to
//! an object, takes the ignored fields out of it, and puts the live values of ignored fields into
//! what is applied. Never decides whether something differs: `drift` does.
//! Source: <https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/>.

pub(crate) mod installation;
mod jq;
mod pointer;
mod respect;

use std::fmt::Write as _;
use std::sync::Arc;

use gitops_api::sync_policy::ResourceIgnoreDifferences;
use serde_json::Value;

use self::jq::Expression;
use self::pointer::{Pointer, Step};
use crate::compare::path::Path;
use crate::glob::Glob;
use crate::live::ownership;
use crate::manifest::digest;
use crate::manifest::object::ObjectKey;

pub use self::respect::{respected, with_live_values};

/// Rules, compiled.
#[derive(Debug, Default)]
pub struct IgnoreRules {
    rules: Vec<Rule>,
    /// What admission would add counts as a difference for every object.
    pub include_mutations: bool,
}

#[derive(Debug)]
struct Rule {
    group: Glob,
    kind: Glob,
    namespace: String,
    name: String,
    fields: Arc<Fields>,
}

/// What one rule ignores.
#[derive(Debug)]
struct Fields {
    pointers: Vec<Pointer>,
    expressions: Vec<Expression>,
    managers: Vec<String>,
    fingerprint: String,
}

/// The rules that apply to one object.
#[derive(Clone, Debug)]
pub struct ObjectRules {
    fields: Vec<Arc<Fields>>,
    /// Digest of the rules: what was confirmed under others does not hold.
    pub fingerprint: String,
}

impl IgnoreRules {
    /// Compiles rules; `from` says where they are written. Whatever cannot be used is left out and
    /// explained, and the rest holds.
    pub fn compile(list: &[ResourceIgnoreDifferences], from: &str) -> (Self, Vec<String>) {
        let mut rules = Vec::with_capacity(list.len());
        let mut problems = Vec::new();
        for (index, rule) in list.iter().enumerate() {
            let mut problem = |field: &str, number: usize, text: &str, why: &str| {
                problems.push(format!(
                    "{from}[{index}].{field}[{number}] {text:?}: {why}; it is left out"
                ));
            };
            let mut pointers = Vec::new();
            for (number, text) in rule.json_pointers.iter().enumerate() {
                match Pointer::parse(text) {
                    Ok(pointer) => pointers.push(pointer),
                    Err(why) => problem("jsonPointers", number, text, &why),
                }
            }
            let mut expressions = Vec::new();
            for (number, text) in rule.jq_path_expressions.iter().enumerate() {
                match Expression::compile(text) {
                    Ok(expression) => expressions.push(expression),
                    Err(why) => problem("jqPathExpressions", number, text, &why),
                }
            }
            if rule.kind.is_empty() {
                problems.push(format!(
                    "{from}[{index}] names no kind and applies to nothing; write kind: \"*\" for all"
                ));
            }
            let mut glob = |field: &str, pattern: &str| {
                Glob::text(pattern)
                    .inspect_err(|error| {
                        problems.push(format!(
                            "{from}[{index}].{field} cannot be read: {error}; the rule is left out"
                        ));
                    })
                    .ok()
            };
            let (Some(group), Some(kind)) = (glob("group", &rule.group), glob("kind", &rule.kind))
            else {
                continue;
            };
            rules.push(Rule {
                group,
                kind,
                namespace: rule.namespace.clone(),
                name: rule.name.clone(),
                fields: Arc::new(Fields {
                    pointers,
                    expressions,
                    managers: rule.managed_fields_managers.clone(),
                    fingerprint: digest::of_value(&serde_json::json!([
                        rule.json_pointers,
                        rule.jq_path_expressions,
                        rule.managed_fields_managers,
                    ])),
                }),
            });
        }
        let rules = Self {
            rules,
            include_mutations: false,
        };
        (rules, problems)
    }

    /// Whether there is no rule.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// Adds the rules of others.
    pub fn extend(&mut self, others: Self) {
        self.rules.extend(others.rules);
    }

    /// The rules for an object; `None` when there are none. Group and kind are globs; name and
    /// namespace, where given, are exact.
    pub fn for_object(&self, key: &ObjectKey) -> Option<Arc<ObjectRules>> {
        let fields: Vec<_> = self
            .rules
            .iter()
            .filter(|rule| {
                // A group or kind too long to be compared is none that a rule could name.
                rule.group.matches(&key.group).unwrap_or(false)
                    && rule.kind.matches(&key.kind).unwrap_or(false)
                    && (rule.name.is_empty() || rule.name == key.name)
                    && (rule.namespace.is_empty() || rule.namespace == key.namespace)
            })
            .map(|rule| rule.fields.clone())
            .collect();
        if fields.is_empty() {
            return None;
        }
        let mut text = String::new();
        for field in &fields {
            let _ = write!(text, "{} ", field.fingerprint);
        }
        Some(Arc::new(ObjectRules {
            fields,
            fingerprint: digest::of_parts([text.as_bytes()]),
        }))
    }
}

impl ObjectRules {
    /// The object without the fields that pointers and expressions name.
    #[must_use]
    pub fn stripped(&self, object: &Value) -> Value {
        let mut rest = object.clone();
        pointer::remove_all(&mut rest, &self.paths(object));
        rest
    }

    /// Whether a field belongs to a manager whose fields are ignored.
    pub fn is_managed(&self, live: &Value, path: &Path) -> bool {
        self.fields
            .iter()
            .flat_map(|fields| &fields.managers)
            .any(|manager| ownership::holds(live, path, manager))
    }

    /// Expressions that cost too much on this object, and so name nothing in it.
    pub fn problems(&self, object: &Value) -> Vec<String> {
        self.expressions()
            .filter_map(|expression| expression.paths(object).err())
            .collect()
    }

    fn expressions(&self) -> impl Iterator<Item = &Expression> {
        self.fields.iter().flat_map(|fields| &fields.expressions)
    }

    /// Places in the object that are ignored, ordered, each once.
    fn paths(&self, object: &Value) -> Vec<Vec<Step>> {
        let pointers = self.fields.iter().flat_map(|fields| &fields.pointers);
        let mut paths: Vec<_> = pointers
            .filter_map(|pointer| pointer.path_in(object))
            .chain(
                self.expressions()
                    .flat_map(|expression| expression.paths(object).unwrap_or_default())
                    .filter_map(|path| pointer::existing(path, object)),
            )
            .collect();
        paths.sort();
        paths.dedup();
        paths
    }
}

#[cfg(test)]
mod tests;
