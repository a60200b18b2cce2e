//! A sync somebody asks for.

use crate::source::{ApplicationSource, NameValue};
use crate::sync_policy::RetryStrategy;

api_struct! {
    /// A request to sync, and who made it.
    pub struct Operation {
        optional {
            /// What to sync.
            sync: Option<SyncOperation>,
            /// Who asked.
            initiated_by: Option<OperationInitiator>,
            /// Why, for people.
            info: Vec<NameValue>,
            /// What happens after a failure.
            retry: Option<RetryStrategy>,
        }
    }
}

api_struct! {
    /// Who asked for an operation.
    pub struct OperationInitiator {
        optional {
            /// Person or client.
            username: String,
            /// The agent itself.
            automated: bool,
        }
    }
}

api_struct! {
    /// What to sync, and how.
    pub struct SyncOperation {
        optional {
            /// Revision; empty means the application's.
            revision: String,
            /// Delete objects that are no longer in Git.
            prune: bool,
            /// Change nothing.
            dry_run: bool,
            /// Apply with hooks (default) or without.
            sync_strategy: Option<SyncStrategy>,
            /// Only these objects; hooks are left out and no history is written.
            resources: Vec<SyncOperationResource>,
            /// Source instead of the application's.
            source: Option<ApplicationSource>,
            /// Manifests instead of the application's.
            manifests: Vec<String>,
            /// `Key=value` options.
            sync_options: Vec<String>,
            /// Sources instead of the application's.
            sources: Vec<ApplicationSource>,
            /// Revisions, one a source.
            revisions: Vec<String>,
            /// How many repairs in a row led here.
            auto_heal_attempts_count: i64,
        }
    }
}

api_struct! {
    /// With hooks or without.
    pub struct SyncStrategy {
        optional {
            /// Without hooks.
            apply: Option<SyncStrategyForce>,
            /// With hooks.
            hook: Option<SyncStrategyForce>,
        }
    }
}

api_struct! {
    /// Whether objects may be deleted and created again.
    pub struct SyncStrategyForce {
        optional {
            /// Delete and create again what cannot be updated.
            force: bool,
        }
    }
}

api_struct! {
    /// An object to sync.
    pub struct SyncOperationResource {
        required {
            /// Kind.
            "kind" => kind: String,
            /// Name.
            "name" => name: String,
        }
        optional {
            /// API group; empty is the core group.
            group: String,
            /// Namespace; empty means any.
            namespace: String,
        }
    }
}

impl Operation {
    /// Whether the agent itself began it.
    pub fn is_automated(&self) -> bool {
        let initiator = self.initiated_by.as_ref();
        initiator.is_some_and(|initiator| initiator.automated)
    }

    /// Whether it changes nothing: it only tries out.
    pub fn is_dry_run(&self) -> bool {
        self.sync.as_ref().is_some_and(|sync| sync.dry_run)
    }
}
