//! From a set and the answers there are to its Applications, or to what else is needed.

use std::cell::RefCell;

use gitops_api::constants::finalizer;
use serde_json::{Value, json};

use super::environment::Environment;
use super::error::{Place, Problem, Step, Warning};
use super::generators::Context;
use super::need::{Answer, Answers, Asker, Need, Outcome, Stop, all};
use super::param::{self, Param, ParamMap};
use super::patch;
use super::spec::{SetSpec, read_entry};
use super::template::{Filler, Language};

/// One generated Application.
#[derive(Clone, Debug, PartialEq)]
pub struct Desired {
    /// Its name.
    pub name: String,
    /// `metadata` (name, labels, annotations, finalizers), `spec`, and `operation` if there is one.
    pub value: Value,
    /// The generator and the element it is from.
    pub from: Place,
    /// Its parameters.
    pub parameters: ParamMap,
    /// Why its name is none, although its template was filled: a parameter is missing.
    pub broken: Option<String>,
    /// Whether a sync of a rollout deletes what Git does not hold any more.
    pub prunes: bool,
}

/// What generating came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Generation {
    /// It needs answers.
    Needs(Vec<Need>),
    /// It failed: nothing is generated.
    Failed(Vec<Problem>),
    /// The Applications in their order.
    Done {
        /// The Applications.
        applications: Vec<Desired>,
        /// What the owner of the set should know.
        warnings: Vec<Warning>,
    },
}

/// The Applications of a set, as far as the answers go.
pub fn generate(spec: &SetSpec, environment: &Environment, answers: &Answers) -> Generation {
    let asker = Asker::new(answers);
    let mut warnings = Vec::new();
    let outcome = applications(spec, environment, &asker, &mut warnings);
    match outcome {
        Ok(applications) => {
            warnings.sort();
            warnings.dedup();
            Generation::Done {
                applications,
                warnings,
            }
        }
        Err(Stop::Waits) => Generation::Needs(asker.into_missing()),
        Err(Stop::Failed(problems)) => Generation::Failed(problems),
    }
}

fn applications(
    spec: &SetSpec,
    environment: &Environment,
    asker: &Asker<'_>,
    warnings: &mut Vec<Warning>,
) -> Outcome<Vec<Desired>> {
    if spec.go_template {
        check_options(&spec.go_template_options)?;
    }
    let language = Language {
        go: spec.go_template,
        options: spec.go_template_options.clone(),
    };
    let policies = ["sync", "create-only", "create-update", "create-delete"];
    if let Some(policy) = &spec.applications_sync
        && !policies.contains(&policy.as_str())
    {
        return Err(Stop::from(Problem::template(
            Place::field("spec.syncPolicy.applicationsSync"),
            format!("{policy:?} is no policy; there are {}", policies.join(", ")),
        )));
    }
    let rolls = environment.rolls && spec.rolling.is_some();
    match &spec.rolling {
        Some(rolling) if rolls && rolling.is_empty() => {
            return Err(Stop::from(Problem::template(
                Place::field("spec.strategy.rollingSync.steps"),
                "there are no steps, so nothing would ever be synced; write one, or leave the strategy out",
            )));
        }
        Some(_) if !rolls => warnings.push(Warning {
            place: "spec.strategy.type".into(),
            message: "RollingSync counts with applicationsetcontroller.enable.progressive.syncs: \"true\" in \
                      argocd-cmd-params-cm; without it changes go to all Applications at once"
                .into(),
        }),
        _ => {}
    }
    let mut outcomes = Vec::new();
    for (index, entry) in spec.generators.iter().enumerate() {
        let path = format!("spec.generators[{index}]");
        let generators = match read_entry(entry, &path) {
            Ok(generators) => generators,
            Err(problem) => {
                outcomes.push(Err(Stop::from(problem)));
                continue;
            }
        };
        for generator in generators {
            let template = match &generator.template {
                Some(own) => patch::over(own, &spec.template),
                None => spec.template.clone(),
            };
            let context = Context {
                asker,
                language: &language,
                environment,
                project: fixed_project(&template),
            };
            let sets = context.generate(&generator, &ParamMap::new(), 0, warnings);
            let sets = match sets {
                Ok(sets) => sets,
                Err(stop) => {
                    outcomes.push(Err(stop));
                    continue;
                }
            };
            for (number, parameters) in sets.iter().enumerate() {
                let from = Place {
                    element: format!("element {number} {}", param::shown(parameters)),
                    ..Place::generator(&generator.path)
                };
                let made = application(
                    spec, &language, asker, &template, parameters, from, warnings,
                );
                outcomes.push(made.map(|made| {
                    if rolls {
                        without_automation(made)
                    } else {
                        made
                    }
                }));
            }
        }
    }
    all(outcomes)
}

