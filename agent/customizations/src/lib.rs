//! Users' own health rules: what argocd-cm says under `resource.customizations`, in Lua as Argo CD
//! runs it, and in CEL.
//!
//! Decides which rule is for an object and runs it, bounded in work and memory, with nothing but
//! the object to see. Reads no ConfigMap and asks no server; deletion, built-in rules and what the
//! health of an application is are `gitops_core::live::health`'s.

mod expression;
mod keys;
mod lua;

use std::{
    collections::BTreeMap,
    fmt,
    sync::atomic::{AtomicU32, Ordering},
};

use gitops_api::HealthStatusCode;
use gitops_core::glob::Glob;
use gitops_core::live::health::{Customized, Health};
use gitops_core::manifest::object::{GroupKind, GroupVersionKind};
use serde_json::Value;

use self::keys::{Language, Written};

/// After so many runs in a row that ran into a limit a rule is not run again.
const MAX_LIMITS_REACHED: u32 = 10;

/// The health rules of an installation.
#[derive(Debug, Default)]
pub struct Customizations {
    /// By `<group>/<Kind>`, or `<Kind>` in the core group.
    exact: BTreeMap<String, Rule>,
    /// Patterns of the same, the most specific first.
    patterns: Vec<(Glob, Rule)>,
}

/// A rule that cannot be used, or only in part.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("argocd-cm key {key}: {problem}")]
pub struct Warning {
    /// The key.
    pub key: String,
    /// What is wrong.
    pub problem: String,
}

/// Why a rule gave no verdict.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct RuleError {
    /// The key of argocd-cm that holds the rule.
    pub key: String,
    /// The line in the rule, where known.
    pub line: Option<usize>,
    /// What went wrong.
    pub problem: String,
}

impl fmt::Display for RuleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "health rule of argocd-cm, key {}", self.key)?;
        if let Some(line) = self.line {
            write!(f, ", line {line}")?;
        }
        write!(f, ": {}", self.problem)
    }
}

/// What a rule says, before it is checked.
#[derive(Debug, Default)]
struct Answer {
    status: String,
    message: String,
}

/// What went wrong in a rule.
#[derive(Clone, Debug)]
struct Cause {
    line: Option<usize>,
    problem: String,
    is_limit: bool,
}

impl Cause {
    fn new(line: Option<usize>, problem: impl Into<String>) -> Self {
        Self {
            line,
            problem: problem.into(),
            is_limit: false,
        }
    }

    fn limit(line: Option<usize>, problem: impl Into<String>) -> Self {
        Self {
            is_limit: true,
            ..Self::new(line, problem)
        }
    }
}

#[derive(Debug)]
struct Rule {
    written: Written,
    code: Result<Code, Cause>,
    /// Runs in a row that ran into a limit.
    limits_reached: AtomicU32,
}

#[derive(Debug)]
enum Code {
    /// As written: compiling it takes less than a state to run it in.
    Lua,
    Cel(expression::Expression),
}

impl Customizations {
    /// Compiles the rules among the keys of argocd-cm; other keys are passed over. A rule that
    /// does not compile is told here, and makes the objects it is for Unknown.
    pub fn new(data: &BTreeMap<String, String>) -> (Self, Vec<Warning>) {
        let (written, problems) = keys::find(data, |text| {
            serde_saphyr::from_str(text).map_err(|error| error.to_string())
        });
        let mut warnings: Vec<_> = problems
            .into_iter()
            .map(|(key, problem)| Warning { key, problem })
            .collect();
        let mut all = Self::default();
        let mut patterns = Vec::new();
        for (kind, written) in written {
            let rule = Rule::compile(written);
            if let Err(cause) = &rule.code {
                let line = cause.line.map(|line| format!("line {line}: "));
                warnings.push(Warning {
                    key: rule.written.key.clone(),
                    problem: line.unwrap_or_default() + &cause.problem,
                });
            }
            if kind.contains(['*', '?', '[', '{']) {
                match Glob::text(&kind) {
                    Ok(glob) => patterns.push((kind, glob, rule)),
                    Err(error) => warnings.push(Warning {
                        key: rule.written.key.clone(),
                        problem: format!(
                            "the pattern of its kinds cannot be read: {error}; the rule is left out"
                        ),
                    }),
                }
            } else {
                all.exact.insert(kind, rule);
            }
        }
        // Argo CD takes any of several; the one that says most is the one that is meant.
        patterns.sort_by_key(|(pattern, ..)| {
            let literal = pattern.chars().filter(|c| !"*?[]{}".contains(*c)).count();
            (usize::MAX - literal, pattern.clone())
        });
        let compiled = patterns.into_iter().map(|(_, glob, rule)| (glob, rule));
        all.patterns = compiled.collect();
        (all, warnings)
    }

