//! Desired against live: which objects differ, in which fields, and who changed them.

pub mod comparison;
pub mod diff;
pub mod drift;
pub mod exclusive;
pub mod field;
pub mod path;
pub mod pipeline;
