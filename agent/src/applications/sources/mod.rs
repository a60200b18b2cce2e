//! From the sources of an application to rendered manifests.

pub(crate) mod dependencies;
pub(crate) mod hold;
pub(crate) mod render;
pub(crate) mod resolve;
