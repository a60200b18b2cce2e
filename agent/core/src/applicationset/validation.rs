//! Which generated Applications may be created: one of a name, a project and a destination that
//! exist, a name that can be one. What is wrong with one does not hold back the others.

use std::collections::{BTreeMap, BTreeSet};

use gitops_api::constants::{IN_CLUSTER_NAME, IN_CLUSTER_SERVER};
use serde_json::Value;

use super::environment::{Cluster, normalize};
use super::generate::Desired;
use crate::nearest::nearest;

/// What Applications may refer to.
#[derive(Clone, Debug, Default)]
pub struct Destinations {
    /// Names of the projects.
    pub projects: BTreeSet<String>,
    /// The clusters that have a Secret.
    pub clusters: Vec<Cluster>,
}

/// An Application that is left alone: neither created nor updated nor deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalid {
    /// Its name.
    pub name: String,
    /// Argo CD's reason of the condition `ErrorOccurred`.
    pub reason: &'static str,
    /// What, why and what to do.
    pub message: String,
}

/// Argo CD's reason for what it finds before it writes.
pub(super) const VALIDATION: &str = "ApplicationValidationError";
/// Argo CD's reason for what the API server refuses.
pub(super) const UPDATE: &str = "UpdateApplicationError";

/// What was generated, judged.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validated {
    /// What may be created or updated, one of a name, by name.
    pub good: BTreeMap<String, Desired>,
    /// What is left alone, by name.
    pub invalid: Vec<Invalid>,
    /// The name of some Application is not known, so it is not known either what is not generated any
    /// more: nothing is deleted.
    pub has_unnamed: bool,
}

impl Validated {
    /// All names that were generated: nothing of these is deleted.
    pub fn names(&self) -> BTreeSet<&str> {
        let invalid = self.invalid.iter().map(|invalid| invalid.name.as_str());
        self.good
            .keys()
            .map(String::as_str)
            .chain(invalid)
            .collect()
    }
}

/// Judges generated Applications. Equal ones of equal elements are one.
pub fn validate(generated: Vec<Desired>, known: &Destinations) -> Validated {
    let mut by_name: BTreeMap<String, Vec<Desired>> = BTreeMap::new();
    let mut validated = Validated::default();
    for desired in generated {
        if let Some(why) = desired.broken {
            validated.has_unnamed = true;
            validated.invalid.push(Invalid {
                name: desired.name,
                reason: UPDATE,
                message: why,
            });
            continue;
        }
        let same = by_name.entry(desired.name.clone()).or_default();
        let is_twin = |other: &Desired| {
            other.value == desired.value && other.parameters == desired.parameters
        };
        if !same.iter().any(is_twin) {
            same.push(desired);
        }
    }
    for (name, mut same) in by_name {
        if same.len() > 1 {
            let from: Vec<String> = same.iter().map(|one| one.from.to_string()).collect();
            validated.invalid.push(Invalid {
                reason: VALIDATION,
                message: format!(
                    "{} elements give different Applications of the name {name}, so none of them is \
                     made: {}",
                    same.len(),
                    from.join("; ")
                ),
                name,
            });
            continue;
        }
        let Some(one) = same.pop() else { continue };
        match judge(&one, known) {
            Ok(()) => {
                validated.good.insert(name, one);
            }
            Err((reason, message)) => validated.invalid.push(Invalid {
                message: format!("Application {name:?} ({}): {message}", one.from),
                reason,
                name,
            }),
        }
    }
    validated
}

fn judge(desired: &Desired, known: &Destinations) -> Result<(), (&'static str, String)> {
    name_of(&desired.name).map_err(|why| (UPDATE, why))?;
    let spec = &desired.value["spec"];
    project(spec, known)
        .and_then(|()| destination(&spec["destination"], known))
        .and_then(|()| labels(&desired.value["metadata"]["labels"]))
        .map_err(|why| (VALIDATION, why))
}

fn name_of(name: &str) -> Result<(), String> {
    if name.is_empty() {
        return Err("its name is empty; look at metadata.name of the template".into());
    }
    let is_end = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_good = name.len() <= 253
        && name.split('.').all(|part| {
            part.starts_with(is_end)
                && part.ends_with(is_end)
                && part.chars().all(|c| is_end(c) || c == '-')
        });
    if is_good {
        return Ok(());
    }
    Err(format!(
        "its name is none that Kubernetes takes: at most 253 lower case letters, digits, '-' and '.'; \
         normalize would make it {:?}",
        normalize(name)
    ))
}

fn project(spec: &Value, known: &Destinations) -> Result<(), String> {
    let project = spec["project"].as_str().unwrap_or_default();
    if project.is_empty() {
        return Err("spec.project is empty; write default, or the project it belongs to".into());
    }
    if known.projects.contains(project) {
        return Ok(());
    }
    let advice = nearest(project, known.projects.iter().map(String::as_str));
    let advice = advice.map_or_else(String::new, |name| format!("; did you mean {name}?"));
    Err(format!("the project {project} does not exist{advice}"))
}

