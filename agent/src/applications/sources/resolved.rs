//! A source looked up: which commit or chart version it means now, and its files.

use std::sync::Arc;

use gitops_api::ApplicationSource;
use gitops_render::SourceTree;

use crate::repositories::Checkout;

/// One source, looked up.
#[derive(Clone)]
pub(crate) struct ResolvedSource {
    /// The source.
    pub(crate) spec: ApplicationSource,
    /// Commit or chart version.
    pub(crate) revision: String,
    /// Its files.
    pub(crate) tree: Arc<dyn SourceTree>,
    /// The commit, for a source in Git.
    pub(crate) checkout: Option<Checkout>,
}

impl ResolvedSource {
    /// Whether the source is a chart of a chart repository.
    pub(crate) fn is_chart(&self) -> bool {
        self.checkout.is_none()
    }
}
