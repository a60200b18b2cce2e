//! Bare mirrors of the Git repositories applications are kept in: which refs there are, fetching
//! objects, reading trees, blobs and history.
//!
//! [`Mirror`] owns a directory on disk and everything that talks to the network; [`Snapshot`] reads
//! one commit and talks to no server. All calls block: an async caller wraps them in
//! `spawn_blocking`. The crate never checks files out, never runs anything a repository contains,
//! never writes to a remote, reads no configuration of the machine's git, and never puts a secret
//! in an error or a log line. Which revision an application wants is decided in gitops-core.

mod access;
mod allowance;
mod commits;
mod consolidate;
mod error;
mod exchange;
mod failure;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod generation;
mod history;
mod http;
mod location;
mod mirror;
mod object_id;
mod paths;
mod presence;
mod process;
mod redact;
mod refs;
mod room;
mod server;
mod snapshot;
mod ssh;
mod tree;

pub use access::{CacheLimit, Credentials, DiskLimits, RepositoryAccess};
pub use commits::CommitInfo;
pub use error::GitError;
pub use exchange::Want;
pub use gitops_transport::{ClientCertificate, Limits, LocalAddresses, ProxySettings};
pub use location::{canonical_url, host_of};
pub use mirror::{FetchReport, Mirror};
pub use object_id::ObjectId;
pub use refs::{RefTarget, Refs};
pub use room::size_below;
pub use snapshot::{Entry, Item, ItemKind, Resolved, Snapshot};
