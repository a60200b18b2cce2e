//! What the agent remembers of an application between two reconciliations. Only a cache: all of it
//! can be found again in the cluster and in Git.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_api::{Application, ApplicationStatus};
use gitops_charts::ChartArchive;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::settings::ignore::RuleSource;
use gitops_core::sync::autosync::HealHistory;
use gitops_render::InputSet;
use jiff::Timestamp;

/// The memory of one application.
#[derive(Default)]
pub(crate) struct AppCache {
    /// The last render.
    pub(crate) rendered: Option<RenderedSources>,
    /// The last render of a revision that is held instead of the tracked one.
    pub(crate) held: Option<RenderedSources>,
    /// The last render of a revision that a sync was asked for or began with.
    pub(crate) operating: Option<RenderedSources>,
    /// The tracked commit at which [`gitops_api::status::LiveRevision`] was last found out.
    pub(crate) live_at: Option<String>,
    /// Passes in a row that could not even compare.
    pub(crate) failures: u32,
    /// When its objects were healed.
    pub(crate) heals: HealHistory,
    /// What its deletion waits for, and since when.
    pub(crate) waits: Option<(String, Timestamp)>,
    /// When the API server was last asked what admission makes of what it overruled.
    pub(crate) admission_asked: Option<Timestamp>,
    /// The Application as the last write left it.
    pub(crate) written: Option<Arc<Application>>,
}

impl AppCache {
    /// The Application as it is now: as it was read, or as the last write left it when that is
    /// newer. A watch may be behind our own writes, and an operation that was answered must not be
    /// carried out again.
    pub(crate) fn newest(&self, read: Arc<Application>) -> Arc<Application> {
        match &self.written {
            Some(written) if version(&read) < version(written) => Arc::clone(written),
            _ => read,
        }
    }

    /// The status of an Application as it is now.
    pub(crate) fn status<'a>(&'a self, read: &'a Application) -> Cow<'a, ApplicationStatus> {
        let newest: &Application = match &self.written {
            Some(written) if version(read) < version(written) => written,
            _ => read,
        };
        match &newest.status {
            Some(status) => Cow::Borrowed(status),
            None => Cow::Owned(ApplicationStatus::default()),
        }
    }
}

/// Resource versions of one kind of object are ordered (Kubernetes API conventions, KEP-5504).
fn version(app: &Application) -> Option<u64> {
    app.metadata.resource_version.as_ref()?.parse().ok()
}

/// Manifests of all sources together, and what they were made from.
pub(crate) struct RenderedSources {
    /// Digest of everything but the repositories' content: specs, names.
    pub(crate) render_key: String,
    /// Digest of what the cluster serves, on which charts may depend.
    pub(crate) cluster: String,
    /// One entry a source, in order.
    pub(crate) sources: Vec<RenderedSource>,
    /// The result.
    pub(crate) desired: Arc<DesiredSet>,
    /// The same under rules about what to ignore.
    pub(crate) with_ignore_rules: Option<WithIgnoreRules>,
    /// Notes for people.
    pub(crate) warnings: Vec<String>,
}

/// Manifests under rules about what to ignore.
#[derive(Clone)]
pub(crate) struct WithIgnoreRules {
    /// What the rules were made from.
    pub(crate) source: RuleSource,
    /// The manifests.
    pub(crate) desired: Arc<DesiredSet>,
    /// Rules that cannot be followed.
    pub(crate) problems: Vec<String>,
}

/// One source of a render.
pub(crate) struct RenderedSource {
    /// Commit or chart version.
    pub(crate) revision: String,
    /// What was read.
    pub(crate) inputs: InputSet,
    /// Directory, Helm or Kustomize; empty for a source that only lends files.
    pub(crate) source_type: String,
    /// Charts the source's chart depends on and does not bring along, by where they belong.
    pub(crate) dependencies: BTreeMap<String, Dependency>,
}

/// Where the files of a chart's dependency are.
#[derive(Clone)]
pub(crate) enum Dependency {
    /// Fetched from a chart repository.
    Archive(Arc<ChartArchive>),
    /// A folder of the same repository.
    Folder(String),
}

#[cfg(test)]
mod tests {
    use gitops_api::Operation;

    use super::*;

    fn at(version: &str, operation: Option<Operation>) -> Arc<Application> {
        let mut app = Application::default();
        app.metadata.resource_version = Some(version.into());
        app.operation = operation;
        Arc::new(app)
    }

    #[test]
    fn an_answered_operation_does_not_come_back_with_an_older_reading() {
        let asked = || Some(Operation::default());
        let mut cache = AppCache::default();
        assert!(cache.newest(at("9", asked())).operation.is_some());
        cache.written = Some(at("10", None));
        assert!(cache.newest(at("9", asked())).operation.is_none());
        assert!(
            cache.newest(at("11", asked())).operation.is_some(),
            "asked for again"
        );
    }
}
