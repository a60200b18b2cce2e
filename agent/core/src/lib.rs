//! Every decision of the agent as a pure function: data in, data with a reason out.
//!
//! Nothing here does I/O, awaits, reads a clock or draws a random number; time and randomness are
//! parameters. Only the crates around this one know Kubernetes clients or Git.

pub mod applicationset;
pub mod attempts;
pub mod backoff;
pub mod compare;
pub mod duration;
pub mod glob;
pub mod kept;
pub mod label_selector;
pub mod lease;
pub mod listing;
pub mod live;
pub mod manifest;
pub mod mask;
pub mod nearest;
pub mod project;
pub mod reason;
pub mod report;
pub mod rollback;
pub mod settings;
pub mod source;
pub mod sync;
