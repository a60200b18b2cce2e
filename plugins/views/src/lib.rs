//! What users are shown of an Application, as data: pure functions from API objects to models.
//!
//! Draws nothing and reads nothing: no terminal, no flags, no git, no cluster. The commands draw
//! these models on a terminal; any other front end draws the same ones. Time is a parameter.

pub mod appset_preview;
pub mod appsets;
pub mod diff;
pub mod explain;
pub mod history;
pub mod pods;
pub mod rollback;
pub mod status;
pub mod style;
