//! An ApplicationSet as it is written, read for generating. Read from JSON, because generators that
//! are nested in others are templates themselves until they are filled.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::error::Problem;
use super::forge::{self, PullRequests, Repositories};
use super::rollout::Rolling;
use super::selector::Selector;

/// What generating needs of a set's spec.
#[derive(Clone, Debug, Default)]
pub struct SetSpec {
    /// Templates are in Go's language.
    pub go_template: bool,
    /// Options of that language.
    pub go_template_options: Vec<String>,
    /// The generators as they are written.
    pub generators: Vec<Value>,
    /// Metadata and spec of the Applications.
    pub template: Value,
    /// A patch of each Application, a template too.
    pub template_patch: Option<String>,
    /// `applicationsSync`, as written.
    pub applications_sync: Option<String>,
    /// Deleting an Application leaves its objects.
    pub preserve_resources_on_deletion: bool,
    /// Annotations that are left as they are.
    pub preserved_annotations: Vec<String>,
    /// Labels that are left as they are.
    pub preserved_labels: Vec<String>,
    /// Fields of Applications that are left as they are.
    pub ignored_differences: Vec<Value>,
    /// The steps in which the Applications are changed, when there are some.
    pub rolling: Option<Rolling>,
}

impl SetSpec {
    /// Reads the `spec` of a set. What the definition of the kind refuses is not read again here.
    pub fn read(spec: &Value) -> Self {
        let text = |value: &Value| value.as_str().map(str::to_owned);
        let texts = |value: &Value| -> Vec<String> {
            let all = value.as_array().into_iter().flatten();
            all.filter_map(|one| one.as_str().map(str::to_owned))
                .collect()
        };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let policy = &spec["syncPolicy"];
        Self {
            go_template: spec["goTemplate"].as_bool().unwrap_or_default(),
            go_template_options: texts(&spec["goTemplateOptions"]),
            generators: list(&spec["generators"]),
            template: spec["template"].clone(),
            template_patch: text(&spec["templatePatch"]),
            applications_sync: text(&policy["applicationsSync"]).filter(|text| !text.is_empty()),
            preserve_resources_on_deletion: policy["preserveResourcesOnDeletion"] == true,
            preserved_annotations: texts(&spec["preservedFields"]["annotations"]),
            preserved_labels: texts(&spec["preservedFields"]["labels"]),
            ignored_differences: list(&spec["ignoreApplicationDifferences"]),
            rolling: Rolling::read(&spec["strategy"]),
        }
    }
}

/// One generator of an entry.
#[derive(Clone, Debug)]
pub(super) struct Generator {
    /// Its path in the set.
    pub(super) path: String,
    /// Which results count.
    pub(super) selector: Option<Selector>,
    /// Template of its own.
    pub(super) template: Option<Value>,
    /// Seconds between two looks, as written.
    pub(super) requeue: Option<i64>,
    /// What it does.
    pub(super) kind: Kind,
}

/// What a generator does.
#[derive(Clone, Debug)]
pub(super) enum Kind {
    List {
        elements: Vec<Value>,
        elements_yaml: String,
    },
    Clusters {
        selector: Value,
        values: BTreeMap<String, String>,
        flat_list: bool,
    },
    Git(Git),
    Matrix(Vec<Value>),
    Merge {
        generators: Vec<Value>,
        keys: Vec<String>,
    },
    ClusterDecisionResource {
        config_map: String,
        name: String,
        selector: Value,
        values: BTreeMap<String, String>,
    },
    Plugin {
        config_map: String,
        input: Option<Value>,
        values: BTreeMap<String, String>,
    },
    ScmProvider {
        repositories: Repositories,
        values: BTreeMap<String, String>,
    },
    PullRequest {
        requests: PullRequests,
        values: BTreeMap<String, String>,
    },
}

