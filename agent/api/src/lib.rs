//! Types of the `argoproj.io/v1alpha1` API (Application, ApplicationSet, AppProject) and of the
//! fields, annotations and labels this project adds to it.
//!
//! Serde and schema only: nothing here decides, does I/O or knows a Kubernetes client. The types
//! read what Argo CD and its clients write (a `null` list is an empty one, an unknown state is
//! `Unknown`) and keep fields they do not know, so that a newer Argo CD's manifest survives a
//! read and a write.

#[macro_use]
mod shape;

pub mod application;
pub mod application_set;
#[macro_use]
pub mod codes;
pub mod constants;
pub mod crd;
pub mod destination;
pub mod hold;
pub mod operation;
pub mod pause;
pub mod preview;
pub mod project;
pub mod source;
pub mod status;
pub mod sync_policy;

pub use application::{Application, ApplicationSpec};
pub use application_set::ApplicationSet;
pub use codes::{
    HealthStatusCode, HookType, OperationPhase, ResultCode, SyncPhase, SyncStatusCode,
};
pub use destination::ApplicationDestination;
pub use hold::Hold;
pub use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
pub use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
pub use operation::{Operation, OperationInitiator, SyncOperation};
pub use pause::Pause;
pub use preview::Preview;
pub use project::{AppProject, AppProjectSpec};
pub use source::ApplicationSource;
pub use status::{ApplicationStatus, FieldDrift, HealthStatus, ResourceStatus};
pub use sync_policy::SyncPolicy;

/// Fields of an object this version does not know, kept as they are.
pub type Extra = std::collections::BTreeMap<String, serde_json::Value>;
