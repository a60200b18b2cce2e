//! What an application may do, by its own spec and by its project. Checked again at every look,
//! preview and sync.

use std::sync::Arc;

use gitops_api::constants::condition;
use gitops_api::{AppProject, ApplicationSource, ApplicationSpec};
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::report::status::Condition;
use gitops_core::{project, source};

use crate::applications::Controller;
use crate::applications::sources::render::{comparison_error, is_in_cluster};

impl Controller {
    /// The project of that name.
    pub(crate) fn project(&self, name: &str) -> Result<Arc<AppProject>, Condition> {
        let reference = kube::runtime::reflector::ObjectRef::new(name).within(&self.namespace);
        self.configuration.projects.get(&reference).ok_or_else(|| {
            Condition::new(
                condition::INVALID_SPEC_ERROR,
                format!(
                    "project {name} does not exist in namespace {}; create the AppProject or change \
                     spec.project",
                    self.namespace
                ),
            )
        })
    }

    /// Checks what can be checked without Git.
    pub(crate) fn validate(
        &self,
        spec: &ApplicationSpec,
        sources: &[ApplicationSource],
    ) -> Result<(), Condition> {
        let invalid = |message: String| Condition::new(condition::INVALID_SPEC_ERROR, message);
        source::validate(spec).map_err(|problems| {
            let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
            invalid(texts.join("; "))
        })?;
        let name = spec.effective_project();
        let project = self.project(name)?;
        for source in sources {
            project::permits_source(&project.spec, name, &source.repo_url)
                .map_err(|denial| invalid(denial.to_string()))?;
        }
        project::permits_destination(&project.spec, name, &spec.destination)
            .map_err(|denial| invalid(denial.to_string()))?;
        if !is_in_cluster(spec) {
            let destination = &spec.destination;
            return Err(invalid(format!(
                "destination {} is not a cluster this agent delivers to; it delivers to \
                 https://kubernetes.default.svc (in-cluster)",
                if destination.name.is_empty() {
                    &destination.server
                } else {
                    &destination.name
                }
            )));
        }
        Ok(())
    }

    /// Checks every object against the project before anything is applied.
    pub(crate) fn check_kinds(
        &self,
        spec: &ApplicationSpec,
        desired: &DesiredSet,
    ) -> Result<(), Condition> {
        let name = spec.effective_project();
        let project = self.project(name)?;
        let denials: Vec<String> = desired
            .objects
            .values()
            .filter(|object| object.kind_known && !object.implicit)
            .filter_map(|object| {
                project::permits_object(&project.spec, name, &spec.destination, &object.key)
                    .err()
                    .map(|denial| format!("{}: {denial}", object.origin))
            })
            .take(5)
            .collect();
        if denials.is_empty() {
            Ok(())
        } else {
            Err(comparison_error(denials.join("; ")))
        }
    }
}
