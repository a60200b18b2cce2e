//! From nothing to an agent that manages itself from Git: what is found, what is decided, and what
//! is shown of it.
//!
//! `check` looks and decides, `execute` does; what they decide with is pure and has files of its
//! own. Only `cluster`, `waiting`, `source`, `access` and `secret` talk to the world.

pub mod access;
pub mod check;
pub mod cluster;
pub mod controllers;
pub mod credentials;
pub mod execute;
pub mod export;
pub mod image;
pub mod known_hosts;
pub mod layout;
pub mod manifests;
pub mod permissions;
pub mod plan;
pub mod secret;
pub mod source;
pub mod take_over;
pub mod verdict;
mod waiting;
