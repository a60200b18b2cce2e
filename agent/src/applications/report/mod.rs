//! What is written down about an application: its status, conditions, results of syncs, commits.

pub(crate) mod commits;
pub(crate) mod handled;
pub(crate) mod notes;
pub(crate) mod reporter;
