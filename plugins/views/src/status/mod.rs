//! The state of Applications: one line each, the one reason that matters, what was changed live.

pub mod agent;
pub mod application;
pub mod deepest;
pub mod drift;
pub mod listing;
pub mod live;
pub mod pause;
pub mod reason;
