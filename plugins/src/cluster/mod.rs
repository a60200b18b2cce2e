//! The cluster, with the user's own kubeconfig and rights: connecting, reading Applications and what
//! belongs to them, asking the agent for Previews, following what happens.
//!
//! Decides nothing about what is read, and prints nothing but progress.

pub mod application;
pub mod application_sets;
pub mod connection;
pub mod endpoint;
pub mod failure;
pub mod follow;
pub mod installation;
pub mod kubeconfig;
pub mod look;
pub mod pauses;
pub mod pods;
pub mod preview;
pub mod projects;
