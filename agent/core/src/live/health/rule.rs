//! The language of the table of rules: judges one object by one rule.
//!
//! Knows no kind; `custom_resources.rules` says what each means.

mod read;
#[cfg(test)]
mod tests;

use serde_json::Value;

use self::read::{is_path, steps};
use super::{Health, HealthStatusCode, number, status_conditions, text};

/// Judges an object by code, for the few kinds that no lines describe.
pub(super) type Judge = fn(&Value) -> Option<Health>;

/// How one kind is judged: the first case all of whose tests hold.
#[derive(Debug)]
pub(super) struct Rule {
    cases: Vec<Case>,
}

/// One line of a rule.
#[derive(Debug)]
pub(super) struct Case {
    verdict: Verdict,
    tests: Vec<Test>,
    /// `{path}`, `{Condition}` and `{kind}` in it are filled in.
    message: Option<&'static str>,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Status(HealthStatusCode),
    /// The kind has no health.
    None,
    By(Judge),
}

#[derive(Debug)]
struct Test {
    negated: bool,
    what: What,
}

#[derive(Debug)]
enum What {
    /// A condition of a type, status, reason and severity is there.
    Condition {
        kind: &'static str,
        status: OneOf,
        reason: OneOf,
        severity: OneOf,
    },
    /// A field is there and says something: not null, false or empty.
    Present(Path),
    /// A field has one of the values.
    Value(Path, OneOf),
    /// Two numbers, or, when they are to be equal, two texts; a field that is not there is 0.
    Numbers(Operand, Comparison, Operand),
}

/// Texts, each with `*` at its start or end for anything; none of them: anything at all.
#[derive(Debug, Default)]
struct OneOf {
    not: bool,
    texts: Vec<&'static str>,
}

/// Segments of a path; `None` is every element of a list or every value of an object.
type Path = Vec<Option<&'static str>>;

#[derive(Debug)]
enum Operand {
    Field(Path),
    Number(i64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Less,
}

impl Rule {
    /// The verdict on an object, and the case that gave it.
    ///
    /// A verdict on an earlier generation is none: while the controller has not seen the latest
    /// change, by `status.observedGeneration` or by that of the deciding condition, the object is
    /// Progressing. Only Suspended stays: a controller told to do nothing observes nothing.
    pub(super) fn judge(&self, object: &Value) -> (Option<Health>, Option<&Case>) {
        let decided = self.cases.iter().find_map(|case| {
            let mut deciding = None;
            let holds = case
                .tests
                .iter()
                .all(|test| test.holds(object, &mut deciding));
            holds.then_some((case, deciding))
        });
        let Some((case, deciding)) = decided else {
            return (None, None);
        };
        let health = match case.verdict {
            Verdict::None if is_unobserved(object, None) => Some(not_observed()),
            Verdict::None => None,
            Verdict::By(judge) => judge(object),
            Verdict::Status(HealthStatusCode::Suspended) => {
                Some(Health::suspended(case.message(object, deciding)))
            }
            Verdict::Status(_) if is_unobserved(object, deciding) => Some(not_observed()),
            Verdict::Status(status) => Some(Health::new(status, case.message(object, deciding))),
        };
        (health, Some(case))
    }

    #[cfg(test)]
    pub(super) fn cases(&self) -> &[Case] {
        &self.cases
    }
}

fn not_observed() -> Health {
    Health::progressing("Waiting for the controller to see the latest change")
}

fn is_unobserved(object: &Value, deciding: Option<&Value>) -> bool {
    let Some(generation) = object["metadata"]["generation"].as_i64() else {
        return false;
    };
    let behind = |observed: &Value| {
        observed
            .as_i64()
            .is_some_and(|observed| observed < generation)
    };
    behind(&object["status"]["observedGeneration"])
        || deciding.is_some_and(|condition| behind(&condition["observedGeneration"]))
}

impl Case {
    fn message(&self, object: &Value, deciding: Option<&Value>) -> String {
        if let Some(template) = self.message {
            return fill(template, object);
        }
        if let Some(condition) = deciding {
            return words(condition).to_owned();
        }
        let mut said = self.tests.iter().filter(|test| !test.negated);
        let said = said.find_map(|test| test.what.said(object));
        match (said, self.verdict) {
            (Some(said), _) => said,
            (None, Verdict::Status(HealthStatusCode::Progressing)) => {
                format!("Waiting for {}", text(&object["kind"]))
            }
            _ => String::new(),
        }
    }
}

/// What a condition says for people: its message, or else its reason.
fn words(condition: &Value) -> &str {
    match text(&condition["message"]) {
        "" => text(&condition["reason"]),
        message => message,
    }
}

fn fill(template: &str, object: &Value) -> String {
    let mut filled = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('{') {
        let Some((name, after)) = after.split_once('}') else {
            break;
        };
        filled.push_str(before);
        filled.push_str(&named(name, object));
        rest = after;
    }
    filled.push_str(rest);
    filled.trim().to_owned()
}

fn named(name: &str, object: &Value) -> String {
    if name == "kind" || is_path(name) {
        let values = steps(name).map(|step| match step {
            "" => None,
            name => Some(name),
        });
        let values: Vec<Option<&str>> = values.collect();
        return fields(object, &values)
            .first()
            .map(|value| plain(value))
            .unwrap_or_default();
    }
    let condition = status_conditions(object)
        .iter()
        .find(|condition| condition["type"] == name);
    condition.map(words).unwrap_or_default().to_owned()
}

/// A value as people write it.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        Value::Array(all) => {
            let all: Vec<String> = all.iter().map(plain).collect();
            all.join(", ")
        }
        other => other.to_string(),
    }
}

