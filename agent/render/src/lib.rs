//! Manifests from a source of an Application: what is read is served from a [`SourceTree`], written down in an
//! [`InputSet`], and rendered by a worker process that has neither files nor network (agent/renderer).
//!
//! This crate decides paths, override files, the kind of a source, the build environment, and limits of time and size.
//! It parses no file of a repository, resolves no revision, fetches nothing, and adds nothing to the objects.

mod application_sets;
mod config;
mod environment;
mod error;
mod frame;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod inputs;
mod jail;
mod local_directory;
mod lookups;
mod memory_tree;
mod message;
mod path;
mod plan;
mod reader;
mod remote;
mod renderer;
mod request;
mod session;
mod source;
mod tree;
mod trees;
mod value_files;
mod values;
mod worker;

pub use config::RendererConfig;
pub use error::{ChartDependency, RenderError};
pub use inputs::{Fact, InputSet, TreeInputs};
pub use jail::Jail;
pub use local_directory::LocalDirectory;
pub use memory_tree::MemoryTree;
pub use remote::{Remote, RemoteKind};
pub use renderer::{Renderer, SetOperation};
pub use request::{
    AppContext, KustomizeBuild, Origin, Packaged, RenderRequest, Rendered, RenderedObject,
    SourceRequest, SourceType,
};
pub use source::{
    DirectorySpec, HelmFileParameter, HelmParameter, HelmSpec, JsonnetSpec, JsonnetVariable,
    KustomizeReplica, KustomizeSpec, SourceSpec,
};
pub use tree::{SourceTree, TreeEntry, TreeError, TreeItem};
