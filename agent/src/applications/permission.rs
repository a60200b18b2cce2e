//! What an application may use and change, by its own spec and by its project as it is now. Asked at
//! every look, preview and sync, and again for each change: the project may be narrowed meanwhile.

use std::sync::Arc;

use gitops_api::{ApplicationSource, ApplicationSpec};
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::project::{DeniedObject, Gate, ProjectRules, SourcePermit};
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

/// What the project does not allow of manifests, before anything of them is applied.
///
/// # Errors
/// When it does not allow a repository they were made from.
pub(crate) fn denied(
    configuration: &Configuration,
    spec: &ApplicationSpec,
    repositories: &[String],
    desired: &DesiredSet,
) -> Result<Vec<DeniedObject>, ReconcileError> {
    let rules = rules(configuration, spec)?;
    for url in repositories {
        let permit = rules.permits_source(url);
        permit.map_err(|denial| ReconcileError::Denied(vec![denial.to_string()]))?;
    }
    Ok(rules.denied_objects(&spec.destination, desired))
}

/// The same as an error.
pub(crate) fn refusal(denied: &[DeniedObject]) -> Option<ReconcileError> {
    let texts: Vec<String> = denied.iter().map(|object| object.why.clone()).collect();
    (!texts.is_empty()).then_some(ReconcileError::Denied(texts))
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
