//! What runs beneath an application's workloads: Pods, and what is wrong with them.
//!
//! `fetch` reads with the person's own rights; everything else is pure. Never changes anything and
//! never fails a command: what may not be read is said.

pub mod fetch;
pub mod problem;
pub mod tree;
