//! Helm charts from where charts are published: chart repositories (`index.yaml` and archives over
//! HTTP) and OCI registries; and single files over HTTP, which are had in the same way.
//!
//! Decides which published version a range means, as Helm decides it; downloads that version with
//! the repository's own credentials, certificate authority and proxy; verifies its digest; unpacks
//! it in memory, within limits; and says which charts a chart directory depends on. It never
//! renders a chart, never writes an archive's files to disk, and never sends a repository's
//! credentials to another host unless that repository says `passCredentials`.
//!
//! The protocol of registries is spoken here, with the same HTTP client as for chart repositories,
//! instead of through a registry client library. Pulling a chart is three requests (manifest, blob,
//! sometimes a token), while what matters is the edge they share with chart repositories: one rule
//! for where credentials may go, one for redirects, one for size limits, one per-repository TLS
//! set-up and one wording of errors. A library has its own of each, most of them not adjustable,
//! and brings another two dozen crates.
//!
//! | module | subject |
//! |---|---|
//! | [`repository`] | what a user configures: URL, kind, credentials, TLS, proxy |
//! | `version` | what Helm adds to the versions and ranges of gitops-core |
//! | [`fetcher`], `download` | resolve and fetch, with what was learnt kept for a while |
//! | `file`, `fetch_file` | a single file behind an address |
//! | `index`, `published` | chart repositories: `index.yaml`, where an archive is |
//! | `registry`, `token` | OCI registries: tags, manifests, blobs, access tokens |
//! | `http` | requests over gitops-transport, and what a failed one means |
//! | `store` | the directory with downloaded indexes and archives; always safe to delete |
//! | [`archive`] | an archive as a tree in memory |
//! | [`dependency`] | `Chart.yaml` and `Chart.lock`: the charts a chart needs |
//! | [`error`] | every way this can fail |

pub mod archive;
mod blocking;
pub mod dependency;
mod download;
pub mod error;
mod fetch_file;
pub mod fetcher;
mod file;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod http;
mod index;
mod published;
mod recent;
mod registry;
pub mod repository;
mod store;
mod token;
mod version;

pub use archive::{ArchiveEntry, ArchiveLimits, ChartArchive};
pub use dependency::{ChartDependency, DependencySource, chart_dependencies};
pub use error::ChartError;
pub use fetcher::{ChartFetcher, FetcherConfig};
pub use file::RemoteFile;
pub use gitops_transport::{ClientCertificate, ProxySettings};
pub use repository::{BasicCredentials, ChartRepository, RepositoryKind};
