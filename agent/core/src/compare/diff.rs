//! Differences between two whole objects, field by field.
//!
//! Compares values only; what to ignore and whom to blame is decided by callers.

use serde_json::Value;

use crate::compare::path::{Path, Segment};
use crate::manifest::order;

/// Keys by which Kubernetes merges lists of objects, most telling first.
/// Source: the `x-kubernetes-list-map-keys` of the built-in kinds.
const MERGE_KEYS: [&str; 11] = [
    "name",
    "containerPort",
    "port",
    "mountPath",
    "devicePath",
    "ip",
    "type",
    "key",
    "topologyKey",
    "uid",
    "hostname",
];

/// One field that differs; `None` means the field is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldChange {
    /// Where in the object.
    pub path: Path,
    /// Value on the left side.
    pub left: Option<Value>,
    /// Value on the right side.
    pub right: Option<Value>,
}

/// Every field in which `left` and `right` differ, at the deepest level that names the change.
pub fn fields(left: &Value, right: &Value) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    compare(&Path::default(), Some(left), Some(right), &mut changes);
    changes
}

fn compare(path: &Path, left: Option<&Value>, right: Option<&Value>, out: &mut Vec<FieldChange>) {
    match (left, right) {
        (a, b) if a == b => {}
        (Some(Value::Object(a)), Some(Value::Object(b))) => {
            for (name, value) in a {
                compare(
                    &path.child(Segment::Field(name.clone())),
                    Some(value),
                    b.get(name),
                    out,
                );
            }
            for (name, value) in b.iter().filter(|(name, _)| !a.contains_key(*name)) {
                compare(
                    &path.child(Segment::Field(name.clone())),
                    None,
                    Some(value),
                    out,
                );
            }
        }
        (Some(Value::Array(a)), Some(Value::Array(b))) => compare_lists(path, a, b, out),
        (left, right) => out.push(FieldChange {
            path: path.clone(),
            left: left.cloned(),
            right: right.cloned(),
        }),
    }
}

fn compare_lists(path: &Path, a: &[Value], b: &[Value], out: &mut Vec<FieldChange>) {
    if let Some(key) = merge_key(a, b) {
        let find =
            |list: &'_ [Value], id: &Value| list.iter().position(|item| item.get(key) == Some(id));
        for item in a {
            let id = &item[key];
            let child = path.child(Segment::Key(key.into(), id.clone()));
            compare(&child, Some(item), find(b, id).map(|i| &b[i]), out);
        }
        for item in b.iter().filter(|item| find(a, &item[key]).is_none()) {
            let child = path.child(Segment::Key(key.into(), item[key].clone()));
            compare(&child, None, Some(item), out);
        }
        // Equal elements in another order are still a change, for example of init containers.
        let order = |list: &[Value]| {
            list.iter()
                .map(|item| item[key].clone())
                .collect::<Vec<_>>()
        };
        if a.len() == b.len()
            && order(a) != order(b)
            && a.iter().all(|item| b.contains(item))
            && has_an_order(path, a)
        {
            out.push(FieldChange {
                path: path.clone(),
                left: Some(order(a).into()),
                right: Some(order(b).into()),
            });
        }
        return;
    }
    if a.iter()
        .chain(b)
        .all(|item| !item.is_object() && !item.is_array())
    {
        out.push(FieldChange {
            path: path.clone(),
            left: Some(a.to_vec().into()),
            right: Some(b.to_vec().into()),
        });
        return;
    }
    for index in 0..a.len().max(b.len()) {
        compare(
            &path.child(Segment::Index(index)),
            a.get(index),
            b.get(index),
            out,
        );
    }
}

/// Whether the place in a list may mean something: everywhere but in lists known to be sets.
fn has_an_order(path: &Path, items: &[Value]) -> bool {
    let Some(Segment::Field(name)) = path.segments().last() else {
        return true;
    };
    let in_container = path.segments().iter().any(|segment| {
        matches!(segment, Segment::Field(name) if name == "containers" || name == "initContainers")
    });
    match name.as_str() {
        "env" if in_container => order::refers_to_itself(items),
        "ports" => !in_container && !path.starts_with(&["spec", "ports"]),
        "volumeMounts" | "volumeDevices" => !in_container,
        "volumes" | "imagePullSecrets" | "hostAliases" => false,
        _ => true,
    }
}

/// The first merge key that every element of both lists has, with a value of its own.
pub(crate) fn merge_key(a: &[Value], b: &[Value]) -> Option<&'static str> {
    MERGE_KEYS.into_iter().find(|key| {
        [a, b].into_iter().all(|list| {
            list.iter().enumerate().all(|(index, item)| {
                item.get(key).is_some_and(|id| {
                    !id.is_object() && list[..index].iter().all(|other| other.get(key) != Some(id))
                })
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn texts(left: &Value, right: &Value) -> Vec<String> {
        let show = |v: &Option<Value>| v.as_ref().map_or("-".into(), Value::to_string);
        fields(left, right)
            .iter()
            .map(|c| format!("{} {} {}", c.path, show(&c.left), show(&c.right)))
            .collect()
    }

    #[test]
    fn changes_are_named_at_the_deepest_level() {
        let cases = [
            (
                json!({"spec":{"replicas":3}}),
                json!({"spec":{"replicas":5}}),
                vec![".spec.replicas 3 5"],
            ),
            (
                json!({"a":1}),
                json!({"a":1,"b":{"c":2}}),
                vec![r#".b - {"c":2}"#],
            ),
            (
                json!({"c":[{"name":"a","image":"x:1"},{"name":"b"}]}),
                json!({"c":[{"name":"b"},{"name":"a","image":"x:2"}]}),
                vec![r#".c[name=a].image "x:1" "x:2""#],
            ),
            (
                json!({"c":[{"name":"a"}]}),
                json!({"c":[]}),
                vec![r#".c[name=a] {"name":"a"} -"#],
            ),
            (
                json!({"args":["a","b"]}),
                json!({"args":["a"]}),
                vec![r#".args ["a","b"] ["a"]"#],
            ),
            (
                json!({"r":[{"verbs":["get"]},{"verbs":["list"]}]}),
                json!({"r":[{"verbs":["get"]},{"verbs":["watch"]}]}),
                vec![r#".r[1].verbs ["list"] ["watch"]"#],
            ),
            (
                json!({"i":[{"name":"a"},{"name":"b"}]}),
                json!({"i":[{"name":"b"},{"name":"a"}]}),
                vec![r#".i ["a","b"] ["b","a"]"#],
            ),
            (
                json!({"p":[{"port":53,"protocol":"TCP"},{"port":53,"protocol":"UDP"}]}),
                json!({"p":[{"port":53,"protocol":"TCP"},{"port":54,"protocol":"UDP"}]}),
                vec![".p[1].port 53 54"],
            ),
            (json!({"a":1}), json!({"a":1}), vec![]),
        ];
        for (left, right, expected) in cases {
            assert_eq!(texts(&left, &right), expected, "{left} {right}");
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            any::<bool>().prop_map(Value::from),
            (0..4i64).prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("(name|a|b)", inner, 0..3)
                    .prop_map(|map| map.into_iter().collect()),
            ]
        })
    }

    proptest! {
        #[test]
        fn no_difference_exactly_when_equal(left in any_json(), right in any_json()) {
            prop_assert!(fields(&left, &left).is_empty());
            prop_assert_eq!(fields(&left, &right).is_empty(), left == right);
        }
    }
}
