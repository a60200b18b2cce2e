//! Why an application cannot be compared. Typed until it is reported: only [`ReconcileError::condition`]
//! makes a condition of it.

use std::sync::Arc;

use gitops_api::constants::condition;
use gitops_core::project::{Denial, NoPermit, ProjectProblem};
use gitops_core::reason::Reason;
use gitops_core::report::status::Condition;
use gitops_core::source::{FailureKind, SpecProblem};

use crate::applications::source_error::{SourceError, first_few};
use crate::cluster::write::WriteError;
use crate::clusters::UnknownCluster;

/// Why an application cannot be compared.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum ReconcileError {
    /// The spec by itself.
    #[error("{}", joined(.0))]
    InvalidSpec(Vec<SpecProblem>),
    /// The project of the spec.
    #[error("{}", self.reason())]
    ProjectMissing {
        /// Its name.
        project: String,
        /// Where it would have to be.
        namespace: String,
    },
    /// The project has rules that could not be followed.
    #[error("{}", joined(.0))]
    ProjectUnusable(Arc<Vec<ProjectProblem>>),
    /// The project allows a source or the destination not.
    #[error(transparent)]
    SpecDenied(Denial),
    /// The destination is no cluster the agent delivers to.
    #[error(transparent)]
    UnknownCluster(#[from] UnknownCluster),
    /// The project does not allow objects, or the repository of a dependency.
    #[error("{}", first_few(.0))]
    Denied(Vec<String>),
    /// The manifests cannot be had.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The API server did not answer.
    #[error(transparent)]
    Cluster(#[from] WriteError),
}

impl From<NoPermit> for ReconcileError {
    fn from(refusal: NoPermit) -> Self {
        Self::Denied(vec![refusal.to_string()])
    }
}

impl ReconcileError {
    /// As it is reported.
    pub(crate) fn condition(&self) -> Condition {
        let kind = match self {
            Self::InvalidSpec(_)
            | Self::ProjectMissing { .. }
            | Self::ProjectUnusable(_)
            | Self::SpecDenied(_)
            | Self::UnknownCluster(_) => condition::INVALID_SPEC_ERROR,
            Self::Denied(_) | Self::Source(_) | Self::Cluster(_) => condition::COMPARISON_ERROR,
        };
        Condition::new(kind, self.reason())
    }

    /// Whether a server is still being asked, so that nothing is known yet and nothing has failed.
    pub(crate) fn is_fetching(&self) -> bool {
        matches!(self, Self::Source(error) if error.is_fetching())
    }

    /// The same as data.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::InvalidSpec(problems) => Reason::SpecInvalid {
                detail: joined(problems),
            },
            Self::ProjectMissing { project, namespace } => Reason::ProjectMissing {
                project: project.clone(),
                namespace: namespace.clone(),
            },
            Self::ProjectUnusable(problems) => Reason::ProjectUnusable {
                detail: joined(problems),
            },
            Self::SpecDenied(_) | Self::Denied(_) => Reason::ProjectDenies {
                detail: self.to_string(),
            },
            Self::UnknownCluster(unknown) => Reason::DestinationUnknown {
                destination: unknown.name.clone(),
            },
            Self::Source(error) => error.reason(),
            Self::Cluster(error) => Reason::ComparisonFailed {
                detail: error.to_string(),
            },
        }
    }

    /// What could make the next attempt succeed. Specs and projects are watched: they wake the
    /// application when they change.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::InvalidSpec(_)
            | Self::ProjectMissing { .. }
            | Self::ProjectUnusable(_)
            | Self::SpecDenied(_)
            | Self::UnknownCluster(_)
            | Self::Denied(_) => FailureKind::Input,
            Self::Source(error) => error.kind(),
            Self::Cluster(_) => FailureKind::Transient,
        }
    }
}

fn joined(problems: &[impl ToString]) -> String {
    let texts: Vec<_> = problems.iter().map(ToString::to_string).collect();
    texts.join("; ")
}
