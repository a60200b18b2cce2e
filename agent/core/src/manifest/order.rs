//! The order of lists in which Kubernetes gives places a meaning.
//!
//! Server-side apply records who holds which element of a list and not where it stands, so that a
//! move is in nobody's ownership and has to be looked for.
//!
//! Question: where is another order another program? Answer: init containers run one after the other,
//! containers are started one after the other (each waits for the `postStart` of the one before), and a
//! variable refers to those before it. Ports, mounts, volumes and variables that refer to none are sets.
//! <https://kubernetes.io/docs/concepts/workloads/pods/init-containers/>,
//! <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>.

use serde_json::Value;

/// Where a Pod's specification is.
const POD_SPECS: [&str; 3] = [
    "/spec/template/spec",
    "/spec/jobTemplate/spec/template/spec",
    "/spec",
];

/// The names in the lists of an object whose order counts; nothing for most objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Order(Option<Box<[List]>>);

/// Where a list is, and the names in it.
type List = (Box<str>, Box<[Box<str>]>);

impl Order {
    /// Reads a manifest or an object of the cluster.
    pub fn of(object: &Value) -> Self {
        let mut lists = Vec::new();
        for pointer in POD_SPECS {
            let Some(spec) = object.pointer(pointer) else {
                continue;
            };
            if !spec.get("containers").is_some_and(Value::is_array) {
                continue;
            }
            for containers in ["initContainers", "containers"] {
                let Some(items) = spec.get(containers).and_then(Value::as_array) else {
                    continue;
                };
                if items.len() > 1 {
                    lists.push((containers.into(), names(items)));
                }
                for container in items {
                    let env = container.get("env").and_then(Value::as_array);
                    if let Some(env) = env.filter(|env| refers_to_itself(env)) {
                        let of = container["name"].as_str().unwrap_or_default();
                        lists.push((format!("{containers}/{of}/env").into(), names(env)));
                    }
                }
            }
        }
        Self((!lists.is_empty()).then(|| lists.into()))
    }

    /// Whether what stands in this order stands so in another object, too. What only one of them
    /// has does not count.
    pub fn is_kept_by(&self, other: &Self) -> bool {
        let lists = |order: &Self| order.0.as_deref().unwrap_or_default().to_vec();
        let others = lists(other);
        lists(self).iter().all(|(place, mine)| {
            let Some((_, theirs)) = others.iter().find(|(name, _)| name == place) else {
                return true;
            };
            let common = mine.iter().filter(|name| theirs.contains(name));
            common.eq(theirs.iter().filter(|name| mine.contains(name)))
        })
    }
}

fn names(items: &[Value]) -> Box<[Box<str>]> {
    items
        .iter()
        .map(|item| item["name"].as_str().unwrap_or_default().into())
        .collect()
}

/// Whether a variable of a list refers to another one of it.
pub(crate) fn refers_to_itself(env: &[Value]) -> bool {
    let names: Vec<&str> = env
        .iter()
        .filter_map(|item| item["name"].as_str())
        .collect();
    let values = || env.iter().filter_map(|item| item["value"].as_str());
    env.len() > 1
        && values().filter(|value| value.contains("$(")).any(|value| {
            names
                .iter()
                .any(|name| value.contains(&format!("$({name})")))
        })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(init: &[&str], containers: &[&str], env: &[(&str, &str)]) -> Value {
        let named =
            |names: &[&str]| -> Value { names.iter().map(|name| json!({"name": name})).collect() };
        let mut object = json!({"spec": {"template": {"spec": {
            "initContainers": named(init), "containers": named(containers)}}}});
        let env: Value = env
            .iter()
            .map(|(name, value)| json!({"name": name, "value": value}))
            .collect();
        object["spec"]["template"]["spec"]["containers"][0]["env"] = env;
        object
    }

    #[test]
    fn an_order_counts_where_it_has_a_meaning_and_only_there() {
        let plain: &[(&str, &str)] = &[("A", "1"), ("B", "2")];
        let turned: &[(&str, &str)] = &[("B", "2"), ("A", "1")];
        let refers: &[(&str, &str)] = &[("A", "1"), ("B", "$(A)")];
        let refers_turned: &[(&str, &str)] = &[("B", "$(A)"), ("A", "1")];
        let others: &[(&str, &str)] = &[("A", "1"), ("B", "$(HOST)")];
        let others_turned: &[(&str, &str)] = &[("B", "$(HOST)"), ("A", "1")];
        let one: &[&str] = &["web"];
        let table = [
            (
                deployment(&["a", "b"], one, plain),
                deployment(&["b", "a"], one, plain),
                false,
            ),
            (
                deployment(&["a", "b"], one, plain),
                deployment(&["a", "b"], one, plain),
                true,
            ),
            // One that somebody put in between is no change of the order.
            (
                deployment(&["a", "b"], one, plain),
                deployment(&["a", "x", "b"], one, plain),
                true,
            ),
            (
                deployment(&["a", "b"], one, plain),
                deployment(&["x", "b", "a"], one, plain),
                false,
            ),
            // One that is gone is in the ownership already.
            (
                deployment(&["a", "b"], one, plain),
                deployment(&["b"], one, plain),
                true,
            ),
            (
                deployment(&[], &["a", "b"], plain),
                deployment(&[], &["b", "a"], plain),
                false,
            ),
            (
                deployment(&[], one, plain),
                deployment(&[], one, turned),
                true,
            ),
            (
                deployment(&[], one, refers),
                deployment(&[], one, refers_turned),
                false,
            ),
            (
                deployment(&[], one, others),
                deployment(&[], one, others_turned),
                true,
            ),
        ];
        for (git, live, kept) in table {
            assert_eq!(
                Order::of(&git).is_kept_by(&Order::of(&live)),
                kept,
                "{git} {live}"
            );
        }
        let pod = json!({"spec": {"containers": [{"name": "a"}, {"name": "b"}]}});
        assert_ne!(Order::of(&pod), Order::default());
        let service = json!({"spec": {"ports": [{"name": "a"}, {"name": "b"}]}});
        assert_eq!(Order::of(&service), Order::default());
    }
}
