//! What a rollback restores, and what Git cannot undo.

pub mod restore;
pub mod warnings;
