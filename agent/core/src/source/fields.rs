//! Fields of an Application that mean nothing: a slip of the hand that the API server keeps, because it
//! keeps what newer versions may know.

use std::sync::LazyLock;

use gitops_api::{ApplicationSpec, crd};
use serde_json::Value;

use crate::nearest::nearest;

/// Most fields that are named.
const MOST: usize = 10;

static SCHEMA: LazyLock<Value> = LazyLock::new(crd::application_spec);

/// What of a spec nobody reads, each with its place and the field that was probably meant.
pub fn unknown(spec: &ApplicationSpec) -> Vec<String> {
    let Ok(value) = serde_json::to_value(spec) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    walk(&value, &SCHEMA, "spec", &mut found);
    found
}

fn walk(value: &Value, schema: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            // A map of any keys, or what is not described any further.
            let Some(known) = schema["properties"].as_object() else {
                return;
            };
            for (name, value) in fields {
                let path = format!("{path}.{name}");
                match known.get(name) {
                    Some(schema) => walk(value, schema, &path, found),
                    None if found.len() < MOST => {
                        let meant = nearest(name, known.keys().map(String::as_str));
                        let meant = meant.map_or_else(
                            || "it does not count".to_owned(),
                            |meant| format!("did you mean {meant}?"),
                        );
                        found.push(format!("{path}: unknown field; {meant}"));
                    }
                    None => {}
                }
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                walk(item, &schema["items"], &format!("{path}[{place}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(spec: Value) -> Vec<String> {
        unknown(&serde_json::from_value(spec).unwrap())
    }

    #[test]
    fn slips_of_the_hand_are_named_with_what_was_meant() {
        let base = |more: Value| {
            let mut spec = json!({"project": "default", "destination": {"namespace": "shop"},
                "source": {"repoURL": "https://git.example/a", "path": "."}});
            for (pointer, value) in more.as_object().unwrap() {
                let (parent, name) = pointer.rsplit_once('/').unwrap();
                spec.pointer_mut(parent).unwrap()[name] = value.clone();
            }
            spec
        };
        let table = [
            (
                json!({"/source/targetRevison": "main"}),
                "spec.source.targetRevison: unknown field; did you mean targetRevision?",
            ),
            (
                json!({"/syncPolicy": {"automatd": {}}}),
                "spec.syncPolicy.automatd: unknown field; did you mean automated?",
            ),
            (
                json!({"/syncPolicy": {"automated": {"selfheal": true}}}),
                "spec.syncPolicy.automated.selfheal: unknown field; did you mean selfHeal?",
            ),
            (
                json!({"/syncPolicy": {"syncOption": ["CreateNamespace=true"]}}),
                "spec.syncPolicy.syncOption: unknown field; did you mean syncOptions?",
            ),
            (
                json!({"/source/helm": {"valueFile": ["a.yaml"]}}),
                "spec.source.helm.valueFile: unknown field; did you mean valueFiles?",
            ),
            (
                json!({"/destination/nameSpace": "x"}),
                "spec.destination.nameSpace: unknown field; did you mean namespace?",
            ),
            (
                json!({"/ignoreDiferences": []}),
                "spec.ignoreDiferences: unknown field; did you mean ignoreDifferences?",
            ),
            (
                json!({"/quantumMode": true}),
                "spec.quantumMode: unknown field; it does not count",
            ),
        ];
        for (more, expected) in table {
            assert_eq!(of(base(more)), [expected]);
        }
        let several = json!({"project": "default", "destination": {},
            "sources": [{"repoURL": "a"}, {"repoURL": "b", "pth": "x"}]});
        assert_eq!(
            of(several),
            ["spec.sources[1].pth: unknown field; did you mean path?"]
        );
    }

    #[test]
    fn what_is_known_and_maps_of_any_keys_are_left_alone() {
        let spec = json!({"project": "default", "revisionHistoryLimit": 3,
            "destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"},
            "info": [{"name": "url", "value": "https://wiki"}],
            "ignoreDifferences": [{"group": "apps", "kind": "Deployment",
                "jsonPointers": ["/spec/replicas"], "managedFieldsManagers": ["x"]}],
            "syncPolicy": {"automated": {"prune": true, "selfHeal": true, "allowEmpty": true},
                "syncOptions": ["CreateNamespace=true"],
                "managedNamespaceMetadata": {"labels": {"any.thing/at-all": "1"}},
                "retry": {"limit": 3, "backoff": {"duration": "5s", "factor": 2, "maxDuration": "1m"}}},
            "source": {"repoURL": "a", "path": ".", "targetRevision": "main",
                "kustomize": {"commonLabels": {"anything": "x"}, "images": ["a=b"], "patches": [
                    {"target": {"kind": "Deployment"}, "patch": "x"}]},
                "helm": {"valuesObject": {"what": {"ever": 1}}, "parameters": [
                    {"name": "a", "value": "b", "forceString": true}]}}});
        assert_eq!(of(spec), Vec::<String>::new());
    }
}
