//! Generators whose parameters others decide: objects of the cluster that name clusters, and plugins.
//!
//! Source: Argo CD, applicationset/generators/duck_type.go and plugin.go.

use std::collections::BTreeMap;

use serde_json::Value;

use super::environment::Cluster;
use super::error::Problem;
use super::generators::Context;
use super::need::{Answer, DecisionSource, Need, Outcome, Stop};
use super::param::{self, Param, ParamMap, texts};

impl Context<'_> {
    /// One set for each decision that names a cluster that is known, in the order of the decisions.
    pub(super) fn decided(
        &self,
        path: &str,
        config_map: &str,
        name: &str,
        selector: &Value,
    ) -> Outcome<Vec<ParamMap>> {
        let problem = |why: &str| Stop::from(Problem::parameters(path, why));
        if config_map.is_empty() {
            return Err(problem(
                "configMapRef is empty; name the ConfigMap that says which kind of object decides",
            ));
        }
        let selector = selector_text(selector)
            .map_err(|why| Problem::parameters(&format!("{path}.labelSelector"), why))?;
        if name.is_empty() == selector.is_empty() {
            return Err(problem(
                "either name or labelSelector says which objects decide; write one of them, and not both",
            ));
        }
        let need = Need::Decisions(DecisionSource {
            config_map: config_map.to_owned(),
            name: name.to_owned(),
            selector,
        });
        let answer = self.asker.ask(need, |why| Problem::parameters(path, why))?;
        let Answer::Decisions {
            match_key,
            decisions,
        } = answer
        else {
            return Err(Stop::Waits);
        };
        let local = Cluster::local();
        let mut known: BTreeMap<&str, &Cluster> = BTreeMap::from([(&*local.name, &local)]);
        let clusters = &self.environment.clusters;
        known.extend(clusters.iter().map(|cluster| (&*cluster.name, cluster)));
        let mut sets = Vec::new();
        for decision in decisions.iter() {
            let Param::Map(fields) = decision else {
                let why = format!("a decision is {}, and should be a map", decision.kind());
                return Err(problem(&why));
            };
            let named = fields.get(match_key).and_then(Param::text);
            let Some(cluster) = named.and_then(|named| known.get(&*named).copied()) else {
                continue;
            };
            let mut set = ParamMap::from([
                ("name".to_owned(), Param::Text(cluster.name.clone())),
                ("server".to_owned(), Param::Text(cluster.server.clone())),
            ]);
            let fields = fields
                .iter()
                .map(|(key, value)| (key.clone(), Param::Text(printed(value))));
            set.extend(fields);
            sets.push(set);
        }
        Ok(sets)
    }

    /// What a plugin answers, each set with the parameters it was asked with.
    pub(super) fn plugin(
        &self,
        path: &str,
        config_map: &str,
        input: Option<&Value>,
    ) -> Outcome<Vec<ParamMap>> {
        if config_map.is_empty() {
            return Err(Stop::from(Problem::parameters(
                path,
                "configMapRef.name is empty; name the ConfigMap that says where the plugin is",
            )));
        }
        let input = input.map(Param::of);
        let need = Need::Plugin {
            config_map: config_map.to_owned(),
            input: input.clone(),
        };
        let answer = self.asker.ask(need, |why| Problem::parameters(path, why))?;
        let Answer::Values(values) = answer else {
            return Err(Stop::Waits);
        };
        let parameters = input.unwrap_or_else(|| Param::Map(ParamMap::new()));
        let asked = ParamMap::from([(
            "input".to_owned(),
            Param::Map(ParamMap::from([("parameters".to_owned(), parameters)])),
        )]);
        let mut sets = Vec::new();
        for (index, value) in values.iter().enumerate() {
            let Ok(Param::Map(map)) = value else {
                let why = format!("set {index} of the plugin's answer is no map of parameters");
                return Err(Stop::from(Problem::parameters(path, why)));
            };
            let mut set = if self.language.go {
                map.clone()
            } else {
                let mut flat = texts(&param::flatten(map));
                for null in flat.values_mut().filter(|value| **value == Param::Null) {
                    *null = Param::Text(printed(null));
                }
                flat
            };
            set.insert("generator".to_owned(), Param::Map(asked.clone()));
            sets.push(set);
        }
        Ok(sets)
    }
}

/// A selector of labels in the words of the API: `a=b,c in (d,e)`; empty when it selects nothing
/// in particular.
fn selector_text(selector: &Value) -> Result<String, String> {
    let mut parts = Vec::new();
    for (key, value) in selector["matchLabels"].as_object().into_iter().flatten() {
        let value = value
            .as_str()
            .ok_or("matchLabels has a value that is no text")?;
        parts.push(format!("{key}={value}"));
    }
    for one in selector["matchExpressions"]
        .as_array()
        .into_iter()
        .flatten()
    {
        let key = one["key"].as_str().unwrap_or_default();
        let values = one["values"].as_array().into_iter().flatten();
        let values: Vec<&str> = values.filter_map(Value::as_str).collect();
        let values = values.join(",");
        parts.push(match one["operator"].as_str().unwrap_or_default() {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "Exists" => key.to_owned(),
            "DoesNotExist" => format!("!{key}"),
            other => {
                return Err(format!(
                    "the operator {other:?} is none of In, NotIn, Exists and DoesNotExist"
                ));
            }
        });
    }
    Ok(parts.join(","))
}

