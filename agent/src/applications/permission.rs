//! What an application may do, by its own spec and by its project. Checked again at every look,
//! preview and sync.

use std::sync::Arc;

use gitops_api::{AppProject, ApplicationSource, ApplicationSpec};
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::{project, source};

use crate::applications::error::ReconcileError;
use crate::configuration::Configuration;

/// The project of that name.
pub(crate) fn project(
    configuration: &Configuration,
    name: &str,
) -> Result<Arc<AppProject>, ReconcileError> {
    configuration
        .project(name)
        .ok_or_else(|| ReconcileError::ProjectMissing {
            project: name.into(),
            namespace: configuration.namespace.clone(),
        })
}

/// Checks a spec, and its sources and destination against its project. Whether the destination is
/// a cluster the agent delivers to is for [`crate::clusters`] to say.
pub(crate) fn validate(
    configuration: &Configuration,
    spec: &ApplicationSpec,
    sources: &[ApplicationSource],
) -> Result<(), ReconcileError> {
    source::validate(spec).map_err(ReconcileError::InvalidSpec)?;
    let name = spec.effective_project();
    let project = project(configuration, name)?;
    for source in sources {
        project::permits_source(&project.spec, name, &source.repo_url)
            .map_err(ReconcileError::SpecDenied)?;
    }
    project::permits_destination(&project.spec, name, &spec.destination)
        .map_err(ReconcileError::SpecDenied)
}

/// Checks every object against the project before anything is applied.
pub(crate) fn check_kinds(
    configuration: &Configuration,
    spec: &ApplicationSpec,
    desired: &DesiredSet,
) -> Result<(), ReconcileError> {
    let name = spec.effective_project();
    let project = project(configuration, name)?;
    let denials = project::denied_objects(&project.spec, name, &spec.destination, desired);
    if denials.is_empty() {
        Ok(())
    } else {
        Err(ReconcileError::Denied(denials))
    }
}
