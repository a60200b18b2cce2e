//! Which deployment to go back to, what that means, and whether it is safe.

pub mod gates;
pub mod plan;
pub mod target;
