//! Hold: a known good revision is delivered although the tracked one says something else.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

api_struct! {
    /// Value (as JSON) of the annotation `gitops-agent.io/hold` on an Application.
    ///
    /// While it is in force the agent delivers `revision` whenever the tracked revision is
    /// `instead_of`, or renders to `instead_of_digest`. Any other content in Git ends it: then
    /// the agent removes the annotation.
    pub struct Hold {
        required {
            /// Commit that is delivered.
            "revision" => revision: String,
            /// Commit that is not.
            "insteadOf" => instead_of: String,
        }
        optional {
            /// Commits that are delivered, one a source; when there are any, `revision` is ignored.
            revisions: Vec<String>,
            /// Digest of what `instead_of` renders to.
            instead_of_digest: String,
            /// It ends then at the latest.
            until: Option<Time>,
            /// Who asked for it.
            by: String,
            /// Why.
            reason: String,
        }
    }
}
