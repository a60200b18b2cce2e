//! What each generator makes of its fields: sets of parameters, always in the same order.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::Value;

use super::environment::{Cluster, Environment, normalize};
use super::error::{Place, Problem, Step, Warning};
use super::need::{Answer, Asker, Need, Outcome, Stop, all};
use super::param::{self, Param, ParamMap, texts};
use super::selector::Selector;
use super::spec::{Generator, Kind};
use super::template::{Filler, Language};
use crate::label_selector::selects;

/// What all generators of a set share.
pub(super) struct Context<'a> {
    pub(super) asker: &'a Asker<'a>,
    pub(super) language: &'a Language,
    pub(super) environment: &'a Environment,
    /// Project of the template, when no parameter decides about it.
    pub(super) project: Option<String>,
}

impl Context<'_> {
    /// The sets of parameters of one generator that its selector lets pass. `outer` are parameters
    /// that are known before: those of the first generator of a matrix.
    pub(super) fn generate(
        &self,
        generator: &Generator,
        outer: &ParamMap,
        depth: usize,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        let path = &generator.path;
        let mut sets = match &generator.kind {
            Kind::List {
                elements,
                elements_yaml,
            } => self.list(path, elements, elements_yaml)?,
            Kind::Clusters {
                selector,
                values,
                flat_list,
            } => {
                let sets = self.clusters(path, selector)?;
                let sets = self.with_values(path, sets, values, outer, warnings)?;
                if *flat_list {
                    let clusters = sets.into_iter().map(Param::Map).collect();
                    vec![ParamMap::from([(
                        "clusters".to_owned(),
                        Param::List(clusters),
                    )])]
                } else {
                    sets
                }
            }
            Kind::Git(git) => {
                let sets = self.git(path, git, warnings)?;
                self.with_values(path, sets, &git.values, outer, warnings)?
            }
            Kind::ClusterDecisionResource {
                config_map,
                name,
                selector,
                values,
            } => {
                let sets = self.decided(path, config_map, name, selector)?;
                self.with_values(path, sets, values, outer, warnings)?
            }
            Kind::Plugin {
                config_map,
                input,
                values,
            } => {
                let sets = self.plugin(path, config_map, input.as_ref())?;
                self.with_values(path, sets, values, outer, warnings)?
            }
            Kind::Matrix(children) => self.matrix(path, children, outer, depth, warnings)?,
            Kind::Merge { generators, keys } => {
                self.merge(path, generators, keys, outer, depth, warnings)?
            }
            Kind::ScmProvider {
                repositories,
                values,
            } => {
                let sets = self.repositories(path, repositories, warnings)?;
                self.with_values(path, sets, values, outer, warnings)?
            }
            Kind::PullRequest { requests, values } => {
                let sets = self.pull_requests(path, requests)?;
                self.with_values(path, sets, values, outer, warnings)?
            }
        };
        if let Some(selector) = &generator.selector {
            sets.retain(|set| {
                if self.language.go {
                    selector.selects(&param::flatten(set))
                } else {
                    selector.selects(set)
                }
            });
        }
        Ok(sets)
    }

    fn list(&self, path: &str, elements: &[Value], yaml: &str) -> Outcome<Vec<ParamMap>> {
        let mut sets = Vec::new();
        for (index, element) in elements.iter().enumerate() {
            let place = format!("{path}.elements[{index}]");
            sets.push(self.element(&place, &Param::of(element), false));
        }
        if !yaml.is_empty() {
            let place = format!("{path}.elementsYaml");
            let need = Need::Yaml(yaml.to_owned());
            let answer = self
                .asker
                .ask(need, |why| Problem::parameters(&place, why))?;
            let Answer::Values(values) = answer else {
                return Err(Stop::Waits);
            };
            match values.first() {
                Some(Ok(Param::List(items))) => {
                    for (index, item) in items.iter().enumerate() {
                        sets.push(self.element(&format!("{place}[{index}]"), item, true));
                    }
                }
                Some(Ok(Param::Null)) | None => {}
                Some(Ok(other)) => {
                    let why = format!("it is {}, and should be a list of maps", other.kind());
                    return Err(Stop::from(Problem::parameters(&place, why)));
                }
                Some(Err(why)) => {
                    let why = format!("it cannot be read as YAML: {why}");
                    return Err(Stop::from(Problem::parameters(&place, why)));
                }
            }
        }
        all(sets)
    }

    /// The parameters of one element. Without goTemplate they are texts; `converts` makes texts of
    /// numbers and of what is nested.
    fn element(&self, place: &str, element: &Param, converts: bool) -> Outcome<ParamMap> {
        let Param::Map(map) = element else {
            return Err(Stop::from(Problem::parameters(
                place,
                format!(
                    "it is {}, and an element is a map of parameters",
                    element.kind()
                ),
            )));
        };
        if self.language.go {
            return Ok(map.clone());
        }
        if converts {
            return Ok(texts(&param::flatten(map)));
        }
        let mut flat = ParamMap::new();
        for (key, value) in map {
            match value {
                Param::Text(_) => {
                    flat.insert(key.clone(), value.clone());
                }
                Param::Map(values) if key == "values" => {
                    for (name, value) in values {
                        let Param::Text(_) = value else {
                            return Err(not_text(&format!("{place}.values.{name}"), value));
                        };
                        flat.insert(format!("values.{name}"), value.clone());
                    }
                }
                other => return Err(not_text(&format!("{place}.{key}"), other)),
            }
        }
        Ok(flat)
    }

    fn clusters(&self, path: &str, selector: &Value) -> Outcome<Vec<ParamMap>> {
        let place = format!("{path}.selector");
        let parsed = Selector::read(selector);
        let is_empty = selector.is_null()
            || selector.as_object().is_some_and(|map| {
                map.values().all(|value| {
                    value.as_object().is_some_and(serde_json::Map::is_empty)
                        || value.as_array().is_some_and(Vec::is_empty)
                        || value.is_null()
                })
            });
        let parsed = if is_empty {
            LabelSelector::default()
        } else {
            parsed.map_err(|why| Problem::parameters(&place, why))?;
            serde_json::from_value(selector.clone())
                .map_err(|error| Problem::parameters(&place, error.to_string()))?
        };
        let mut found: BTreeMap<&str, &Cluster> = BTreeMap::new();
        for cluster in &self.environment.clusters {
            let selected = selects(&parsed, &cluster.labels)
                .map_err(|error| Problem::parameters(&place, error.to_string()))?;
            if !selected {
                continue;
            }
            if let Some(other) = found.insert(&cluster.name, cluster) {
                let (one, two) = (&other.secret, &cluster.secret);
                return Err(Stop::from(Problem::parameters(
                    path,
                    format!(
                        "the Secrets {one} and {two} both describe a cluster of the name {}; give one \
                         of them another name in its data",
                        cluster.name
                    ),
                )));
            }
        }
        let mut sets: Vec<ParamMap> = found.values().map(|one| self.cluster(one)).collect();
        let local = Cluster::local();
        let is_there = |cluster: &Cluster| cluster.server == local.server;
        if is_empty && !self.environment.clusters.iter().any(is_there) {
            sets.push(self.cluster(&local));
        }
        Ok(sets)
    }

    fn cluster(&self, cluster: &Cluster) -> ParamMap {
        let text = |text: &str| Param::Text(text.to_owned());
        let mut set = ParamMap::from([
            ("name".to_owned(), text(&cluster.name)),
            ("nameNormalized".to_owned(), text(&normalize(&cluster.name))),
            ("server".to_owned(), text(&cluster.server)),
            ("project".to_owned(), text(&cluster.project)),
        ]);
        let all = [
            ("labels", &cluster.labels),
            ("annotations", &cluster.annotations),
        ];
        if self.language.go {
            let metadata = all.into_iter().map(|(name, map)| {
                let map = map.iter().map(|(key, value)| (key.clone(), text(value)));
                (name.to_owned(), Param::Map(map.collect()))
            });
            set.insert("metadata".to_owned(), Param::Map(metadata.collect()));
        } else {
            for (name, map) in all {
                for (key, value) in map {
                    set.insert(format!("metadata.{name}.{key}"), text(value));
                }
            }
        }
        set
    }

    fn with_values(
        &self,
        path: &str,
        sets: Vec<ParamMap>,
        values: &BTreeMap<String, String>,
        outer: &ParamMap,
        warnings: &mut Vec<Warning>,
    ) -> Outcome<Vec<ParamMap>> {
        if values.is_empty() {
            return Ok(sets);
        }
        let sets = sets.into_iter().enumerate().map(|(index, mut set)| {
            let mut known = outer.clone();
            param::fill(&mut known, &set);
            let filler = Filler {
                asker: self.asker,
                language: self.language,
                parameters: &known,
                step: Step::Parameters,
                place: Place {
                    element: format!("element {index} {}", param::shown(&set)),
                    ..Place::generator(path)
                },
                broken: RefCell::default(),
            };
            let own = filler.values(values, warnings)?;
            let own = own.into_iter().map(|(key, text)| (key, Param::Text(text)));
            if self.language.go {
                let own: ParamMap = own.collect();
                set.insert("values".to_owned(), Param::Map(own));
            } else {
                set.extend(own.map(|(key, value)| (format!("values.{key}"), value)));
            }
            Ok(set)
        });
        all(sets)
    }
}

fn not_text(place: &str, value: &Param) -> Stop {
    Stop::from(Problem::parameters(
        place,
        format!(
            "it is {}, and without goTemplate: true every parameter is a text; put it in quotes",
            value.kind()
        ),
    ))
}
