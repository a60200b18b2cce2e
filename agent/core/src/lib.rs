//! Every decision of the agent as a pure function: data in, data with a reason out.
//!
//! Nothing here does I/O, awaits, reads a clock or draws a random number; time and randomness are
//! parameters. Only the crates around this one know Kubernetes clients or Git.

pub mod object;
pub mod diff;
pub mod digest;
pub mod ownership;
pub mod path;
