//! Rollback through Git, the part that decides: which revision to go back to, what that means,
//! whether it is safe, and what the commit says.
//!
//! Restoring is not reverting: the files an Application reads become what they were, in one new
//! commit, and every other file stays as it is. Nothing here talks to a cluster or runs git.

pub mod application;
pub mod document;
pub mod gates;
pub mod masked;
pub mod message;
pub mod outcome;
pub mod plan;
pub mod screen;
pub mod target;
pub mod three_way;

/// Version of the document `-o json` prints.
pub const VERSION: &str = "gitops-agent.io/rollback.v1";
