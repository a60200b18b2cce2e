//! One module per command; its doc comment is its help.

pub mod diff;
pub mod status;
