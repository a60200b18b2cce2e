//! What the user must be allowed to do for an installation, asked of the cluster beforehand.

use futures::StreamExt;
use gitops_kit::exit::{CommandError, CommandErrorKind};
use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec,
};
use kube::Api;
use kube::api::PostParams;

use crate::cluster::connection::Connection;

/// Questions asked at the same time.
const CONCURRENT: usize = 16;

/// One thing to be allowed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rule {
    /// Verb.
    pub verb: &'static str,
    /// API group; empty is the core group.
    pub group: &'static str,
    /// Resource.
    pub resource: &'static str,
    /// Namespace; `None`: everywhere.
    pub namespace: Option<String>,
}

impl Rule {
    fn shown(&self) -> String {
        let group = if self.group.is_empty() {
            String::new()
        } else {
            format!(".{}", self.group)
        };
        let place = self
            .namespace
            .as_ref()
            .map_or(String::new(), |namespace| format!(" in {namespace}"));
        format!("{} {}{group}{place}", self.verb, self.resource)
    }
}

/// What is installed: group, resource, whether it is in a namespace.
const INSTALLED: [(&str, &str, bool); 12] = [
    ("apiextensions.k8s.io", "customresourcedefinitions", false),
    ("", "namespaces", false),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicies",
        false,
    ),
    (
        "admissionregistration.k8s.io",
        "validatingadmissionpolicybindings",
        false,
    ),
    ("rbac.authorization.k8s.io", "clusterroles", false),
    ("rbac.authorization.k8s.io", "clusterrolebindings", false),
    ("rbac.authorization.k8s.io", "roles", true),
    ("rbac.authorization.k8s.io", "rolebindings", true),
    ("", "serviceaccounts", true),
    ("", "configmaps", true),
    ("apps", "deployments", true),
    ("argoproj.io", "applications", true),
];

/// What an installation needs.
pub fn to_install(namespace: &str, with_secret: bool, with_takeover: bool) -> Vec<Rule> {
    let rule = |verb, group, resource, namespaced: bool| Rule {
        verb,
        group,
        resource,
        namespace: namespaced.then(|| namespace.to_owned()),
    };
    let mut rules = Vec::new();
    for (group, resource, namespaced) in INSTALLED {
        for verb in ["get", "create", "patch"] {
            rules.push(rule(verb, group, resource, namespaced));
        }
    }
    // Found and waited for.
    rules.push(rule("list", "apps", "deployments", false));
    rules.push(rule("list", "apps", "statefulsets", false));
    rules.push(rule("watch", "apps", "deployments", true));
    rules.push(rule("watch", "argoproj.io", "applications", true));
    rules.push(rule("list", "", "secrets", true));
    if with_secret {
        rules.push(rule("create", "", "secrets", true));
        rules.push(rule("patch", "", "secrets", true));
    }
    if with_takeover {
        rules.push(rule("patch", "apps", "statefulsets", true));
        rules.push(rule("list", "", "pods", true));
        rules.push(rule("list", "argoproj.io", "applications", true));
    }
    rules
}

/// What removing an installation needs.
pub fn to_uninstall(namespace: &str, delete_definitions: bool) -> Vec<Rule> {
    let mut rules: Vec<Rule> = INSTALLED
        .iter()
        .filter(|(_, resource, _)| {
            *resource != "namespaces"
                && (delete_definitions || *resource != "customresourcedefinitions")
        })
        .map(|(group, resource, namespaced)| Rule {
            verb: "delete",
            group,
            resource,
            namespace: namespaced.then(|| namespace.to_owned()),
        })
        .collect();
    for verb in ["list", "patch"] {
        rules.push(Rule {
            verb,
            group: "argoproj.io",
            resource: "applications",
            namespace: Some(namespace.to_owned()),
        });
    }
    rules
}

/// Asks the cluster about each rule; an error names those that are missing.
pub async fn check(connection: &Connection, rules: &[Rule]) -> Result<(), CommandError> {
    let api: Api<SelfSubjectAccessReview> = Api::all(connection.client.clone());
    let ask = async |rule: Rule| {
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec {
                resource_attributes: Some(ResourceAttributes {
                    verb: Some(rule.verb.into()),
                    group: Some(rule.group.into()),
                    resource: Some(rule.resource.into()),
                    namespace: rule.namespace.clone(),
                    ..ResourceAttributes::default()
                }),
                ..SelfSubjectAccessReviewSpec::default()
            },
            ..SelfSubjectAccessReview::default()
        };
        let params = PostParams::default();
        let answer = connection
            .ask("ask what you may do", api.create(&params, &review))
            .await?;
        let allowed = answer.status.is_some_and(|status| status.allowed);
        Ok::<_, CommandError>((!allowed).then_some(rule))
    };
    let mut asked =
        futures::stream::iter(rules.iter().cloned().map(ask)).buffer_unordered(CONCURRENT);
    let mut missing = Vec::new();
    while let Some(answer) = asked.next().await {
        missing.extend(answer?);
    }
    missing.sort();
    refuse(&missing, &connection.endpoint.context)
}

fn refuse(missing: &[Rule], context: &str) -> Result<(), CommandError> {
    const SHOWN: usize = 4;
    if missing.is_empty() {
        return Ok(());
    }
    let mut shown: Vec<String> = missing.iter().take(SHOWN).map(Rule::shown).collect();
    if missing.len() > SHOWN {
        shown.push(format!("{} more", missing.len() - SHOWN));
    }
    Err(CommandError::new(
        CommandErrorKind::Forbidden,
        format!(
            "in the cluster of context {context:?} you may not: {}",
            shown.join(", ")
        ),
    )
    .hint("a cluster administrator may; act as one with --as, or ask one to run this"))
}

#[cfg(test)]
mod tests {
    use gitops_kit::exit::ExitStatus;

    use super::*;

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(refuse(&[], "prod"), Ok(()));
        let rules = to_install("argocd", true, false);
        let error = refuse(&rules, "prod").unwrap_err();
        assert_eq!(error.status(), ExitStatus::Unreachable);
        assert_eq!(
            error.message,
            format!(
                "in the cluster of context \"prod\" you may not: get \
                 customresourcedefinitions.apiextensions.k8s.io, create \
                 customresourcedefinitions.apiextensions.k8s.io, patch \
                 customresourcedefinitions.apiextensions.k8s.io, get namespaces, {} more",
                rules.len() - 4
            )
        );
    }

    #[test]
    fn everything_installed_is_asked_about() {
        let rules = to_install("argocd", false, false);
        let installation = crate::commands::bootstrap::manifests::Installation::new(
            &crate::commands::bootstrap::manifests::Choice {
                namespace: "argocd".into(),
                image: None,
            },
        )
        .unwrap();
        for object in &installation.objects {
            let kind = object["kind"].as_str().unwrap().to_lowercase();
            let plural = match kind.strip_suffix('y') {
                Some(stem) => format!("{stem}ies"),
                None => format!("{kind}s"),
            };
            assert!(
                rules
                    .iter()
                    .any(|rule| rule.verb == "create" && rule.resource == plural),
                "{plural}"
            );
        }
        let removal = to_uninstall("argocd", false);
        assert!(removal.iter().all(|rule| rule.resource != "namespaces"));
    }
}
