//! Why an application is as it is: one value for every reason the agent gives.
//!
//! A reason has a stable code for programs, parameters as fields, one sentence for people
//! (`Display`, in `text`) and one piece of advice. `wire` writes and reads them in
//! `Application.status`; nothing else in the workspace turns a sentence back into a
//! fact. Decides nothing.

mod catalogue;
mod examples;
mod legacy;
mod parts;
mod text;
mod wire;

#[cfg(test)]
mod tests;

pub use catalogue::{Code, Reason};
pub use examples::examples;
pub use parts::{
    FieldFight, Fight, Names, ObjectState, OverBudget, PruneQuestion, RequestedBy, SyncStep,
    Unready, WaitedFor,
};
pub use wire::{
    MAX_REASONS, asked_since, entry, explain, is_mutated, of_condition, of_operation, of_result,
    questions, read, reasons,
};
