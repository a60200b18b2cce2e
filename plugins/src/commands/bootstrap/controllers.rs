//! Which GitOps controllers run in a cluster, told from their Deployments and StatefulSets. Pure.

use std::collections::BTreeSet;

use gitops_core::glob;
use gitops_kit::text;
use serde_json::Value;

use crate::commands::bootstrap::manifests;

/// Annotation on a controller that `--adopt` stopped: how many replicas it had.
pub const REPLICAS_BEFORE: &str = "gitops-agent.io/replicas-before-adoption";

/// What a workload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// Argo CD's application controller: it delivers Applications.
    ArgoApplications,
    /// Argo CD's ApplicationSet controller: it makes Applications.
    ArgoApplicationSets,
    /// Another part of Argo CD.
    ArgoOther,
    /// A controller of Flux.
    Flux,
    /// An agent of this project.
    Agent,
}

/// A Deployment or StatefulSet that has a role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Controller {
    /// Role.
    pub role: Role,
    /// `Deployment` or `StatefulSet`.
    pub kind: String,
    /// Namespace.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Replicas asked for.
    pub replicas: u64,
    /// Replicas it had before it was stopped by `--adopt`.
    pub replicas_before: Option<u64>,
    /// First image's version.
    pub version: Option<String>,
    /// Whose it is, when something made it that would make it again: `ArgoCD/gitops`.
    pub owner: Option<String>,
}

impl Controller {
    /// Reads a Deployment or StatefulSet; `None`: it has nothing to do with GitOps.
    pub fn of(kind: &str, object: &Value) -> Option<Self> {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array()?;
        let metadata = &object["metadata"];
        let label = |name: &str| metadata["labels"][name].as_str().unwrap_or_default();
        let name = metadata["name"].as_str().unwrap_or_default();
        let words: String = containers
            .iter()
            .flat_map(|container| [&container["command"], &container["args"]])
            .filter_map(Value::as_array)
            .flatten()
            .filter_map(Value::as_str)
            .fold(String::new(), |all, word| all + " " + word);
        let image = containers.iter().filter_map(|c| c["image"].as_str());
        let images: Vec<&str> = image.collect();
        let has_image = |part: &str| images.iter().any(|image| image.contains(part));
        let part_of = label(manifests::PART_OF);
        let is = |part: &str| {
            name.ends_with(part) || words.contains(part) || label("app.kubernetes.io/name") == part
        };
        let role = if part_of == "argocd" || has_image("/argocd") {
            if is("applicationset-controller") || is("argocd-applicationset-controller") {
                Role::ArgoApplicationSets
            } else if is("application-controller") || is("argocd-application-controller") {
                Role::ArgoApplications
            } else {
                Role::ArgoOther
            }
        } else if part_of == "flux" || has_image("fluxcd/") {
            Role::Flux
        } else if label("app.kubernetes.io/name") == manifests::NAME || has_image("/gitops-agent:")
        {
            Role::Agent
        } else {
            return None;
        };
        let version = images
            .first()
            .and_then(|image| crate::commands::bootstrap::image::Image::parse(image).tag);
        Some(Self {
            role,
            kind: kind.to_owned(),
            namespace: metadata["namespace"]
                .as_str()
                .unwrap_or_default()
                .to_owned(),
            name: name.to_owned(),
            replicas: object["spec"]["replicas"].as_u64().unwrap_or(1),
            replicas_before: metadata["annotations"][REPLICAS_BEFORE]
                .as_str()
                .and_then(|count| count.parse().ok()),
            version: version.map(|version| text::one_line(&version)),
            owner: owner(metadata),
        })
    }

    /// Whether it works, or would.
    pub const fn runs(&self) -> bool {
        self.replicas > 0
    }

    /// How it is called in messages.
    pub fn shown(&self) -> String {
        text::one_line(&format!("{}/{}", self.kind, self.name))
    }
}

fn owner(metadata: &Value) -> Option<String> {
    let owners = metadata["ownerReferences"].as_array()?;
    let owner = owners.iter().find(|owner| owner["controller"] == true)?;
    let text = |name: &str| text::one_line(owner[name].as_str().unwrap_or_default());
    Some(format!("{}/{}", text("kind"), text("name")))
}

/// All controllers of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    /// All that were found.
    pub all: Vec<Controller>,
    /// Namespaces with Argo CD whose Applications may be in other namespaces too: the namespace
    /// and its list of patterns.
    pub reach: Vec<(String, String)>,
}

impl Controllers {
    /// Running controllers of Argo CD that would deliver or make Applications of a namespace.
    pub fn conflicting_controllers(&self, namespace: &str) -> Vec<&Controller> {
        self.all
            .iter()
            .filter(|controller| {
                matches!(
                    controller.role,
                    Role::ArgoApplications | Role::ArgoApplicationSets
                ) && controller.runs()
                    && self.reaches(controller, namespace)
            })
            .collect()
    }

