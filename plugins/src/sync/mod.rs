//! What the commands that move an Application decide and show: pure functions from an Application
//! to a plan, a request and a verdict. Nothing here asks or changes a cluster.

pub mod goal;
pub mod operation;
pub mod plan;
pub mod state;
pub mod verdict;
