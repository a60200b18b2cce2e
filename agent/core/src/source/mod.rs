//! Sources of an application: when two URLs are one repository, what a spec must say, which
//! credentials belong to a URL, and when what could not be had is asked for again.
//!
//! Never connects to anything and never reads a cluster: Secrets and ConfigMaps are parameters.

mod credentials;
pub mod fields;
mod repositories;
mod retry;
pub mod revision;
mod url;
mod validation;
pub mod version;

use gitops_api::ApplicationSource;

pub use self::credentials::{RepositoryEntry, RepositoryKind, SecretText};
pub use self::repositories::{
    RepositorySecret, RepositorySecrets, SecretProblem, certificates_for, known_hosts,
};
pub use self::retry::{FailedAttempts, FailureKind, pause, poll_pause};
pub use self::url::{
    canonical_forms, comparable, has_dot_segments, host, normalize, shown, unusable, without_user,
};
pub use self::validation::{SpecProblem, validate, validate_sources};

/// Whether a source has no manifests of its own: other sources read its files by its `ref`.
pub fn only_lends_files(source: &ApplicationSource) -> bool {
    !source.ref_name.is_empty() && source.path.is_empty() && source.chart.is_empty()
}
