//! The cluster as the agent sees it: kinds, watches, records, and the one way to write.

pub(crate) mod discovery;
pub(crate) mod index;
pub(crate) mod inspect;
pub(crate) mod watch;
pub(crate) mod write;
