//! Git repositories: who is allowed in, what they hold, and when they change.

pub(crate) mod credentials;
pub(crate) mod hub;
pub(crate) mod trees;
