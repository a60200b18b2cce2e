//! Which Application belongs to which step: the first that selects its labels.

use std::collections::BTreeMap;

use serde_json::Value;

/// `spec.strategy` of a set that rolls.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rolling {
    steps: Vec<Step>,
    /// The set's Applications are deleted step by step, those of the last one first, when it is deleted.
    pub is_deleted_in_reverse: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Step {
    expressions: Vec<Expression>,
    /// Most Applications that are changed at the same time, as it is written.
    max_update: Option<Value>,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Expression {
    key: String,
    operator: String,
    values: Vec<String>,
}

impl Expression {
    /// A label that is not there is in no list.
    fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        let is_in = value.is_some_and(|value| self.values.contains(value));
        match &*self.operator {
            "In" => is_in,
            "NotIn" => !is_in,
            _ => false,
        }
    }
}

impl Rolling {
    /// Reads `spec.strategy`; `None` when the set does not roll.
    pub fn read(strategy: &Value) -> Option<Self> {
        if !Self::is_meant(strategy) {
            return None;
        }
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let steps = list(&strategy["rollingSync"]["steps"]);
        let steps = steps.iter().map(|step| Step {
            expressions: list(&step["matchExpressions"])
                .iter()
                .map(|one| Expression {
                    key: text(&one["key"]),
                    operator: text(&one["operator"]),
                    values: list(&one["values"]).iter().map(text).collect(),
                })
                .collect(),
            max_update: Some(step["maxUpdate"].clone()).filter(|value| !value.is_null()),
        });
        let order = strategy["deletionOrder"].as_str();
        let order = order.or(strategy["rollingSync"]["deletionOrder"].as_str());
        Some(Self {
            steps: steps.collect(),
            is_deleted_in_reverse: order.is_some_and(|order| order.eq_ignore_ascii_case("reverse")),
        })
    }

    /// Whether `spec.strategy` says that the set rolls.
    pub fn is_meant(strategy: &Value) -> bool {
        strategy["type"] == "RollingSync"
    }

    /// How many steps there are.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The step of an Application with these labels; none when no step selects it.
    pub fn step_of(&self, labels: &BTreeMap<String, String>) -> Option<usize> {
        self.selecting(labels).next()
    }

    fn selecting<'a>(
        &'a self,
        labels: &'a BTreeMap<String, String>,
    ) -> impl Iterator<Item = usize> + 'a {
        let steps = self.steps.iter().enumerate();
        let selects = |step: &Step| step.expressions.iter().all(|one| one.selects(labels));
        steps
            .filter(move |(_, step)| selects(step))
            .map(|(index, _)| index)
    }

    /// How many of `count` Applications of a step may be changed at the same time. What is no number
    /// and no percentage limits nothing.
    /// Source: applicationset/progressivesync: percentages are rounded down, to 1 at least.
    pub(super) fn limit(&self, step: usize, count: usize) -> usize {
        let written = self
            .steps
            .get(step)
            .and_then(|step| step.max_update.as_ref());
        match written.map(read_limit) {
            Some(Some(Limit::Count(limit))) => limit,
            Some(Some(Limit::Percent(0))) => 0,
            Some(Some(Limit::Percent(percent))) => (count * percent / 100).max(1),
            Some(None) | None => usize::MAX,
        }
    }

    /// What is wrong with the steps, for the set's owner; `members` are the labels of its Applications by
    /// name.
    pub(super) fn issues(
        &self,
        members: &BTreeMap<&str, &BTreeMap<String, String>>,
    ) -> Vec<String> {
        let mut issues = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let number = index + 1;
            for one in &step.expressions {
                if !matches!(&*one.operator, "In" | "NotIn") {
                    issues.push(format!(
                        "step {number} selects nothing: {:?} is no operator here; write In or NotIn",
                        one.operator
                    ));
                }
            }
            if let Some(written) = &step.max_update
                && read_limit(written).is_none()
            {
                issues.push(format!(
                    "maxUpdate of step {number} is {written}, which is neither a number nor a percentage, and limits \
                     nothing"
                ));
            }
            let selects = |labels: &&&BTreeMap<String, String>| {
                step.expressions.iter().all(|one| one.selects(labels))
            };
            if !members.is_empty() && !members.values().any(|labels| selects(&labels)) {
                issues.push(format!("step {number} selects no Application"));
            }
        }
        for (name, labels) in members {
            let steps: Vec<String> = self
                .selecting(labels)
                .map(|index| (index + 1).to_string())
                .collect();
            match steps.as_slice() {
                [] => issues.push(format!(
                    "no step selects Application {name}, so it is never synced; give it a label that one selects"
                )),
                [_] => {}
                [first, more @ ..] => issues.push(format!(
                    "Application {name} is selected by step {first}, which counts, and by {}",
                    more.join(", ")
                )),
            }
        }
        issues
    }
}

enum Limit {
    Count(usize),
    Percent(usize),
}

fn read_limit(written: &Value) -> Option<Limit> {
    match written {
        Value::Number(number) => {
            let count = number.as_u64()?;
            usize::try_from(count).ok().map(Limit::Count)
        }
        Value::String(text) => match text.strip_suffix('%') {
            Some(percent) => percent.parse().ok().map(Limit::Percent),
            None => text.parse().ok().map(Limit::Count),
        },
        _ => None,
    }
}

/// Which Applications of a set that is deleted have their turn, those of the last step first; `steps` has
/// the step of each one that is still there. Those of no step go with the set.
pub fn deletion_turn(steps: &BTreeMap<String, Option<usize>>) -> Vec<String> {
    let Some(last) = steps.values().flatten().max() else {
        return Vec::new();
    };
    let turn = steps.iter().filter(|(_, step)| **step == Some(*last));
    turn.map(|(name, _)| name.clone()).collect()
}