/// A git generator.
#[derive(Clone, Debug)]
pub(super) struct Git {
    pub(super) url: String,
    pub(super) revision: String,
    /// Patterns of directories; when there are any, those of files do not count.
    pub(super) directories: Vec<PathPattern>,
    pub(super) files: Vec<PathPattern>,
    pub(super) prefix: String,
    pub(super) values: BTreeMap<String, String>,
}

/// One entry of `directories` or `files`.
#[derive(Clone, Debug)]
pub(super) struct PathPattern {
    pub(super) path: String,
    pub(super) exclude: bool,
}

/// The kinds of generators, in the order in which Argo CD looks for them in an entry.
const KINDS: [&str; 9] = [
    "list",
    "clusters",
    "git",
    "scmProvider",
    "clusterDecisionResource",
    "pullRequest",
    "matrix",
    "merge",
    "plugin",
];

/// The generators of one entry; usually one.
pub(super) fn read_entry(entry: &Value, path: &str) -> Result<Vec<Generator>, Problem> {
    let empty = Map::new();
    let entry = entry.as_object().unwrap_or(&empty);
    let selector = match entry.get("selector").filter(|value| !value.is_null()) {
        None => None,
        Some(selector) => Some(
            Selector::read(selector)
                .map_err(|why| Problem::parameters(&format!("{path}.selector"), why))?,
        ),
    };
    let mut found = Vec::new();
    for name in KINDS {
        let Some(Value::Object(generator)) = entry.get(name) else {
            continue;
        };
        let path = format!("{path}.{name}");
        let template = generator.get("template").filter(|value| value.is_object());
        found.push(Generator {
            selector: selector.clone(),
            template: template.cloned(),
            requeue: generator.get("requeueAfterSeconds").and_then(Value::as_i64),
            kind: read_kind(name, generator, &path)?,
            path,
        });
    }
    Ok(found)
}

fn read_kind(name: &str, generator: &Map<String, Value>, path: &str) -> Result<Kind, Problem> {
    let text = |key: &str| {
        let value = generator.get(key).and_then(Value::as_str);
        value.unwrap_or_default().to_owned()
    };
    let list = |key: &str| {
        let value = generator.get(key).and_then(Value::as_array);
        value.cloned().unwrap_or_default()
    };
    let flag = |key: &str| generator.get(key) == Some(&Value::Bool(true));
    Ok(match name {
        "list" => Kind::List {
            elements: list("elements"),
            elements_yaml: text("elementsYaml"),
        },
        "clusters" => Kind::Clusters {
            selector: generator.get("selector").cloned().unwrap_or_default(),
            values: values(generator),
            flat_list: flag("flatList"),
        },
        "git" => Kind::Git(Git {
            url: text("repoURL"),
            revision: text("revision"),
            directories: patterns(&list("directories")),
            files: patterns(&list("files")),
            prefix: text("pathParamPrefix"),
            values: values(generator),
        }),
        "matrix" => Kind::Matrix(list("generators")),
        "merge" => {
            let keys = list("mergeKeys");
            let keys: Vec<String> = keys
                .iter()
                .filter_map(|key| key.as_str().map(str::to_owned))
                .collect();
            if keys.is_empty() {
                return Err(Problem::parameters(
                    path,
                    "mergeKeys is empty; name the parameters by which the sets are matched",
                ));
            }
            Kind::Merge {
                generators: list("generators"),
                keys,
            }
        }
        "scmProvider" => Kind::ScmProvider {
            repositories: Repositories::read(forge::provider(generator, path)?, generator),
            values: values(generator),
        },
        "clusterDecisionResource" => Kind::ClusterDecisionResource {
            config_map: text("configMapRef"),
            name: text("name"),
            selector: generator.get("labelSelector").cloned().unwrap_or_default(),
            values: values(generator),
        },
        "pullRequest" => Kind::PullRequest {
            requests: PullRequests::read(forge::provider(generator, path)?, generator),
            values: values(generator),
        },
        _ => {
            let reference = generator.get("configMapRef").and_then(|it| it.get("name"));
            let parameters = generator.get("input").and_then(|it| it.get("parameters"));
            Kind::Plugin {
                config_map: reference
                    .and_then(Value::as_str)
                    .unwrap_or_default()
                    .to_owned(),
                input: parameters.filter(|it| it.is_object()).cloned(),
                values: values(generator),
            }
        }
    })
}

