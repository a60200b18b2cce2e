//! One module per command; its doc comment is its help.

pub mod approve;
pub mod bootstrap;
pub mod completion;
pub mod diff;
pub mod doctor;
pub mod explain;
pub mod health;
pub mod history;
pub mod refresh;
pub mod rollback;
pub mod status;
pub mod sync;
pub mod terminate;
pub mod uninstall;
pub mod version;
pub mod wait;
