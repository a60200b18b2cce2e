//! Who follows repositories: Applications, and ApplicationSets with git generators.

use crate::app_key::AppKey;

/// Who wants to hear when a ref moves.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Follower {
    /// An Application.
    Application(AppKey),
    /// An ApplicationSet, by namespace and name.
    ApplicationSet(AppKey),
}
