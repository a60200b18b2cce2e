//! What an application may use and change, by its own spec and by its project as it is now. Asked at
//! every look, preview and sync, and again for each change: the project may be narrowed meanwhile.

use std::sync::Arc;

use gitops_api::{ApplicationSource, ApplicationSpec};
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::project::{Gate, ProjectRules, SourcePermit};
use gitops_core::source;

use crate::app_key::AppKey;
use crate::applications::error::ReconcileError;
use crate::configuration::{Configuration, NoRules};

/// The rules of the project of an application.
pub(crate) fn rules(
    configuration: &Configuration,
    spec: &ApplicationSpec,
) -> Result<Arc<ProjectRules>, ReconcileError> {
    let name = spec.effective_project();
    configuration.rules(name).map_err(|none| match none {
        NoRules::Missing => ReconcileError::ProjectMissing {
            project: name.into(),
            namespace: configuration.namespace.clone(),
        },
        NoRules::Unusable(problems) => ReconcileError::ProjectUnusable(problems),
    })
}

/// Checks a spec, and its destination against its project. Whether the destination is a cluster the
/// agent delivers to is for [`crate::clusters`] to say.
pub(crate) fn validate(
    configuration: &Configuration,
    spec: &ApplicationSpec,
) -> Result<(), ReconcileError> {
    source::validate(spec).map_err(ReconcileError::InvalidSpec)?;
    rules(configuration, spec)?
        .permits_destination(&spec.destination)
        .map_err(ReconcileError::SpecDenied)
}

/// Permission to use sources: the application's own, or those that stand in for them.
pub(crate) fn sources(
    configuration: &Configuration,
    spec: &ApplicationSpec,
    sources: &[ApplicationSource],
) -> Result<Vec<SourcePermit>, ReconcileError> {
    let several = !spec.sources.is_empty() || sources.len() > 1;
    source::validate_sources("spec", sources, several).map_err(ReconcileError::InvalidSpec)?;
    let rules = rules(configuration, spec)?;
    let permits = sources
        .iter()
        .map(|source| rules.permits_source(&source.repo_url));
    permits
        .collect::<Result<_, _>>()
        .map_err(ReconcileError::SpecDenied)
}

/// Checks every object and hook, and all repositories they were made from, before anything is
/// applied.
pub(crate) fn check(
    configuration: &Configuration,
    spec: &ApplicationSpec,
    repositories: &[String],
    desired: &DesiredSet,
) -> Result<(), ReconcileError> {
    let rules = rules(configuration, spec)?;
    let sources = repositories.iter().map(|url| rules.permits_source(url));
    let denied = sources.filter_map(|verdict| Some(verdict.err()?.to_string()));
    let mut denials: Vec<String> = denied.collect();
    denials.extend(rules.denied_objects(&spec.destination, desired));
    if denials.is_empty() {
        Ok(())
    } else {
        Err(ReconcileError::Denied(denials))
    }
}

/// What an application may change now that was made from these repositories.
pub(crate) fn gate(
    configuration: &Configuration,
    key: &AppKey,
    spec: &ApplicationSpec,
    repositories: &[String],
) -> Result<Gate, ReconcileError> {
    let rules = rules(configuration, spec)?;
    for url in repositories {
        rules
            .permits_source(url)
            .map_err(ReconcileError::SpecDenied)?;
    }
    rules
        .permits_destination(&spec.destination)
        .map_err(ReconcileError::SpecDenied)?;
    let instance = configuration.instance(key);
    Ok(Gate::new(rules, spec.destination.clone(), instance))
}
