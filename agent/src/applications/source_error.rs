//! Why the manifests of a source cannot be had. Keeps the error of whoever failed; becomes text only
//! where it is reported.

use std::fmt::Display;
use std::sync::Arc;

use gitops_charts::ChartError;
use gitops_core::listing;
use gitops_core::manifest::desired::InvalidManifest;
use gitops_core::source::FailureKind;
use gitops_render::RenderError;

use crate::repositories::charts;
use crate::repositories::charts::ChartFailure;
use crate::repositories::error::{Fetching, RepositoryError};

/// Most problems of one kind that are named in one message.
const MAX_SHOWN: usize = 5;

/// Why the manifests of a source cannot be had. One failure is told to everybody who asks the same.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum SourceError {
    /// Its repository, or the revision in it.
    #[error(transparent)]
    Git(#[from] RepositoryError),
    /// Its chart repository is still being asked.
    #[error(transparent)]
    Fetching(Fetching),
    /// Its chart, or one it depends on.
    #[error(transparent)]
    Chart(#[from] ChartError),
    /// A chart in Git names a dependency that is not fetched.
    #[error("chart dependency {chart}: {reason}")]
    Dependency {
        /// Name of the dependency.
        chart: String,
        /// Why not, and what to do instead.
        reason: String,
    },
    /// The specification, by the rules of the renderer.
    #[error("spec.source cannot be read: {0}")]
    Spec(String),
    /// Rendering failed.
    #[error(transparent)]
    Render(Arc<RenderError>),
    /// What was rendered are no Kubernetes objects.
    #[error("{}", first_few(.0))]
    Manifests(Arc<[InvalidManifest]>),
}

impl From<ChartFailure> for SourceError {
    fn from(failure: ChartFailure) -> Self {
        match failure {
            ChartFailure::Fetching(fetching) => Self::Fetching(fetching),
            ChartFailure::Chart(error) => Self::Chart(error),
        }
    }
}

impl From<RenderError> for SourceError {
    fn from(error: RenderError) -> Self {
        Self::Render(Arc::new(error))
    }
}

impl SourceError {
    /// What could make the next attempt succeed.
    pub(crate) fn kind(&self) -> FailureKind {
        match self {
            Self::Git(error) => error.kind(),
            Self::Chart(error) => charts::kind(error),
            Self::Fetching(_) => FailureKind::Transient,
            Self::Render(error) if error.is_temporary() => FailureKind::Transient,
            Self::Render(_) | Self::Dependency { .. } | Self::Spec(_) | Self::Manifests(_) => {
                FailureKind::Input
            }
        }
    }

    /// Whether it follows from the sources and the specification alone, so that the same ones need
    /// not be rendered again to know it. What servers say is remembered where they are asked.
    pub(crate) fn is_of_rendering(&self) -> bool {
        match self {
            Self::Render(_) | Self::Dependency { .. } | Self::Spec(_) | Self::Manifests(_) => true,
            Self::Git(_) | Self::Chart(_) | Self::Fetching(_) => false,
        }
    }

    /// Whether a server is still being asked, so that nothing is known yet and nothing has failed.
    pub(crate) fn is_fetching(&self) -> bool {
        matches!(
            self,
            Self::Fetching(_) | Self::Git(RepositoryError::Fetching(_))
        )
    }
}

/// The first few problems, and how many there are besides.
pub(crate) fn first_few(problems: &[impl Display]) -> String {
    listing::shortened(problems.iter(), MAX_SHOWN, "; ")
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use gitops_core::manifest::object::Origin;

    use super::*;

    #[test]
    fn a_broken_commit_is_not_rendered_again_and_a_worker_that_died_is() {
        let cases = [
            (
                RenderError::Tool {
                    message: "bad".into(),
                },
                FailureKind::Input,
            ),
            (RenderError::OutOfMemory(1 << 20), FailureKind::Input),
            (
                RenderError::Timeout(Duration::from_mins(1)),
                FailureKind::Transient,
            ),
            (
                RenderError::Crashed {
                    detail: "signal 9".into(),
                },
                FailureKind::Transient,
            ),
        ];
        for (error, kind) in cases {
            let error = SourceError::from(error);
            assert_eq!(error.kind(), kind, "{error}");
            assert!(error.is_of_rendering());
        }
    }

    #[test]
    fn the_first_few_manifests_are_named_and_the_rest_counted() {
        let problems: Vec<_> = (0..7)
            .map(|number| InvalidManifest {
                origin: Origin {
                    path: format!("{number}.yaml"),
                    line: None,
                },
                problem: "no kind".into(),
            })
            .collect();
        let text = SourceError::Manifests(problems.into()).to_string();
        assert!(text.starts_with("0.yaml: no kind; 1.yaml: "), "{text}");
        assert!(text.ends_with("4.yaml: no kind; and 2 more"), "{text}");
    }
}
