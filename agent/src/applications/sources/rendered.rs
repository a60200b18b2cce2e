//! What came of a render, and what it was made from.

use std::collections::BTreeMap;
use std::sync::Arc;

use gitops_charts::ChartArchive;
use gitops_core::compare::pipeline::RuleSource;
use gitops_core::manifest::desired::DesiredSet;
use gitops_core::report::status::Condition;
use gitops_git::Mirror;
use gitops_render::{InputSet, SourceType};

/// What Git says, or why it is not known.
pub(crate) struct RenderedApp {
    /// One revision a source, in order; empty when they could not be looked up.
    pub(crate) revisions: Vec<String>,
    /// How each source was rendered, as the status names it; empty for one that only lends files.
    pub(crate) source_types: Vec<String>,
    /// The manifests.
    pub(crate) desired: Arc<DesiredSet>,
    /// Warnings.
    pub(crate) conditions: Vec<Condition>,
    /// The first source in Git: its place, and the history of its repository.
    pub(crate) git: Option<(usize, Arc<Mirror>)>,
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
    /// How it was rendered; `None` for a source that only lends files.
    pub(crate) source_type: Option<SourceType>,
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
