//! Reads the lines of a rule.

use super::{Case, Comparison, Judge, OneOf, Operand, Path, Rule, Test, Verdict, What};
use crate::live::health::HealthStatusCode;

impl Rule {
    /// Reads the indented lines below a head; an error names the line.
    pub(in crate::live::health) fn parse(
        lines: &[(usize, &'static str)],
        judge: impl Fn(&str) -> Option<Judge>,
    ) -> Result<Self, String> {
        let cases = lines.iter().map(|(number, line)| {
            case(line, &judge).map_err(|error| format!("line {number}: {error}"))
        });
        Ok(Self {
            cases: cases.collect::<Result<_, _>>()?,
        })
    }
}

impl OneOf {
    fn parse(texts: &'static str) -> Self {
        let (not, texts) = match texts.strip_prefix('!') {
            Some(texts) => (true, texts),
            None => (false, texts),
        };
        Self {
            not,
            texts: texts.split('|').collect(),
        }
    }
}

impl Operand {
    fn parse(word: &'static str) -> Self {
        word.parse()
            .map_or_else(|_| Self::Field(path(word)), Self::Number)
    }
}

pub(super) fn is_path(word: &str) -> bool {
    let first = word.split('.').next();
    matches!(first, Some("spec" | "status" | "metadata"))
}

/// `status.nodes[].ready` is status, nodes, every element, ready; `annotations[a.b/c]` is one name.
pub(super) fn steps(path: &str) -> impl Iterator<Item = &str> {
    let mut rest = path;
    std::iter::from_fn(move || {
        rest = rest.strip_prefix('.').unwrap_or(rest);
        if rest.is_empty() {
            return None;
        }
        if let Some(inside) = rest.strip_prefix('[') {
            let (name, after) = inside.split_once(']')?;
            rest = after;
            return Some(name);
        }
        let end = rest.find(['.', '[']).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        rest = after;
        Some(name)
    })
}

fn path(word: &'static str) -> Path {
    steps(word)
        .map(|step| Some(step).filter(|step| !step.is_empty()))
        .collect()
}

fn case(source: &'static str, judge: &impl Fn(&str) -> Option<Judge>) -> Result<Case, String> {
    let (source, message) = match source.split_once(" -> ") {
        Some((source, message)) => (source, Some(message.trim())),
        None => (source, None),
    };
    let mut words = split(source);
    let verdict = match words.next().unwrap_or_default() {
        "none" => Verdict::None,
        "by" => {
            let name = words.next().unwrap_or_default();
            Verdict::By(judge(name).ok_or_else(|| format!("no code is called {name:?}"))?)
        }
        word => match HealthStatusCode::from(word) {
            HealthStatusCode::Unknown if word != "Unknown" => {
                return Err(format!("{word:?} is no status"));
            }
            status => Verdict::Status(status),
        },
    };
    Ok(Case {
        verdict,
        tests: words.map(test).collect::<Result<_, _>>()?,
        message,
    })
}

/// Words; a quoted one may hold spaces.
fn split(source: &'static str) -> impl Iterator<Item = &'static str> {
    let mut rest = source;
    std::iter::from_fn(move || {
        rest = rest.trim_start();
        if rest.is_empty() {
            return None;
        }
        let mut quoted = false;
        let end = rest.find(|c: char| {
            quoted ^= c == '"';
            c.is_whitespace() && !quoted
        });
        let (word, after) = rest.split_at(end.unwrap_or(rest.len()));
        rest = after;
        Some(word)
    })
}

fn test(word: &'static str) -> Result<Test, String> {
    let (negated, word) = match word.strip_prefix('!') {
        Some(word) => (true, word),
        None => (false, word),
    };
    let numbers = |(left, right), comparison| {
        What::Numbers(Operand::parse(left), comparison, Operand::parse(right))
    };
    let what = if let Some(sides) = word.split_once("==") {
        numbers(sides, Comparison::Equal)
    } else if let Some(sides) = word.split_once('<') {
        numbers(sides, Comparison::Less)
    } else if is_path(word) {
        match word.split_once('=') {
            Some((field, values)) => {
                What::Value(path(field), OneOf::parse(values.trim_matches('"')))
            }
            None => What::Present(path(word)),
        }
    } else {
        let (kind, rest) = word.split_once('=').unwrap_or((word, "*"));
        let (rest, severity) = rest.split_once('@').unwrap_or((rest, "*"));
        let (status, reason) = rest.split_once('/').unwrap_or((rest, "*"));
        let known = ["True", "False", "Unknown", "*"];
        let status = OneOf::parse(status);
        if let Some(wrong) = status.texts.iter().find(|text| !known.contains(text)) {
            return Err(format!("{wrong:?} is no status of a condition"));
        }
        What::Condition {
            kind,
            status,
            reason: OneOf::parse(reason),
            severity: OneOf::parse(severity),
        }
    };
    Ok(Test { negated, what })
}
