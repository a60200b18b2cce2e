//! What the renderer needs of a repository: entries, bytes and listings of one tree, read only. Who implements it
//! decides where the bytes are (Git objects, a chart archive, a directory on disk); nothing here follows links or
//! judges paths.

use std::sync::Arc;

/// Read access to one tree.
///
/// Paths are relative to the tree's root, with `/` between names, no `.`, `..`, or slash at an end; the root is the
/// empty path. Symbolic links are entries of their own and are never followed: a path that leads through one is absent.
pub trait SourceTree: Send + Sync {
    /// What is at a path.
    fn entry(&self, path: &str) -> Result<TreeEntry, TreeError>;
    /// How many bytes a blob has, without reading them; `None` where that cannot be told.
    fn size(&self, path: &str) -> Result<Option<u64>, TreeError>;
    /// The bytes of a blob (of a symbolic link: its target).
    fn read(&self, path: &str) -> Result<Arc<[u8]>, TreeError>;
    /// The entries of a directory, sorted by name.
    fn list(&self, path: &str) -> Result<Vec<TreeItem>, TreeError>;
}

/// One entry. Ids are content ids: equal ids mean equal content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeEntry {
    /// Nothing is there.
    Absent,
    /// A file or a symbolic link.
    Blob {
        /// Content id.
        id: String,
        /// The text of the link, when it is one.
        symlink: Option<String>,
        /// Whether the file may be executed.
        executable: bool,
    },
    /// A directory.
    Tree {
        /// Content id of everything in it.
        id: String,
    },
    /// A submodule; its content is in another repository.
    Commit,
}

/// One entry of a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeItem {
    /// Name without any slash.
    pub name: String,
    /// What it is; never [`TreeEntry::Absent`].
    pub entry: TreeEntry,
}

/// Why a tree could not answer.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TreeError {
    /// A file was expected.
    #[error("{path} is not a file")]
    NotAFile {
        /// Path in the tree.
        path: String,
    },
    /// A directory was expected.
    #[error("{path} is not a directory")]
    NotADirectory {
        /// Path in the tree.
        path: String,
    },
    /// The storage failed.
    #[error("cannot read {path}: {reason}")]
    Storage {
        /// Path in the tree.
        path: String,
        /// What the storage said.
        reason: String,
    },
}
