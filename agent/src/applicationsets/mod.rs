//! ApplicationSets: kept as what they generate.
//!
//! Each set is looked at as a whole: what it needs is asked for ([`answers`]), core generates and
//! plans, the plan is carried out ([`write`]), the status says what came of it. Woken by what a set
//! depends on ([`wake`]): itself, its Applications, projects, clusters, settings, and refs of the
//! repositories its generators name. Never clones, never polls them: repositories are those of Applications.
//! Plugins, objects that decide ([`outside`]) and forges ([`forges`]) are asked at the set's own interval.

mod answers;
mod cache;
mod controller;
mod forges;
mod outside;
mod reconcile;
mod rollout;
mod wake;
mod watch;
mod work;
mod write;

pub(crate) use self::wake::Wake;
pub(crate) use self::work::start;