    fn reaches(&self, controller: &Controller, namespace: &str) -> bool {
        controller.namespace == namespace
            || self.reach.iter().any(|(from, patterns)| {
                *from == controller.namespace
                    && patterns
                        .split(',')
                        // One that cannot be read may reach there: better a warning too many.
                        .any(|pattern| glob::matches(pattern.trim(), namespace).unwrap_or(true))
            })
    }

    /// Controllers that `--adopt` stopped in a namespace.
    pub fn stopped(&self, namespace: &str) -> Vec<&Controller> {
        self.all
            .iter()
            .filter(|controller| {
                controller.namespace == namespace
                    && !controller.runs()
                    && controller.replicas_before.is_some_and(|count| count > 0)
            })
            .collect()
    }

    /// Namespaces with running controllers of a role, other than one namespace.
    pub fn elsewhere(&self, role: Role, namespace: &str) -> BTreeSet<&str> {
        self.all
            .iter()
            .filter(|controller| {
                controller.role == role && controller.runs() && controller.namespace != namespace
            })
            .map(|controller| controller.namespace.as_str())
            .collect()
    }

    /// Version of Argo CD in a namespace.
    pub fn argo_version(&self, namespace: &str) -> Option<&str> {
        self.all
            .iter()
            .filter(|controller| controller.namespace == namespace)
            .filter(|controller| {
                matches!(
                    controller.role,
                    Role::ArgoApplications | Role::ArgoApplicationSets | Role::ArgoOther
                )
            })
            .min_by_key(|controller| controller.role)
            .and_then(|controller| controller.version.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn workload(name: &str, part_of: &str, image: &str, command: &str, replicas: u64) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "argocd", "labels": {"app.kubernetes.io/part-of": part_of}},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "x", "image": image, "args": [command]},
            ]}}},
        })
    }

    #[test]
    fn roles_by_label_image_and_command() {
        let table = [
            (
                workload(
                    "argocd-application-controller",
                    "argocd",
                    "quay.io/argoproj/argocd:v3.4.1",
                    "/usr/local/bin/argocd-application-controller",
                    1,
                ),
                Some(Role::ArgoApplications),
            ),
            (
                workload(
                    "openshift-gitops-application-controller",
                    "argocd",
                    "registry/x@sha256:1",
                    "argocd-application-controller",
                    1,
                ),
                Some(Role::ArgoApplications),
            ),
            (
                workload(
                    "cd-controller",
                    "",
                    "quay.io/argoproj/argocd:v3.4.1",
                    "argocd-application-controller",
                    1,
                ),
                Some(Role::ArgoApplications),
            ),
            (
                workload(
                    "argocd-applicationset-controller",
                    "argocd",
                    "quay.io/argoproj/argocd:v3.4.1",
                    "argocd-applicationset-controller",
                    1,
                ),
                Some(Role::ArgoApplicationSets),
            ),
            (
                workload(
                    "argocd-server",
                    "argocd",
                    "quay.io/argoproj/argocd:v3.4.1",
                    "argocd-server",
                    1,
                ),
                Some(Role::ArgoOther),
            ),
            (
                workload(
                    "kustomize-controller",
                    "flux",
                    "ghcr.io/fluxcd/kustomize-controller:v1",
                    "",
                    1,
                ),
                Some(Role::Flux),
            ),
            (
                workload(
                    "agent",
                    "",
                    "ghcr.io/kubectl-gitops/gitops-agent:v0.1.0",
                    "run",
                    1,
                ),
                Some(Role::Agent),
            ),
            (workload("web", "shop", "nginx:1", "", 1), None),
        ];
        for (object, expected) in table {
            let found = Controller::of("Deployment", &object);
            assert_eq!(
                found.map(|controller| controller.role),
                expected,
                "{object}"
            );
        }
        assert_eq!(Controller::of("Deployment", &json!({})), None);
    }

    #[test]
    fn rivals_serve_the_same_namespace() {
        let object = workload(
            "argocd-application-controller",
            "argocd",
            "quay.io/argoproj/argocd:v3.4.1",
            "",
            1,
        );
        let running = Controller::of("StatefulSet", &object).unwrap();
        let mut controllers = Controllers {
            all: vec![running],
            reach: vec![("argocd".into(), "team-*, infra".into())],
        };
        for (namespace, expected) in [("argocd", 1), ("team-a", 1), ("infra", 1), ("gitops", 0)] {
            assert_eq!(
                controllers.conflicting_controllers(namespace).len(),
                expected,
                "{namespace}"
            );
        }
        assert_eq!(controllers.argo_version("argocd"), Some("v3.4.1"));
        assert_eq!(
            controllers
                .elsewhere(Role::ArgoApplications, "gitops")
                .len(),
            1
        );
        controllers.all[0].replicas = 0;
        assert!(controllers.conflicting_controllers("argocd").is_empty());
        assert!(controllers.stopped("argocd").is_empty());
        controllers.all[0].replicas_before = Some(2);
        assert_eq!(controllers.stopped("argocd").len(), 1);
    }
}
