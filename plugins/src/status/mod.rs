//! What `status` says: pure functions from Applications to rows, screens and documents.

pub mod agent;
pub mod application;
pub mod detail;
pub mod document;
pub mod drift;
pub mod list;
pub mod listing;
pub mod live;
mod page;
pub mod reason;
mod tree;
