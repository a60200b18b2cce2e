//! From rendered manifests to the desired set: objects, their kinds, annotations, tracking marks,
//! options and hooks.

pub mod annotations;
pub mod apply;
pub mod desired;
pub mod digest;
pub mod hook;
pub mod images;
pub mod kinds;
pub mod object;
pub mod options;
pub mod order;
pub mod phase;
pub mod references;
pub mod tracking;
pub mod undeclared;
