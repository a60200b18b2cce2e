//! ApplicationSets: which Applications a set asks for, and what has to change for that.
//!
//! Generating is pure and happens in rounds: [`generate`] says what it needs from outside
//! ([`Need`]), whoever calls it gets that and calls it again with the answers. Nothing is generated
//! while something is missing or wrong, so that no answer that is too small deletes anything.
//! Source: <https://argo-cd.readthedocs.io/en/stable/operator-manual/applicationset/>.

mod combine;
mod conditions;
mod environment;
mod error;
mod existing;
mod fast;
mod forge;
mod generate;
mod generators;
mod git;
mod need;
mod outside;
mod param;
mod parameters;
mod patch;
mod patterns;
mod plan;
mod rollout;
mod selector;
mod spec;
mod template;
mod update;
mod validation;

pub use self::conditions::{DELETIONS_HELD, Report, RolloutReport, conditions, health_of};
pub use self::environment::{Cluster, Environment, normalize};
pub use self::error::{Place, Problem, Step, Warning};
pub use self::existing::{Existing, Names, Ownership, SetIdentity};
pub use self::forge::{
    Account, Branch, Credential, Forges, KeyReference, ListedPullRequest, ListedRepository,
    Listing, Owner, Provider, Question, RepositoryKey,
};
pub use self::generate::{Desired, Generation, generate};
pub use self::need::{
    Answer, Answers, DecisionSource, Filled, Need, PathKind, Repository, Tree, Unmet,
};
pub use self::param::{Param, ParamMap, wire};
pub use self::parameters::Parameters;
pub use self::patterns::FileGlobbing;
pub use self::plan::{Change, Plan, PlanInput, Policy, Verb, plan};
pub use self::rollout::{Member, Rolling, Rollout, RolloutInput, Stage, deletion_turn, roll};
pub use self::spec::{SetSpec, requeue_after_seconds, uses_clusters};
pub use self::update::new_specs;
pub use self::validation::{Destinations, Invalid, Validated, validate};
