//! What the installation says about differences that do not count: keys of argocd-cm.
//!
//! Only reads.
//! Source: <https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/#system-level-configuration>.

use std::collections::BTreeMap;

use gitops_api::sync_policy::ResourceIgnoreDifferences;
use serde_json::Value;

use super::IgnoreRules;
use crate::settings::yaml;

/// The old key, under which everything about a kind is one entry.
const ALL_IN_ONE: &str = "resource.customizations";
/// The new ones, followed by `<group>_<Kind>`, `<Kind>` or `all`.
const PREFIX: &str = "resource.customizations.ignoreDifferences.";
/// Options of every comparison.
const COMPARE_OPTIONS: &str = "resource.compareoptions";

/// A key that could not be read, and why.
type Problem = (String, String);

/// The rules of the installation, and what of them cannot be used.
pub(crate) fn read(
    data: &BTreeMap<String, String>,
) -> (Vec<ResourceIgnoreDifferences>, Vec<Problem>) {
    let mut rules = Vec::new();
    let mut problems = Vec::new();
    let mut add = |from: &str, group: &str, kind: &str, fields: Value| {
        let rule = serde_json::from_value::<ResourceIgnoreDifferences>(with_kind(fields, kind));
        match rule {
            Ok(rule) => {
                let rule = ResourceIgnoreDifferences {
                    group: group.into(),
                    ..rule
                };
                let list = std::slice::from_ref(&rule);
                let (_, unusable) = IgnoreRules::compile(list, kind);
                problems.extend(unusable.into_iter().map(|why| (from.to_owned(), why)));
                rules.push(rule);
            }
            Err(error) => problems.push((
                from.to_owned(),
                format!(
                    "{error}; it must be a map of jsonPointers, jqPathExpressions and \
                     managedFieldsManagers"
                ),
            )),
        }
    };
    for (key, text) in data {
        let Some(target) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let (group, kind) = match target {
            "all" => ("*", "*"),
            target => target.split_once('_').unwrap_or(("", target)),
        };
        add(key, group, kind, parsed(text));
    }
    let kinds = match data.get(ALL_IN_ONE).map(|text| yaml::parse(text)) {
        Some(Ok(Value::Object(kinds))) => kinds,
        _ => serde_json::Map::new(),
    };
    for (target, entry) in kinds {
        let Some(fields) = entry.get("ignoreDifferences") else {
            continue;
        };
        // It is YAML within YAML.
        let fields = match fields {
            Value::String(text) => parsed(text),
            fields => fields.clone(),
        };
        let (group, kind) = target.split_once('/').unwrap_or(("", &target));
        add(ALL_IN_ONE, group, kind, fields);
    }
    let options = data.get(COMPARE_OPTIONS).map(|text| yaml::parse(text));
    match options {
        Some(Ok(options)) if options["ignoreAggregatedRoles"] == true => {
            rules.push(ResourceIgnoreDifferences {
                group: "rbac.authorization.k8s.io".into(),
                kind: "ClusterRole".into(),
                jq_path_expressions: vec!["select(.aggregationRule) | .rules".into()],
                ..ResourceIgnoreDifferences::default()
            });
        }
        Some(Err(why)) => problems.push((COMPARE_OPTIONS.into(), why)),
        _ => {}
    }
    (rules, problems)
}

/// What cannot be parsed stays a text, which is then refused with the key's name.
fn parsed(text: &str) -> Value {
    yaml::parse(text).unwrap_or_else(Value::String)
}

fn with_kind(mut fields: Value, kind: &str) -> Value {
    if let Some(map) = fields.as_object_mut() {
        map.insert("kind".into(), kind.into());
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn run(pairs: &[(&str, Value)]) -> (Vec<Value>, Vec<Problem>) {
        let data = pairs.iter().map(|(key, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), Into::into);
            ((*key).to_owned(), text)
        });
        let (rules, problems) = read(&data.collect());
        let rules = rules.iter().map(|rule| serde_json::to_value(rule).unwrap());
        (rules.collect(), problems)
    }

    #[test]
    fn every_way_to_write_a_rule() {
        let fields = json!({"jsonPointers": ["/a"]});
        let nested = json!({"apps/Deployment": {"ignoreDifferences": fields.to_string(), "health.lua": "x"},
            "ConfigMap": {"ignoreDifferences": fields}, "x/Y": {"health.lua": "x"}});
        let rule = |group: &str, kind: &str| {
            let mut rule = json!({"kind": kind, "jsonPointers": ["/a"]});
            if !group.is_empty() {
                rule["group"] = json!(group);
            }
            rule
        };
        let cases = [
            (
                "resource.customizations.ignoreDifferences.all",
                fields.clone(),
                vec![rule("*", "*")],
            ),
            (
                "resource.customizations.ignoreDifferences.apps_Deployment",
                fields.clone(),
                vec![rule("apps", "Deployment")],
            ),
            (
                "resource.customizations.ignoreDifferences.ConfigMap",
                fields.clone(),
                vec![rule("", "ConfigMap")],
            ),
            (
                "resource.customizations",
                nested,
                vec![rule("", "ConfigMap"), rule("apps", "Deployment")],
            ),
            (
                "resource.customizations.health.apps_Deployment",
                json!("return {}"),
                vec![],
            ),
            (
                "resource.compareoptions",
                json!({"ignoreAggregatedRoles": false}),
                vec![],
            ),
            (
                "resource.compareoptions",
                json!({"ignoreAggregatedRoles": true}),
                vec![
                    json!({"group": "rbac.authorization.k8s.io", "kind": "ClusterRole",
                         "jqPathExpressions": ["select(.aggregationRule) | .rules"]}),
                ],
            ),
        ];
        for (key, value, expected) in cases {
            assert_eq!(run(&[(key, value)]), (expected, vec![]), "{key}");
        }
    }

    #[test]
    fn what_cannot_be_read_is_said_with_its_key_and_the_rest_holds() {
        let key = "resource.customizations.ignoreDifferences.apps_Deployment";
        let (rules, problems) = run(&[
            (
                key,
                json!({"jsonPointers": ["a", "/b"], "jqPathExpressions": [".a ["]}),
            ),
            (
                "resource.customizations.ignoreDifferences.Secret",
                json!("[{"),
            ),
            ("resource.compareoptions", json!("{")),
        ]);
        assert_eq!(rules.len(), 1);
        let keys: Vec<_> = problems.iter().map(|(key, _)| key.as_str()).collect();
        let other = "resource.customizations.ignoreDifferences.Secret";
        assert_eq!(keys, [other, key, key, "resource.compareoptions"]);
        assert!(problems[0].1.contains("it must be a map"), "{problems:?}");
        assert!(
            problems[2].1.contains("jqPathExpressions[0] \".a [\""),
            "{problems:?}"
        );
    }
}
