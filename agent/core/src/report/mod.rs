//! What is told: the status of an Application, its history, heals, refusals and previews.

pub mod compared;
pub mod conflict;
pub mod facts;
pub mod good;
pub mod heals;
pub mod history;
pub mod hook_log;
pub mod memory;
pub mod preview;
mod reasons;
pub mod refusal;
pub mod requester;
pub mod sentence;
pub mod size;
pub mod status;
mod summary;
pub mod transitions;
pub mod turns;
