//! Why a render has no result. Each message says what failed, where, and what to do about it; none holds file content.

use std::path::PathBuf;
use std::time::Duration;

use crate::path::shown;
use crate::remote::Remote;
use crate::tree::TreeError;

/// A chart that another one depends on and that its `charts/` directory does not have.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
pub struct ChartDependency {
    /// Name in Chart.yaml.
    pub name: String,
    /// Version or constraint in Chart.yaml.
    pub version: String,
    /// Repository in Chart.yaml; may be empty.
    pub repository: String,
}

/// Why a render has no result.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// A path of the Application leaves the repository.
    #[error("{field}: {path} leads out of the repository; use a path inside of it")]
    PathEscapes {
        /// Field of the Application.
        field: String,
        /// As written.
        path: String,
    },
    /// A symbolic link leaves the repository, or leads in a circle.
    #[error(
        "{path} is a symbolic link to {target}, which is outside of the repository or leads in a circle; replace the link by a file"
    )]
    SymlinkEscapes {
        /// The link.
        path: String,
        /// Its text.
        target: String,
    },
    /// The Application's directory does not exist.
    #[error(
        "path {} does not exist in revision {revision}; correct spec.source.path or commit the directory",
        shown(path)
    )]
    PathMissing {
        /// The Application's path.
        path: String,
        /// The revision rendered.
        revision: String,
    },
    /// The Application's directory is a file.
    #[error(
        "path {path} is a file; spec.source.path must name the directory it is in (directory.include can then name the file)"
    )]
    PathIsFile {
        /// The Application's path.
        path: String,
    },
    /// Something needed is in a submodule.
    #[error(
        "{path} is a Git submodule, and submodules are not fetched; use a source of its own for that repository"
    )]
    Submodule {
        /// The submodule.
        path: String,
    },
    /// A field of the Application cannot be used.
    #[error("{message}")]
    BadRequest {
        /// The field and what to change.
        message: String,
    },
    /// Something that is deliberately not done.
    #[error("{message}")]
    Unsupported {
        /// What, why, and what to do instead.
        message: String,
    },
    /// A file of the repository is not what it should be.
    #[error("{message}")]
    Invalid {
        /// The file.
        path: String,
        /// Its line, where known.
        line: Option<u32>,
        /// Place and reason.
        message: String,
    },
    /// A file that something refers to does not exist.
    #[error("{message}")]
    FileMissing {
        /// The file.
        path: String,
        /// Which field refers to it, and what to do.
        message: String,
    },
    /// kustomize or Helm refused.
    #[error("{message}")]
    Tool {
        /// Its message, shortened.
        message: String,
    },
    /// A chart's dependencies are not vendored.
    #[error("{message}")]
    MissingDependencies {
        /// Path of the Chart.yaml.
        path: String,
        /// What is missing.
        dependencies: Vec<ChartDependency>,
        /// What to do.
        message: String,
    },
    /// Kustomizations refer to something outside of their repository that was not handed over.
    #[error("{message}; it is not fetched here")]
    MissingRemotes {
        /// What is needed.
        remotes: Vec<Remote>,
        /// Who refers to what.
        message: String,
    },
    /// The worker took too long and was ended.
    #[error("rendering took longer than {} s and was ended; look for endless loops or very large ranges in templates", .0.as_secs_f32())]
    Timeout(Duration),
    /// The worker needed too much memory and ended.
    #[error("rendering needed more than the {} MiB of memory it may use; make the application smaller or raise the agent's render memory", .0 >> 20)]
    OutOfMemory(u64),
    /// The result is larger than allowed.
    #[error("the rendered manifests are larger than the {} MiB allowed; split the application or raise the agent's limit", .0 >> 20)]
    OutputTooLarge(u64),
    /// The files read are larger than allowed.
    #[error("rendering read more than the {} MiB of files allowed, at last {path}; split the application or raise the agent's limit", .limit >> 20)]
    InputTooLarge {
        /// In bytes.
        limit: u64,
        /// The file that was too much.
        path: String,
    },
    /// One object is larger than any API server takes.
    #[error(
        "the object of {}:{} is {} KiB as JSON, and at most {} KiB are allowed, which is more than an API server takes; split the object",
        .path,
        .line.map_or_else(|| "?".to_owned(), |line| line.to_string()),
        .bytes >> 10,
        .limit >> 10
    )]
    ObjectTooLarge {
        /// The file.
        path: String,
        /// Its line, where known.
        line: Option<u32>,
        /// In bytes.
        bytes: u64,
        /// In bytes.
        limit: u64,
    },
    /// The objects have more values (numbers, texts, lists, maps) than allowed: few bytes of text can be many of memory.
    #[error(
        "the rendered manifests have more than the {limit} values allowed, at last the object of {path}; shorten its lists, split the application or raise the agent's limit"
    )]
    TooManyValues {
        /// The file of the object that was too much.
        path: String,
        /// Values of one result.
        limit: u64,
    },
    /// More look-ups of paths and names than one render may make.
    #[error(
        "rendering looked up more than the {limit} paths and names allowed, {what}; use fewer ** in patterns, fewer symbolic links, or a smaller directory"
    )]
    TooManyLookups {
        /// Look-ups of one render.
        limit: u64,
        /// The pattern or path that was too much.
        what: String,
    },
    /// No worker became free.
    #[error(
        "no render worker became free in {} s, all {workers} are in use; it is tried again. If it happens often, raise the agent's render workers or look for applications that render slowly",
        .waited.as_secs_f32()
    )]
    Busy {
        /// How long was waited.
        waited: Duration,
        /// Workers there may be.
        workers: usize,
    },
    /// The worker ended by itself, or spoke nonsense.
    #[error(
        "the render worker ended unexpectedly ({detail}); this render is lost, others are not affected"
    )]
    Crashed {
        /// How.
        detail: String,
    },
    /// The worker cannot be started.
    #[error("cannot start the render worker {}: {reason}", executable.display())]
    Unavailable {
        /// Its executable.
        executable: PathBuf,
        /// Why not.
        reason: String,
    },
    /// The tree could not be read.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl RenderError {
    /// Whether the same render may succeed later without anybody changing anything: a worker that
    /// hung, ended or did not start, a tree whose storage failed. Too much memory is not: the same
    /// templates need as much again.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Timeout(_)
                | Self::Busy { .. }
                | Self::Crashed { .. }
                | Self::Unavailable { .. }
                | Self::Tree(TreeError::Storage { .. })
        )
    }
}