impl Test {
    fn holds<'a>(&self, object: &'a Value, deciding: &mut Option<&'a Value>) -> bool {
        let holds = match &self.what {
            What::Condition {
                kind,
                status,
                reason,
                severity,
            } => {
                let found = status_conditions(object).iter().find(|condition| {
                    matches(kind, text(&condition["type"]))
                        && status.holds(truth(&condition["status"]))
                        && reason.holds(text(&condition["reason"]))
                        && severity.holds(text(&condition["severity"]))
                });
                if !self.negated && deciding.is_none() {
                    *deciding = found;
                }
                found.is_some()
            }
            What::Present(path) => fields(object, path).iter().any(|value| says(value)),
            What::Value(path, values) => fields(object, path)
                .iter()
                .any(|value| !value.is_null() && values.holds(&plain(value))),
            What::Numbers(left, comparison, right) => match comparison {
                Comparison::Equal => match (left.text(object), right.text(object)) {
                    (None, None) => left.number(object) == right.number(object),
                    (left, right) => left == right,
                },
                Comparison::Less => left.number(object) < right.number(object),
            },
        };
        holds != self.negated
    }
}

impl What {
    /// The field's value that made it hold, for people.
    fn said(&self, object: &Value) -> Option<String> {
        match self {
            Self::Value(path, values) => fields(object, path)
                .into_iter()
                .map(plain)
                .find(|value| values.holds(value)),
            Self::Present(path) => fields(object, path)
                .into_iter()
                .find(|value| value.is_string() && says(value))
                .map(plain),
            Self::Condition { .. } | Self::Numbers(..) => None,
        }
    }
}

impl OneOf {
    fn holds(&self, found: &str) -> bool {
        self.texts.is_empty() || self.texts.iter().any(|text| matches(text, found)) != self.not
    }
}

impl Operand {
    fn number(&self, object: &Value) -> i64 {
        match self {
            Self::Number(number) => *number,
            Self::Field(path) => {
                let numbers = fields(object, path).into_iter().map(number);
                numbers.fold(0, i64::saturating_add)
            }
        }
    }

    fn text<'a>(&self, object: &'a Value) -> Option<&'a str> {
        match self {
            Self::Number(_) => None,
            Self::Field(path) => fields(object, path).first()?.as_str(),
        }
    }
}

/// The status of a condition; some write `true` for `"True"`.
fn truth(status: &Value) -> &str {
    match status {
        Value::Bool(true) => "True",
        Value::Bool(false) => "False",
        other => text(other),
    }
}

fn matches(pattern: &str, text: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(end), _) => text.ends_with(end),
        (_, Some(start)) => text.starts_with(start),
        _ => pattern == text,
    }
}

fn says(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(all) => !all.is_empty(),
        Value::Object(all) => !all.is_empty(),
        _ => true,
    }
}

fn fields<'a>(object: &'a Value, path: &[Option<&str>]) -> Vec<&'a Value> {
    path.iter().fold(vec![object], |found, step| {
        let next = found.into_iter().flat_map(|value| -> Vec<&Value> {
            match (step, value) {
                (Some(name), value) => value.get(name).into_iter().collect(),
                (None, Value::Array(all)) => all.iter().collect(),
                (None, Value::Object(all)) => all.values().collect(),
                (None, _) => Vec::new(),
            }
        });
        next.collect()
    })
}
