//! Sources of an application: when two URLs are one repository, what a spec must say, and which
//! credentials belong to a URL.
//!
//! Never connects to anything and never reads a cluster: Secrets and ConfigMaps are parameters.

mod credentials;
mod repositories;
mod url;
mod validation;

pub use self::{
    credentials::{RepositoryEntry, RepositoryKind, SecretText},
    repositories::{
        RepositorySecret, RepositorySecrets, SecretProblem, certificates_for, known_hosts,
    },
    url::{has_dot_segments, host, normalise},
    validation::{SpecProblem, validate},
};
