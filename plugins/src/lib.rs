//! The `kubectl gitops` suite: one program, a directory per command.
//!
//! Commands talk to the Kubernetes API only, with the user's own kubeconfig and rights. What is
//! shown are models of `gitops-views`, drawn by pure functions (`screen`); commands fetch, call them
//! and print.

pub mod cluster;
pub mod commands;
pub mod completion;
pub mod extension;
pub mod forge;
pub mod git;
pub mod program;
pub mod render_worker;
