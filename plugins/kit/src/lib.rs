//! What every command needs to speak to users, to pipes and to scripts: words, colors, tables,
//! progress, questions, output forms and exit codes.
//!
//! Knows no Kubernetes, no Git and no Application. Without the feature `terminal` only the words
//! and the errors are left, for whoever draws elsewhere.

pub mod exit;
#[cfg(feature = "terminal")]
pub mod interrupt;
#[cfg(feature = "terminal")]
pub mod jsonpath;
#[cfg(feature = "terminal")]
pub mod notice;
#[cfg(feature = "terminal")]
pub mod output;
pub mod paint;
#[cfg(feature = "terminal")]
pub mod progress;
#[cfg(feature = "terminal")]
pub mod prompt;
#[cfg(feature = "terminal")]
pub mod table;
#[cfg(feature = "terminal")]
pub mod terminal;
pub mod text;
