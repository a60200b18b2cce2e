//! RollingSync: Applications of a set are changed and synced step by step, the next step when every
//! Application of those before it is healthy with what is rolled out.
//!
//! | module | subject |
//! |---|---|
//! | `steps` | which Application belongs to which step |
//! | `progress` | how far each Application is |
//! | `roll` | what may go on now |
//!
//! Source: <https://argo-cd.readthedocs.io/en/stable/operator-manual/applicationset/Progressive-Syncs/>.
//! What is better here: a step counts only with what its Applications were compared with after the
//! change, later steps keep their old spec until their turn, every sync is pinned to the revision that
//! went through the steps before, and a failure stops it and is named.

mod progress;
mod roll;
mod steps;

pub use self::roll::{Member, Rollout, RolloutInput, Stage, roll};
pub use self::steps::{Rolling, deletion_turn};

#[cfg(test)]
mod tests;
