//! Every decision of the agent as a pure function: data in, data with a reason out.
//!
//! Nothing here does I/O, awaits, reads a clock or draws a random number; time and randomness are
//! parameters. Only the crates around this one know Kubernetes clients or Git.

pub mod annotations;
pub mod apply;
pub mod autosync;
pub mod budget;
pub mod cautions;
pub mod compare;
pub mod confirmation;
pub mod deletion;
pub mod desired;
pub mod diff;
pub mod digest;
pub mod drift;
pub mod duration;
pub mod glob;
pub mod heals;
pub mod health;
pub mod history;
pub mod hold;
pub mod hook;
pub mod hook_log;
pub mod ignore;
pub mod injected;
pub mod kinds;
pub mod lease;
pub mod live;
pub mod mask;
pub mod nearest;
pub mod object;
pub mod options;
pub mod overruled;
pub mod ownership;
pub mod path;
pub mod plan;
pub mod preview;
pub mod project;
pub mod refusal;
pub mod restore;
pub mod retry;
pub mod revision;
pub mod settings;
pub mod source;
pub mod status;
pub mod sync;
pub mod tracking;
pub mod undeclared;
pub mod version;
