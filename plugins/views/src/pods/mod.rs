//! What runs beneath an Application's workloads: Pods, and what is wrong with them.

pub mod logs;
pub mod problem;
pub mod tree;