fn destination(destination: &Value, known: &Destinations) -> Result<(), String> {
    let name = destination["name"].as_str().unwrap_or_default();
    let server = destination["server"].as_str().unwrap_or_default();
    match (name, server) {
        ("", "") => Err("spec.destination names no cluster; write its name or its server".into()),
        ("", server) => {
            let plain = |text: &str| text.trim_end_matches('/').to_owned();
            let is_known = plain(server) == IN_CLUSTER_SERVER
                || known
                    .clusters
                    .iter()
                    .any(|one| plain(&one.server) == plain(server));
            if is_known {
                return Ok(());
            }
            let servers = known.clusters.iter().map(|one| one.server.as_str());
            let advice = nearest(server, servers.chain([IN_CLUSTER_SERVER]));
            let advice = advice.map_or_else(String::new, |name| format!("; did you mean {name}?"));
            Err(format!(
                "spec.destination.server: no cluster {server} is known{advice}"
            ))
        }
        (name, "") => {
            let found = known.clusters.iter().filter(|one| one.name == name).count();
            let renamed = known
                .clusters
                .iter()
                .any(|one| one.server == IN_CLUSTER_SERVER);
            match found {
                0 if name == IN_CLUSTER_NAME && !renamed => Ok(()),
                1 => Ok(()),
                0 => {
                    let names = known.clusters.iter().map(|one| one.name.as_str());
                    let advice = nearest(name, names.chain([IN_CLUSTER_NAME]));
                    let advice =
                        advice.map_or_else(String::new, |name| format!("; did you mean {name}?"));
                    Err(format!(
                        "spec.destination.name: no cluster {name} is known{advice}"
                    ))
                }
                several => Err(format!(
                    "spec.destination.name: {several} clusters have the name {name}"
                )),
            }
        }
        (name, server) => Err(format!(
            "spec.destination has a name ({name}) and a server ({server}); write one of them"
        )),
    }
}

/// Whether the cluster an Application is delivered to is known.
pub(super) fn is_known(spec: &Value, known: &Destinations) -> bool {
    destination(&spec["destination"], known).is_ok()
}

fn labels(labels: &Value) -> Result<(), String> {
    for (key, value) in labels.as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        let is_end = |c: char| c.is_ascii_alphanumeric();
        let is_good = value.is_empty()
            || value.len() <= 63
                && value.starts_with(is_end)
                && value.ends_with(is_end)
                && value.chars().all(|c| is_end(c) || "-_.".contains(c));
        if !is_good {
            return Err(format!(
                "the label {key} has the value {value:?}, and values are at most 63 letters, digits, \
                 '-', '_' and '.'"
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::error::Place;
    use super::*;

    #[expect(clippy::needless_pass_by_value, reason = "calls are shorter")]
    fn one(name: &str, project: &str, destination: Value) -> Desired {
        Desired {
            name: name.into(),
            value: json!({"metadata": {"name": name}, "spec": {"project": project, "destination": destination}}),
            from: Place::generator("g"),
            parameters: super::super::param::ParamMap::new(),
            broken: None,
            prunes: false,
        }
    }

    #[test]
    fn each_is_judged_by_itself() {
        let known = Destinations {
            projects: ["default".to_owned()].into(),
            clusters: vec![Cluster {
                name: "prod".into(),
                server: "https://prod:6443".into(),
                ..Cluster::default()
            }],
        };
        let local = || json!({"server": "https://kubernetes.default.svc"});
        let cases = [
            (one("a", "default", local()), None),
            (one("a", "default", json!({"name": "in-cluster"})), None),
            (one("a", "default", json!({"name": "prod"})), None),
            (
                one("a", "default", json!({"server": "https://prod:6443/"})),
                None,
            ),
            (one("a", "defualt", local()), Some("did you mean default?")),
            (one("a", "", local()), Some("spec.project is empty")),
            (
                one("a", "default", json!({"name": "prdo"})),
                Some("did you mean prod?"),
            ),
            (
                one("a", "default", json!({"name": "prod", "server": "x"})),
                Some("write one of them"),
            ),
            (one("a", "default", json!({})), Some("names no cluster")),
            (
                one("Bad Name", "default", local()),
                Some("normalize would make it \"bad-name\""),
            ),
            (one("", "default", local()), Some("name is empty")),
        ];
        for (desired, expected) in cases {
            let validated = validate(vec![desired.clone(), one("ok", "default", local())], &known);
            assert!(validated.good.contains_key("ok"));
            let found = validated
                .invalid
                .first()
                .map(|invalid| invalid.message.clone());
            match expected {
                None => assert_eq!(found, None),
                Some(text) => assert!(found.as_deref().unwrap_or("").contains(text), "{found:?}"),
            }
        }
    }

    #[test]
    fn equal_twins_are_one_and_different_ones_none() {
        let known = Destinations {
            projects: ["default".to_owned()].into(),
            ..Destinations::default()
        };
        let local = || json!({"name": "in-cluster"});
        let twins = vec![one("a", "default", local()), one("a", "default", local())];
        assert_eq!(validate(twins, &known).good.len(), 1);
        let different = vec![one("a", "default", local()), one("a", "other", local())];
        let validated = validate(different, &known);
        assert!(validated.good.is_empty());
        assert_eq!(validated.names(), ["a"].into());
    }
}
