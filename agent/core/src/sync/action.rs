//! What is done to one object, and why: the words that plan, sync and deletion share.
//!
//! Decides nothing: a plan says which actions there are, a sync and a deletion say when.

use crate::manifest::object::ObjectKey;
use crate::manifest::options::Propagation;
use crate::manifest::phase::Phase;

/// One change to one object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Action {
    /// The phase it belongs to.
    pub phase: Phase,
    /// The object.
    pub key: ObjectKey,
    /// What to do with it.
    pub verb: Verb,
    /// Why, for users.
    pub reason: String,
}

/// How an object is changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Server-side apply of the desired manifest.
    Apply,
    /// Delete the object: the prune of a sync, or with its Application.
    Delete {
        /// `metadata.uid` when it was decided; another object of the same name is left alone.
        uid: String,
        /// What happens to its dependents.
        propagation: Propagation,
    },
    /// Create the object of a hook.
    RunHook,
    /// Delete the object of a hook, without waiting for its result.
    DeleteHook {
        /// `metadata.uid` when it was decided; another object of the same name is left alone.
        uid: String,
    },
    /// Remove the finalizer that kept a finished hook until its result was read.
    ReleaseHook,
}
