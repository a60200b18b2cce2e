//! Desired against live for one application, and what it may hold.

pub(crate) mod admission;
mod claims;
pub(crate) mod comparison;
mod ended;
pub(crate) mod ignore;
pub(crate) mod kept;