/// A value as Go prints it: `map[a:1 b:[x y]]`.
fn printed(value: &Param) -> String {
    match value {
        Param::Null => "<nil>".into(),
        Param::List(items) => {
            let items: Vec<String> = items.iter().map(printed).collect();
            format!("[{}]", items.join(" "))
        }
        Param::Map(map) => {
            let fields: Vec<String> = map
                .iter()
                .map(|(key, value)| format!("{key}:{}", printed(value)))
                .collect();
            format!("map[{}]", fields.join(" "))
        }
        Param::Bool(_) | Param::Number(_) | Param::Text(_) => value.text().unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::environment::Environment;
    use super::super::generate::{Generation, generate};
    use super::super::need::{Answers, Unmet};
    use super::super::spec::SetSpec;
    use super::*;

    /// Generates with one answer; gives the names of the Applications, or what is wrong.
    fn generated(spec: &Value, answer: Result<Answer, Unmet>) -> Result<Vec<String>, String> {
        let spec = SetSpec::read(spec);
        let environment = Environment {
            clusters: vec![
                Cluster {
                    name: "eu".into(),
                    server: "https://eu".into(),
                    ..Cluster::default()
                },
                Cluster {
                    name: "us".into(),
                    server: "https://us".into(),
                    ..Cluster::default()
                },
            ],
            ..Environment::default()
        };
        let mut answers = Answers::new();
        let needs = match generate(&spec, &environment, &answers) {
            Generation::Needs(needs) => needs,
            Generation::Failed(problems) => return Err(problems[0].to_string()),
            Generation::Done { .. } => panic!("it asks nobody"),
        };
        assert_eq!(needs.len(), 1);
        answers.insert(needs[0].clone(), answer);
        match generate(&spec, &environment, &answers) {
            Generation::Done { applications, .. } => {
                Ok(applications.into_iter().map(|app| app.name).collect())
            }
            Generation::Failed(problems) => Err(problems[0].to_string()),
            Generation::Needs(needs) => panic!("{needs:?}"),
        }
    }

    fn set(generator: &Value, name: &str) -> Value {
        json!({"generators": [generator], "template": {"metadata": {"name": name},
            "spec": {"project": "default", "destination": {"server": "s", "namespace": "n"}}}})
    }

    fn decisions(list: &Value) -> Answer {
        let list = list.as_array().unwrap();
        Answer::Decisions {
            match_key: "cluster".into(),
            decisions: list.iter().map(Param::of).collect(),
        }
    }

    #[test]
    fn decisions_name_known_clusters_in_their_order() {
        let one = json!({"clusterDecisionResource": {"configMapRef": "c", "name": "x",
            "values": {"v": "{{name}}!"}}});
        let table = [
            (
                json!([{"cluster": "us", "n": 1_234_567}, {"cluster": "eu", "n": {"a": [1, null]}}, {"cluster": "moon"}]),
                vec!["us-1234567-us!", "eu-map[a:[1 <nil>]]-eu!"],
            ),
            (
                json!([{"cluster": "in-cluster", "n": true}]),
                vec!["in-cluster-true-in-cluster!"],
            ),
            (
                json!([{"cluster": "us", "name": "own", "n": 1}]),
                vec!["own-1-own!"],
            ),
            (json!([]), vec![]),
        ];
        for (list, expected) in table {
            let names = generated(
                &set(&one, "{{name}}-{{n}}-{{values.v}}"),
                Ok(decisions(&list)),
            );
            assert_eq!(names.unwrap(), expected, "{list}");
        }
        let wrong = generated(&set(&one, "{{name}}"), Ok(decisions(&json!(["us"]))));
        assert!(wrong.unwrap_err().contains("a decision is a text"));
        let unmet = Err(Unmet::permanent("no such object"));
        let wrong = generated(&set(&one, "{{name}}"), unmet);
        assert!(wrong.unwrap_err().contains("no such object"));
        for generator in [
            json!({"configMapRef": "c"}),
            json!({"configMapRef": "c", "name": "x", "labelSelector": {"matchLabels": {"a": "b"}}}),
            json!({"name": "x"}),
        ] {
            let generator = json!({"clusterDecisionResource": generator});
            let wrong = generated(&set(&generator, "{{name}}"), Ok(decisions(&json!([]))));
            assert!(wrong.is_err(), "{generator}");
        }
    }

    #[test]
    fn a_selector_is_written_as_the_api_reads_it() {
        let selector = json!({"matchLabels": {"a": "b"}, "matchExpressions": [
            {"key": "c", "operator": "In", "values": ["d", "e"]},
            {"key": "f", "operator": "NotIn", "values": ["g"]},
            {"key": "h", "operator": "Exists"}, {"key": "i", "operator": "DoesNotExist"}]});
        let text = "a=b,c in (d,e),f notin (g),h,!i";
        assert_eq!(selector_text(&selector).as_deref(), Ok(text));
        assert_eq!(selector_text(&Value::Null).as_deref(), Ok(""));
        let wrong = json!({"matchExpressions": [{"key": "c", "operator": "Like"}]});
        assert!(selector_text(&wrong).unwrap_err().contains("Like"));
    }

    #[test]
    fn a_plugins_answer_is_flat_texts_without_go_templates() {
        let one = json!({"plugin": {"configMapRef": {"name": "c"}, "input": {"parameters": {"team": "core"}}}});
        let values = |value: Value| {
            let list = value.as_array().unwrap().iter();
            Ok(Answer::Values(list.map(|one| Ok(Param::of(one))).collect()))
        };
        let answer =
            values(json!([{"env": "dev", "n": 3, "nil": null, "m": {"a": [1, {"y": "z"}]}}]));
        let name =
            "{{env}}-{{n}}-{{nil}}-{{m.a.0}}-{{m.a.1.y}}-{{generator.input.parameters.team}}";
        assert_eq!(
            generated(&set(&one, name), answer).unwrap(),
            ["dev-3-<nil>-1-z-{{generator.input.parameters.team}}"]
        );
        let wrong = generated(&set(&one, "{{env}}"), values(json!(["dev"])));
        assert!(wrong.unwrap_err().contains("set 0"));
    }
}
