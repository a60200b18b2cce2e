//! The `kubectl gitops` suite: one library, several small binaries.
//!
//! Commands talk to the Kubernetes API only, with the person's own kubeconfig and rights. What is
//! shown is made by pure functions (`status::list::screen`, `status::detail::screen`); commands
//! fetch, call them and print.

pub mod application;
pub mod bootstrap;
pub mod command;
pub mod completion;
pub mod connection;
pub mod diff;
pub mod doctor;
pub mod exit;
pub mod explain;
pub mod extension;
pub mod failure;
pub mod follow;
pub mod forge;
pub mod git;
pub mod health;
pub mod history;
pub mod installation;
pub mod interrupt;
pub mod jsonpath;
pub mod output;
pub mod paint;
pub mod pods;
pub mod preview;
pub mod program;
pub mod progress;
pub mod prompt;
pub mod rollback;
pub mod status;
pub mod suggest;
pub mod sync;
pub mod table;
pub mod terminal;
pub mod text;
pub mod uninstall;
