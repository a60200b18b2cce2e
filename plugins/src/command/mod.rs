//! One module per command; its doc comment is its help.

pub mod bootstrap;
pub mod diff;
pub mod explain;
pub mod history;
pub mod refresh;
pub mod status;
pub mod sync;
pub mod terminate;
pub mod wait;
