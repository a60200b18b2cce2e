//! When and how an application is synced.

use std::collections::BTreeMap;

api_struct! {
    /// When and how an application is synced.
    pub struct SyncPolicy {
        optional {
            /// Present: sync by itself (unless `enabled` is false). Absent: only on request.
            automated: Option<SyncPolicyAutomated>,
            /// `Key=value` options.
            sync_options: Vec<String>,
            /// What happens after a failure.
            retry: Option<RetryStrategy>,
            /// Metadata of the namespace, with `CreateNamespace=true`.
            managed_namespace_metadata: Option<ManagedNamespaceMetadata>,
        }
    }
}

impl SyncPolicy {
    /// The settings of automated sync when it is on: present and not `enabled: false`.
    pub fn automation(&self) -> Option<&SyncPolicyAutomated> {
        self.automated
            .as_ref()
            .filter(|automated| automated.enabled != Some(false))
    }
}

api_struct! {
    /// Automated sync.
    pub struct SyncPolicyAutomated {
        optional {
            /// Delete objects that are no longer in Git.
            prune: bool,
            /// Repair objects changed in the cluster.
            self_heal: bool,
            /// Allow a sync that deletes everything.
            allow_empty: bool,
            /// `false` turns automation off and keeps the settings.
            enabled: Option<bool>,
        }
    }
}

api_struct! {
    /// What happens after a failed sync.
    pub struct RetryStrategy {
        optional {
            /// Attempts after the first; negative means without end.
            limit: i64,
            /// Time between attempts.
            backoff: Option<Backoff>,
            /// Look up the revision again for each attempt.
            refresh: bool,
        }
    }
}

api_struct! {
    /// Time between attempts: duration x factor^n, at most maxDuration.
    pub struct Backoff {
        optional {
            /// First wait: seconds, or with a unit (`5s`, `2m`). Default 5s.
            duration: String,
            /// Growth per attempt. Default 2.
            factor: Option<i64>,
            /// Longest wait. Default 3m.
            max_duration: String,
        }
    }
}

api_struct! {
    /// Metadata of the namespace the agent creates.
    pub struct ManagedNamespaceMetadata {
        optional {
            /// Labels.
            labels: BTreeMap<String, String>,
            /// Annotations.
            annotations: BTreeMap<String, String>,
        }
    }
}

api_struct! {
    /// Fields whose differences do not count.
    pub struct ResourceIgnoreDifferences {
        required {
            /// Kind, a glob.
            "kind" => kind: String,
        }
        optional {
            /// API group, a glob; empty is the core group.
            group: String,
            /// Name; empty means all.
            name: String,
            /// Namespace; empty means all.
            namespace: String,
            /// Fields, as JSON pointers.
            json_pointers: Vec<String>,
            /// Fields, as jq path expressions.
            jq_path_expressions: Vec<String>,
            /// Field managers whose fields do not count.
            managed_fields_managers: Vec<String>,
        }
    }
}
