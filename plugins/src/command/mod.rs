//! One module per command; its doc comment is its help.

pub mod diff;
pub mod explain;
pub mod history;
pub mod refresh;
pub mod bootstrap;
pub mod status;
pub mod sync;
pub mod terminate;
pub mod wait;
