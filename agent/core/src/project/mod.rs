//! What an AppProject allows: sources, destinations and kinds, and when (`windows`).
//!
//! Only judges; nothing in a cluster is changed without a permit (`permit`), which is given for one
//! object and one action by the rules as they are at that moment. Roles are not looked at. The rules
//! are Argo CD's ("Projects").

mod denial;
mod destinations;
mod global;
mod kinds;
mod patterns;
mod permit;
mod problem;
mod rules;
mod sources;
pub mod windows;

pub use self::denial::Denial;
pub use self::global::{GlobalProject, Impersonation};
pub use self::permit::{
    DeletePermit, Gate, NoPermit, NotOwn, ReleasePermit, WritePermit, not_own, not_own_hook,
};
pub use self::problem::ProjectProblem;
pub use self::rules::{DeniedObject, ProjectRules, Surroundings};
pub use self::sources::SourcePermit;

#[cfg(test)]
mod tests {
    use gitops_api::ApplicationDestination;
    use gitops_api::project::AppProjectSpec;
    use serde_json::{Value, json};

    use super::*;
    use crate::manifest::object::ObjectKey;

    pub(super) fn spec(value: Value) -> AppProjectSpec {
        serde_json::from_value(value).unwrap()
    }

    pub(super) fn destination(cluster: &str, namespace: &str) -> ApplicationDestination {
        let field = if cluster.starts_with("https://") {
            "server"
        } else {
            "name"
        };
        serde_json::from_value(json!({field: cluster, "namespace": namespace})).unwrap()
    }

    pub(super) fn rules(spec: &Value) -> ProjectRules {
        let project = json!({"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject",
            "metadata": {"name": "team"}, "spec": spec});
        let project = serde_json::from_value(project).unwrap();
        ProjectRules::of(&project, &Surroundings::default()).unwrap()
    }

    #[test]
    fn messages_say_what_to_do() {
        let project = rules(
            &json!({"destinations": [{"server": "https://x", "namespace": "a"}], "sourceRepos": ["*", "!https://host/x"]}),
        );
        let message = |result: Result<(), Denial>| result.unwrap_err().message;
        assert_eq!(
            message(
                rules(&json!({}))
                    .permits_source("https://bob:hunter2@host/r")
                    .map(drop)
            ),
            "project team does not allow repository https://***@host/r; to allow it, add \
             \"https://***@host/r\" to spec.sourceRepos of the AppProject"
        );
        assert_eq!(
            message(project.permits_source("https://host/x").map(drop)),
            "project team denies repository https://host/x by \"!https://host/x\" in \
             spec.sourceRepos of the AppProject"
        );
        assert_eq!(
            message(project.permits_destination(&destination("in-cluster", "shop"))),
            "project team does not allow destination namespace shop of \
             https://kubernetes.default.svc; to allow it, add {server: \
             \"https://kubernetes.default.svc\", namespace: \"shop\"} to spec.destinations of the \
             AppProject"
        );
        let role = ObjectKey {
            group: "rbac.authorization.k8s.io".into(),
            kind: "ClusterRole".into(),
            namespace: String::new(),
            name: "admin".into(),
        };
        let denial = project
            .permits_object(&destination("https://x", "a"), &role)
            .unwrap_err();
        assert_eq!(
            denial.rule,
            "{group: \"rbac.authorization.k8s.io\", kind: \"ClusterRole\"}"
        );
        assert!(
            denial.message.contains("spec.clusterResourceWhitelist"),
            "{denial}"
        );
    }
}
