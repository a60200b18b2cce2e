//! Pause: nothing is changed in the cluster for an application until somebody says so.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

api_struct! {
    /// Value (as JSON) of the annotation `gitops-agent.io/paused` on an Application, and of the entry
    /// `paused` of the ConfigMap `gitops-agent-paused`, which is for all of them.
    ///
    /// While it is in force the agent compares and reports, and applies and deletes nothing.
    pub struct Pause {
        optional {
            /// It ends then by itself.
            until: Option<Time>,
            /// When it began.
            since: Option<Time>,
            /// Who asked for it.
            by: String,
            /// Why.
            reason: String,
        }
    }
}
