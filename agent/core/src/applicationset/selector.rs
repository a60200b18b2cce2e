//! `selector` of a generator: which of its parameter sets count.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use serde_json::Value;

use super::param::ParamMap;

/// A selector that was read and checked.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Selector(LabelSelector);

impl Selector {
    /// Reads and checks a selector. Keys must be names of labels; values may be any text.
    /// Source: applicationset/utils/selector.go.
    pub(super) fn read(value: &Value) -> Result<Self, String> {
        let selector: LabelSelector = serde_json::from_value(value.clone())
            .map_err(|error| format!("it is no label selector: {error}"))?;
        for key in selector.match_labels.iter().flat_map(|map| map.keys()) {
            check_key(key)?;
        }
        for expression in selector.match_expressions.iter().flatten() {
            check_key(&expression.key)?;
            let has_values = expression
                .values
                .as_ref()
                .is_some_and(|all| !all.is_empty());
            match expression.operator.as_str() {
                "In" | "NotIn" if !has_values => {
                    return Err(format!(
                        "the operator {} of the key {} needs values",
                        expression.operator, expression.key
                    ));
                }
                "Exists" | "DoesNotExist" if has_values => {
                    return Err(format!(
                        "the operator {} of the key {} takes no values",
                        expression.operator, expression.key
                    ));
                }
                "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
                other => {
                    return Err(format!(
                        "the operator {other:?} of the key {} is not In, NotIn, Exists or \
                         DoesNotExist",
                        expression.key
                    ));
                }
            }
        }
        Ok(Self(selector))
    }

    /// Whether a set of flat parameters is selected. A parameter that is null does not exist.
    pub(super) fn selects(&self, flat: &ParamMap) -> bool {
        let text = |key: &str| flat.get(key).and_then(super::param::Param::text);
        let mut labels = self.0.match_labels.iter().flatten();
        labels.all(|(key, value)| text(key).as_ref() == Some(value))
            && self.0.match_expressions.iter().flatten().all(|expression| {
                let value = text(&expression.key);
                let listed = value.as_ref().is_some_and(|value| {
                    expression.values.iter().flatten().any(|one| one == value)
                });
                match expression.operator.as_str() {
                    "In" => listed,
                    "NotIn" => !listed,
                    "Exists" => value.is_some(),
                    _ => value.is_none(),
                }
            })
    }
}

fn check_key(key: &str) -> Result<(), String> {
    let (prefix, name) = key
        .split_once('/')
        .map_or((None, key), |(p, n)| (Some(p), n));
    let is_end = |c: char| c.is_ascii_alphanumeric();
    let name_is_good = !name.is_empty()
        && name.len() <= 63
        && name.starts_with(is_end)
        && name.ends_with(is_end)
        && name.chars().all(|c| is_end(c) || "-_.".contains(c));
    let prefix_is_good = prefix.is_none_or(|prefix| {
        prefix.len() <= 253
            && prefix.split('.').all(|part| {
                part.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                    && part.ends_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
                    && part
                        .chars()
                        .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            })
    });
    if name_is_good && prefix_is_good {
        return Ok(());
    }
    Err(format!(
        "the key {key:?} is no name of a label (at most 63 letters, digits, '-', '_' and '.', with at \
         most one '/'); parameters with other names cannot be selected by, give them a name of their \
         own under values"
    ))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::param::{Param, flatten};
    use super::*;

    #[test]
    fn selectors_are_checked_and_select() {
        let Param::Map(set) = Param::of(&json!({
            "env": "prod", "on": true, "nil": null, "n": 1_234_567,
            "metadata": {"labels": {"team.io/x": "core"}}
        })) else {
            panic!()
        };
        let flat = flatten(&set);
        let one = |key: &str, operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let cases = [
            (json!({}), Some(true)),
            (json!({"matchLabels": {"env": "prod"}}), Some(true)),
            (json!({"matchLabels": {"env": "dev"}}), Some(false)),
            (json!({"matchLabels": {"on": "true"}}), Some(true)),
            (json!({"matchLabels": {"n": "1234567"}}), Some(true)),
            (
                json!({"matchLabels": {"metadata.labels.team.io/x": "core"}}),
                Some(true),
            ),
            (one("nil", "Exists", &[]), Some(false)),
            (one("nil", "In", &["<nil>"]), Some(false)),
            (one("nope", "NotIn", &["x"]), Some(true)),
            (one("env", "NotIn", &["x"]), Some(true)),
            (one("env", "In", &[]), None),
            (one("env", "Exists", &["x"]), None),
            (one("env", "Like", &["x"]), None),
            (json!({"matchLabels": {"path[1]": "x"}}), None),
            (json!({"matchLabels": {"a/b/c": "x"}}), None),
        ];
        for (selector, expected) in cases {
            let selected = Selector::read(&selector).map(|s| s.selects(&flat)).ok();
            assert_eq!(selected, expected, "{selector}");
        }
    }
}
