//! The rules an application is measured by: those of its AppProject, with those of the global
//! projects that select it, and with the repositories that belong to it.

use gitops_api::constants::annotation;
use gitops_api::project::{AppProjectSpec, SourceIntegrity};
use gitops_api::{AppProject, ApplicationDestination};

use super::denial::Denial;
use super::global::{GlobalProject, Impersonation};
use super::problem::ProjectProblem;
use super::sources::SourcePermit;
use super::{destinations, kinds, patterns, sources};
use crate::label_selector;
use crate::manifest::desired::DesiredSet;
use crate::manifest::object::ObjectKey;

/// What decides about a project besides itself.
pub struct Surroundings<'a> {
    /// `globalProjects` of argocd-cm; what is wrong with the key, when it cannot be read.
    pub global_projects: Result<&'a [GlobalProject], &'a str>,
    /// Finds a project by its name.
    pub project: &'a dyn Fn(&str) -> Option<std::sync::Arc<AppProject>>,
    /// URLs of the repositories whose Secret belongs to the project.
    pub repositories: Vec<String>,
    /// `application.sync.impersonation` of argocd-cm.
    pub impersonation: Impersonation,
}

/// An object of an application that its project does not allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeniedObject {
    /// Identity; of a hook that is named anew for each run, the beginning of the name.
    pub key: ObjectKey,
    /// It is a hook.
    pub is_hook: bool,
    /// File and line, and the rule.
    pub why: String,
}

/// Nothing besides the project itself decides.
impl Default for Surroundings<'_> {
    fn default() -> Self {
        Self {
            global_projects: Ok(&[]),
            project: &|_| None,
            repositories: Vec::new(),
            impersonation: Impersonation::default(),
        }
    }
}

/// The rules of one project, as they are in force.
#[derive(Clone, Debug)]
pub struct ProjectRules {
    name: String,
    spec: AppProjectSpec,
    repositories: Vec<String>,
    missing: Vec<String>,
    /// Kustomizations may refer to other repositories.
    remote_bases: bool,
}

fn denies_remote_bases(project: &AppProject) -> bool {
    let annotations = project.metadata.annotations.as_ref();
    annotations
        .and_then(|annotations| annotations.get(annotation::REMOTE_BASES))
        .is_some_and(|value| value == "deny")
}

impl ProjectRules {
    /// The rules of a project. Source: Argo CD, "Global Projects": a global project adds its lists
    /// of sources, destinations, kinds and windows, and nothing else of it counts.
    ///
    /// # Errors
    /// When a rule could not be followed: nothing may be done in the name of such a project.
    pub fn of(
        project: &AppProject,
        around: &Surroundings<'_>,
    ) -> Result<Self, Vec<ProjectProblem>> {
        let name = project.metadata.name.clone().unwrap_or_default();
        let mut problems = not_enforced(&name, &project.spec, around.impersonation);
        problems.extend(patterns::malformed(&name, &project.spec));
        let mut rules = Self {
            spec: project.spec.clone(),
            repositories: around.repositories.clone(),
            missing: Vec::new(),
            remote_bases: !denies_remote_bases(project),
            name,
        };
        match selected(project, around) {
            Ok(names) => {
                for global in names {
                    // One that does not exist must not take those after it along.
                    let Some(found) = (around.project)(&global) else {
                        rules.missing.push(global);
                        continue;
                    };
                    problems.extend(patterns::malformed(&global, &found.spec));
                    rules.add(&found.spec);
                }
            }
            Err(problem) => problems.push(ProjectProblem::GlobalProjects {
                project: rules.name.clone(),
                problem,
            }),
        }
        if problems.is_empty() {
            Ok(rules)
        } else {
            Err(problems)
        }
    }

    fn add(&mut self, global: &AppProjectSpec) {
        let spec = &mut self.spec;
        let more = global.clone();
        spec.source_repos.extend(more.source_repos);
        spec.destinations.extend(more.destinations);
        spec.cluster_resource_whitelist
            .extend(more.cluster_resource_whitelist);
        spec.cluster_resource_blacklist
            .extend(more.cluster_resource_blacklist);
        spec.namespace_resource_blacklist
            .extend(more.namespace_resource_blacklist);
        spec.sync_windows.extend(more.sync_windows);
        // An absent list allows every kind; with the global project's it no longer is absent.
        if let Some(kinds) = more.namespace_resource_whitelist.filter(|k| !k.is_empty()) {
            let list = &mut spec.namespace_resource_whitelist;
            list.get_or_insert_default().extend(kinds);
        }
    }

    /// Name of the project.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The lists in force.
    pub fn spec(&self) -> &AppProjectSpec {
        &self.spec
    }

    /// Global projects that select this one and do not exist.
    pub fn missing_global_projects(&self) -> &[String] {
        &self.missing
    }

    /// Whether a repository may be used. See [`sources`].
    ///
    /// # Errors
    /// Why not.
    pub fn permits_source(&self, url: &str) -> Result<SourcePermit, Denial> {
        sources::permits(&self.spec, &self.name, &self.repositories, url)?;
        Ok(SourcePermit::new(url))
    }

