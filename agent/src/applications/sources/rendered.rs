//! What came of a render, and what it was made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_charts::ChartArchive;
use gitops_core::compare::pipeline::RuleSource;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::report::status::Condition;
use gitops_core::source::FailedAttempts;
use gitops_git::Mirror;
use gitops_render::{InputSet, Remote, SourceType};
use jiff::Timestamp;

use crate::applications::error::ReconcileError;
use crate::applications::source_error::SourceError;

/// What Git says, or why it is not known.
pub(crate) struct RenderedApp {
    /// One revision a source, in order; empty when they could not be looked up.
    pub(crate) revisions: Vec<String>,
    /// How each source was rendered, as the status names it; empty for one that only lends files.
    pub(crate) source_types: Vec<String>,
    /// The manifests.
    pub(crate) desired: Arc<DesiredSet>,
    /// All repositories the manifests were made from.
    pub(crate) repositories: Vec<String>,
    /// Warnings.
    pub(crate) conditions: Vec<Condition>,
    /// The first source in Git: its place, and the history of its repository.
    pub(crate) git: Option<(usize, Arc<Mirror>)>,
}

/// What is remembered of the renders of an application at one revision, tracked or other.
#[derive(Default)]
pub(crate) struct RenderCache {
    /// The last one that succeeded.
    rendered: Option<RenderedSources>,
    /// The last one, when it failed.
    failed: Option<FailedRender>,
}

/// A render that failed for a reason of its inputs' own.
struct FailedRender {
    /// Digest of its inputs.
    inputs: String,
    error: SourceError,
    attempts: FailedAttempts,
}

impl RenderCache {
    /// The last render that succeeded.
    pub(crate) fn rendered(&self) -> Option<&RenderedSources> {
        self.rendered.as_ref()
    }

    /// Bytes of the manifests that are kept.
    pub(crate) fn bytes(&self) -> usize {
        self.rendered.as_ref().map_or(0, |rendered| {
            let under_rules = rendered.with_ignore_rules.as_ref();
            let under_rules =
                under_rules.filter(|with| !Arc::ptr_eq(&with.desired, &rendered.desired));
            rendered.desired.bytes() + under_rules.map_or(0, |with| with.desired.bytes())
        })
    }

    /// Keeps no manifests: they can be rendered again.
    pub(crate) fn drop_manifests(&mut self) {
        self.rendered = None;
    }

    /// The next render is tried whatever came of the last one.
    pub(crate) fn forget_failure(&mut self) {
        self.failed = None;
    }

    /// Takes the last render that succeeded, if it can be used again.
    pub(super) fn take(
        &mut self,
        is_reusable: impl FnOnce(&RenderedSources) -> bool,
    ) -> Option<RenderedSources> {
        self.rendered.take_if(|rendered| is_reusable(rendered))
    }

    /// Why these inputs failed, if the next attempt with the same ones has to wait.
    pub(super) fn failure(&self, inputs: &str, now: Timestamp) -> Option<SourceError> {
        let failed = self.failed.as_ref()?;
        let waits = failed.inputs == inputs && failed.attempts.wait(None, now).is_some();
        waits.then(|| failed.error.clone())
    }

    /// Remembers that these inputs failed. What a server or a project said is not remembered: that
    /// may be otherwise the next time.
    pub(super) fn note_failure(&mut self, inputs: String, error: &ReconcileError, now: Timestamp) {
        let earlier = self.failed.take();
        let ReconcileError::Source(error) = error else {
            return;
        };
        if !error.is_of_rendering() {
            return;
        }
        let earlier = earlier.filter(|earlier| earlier.inputs == inputs);
        let earlier = earlier.map(|earlier| earlier.attempts);
        self.failed = Some(FailedRender {
            inputs,
            error: error.clone(),
            attempts: FailedAttempts::after(earlier, error.kind(), now),
        });
    }

    /// Remembers a render that succeeded.
    pub(super) fn insert(&mut self, rendered: RenderedSources) -> &mut RenderedSources {
        self.failed = None;
        self.rendered.insert(rendered)
    }
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

impl RenderedSources {
    /// All repositories the manifests were made from, those of charts' dependencies and of remote bases included.
    pub(crate) fn repositories(&self) -> Vec<String> {
        let sources = self.sources.iter();
        let mut all: Vec<String> = sources
            .flat_map(|source| {
                let fetched = source.dependencies.values();
                let fetched = fetched.filter_map(|dependency| match dependency {
                    Dependency::Archive { url, .. } => Some(url),
                    Dependency::Folder(_) => None,
                });
                let outside = source.outside.keys().map(|remote| &remote.url);
                std::iter::once(&source.repo_url)
                    .chain(fetched)
                    .chain(outside)
            })
            .cloned()
            .collect();
        all.sort_unstable();
        all.dedup();
        all
    }
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
    /// Where it is from.
    pub(crate) repo_url: String,
    /// Commit or chart version.
    pub(crate) revision: String,
    /// What was read.
    pub(crate) inputs: InputSet,
    /// How it was rendered; `None` for a source that only lends files.
    pub(crate) source_type: Option<SourceType>,
    /// Charts the source's chart depends on and does not bring along, by where they belong.
    pub(crate) dependencies: BTreeMap<String, Dependency>,
    /// What its kustomizations read of other repositories, and at which revisions.
    pub(crate) outside: BTreeMap<Remote, String>,
}

/// Where the files of a chart's dependency are.
#[derive(Clone)]
pub(crate) enum Dependency {
    /// Fetched from a chart repository.
    Archive {
        /// The repository.
        url: String,
        /// What it holds.
        archive: Arc<ChartArchive>,
    },
    /// A folder of the same repository.
    Folder(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn broken() -> ReconcileError {
        SourceError::Spec("no such field".into()).into()
    }

    #[test]
    fn the_same_inputs_fail_the_same_way_without_being_rendered() {
        let mut cache = RenderCache::default();
        assert!(cache.failure("one", at(0)).is_none());
        cache.note_failure("one".into(), &broken(), at(0));
        let known = cache.failure("one", at(600)).map(|error| error.to_string());
        assert_eq!(known, Some(broken().to_string()));
        assert!(cache.failure("two", at(1)).is_none(), "other inputs");
        assert!(cache.failure("one", at(3600)).is_none(), "in the long run");
        cache.forget_failure();
        assert!(cache.failure("one", at(1)).is_none(), "a refresh");
    }

    #[test]
    fn what_a_project_or_a_server_said_is_asked_again() {
        let mut cache = RenderCache::default();
        cache.note_failure("one".into(), &broken(), at(0));
        let denied = ReconcileError::Denied(vec!["not allowed".into()]);
        cache.note_failure("one".into(), &denied, at(1));
        assert!(cache.failure("one", at(2)).is_none());
    }
}