/// Argo CD's controller ends in a panic for others.
fn check_options(options: &[String]) -> Result<(), Problem> {
    let known = ["default", "invalid", "zero", "error"];
    for (index, option) in options.iter().enumerate() {
        let value = option.strip_prefix("missingkey=");
        if !value.is_some_and(|value| known.contains(&value)) {
            return Err(Problem::template(
                Place::field(&format!("spec.goTemplateOptions[{index}]")),
                format!(
                    "{option:?} is no option of Go's templates; there are missingkey=error, \
                     missingkey=default, missingkey=invalid and missingkey=zero"
                ),
            ));
        }
    }
    Ok(())
}

/// The project of a template, unless parameters decide about it.
fn fixed_project(template: &Value) -> Option<String> {
    let project = template["spec"]["project"].as_str().unwrap_or_default();
    match project {
        project if project.contains("{{") => None,
        project => Some(project.to_owned()),
    }
}

fn application(
    spec: &SetSpec,
    language: &Language,
    asker: &Asker<'_>,
    template: &Value,
    parameters: &ParamMap,
    from: Place,
    warnings: &mut Vec<Warning>,
) -> Outcome<Desired> {
    let filler = Filler {
        asker,
        language,
        parameters,
        step: Step::Template,
        place: from.clone(),
        broken: RefCell::default(),
    };
    let mut template = template.clone();
    if let Some(metadata) = template["metadata"].as_object_mut() {
        metadata.remove("namespace");
    }
    // Asked for together, so that they are answered together.
    let is_filled = !parameters.is_empty();
    let value = if is_filled {
        filler.value(&template, "spec.template", warnings)
    } else {
        Ok(template)
    };
    let patch = match &spec.template_patch {
        Some(text) if is_filled => filler.text(text, "spec.templatePatch", warnings).map(Some),
        Some(text) => Ok(Some(text.clone())),
        None => Ok(None),
    };
    let (mut value, patch) = match (value, patch) {
        (Ok(value), Ok(patch)) => (value, patch),
        (Err(Stop::Failed(mut one)), Err(Stop::Failed(other))) => {
            one.extend(other);
            return Err(Stop::Failed(one));
        }
        // What failed is told before what is waited for.
        (Err(Stop::Failed(problems)), _) | (_, Err(Stop::Failed(problems))) => {
            return Err(Stop::Failed(problems));
        }
        (Err(Stop::Waits), _) | (_, Err(Stop::Waits)) => return Err(Stop::Waits),
    };
    let at = |field: &str| Place {
        field: field.to_owned(),
        ..from.clone()
    };
    patch::check(&value).map_err(|why| Problem::template(at("spec.template"), why))?;
    let has_finalizers = value["metadata"]["finalizers"]
        .as_array()
        .is_some_and(|all| !all.is_empty());
    // An element without parameters leaves the template as it is, in Argo CD also in this.
    if is_filled && !has_finalizers && !spec.preserve_resources_on_deletion {
        value["metadata"]["finalizers"] = json!([finalizer::RESOURCES]);
    }
    if let Some(text) = patch {
        let problem = |why: String| Problem::template(at("spec.templatePatch"), why);
        let answer = asker.ask(Need::Yaml(text), problem)?;
        let Answer::Values(values) = answer else {
            return Err(Stop::Waits);
        };
        let patch = match values.first() {
            Some(Ok(patch)) => json_of(patch),
            Some(Err(why)) => {
                return Err(Stop::from(problem(format!(
                    "it is no YAML once it is filled: {why}"
                ))));
            }
            None => Value::Null,
        };
        for unknown in patch::apply(&mut value, &patch).map_err(problem)? {
            warnings.push(Warning {
                place: at("spec.templatePatch").to_string(),
                message: format!("no Application has the field {unknown}; it is left out"),
            });
        }
    }
    let name = value["metadata"]["name"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let broken = filler.broken.into_inner().into_iter().next();
    Ok(Desired {
        name,
        value: written(value),
        from,
        parameters: parameters.clone(),
        broken,
        prunes: false,
    })
}

/// An Application of a set that rolls syncs only when its step has its turn.
fn without_automation(mut made: Desired) -> Desired {
    let automated = made.value.pointer_mut("/spec/syncPolicy/automated");
    if let Some(automated) = automated.and_then(Value::as_object_mut) {
        let is_on = automated.get("enabled") != Some(&json!(false));
        made.prunes = is_on && automated.get("prune") == Some(&json!(true));
        automated.insert("enabled".into(), json!(false));
    }
    made
}

/// JSON for an object of the cluster: numbers as numbers.
fn json_of(param: &Param) -> Value {
    match param {
        Param::Number(text) => serde_json::from_str(text).unwrap_or_else(|_| json!(text)),
        Param::List(items) => items.iter().map(json_of).collect(),
        Param::Map(map) => {
            let map = map.iter().map(|(key, value)| (key.clone(), json_of(value)));
            Value::Object(map.collect())
        }
        other => other.to_wire(),
    }
}

/// An Application as it is written to the cluster: without what says nothing, as Argo CD writes it.
fn written(mut application: Value) -> Value {
    if let Some(metadata) = application["metadata"].as_object_mut() {
        metadata.retain(|_, value| match value {
            Value::Null => false,
            Value::Object(map) => !map.is_empty(),
            Value::Array(items) => !items.is_empty(),
            _ => true,
        });
    }
    if let Some(map) = application.as_object_mut() {
        map.retain(|_, value| !value.is_null());
    }
    let spec = &mut application["spec"];
    omit_empty(spec, "spec");
    if let Some(spec) = spec.as_object_mut() {
        for required in ["project", "destination"] {
            let empty = if required == "project" {
                json!("")
            } else {
                json!({})
            };
            spec.entry(required).or_insert(empty);
        }
    }
    application
}

/// Fields that say something although they are empty, by the last part of their path: pointers of
/// Argo CD's types, and what has to be there.
const KEPT: [&str; 11] = [
    "prune",
    "selfHeal",
    "allowEmpty",
    "enabled",
    "revisionHistoryLimit",
    "project",
    "repoURL",
    "count",
    "name",
    "value",
    "factor",
];

/// Groups of fields that say nothing when they are empty.
const GROUPS: [&str; 5] = ["syncPolicy", "helm", "kustomize", "directory", "plugin"];

fn omit_empty(value: &mut Value, parent: &str) {
    match value {
        Value::Object(map) => map.retain(|key, value| {
            if [
                "valuesObject",
                "parameters",
                "labels",
                "annotations",
                "commonLabels",
                "commonAnnotations",
                "options",
            ]
            .contains(&key.as_str())
                && !value.is_array()
            {
                return !value.is_null() && (key == "valuesObject" || *value != json!({}));
            }
            omit_empty(value, key);
            match value {
                Value::Null => false,
                Value::Bool(false) => KEPT[..4].contains(&key.as_str()) && parent == "automated",
                Value::String(text) => !text.is_empty() || KEPT.contains(&key.as_str()),
                Value::Number(number) => {
                    number.as_f64() != Some(0.0) || KEPT.contains(&key.as_str())
                }
                Value::Array(items) => !items.is_empty(),
                Value::Object(map) => !map.is_empty() || !GROUPS.contains(&key.as_str()),
                Value::Bool(true) => true,
            }
        }),
        Value::Array(items) => {
            for item in items {
                omit_empty(item, parent);
            }
        }
        _ => {}
    }
}
