//! `doctor`'s findings: what is looked at, what it means, and how it is shown. Pure; the command
//! asks the cluster.

pub mod report;
pub mod rights;
