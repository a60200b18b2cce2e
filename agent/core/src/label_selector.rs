//! Which labels a label selector selects.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;

/// An expression of a selector that nobody can evaluate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "label selector: operator \"{operator}\" of key \"{key}\" is not In, NotIn, Exists or DoesNotExist"
)]
pub struct UnknownOperator {
    /// The label.
    pub key: String,
    /// What is written where the operator belongs.
    pub operator: String,
}

/// Whether a selector selects an object with these labels. An empty one selects everything.
///
/// Source: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/>; `NotIn`
/// also selects objects without the label.
///
/// # Errors
/// When an expression has an operator Kubernetes does not know.
pub fn selects(
    selector: &LabelSelector,
    labels: &BTreeMap<String, String>,
) -> Result<bool, UnknownOperator> {
    let all_equal = selector
        .match_labels
        .iter()
        .flatten()
        .all(|(key, value)| labels.get(key) == Some(value));
    let mut selected = all_equal;
    for expression in selector.match_expressions.iter().flatten() {
        let value = labels.get(&expression.key);
        let listed = || {
            value.is_some_and(|value| {
                let mut values = expression.values.iter().flatten();
                values.any(|listed| listed == value)
            })
        };
        selected &= match expression.operator.as_str() {
            "In" => listed(),
            "NotIn" => !listed(),
            "Exists" => value.is_some(),
            "DoesNotExist" => value.is_none(),
            operator => {
                return Err(UnknownOperator {
                    key: expression.key.clone(),
                    operator: operator.into(),
                });
            }
        };
    }
    Ok(selected)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn selectors_select_as_kubernetes_does() {
        let labels = BTreeMap::from([("env".to_owned(), "prod".to_owned())]);
        let expression = |operator: &str, values: &[&str]| json!({"matchExpressions": [{"key": "env", "operator": operator, "values": values}]});
        let cases: [(Value, bool); 9] = [
            (json!({}), true),
            (json!({"matchLabels": {"env": "prod"}}), true),
            (
                json!({"matchLabels": {"env": "prod", "tier": "web"}}),
                false,
            ),
            (expression("In", &["dev", "prod"]), true),
            (expression("NotIn", &["prod"]), false),
            (expression("Exists", &[]), true),
            (expression("DoesNotExist", &[]), false),
            (
                json!({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["web"]}]}),
                true,
            ),
            (
                json!({"matchExpressions": [{"key": "tier", "operator": "DoesNotExist"}]}),
                true,
            ),
        ];
        for (selector, expected) in cases {
            let parsed: LabelSelector = serde_json::from_value(selector.clone()).unwrap();
            assert_eq!(selects(&parsed, &labels), Ok(expected), "{selector}");
        }
        let odd: LabelSelector = serde_json::from_value(expression("Like", &["p"])).unwrap();
        assert!(selects(&odd, &labels).is_err());
    }
}
