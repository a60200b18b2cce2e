//! Sources of an application: when two URLs are one repository, what a spec must say, and which
//! credentials belong to a URL.
//!
//! Never connects to anything and never reads a cluster: Secrets and ConfigMaps are parameters.

mod credentials;
mod repositories;
pub mod revision;
mod url;
mod validation;
pub mod version;

pub use self::credentials::{RepositoryEntry, RepositoryKind, SecretText};
pub use self::repositories::{
    RepositorySecret, RepositorySecrets, SecretProblem, certificates_for, known_hosts,
};
pub use self::url::{has_dot_segments, host, normalise};
pub use self::validation::{SpecProblem, validate};
