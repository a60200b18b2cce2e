//! Repositories of manifests and charts: who is allowed in, what they hold, and when they change.
//!
//! Hands out trees and wakes whoever follows a repository; never knows what a follower is, what it
//! renders, or what becomes of it.

pub(crate) mod charts;
pub(crate) mod credentials;
mod errands;
pub(crate) mod error;
mod followers;
pub(crate) mod identity;
mod known;
pub(crate) mod manager;
mod repository;
mod sweep;
#[cfg(test)]
mod tests;
pub(crate) mod trees;

pub(crate) use followers::Target;
pub(crate) use repository::{Checkout, blocking};
