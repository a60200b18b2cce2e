//! Desired against live for one application, and what it may hold.

pub(crate) mod admission;
pub(crate) mod comparison;
pub(crate) mod ignore;
