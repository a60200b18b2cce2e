//! The user's own `git`: reading, committing and pushing without touching what they work on.
//!
//! Everything runs through the `git` program, so that credential helpers, ssh agents, proxies,
//! hooks, identity and signing are the user's. Of a clone only its object database is written,
//! and references below `refs/gitops/`: never its working tree, index, HEAD or branches. Nothing
//! here ever overwrites a commit on a server: a push is a fast-forward or it is refused.

mod address;
mod commit;
mod error;
mod objects;
mod program;
mod push;
mod redact;
mod repository;
mod restore;
mod working_tree;

pub use address::{same_repository, valid_branch};
pub use commit::{Edit, NewCommit};
pub use error::GitError;
pub use objects::{Change, CommitInfo, Entry};
pub use push::{Pushed, Target};
pub use redact::redact;
pub use repository::{Place, Repository, WorkDir};
pub use working_tree::WorkingTree;

/// Whether a text is a full object id.
pub fn is_object_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
