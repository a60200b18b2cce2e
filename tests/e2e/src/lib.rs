//! Harness of the end-to-end tests: a namespace and an agent of its own for each test, on one shared
//! control plane, with repositories behind real Git, chart and image servers.
//!
//! Everything here waits by watching, fails with what the agent last said, and never sleeps. It
//! decides nothing about the product.

pub mod agent;
pub mod application;
pub mod checkout;
pub mod cluster;
pub mod control_plane;
pub mod environment;
pub mod fault_proxy;
pub mod http;
pub mod image;
pub mod manifests;
pub mod person;
pub mod plugin;
pub mod recorded;
pub mod replica;
pub mod repository;
pub mod rollouts;
pub mod snapshot;
pub mod terminal;
pub mod wait;
pub mod webhook;
pub mod world;

pub use agent::Agent;
pub use application::{App, AppBuilder};
pub use environment::Environment;
pub use fault_proxy::FaultProxy;
pub use person::Person;
pub use repository::Repo;
pub use snapshot::redacted;
pub use world::World;

/// Unwraps what a test cannot go on without.
///
/// # Panics
/// With what was tried and why it failed.
pub fn must<T, E: std::fmt::Display>(result: Result<T, E>, what: &str) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{what}: {error:#}"),
    }
}