fn values(generator: &Map<String, Value>) -> BTreeMap<String, String> {
    let map = generator.get("values").and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn patterns(list: &[Value]) -> Vec<PathPattern> {
    list.iter()
        .map(|entry| PathPattern {
            path: entry["path"].as_str().unwrap_or_default().to_owned(),
            exclude: entry["exclude"] == true,
        })
        .collect()
}

/// The shortest interval of the generators of a set in seconds, nested ones included: 3 minutes for
/// git and for what decides about clusters, half an hour for plugins and forges, none for list and
/// clusters, never for 0.
/// Source: applicationset/generators/*.go, `GetRequeueAfter`.
pub fn requeue_after_seconds(generators: &[Value]) -> Option<u64> {
    const DEFAULT: i64 = 180;
    const DEFAULT_OUTSIDE: i64 = 1800;
    let mut shortest: Option<u64> = None;
    for entry in generators {
        for generator in read_entry(entry, "").unwrap_or_default() {
            let seconds = match &generator.kind {
                Kind::Git(_) | Kind::ClusterDecisionResource { .. } => {
                    u64::try_from(generator.requeue.unwrap_or(DEFAULT)).ok()
                }
                Kind::Plugin { .. } | Kind::ScmProvider { .. } | Kind::PullRequest { .. } => {
                    u64::try_from(generator.requeue.unwrap_or(DEFAULT_OUTSIDE)).ok()
                }
                Kind::Matrix(children)
                | Kind::Merge {
                    generators: children,
                    ..
                } => requeue_after_seconds(children),
                _ => None,
            };
            let seconds = seconds.filter(|seconds| *seconds > 0);
            shortest = match (shortest, seconds) {
                (Some(one), Some(other)) => Some(one.min(other)),
                (one, other) => one.or(other),
            };
        }
    }
    shortest
}

/// Whether some generator, at any depth, looks at clusters.
pub fn uses_clusters(generators: &[Value]) -> bool {
    generators.iter().any(|entry| {
        let nested = |name: &str| {
            let children = entry[name]["generators"].as_array();
            children.is_some_and(|children| uses_clusters(children))
        };
        let looks = ["clusters", "clusterDecisionResource"];
        looks.iter().any(|name| entry[*name].is_object()) || nested("matrix") || nested("merge")
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_shortest_interval_counts_and_zero_is_never() {
        let git = |seconds: Value| json!({"git": {"repoURL": "r", "requeueAfterSeconds": seconds}});
        let list = json!({"list": {"elements": []}});
        let cases = [
            (json!([list]), None),
            (json!([git(json!(null)), list]), Some(180)),
            (json!([git(json!(0))]), None),
            (json!([{"plugin": {}}]), Some(1800)),
            (json!([{"scmProvider": {"github": {}}}]), Some(1800)),
            (
                json!([{"pullRequest": {"gitea": {}, "requeueAfterSeconds": 60}}]),
                Some(60),
            ),
            (
                json!([{"plugin": {}}, {"clusterDecisionResource": {}}]),
                Some(180),
            ),
            (
                json!([{"matrix": {"generators": [git(json!(40)), git(json!(20))]}}]),
                Some(20),
            ),
            (
                json!([{"merge": {"mergeKeys": ["a"], "generators": [git(json!(0)), git(json!(20))]}}]),
                Some(20),
            ),
        ];
        for (generators, expected) in cases {
            let list = generators.as_array().unwrap();
            assert_eq!(requeue_after_seconds(list), expected, "{generators}");
        }
        assert!(uses_clusters(&[
            json!({"matrix": {"generators": [{"clusters": {}}]}})
        ]));
        assert!(!uses_clusters(&[json!({"list": {}})]));
    }
}