    /// Whether there are no rules at all.
    pub fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.patterns.is_empty()
    }

    /// Whether these rules and others judge objects of a kind by the same rule.
    pub fn agrees_with(&self, other: &Self, kind: &GroupKind) -> bool {
        let written = |rules: &Self| {
            let rule = rules.rule(&kind.group, &kind.kind)?;
            Some(rule.written.clone())
        };
        written(self) == written(other)
    }

    /// What the rule for an object's kind says. `None`: there is no rule. `Ok(None)`: the rule
    /// gives no status, so the object has no health and does not count.
    pub fn health(&self, object: &Value) -> Option<Result<Option<Health>, RuleError>> {
        if self.is_empty() {
            return None;
        }
        let gvk = GroupVersionKind::of(object)?;
        let rule = self.rule(&gvk.group, &gvk.kind)?;
        Some(
            rule.run(object)
                .and_then(verdict)
                .map_err(|cause| RuleError {
                    key: rule.written.key.clone(),
                    line: cause.line,
                    problem: cause.problem,
                }),
        )
    }

    /// As [`health`](Self::health), for `gitops_core::live::health::assess_with`: an error makes
    /// the object Unknown, with what went wrong as message (Argo CD, `GetResourceHealth`).
    pub fn judge(&self, object: &Value) -> Customized {
        match self.health(object) {
            None => Customized::NoRule,
            Some(Ok(None)) => Customized::NoHealth,
            Some(Ok(Some(health))) => Customized::Health(health),
            Some(Err(error)) => {
                Customized::Health(Health::new(HealthStatusCode::Unknown, error.to_string()))
            }
        }
    }

    fn rule(&self, group: &str, kind: &str) -> Option<&Rule> {
        let name = if group.is_empty() {
            kind.to_owned()
        } else {
            format!("{group}/{kind}")
        };
        self.exact.get(&name).or_else(|| {
            self.patterns
                .iter()
                .find(|(pattern, _)| pattern.matches(&name).unwrap_or(false))
                .map(|(_, rule)| rule)
        })
    }
}

impl Rule {
    fn compile(written: Written) -> Self {
        let code = match written.language {
            Language::Lua => lua::check(&written.text).map(|()| Code::Lua),
            Language::Cel => expression::compile(&written.text).map(Code::Cel),
        };
        Self {
            written,
            code,
            limits_reached: AtomicU32::new(0),
        }
    }

    fn run(&self, object: &Value) -> Result<Answer, Cause> {
        let code = self.code.as_ref().map_err(Clone::clone)?;
        if self.limits_reached.load(Ordering::Relaxed) >= MAX_LIMITS_REACHED {
            return Err(Cause::limit(
                None,
                format!(
                    "it ran into its limits {MAX_LIMITS_REACHED} times in a row and is not run \
                     again until argocd-cm changes"
                ),
            ));
        }
        let outcome = match code {
            Code::Lua => lua::run(&self.written.text, object),
            Code::Cel(expression) => expression.run(object),
        };
        match &outcome {
            Err(cause) if cause.is_limit => {
                self.limits_reached.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.limits_reached.store(0, Ordering::Relaxed),
        }
        outcome
    }
}

/// A status that is none of Argo CD's is an error of the rule.
fn verdict(answer: Answer) -> Result<Option<Health>, Cause> {
    let status = match answer.status.as_str() {
        "" => return Ok(None),
        "Healthy" => HealthStatusCode::Healthy,
        "Suspended" => HealthStatusCode::Suspended,
        "Progressing" => HealthStatusCode::Progressing,
        "Missing" => HealthStatusCode::Missing,
        "Degraded" => HealthStatusCode::Degraded,
        "Unknown" => HealthStatusCode::Unknown,
        other => {
            let shown: String = other.chars().take(40).collect();
            return Err(Cause::new(
                None,
                format!(
                    "\"{shown}\" is no health status: Healthy, Suspended, Progressing, Missing, \
                     Degraded or Unknown"
                ),
            ));
        }
    };
    Ok(Some(Health::new(status, answer.message)))
}

#[cfg(test)]
mod tests;