    /// Whether a kustomization or a list of values files may refer to what is outside of its repository: as for a source, and unless the project denies it with
    /// the annotation `gitops-agent.io/remote-bases: deny`.
    ///
    /// # Errors
    /// Why not.
    pub fn permits_outside(&self, url: &str) -> Result<SourcePermit, Denial> {
        if self.remote_bases {
            return self.permits_source(url);
        }
        Err(Denial {
            rule: format!("{}: deny", annotation::REMOTE_BASES),
            message: format!(
                "project {} denies what kustomizations and values files refer to outside of their repository ({url}) by the annotation {}: deny of the AppProject; copy it into the repository",
                self.name,
                annotation::REMOTE_BASES
            ),
        })
    }

    /// Whether a cluster and namespace may be deployed to. See [`destinations`].
    ///
    /// # Errors
    /// Why not.
    pub fn permits_destination(&self, destination: &ApplicationDestination) -> Result<(), Denial> {
        destinations::permits(&self.spec, &self.name, destination)
    }

    /// Whether an object may be applied, pruned or deleted. See [`kinds`].
    ///
    /// # Errors
    /// Why not.
    pub fn permits_object(
        &self,
        destination: &ApplicationDestination,
        key: &ObjectKey,
    ) -> Result<(), Denial> {
        kinds::permits(&self.spec, &self.name, destination, key)
    }

    /// The objects and hooks of a set that the project does not allow. What is of a kind the cluster
    /// does not serve yet is judged when it does.
    pub fn denied_objects(
        &self,
        destination: &ApplicationDestination,
        desired: &DesiredSet,
    ) -> Vec<DeniedObject> {
        let objects = desired.objects.values();
        let objects = objects.map(|object| (object, &object.key, false));
        let hooks = desired.hooks.iter().filter(|hook| !hook.phases.is_empty());
        let hooks = hooks.map(|hook| (&hook.object, &hook.key, true));
        objects
            .chain(hooks)
            .filter(|(object, ..)| object.kind_known)
            .filter_map(|(object, key, is_hook)| {
                let denial = self.permits_object(destination, key).err()?;
                Some(DeniedObject {
                    key: key.clone(),
                    is_hook,
                    why: format!("{}: {denial}", object.origin),
                })
            })
            .collect()
    }
}

/// The global projects that select a project, in order.
fn selected(project: &AppProject, around: &Surroundings<'_>) -> Result<Vec<String>, String> {
    let mut names = Vec::new();
    for global in around.global_projects? {
        let labels = project.metadata.labels.as_ref();
        let empty = std::collections::BTreeMap::new();
        let selects = label_selector::selects(&global.label_selector, labels.unwrap_or(&empty))
            .map_err(|error| error.to_string())?;
        let itself = project.metadata.name.as_deref() == Some(&global.project_name);
        if selects && !itself {
            names.push(global.project_name.clone());
        }
    }
    Ok(names)
}

/// What a project demands and nobody would see to.
fn not_enforced(
    project: &str,
    spec: &AppProjectSpec,
    impersonation: Impersonation,
) -> Vec<ProjectProblem> {
    let integrity = spec.source_integrity.as_ref();
    let accounts = !spec.destination_service_accounts.is_empty();
    let demands = [
        (
            !spec.signature_keys.is_empty(),
            "signed commits",
            "spec.signatureKeys",
        ),
        (
            integrity.is_some_and(|integrity| *integrity != SourceIntegrity::default()),
            "verified sources",
            "spec.sourceIntegrity",
        ),
        (
            accounts,
            "syncs with the rights of a ServiceAccount",
            "spec.destinationServiceAccounts",
        ),
        (
            !accounts && impersonation.is_demanded(),
            "syncs with the rights of a ServiceAccount",
            "application.sync.impersonation.enabled of argocd-cm",
        ),
    ];
    let demands = demands.into_iter().filter(|(demanded, ..)| *demanded);
    demands
        .map(|(_, demand, field)| ProjectProblem::NotEnforced {
            project: project.into(),
            demand,
            field,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_lies_outside_of_a_repository_is_allowed_as_a_source_is_unless_it_is_denied() {
        let base = "https://git.example.com/base.git";
        for (repositories, value, allowed) in [
            ("*", None, true),
            ("https://git.example.com/*", Some("allow"), true),
            ("https://git.example.org/*", None, false),
            ("*", Some("deny"), false),
        ] {
            let mut project = json!({
                "apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
                "metadata": {"name": "p"}, "spec": {"sourceRepos": [repositories]},
            });
            if let Some(value) = value {
                project["metadata"]["annotations"] = json!({annotation::REMOTE_BASES: value});
            }
            let project: AppProject = serde_json::from_value(project).unwrap();
            let rules = ProjectRules::of(&project, &Surroundings::default()).unwrap();
            let judged = rules.permits_outside(base);
            assert_eq!(judged.is_ok(), allowed, "{repositories} {value:?}");
            if let (Err(denial), Some(_)) = (judged, value) {
                assert!(denial.message.contains(base), "{}", denial.message);
            }
        }
    }
}
